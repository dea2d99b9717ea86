"""Planes through lesions that were carried over, with their masks before and after: what the picture of a registration shows.

They are cut while the planes that were registered are at hand, where a picture is going to be made; else they are read for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import Series, SpectralStack
from gsigpu.pictures import REGION_COLOURS, hex_colour
from gsigpu.pipeline.stack_source import PlaneStore, looked_at
from gsigpu.regions.region_mask import RegionMask
from gsigpu.volume import VolumeGeometry, patient_letters

# Layout.
#   _FIELDS_MM      sides of the square that is shown: a lesion of 30 mm and a way of 10 mm with as much liver around them; the
#                   next ones hold larger lesions
#   MOST_SHOWN      lesions of one picture; the largest ones are shown
_FIELDS_MM = (80.0, 120.0, 200.0, 400.0)
_SHARE = 0.75
MOST_SHOWN = 20
_KEV = 70.0
BEFORE, AFTER = hex_colour(REGION_COLOURS["core"]), hex_colour(REGION_COLOURS["rim"])


@dataclass(frozen=True, slots=True)
class Cut:
    """A plane through a stack.

    plane : (rows, columns) HU
    spacing_mm : (rows, columns)
    letters : what lies at the right and at the lower side
    outlines : (mask (rows, columns) bool, colour, style of the line)
    """

    plane: NDArray[np.float32]
    spacing_mm: tuple[float, float]
    letters: tuple[str, str]
    outlines: tuple[tuple[NDArray[np.bool_], str, str], ...]


def shown_lesions(carried: Iterable[str], masks: Mapping[str, RegionMask]) -> list[str]:
    """The lesions of a picture, the largest first.

    masks : by id, as they were carried over
    """
    return sorted(carried, key=lambda name: -masks[name].n_voxels)[:MOST_SHOWN]


def shown_kev(stack: SpectralStack) -> float:
    """The energy of the images that are shown; registration reads it too."""
    return min(stack.energies_kev, key=lambda kev: abs(kev - _KEV))


def lesion_cuts(
    drawn: SpectralStack,
    before: RegionMask,
    stack: SpectralStack,
    after: RegionMask,
    store: PlaneStore,
) -> tuple[Cut, ...]:
    """The three planes of a lesion: as drawn, axial, and from the front.

    before, after : its mask on the grid of each stack
    store : of the planes
    """
    there, here = drawn.geometry, stack.geometry
    field = _field_mm(before, there, after, here)
    both = [(before, there, BEFORE, "dashed"), (after, here, AFTER, "solid")]
    return (
        _axial(drawn, before, [(before, there, BEFORE, "solid")], field, store),
        _axial(stack, after, both, field, store),
        _frontal(stack, after, both, field, store),
    )


_Outlined = list[tuple[RegionMask, VolumeGeometry, str, str]]


def _field_mm(
    before: RegionMask, there: VolumeGeometry, after: RegionMask, here: VolumeGeometry
) -> float:
    size = max(
        n * mm
        for mask, grid in ((before, there), (after, here))
        for n, mm in zip(mask.voxels.shape, grid.spacing_mm, strict=True)
    )
    way = math.dist(_middle_mm(before, there), _middle_mm(after, here))
    return next((mm for mm in _FIELDS_MM if size + 2 * way <= _SHARE * mm), _FIELDS_MM[-1])


def _middle(mask: RegionMask) -> tuple[float, float, float]:
    z, y, x = np.argwhere(mask.voxels).mean(axis=0) + mask.origin
    return float(z), float(y), float(x)


def _middle_mm(mask: RegionMask, grid: VolumeGeometry) -> tuple[float, float, float]:
    return grid.position_mm(*_middle(mask))


def _axial(
    stack: SpectralStack,
    mask: RegionMask,
    outlined: _Outlined,
    field_mm: float,
    store: PlaneStore,
) -> Cut:
    grid = stack.geometry
    z, y, x = _middle(mask)
    rows, columns = (
        _around(middle, field_mm, mm, n)
        for middle, mm, n in zip((y, x), grid.spacing_mm[1:], grid.shape[1:], strict=True)
    )
    at = min(max(round(z), 0), grid.shape[0] - 1)
    (plane,) = looked_at(_shown_series(stack), store, [at])
    index = np.stack(np.meshgrid([at], rows, columns, indexing="ij"), axis=-1)[0]
    return Cut(
        plane=plane[rows.start : rows.stop, columns.start : columns.stop].copy(),
        spacing_mm=grid.spacing_mm[1:],
        letters=(
            patient_letters(grid.row_direction)[0],
            patient_letters(grid.column_direction)[0],
        ),
        outlines=tuple((_at(m, g, grid, index), colour, style) for m, g, colour, style in outlined),
    )


def _frontal(
    stack: SpectralStack,
    mask: RegionMask,
    outlined: _Outlined,
    field_mm: float,
    store: PlaneStore,
) -> Cut:
    """A plane of rows of slices, the head above."""
    grid = stack.geometry
    middle_z, y, x = _middle(mask)
    slices = _around(middle_z, field_mm, grid.spacing_mm[0], grid.shape[0])
    columns = _around(x, field_mm, grid.spacing_mm[2], grid.shape[2])
    at = min(max(round(y), 0), grid.shape[1] - 1)
    series = _shown_series(stack)
    # Of each slice a row is shown: slices of a whole field are not held at once.
    planes = np.stack(
        [looked_at(series, store, [z])[0, at, columns.start : columns.stop] for z in slices]
    )
    index = np.stack(np.meshgrid(slices, [at], columns, indexing="ij"), axis=-1)[:, 0]
    masks = [_at(m, g, grid, index) for m, g, _, _ in outlined]
    below = patient_letters(grid.slice_direction)[0]
    if below == "H":
        planes, masks, below = planes[::-1], [m[::-1] for m in masks], "F"
    return Cut(
        plane=planes,
        spacing_mm=(grid.spacing_mm[0], grid.spacing_mm[2]),
        letters=(patient_letters(grid.row_direction)[0], below),
        outlines=tuple(
            (m, colour, style) for m, (_, _, colour, style) in zip(masks, outlined, strict=True)
        ),
    )


def _around(middle: float, field_mm: float, spacing_mm: float, size: int) -> range:
    """Indices of a field, cut at the border of the grid."""
    half = field_mm / 2 / spacing_mm
    return range(max(0, math.floor(middle - half)), min(size, math.ceil(middle + half) + 1))


def _shown_series(stack: SpectralStack) -> Series:
    return stack.series[stack.energies_kev.index(shown_kev(stack))]


def _at(
    mask: RegionMask, of: VolumeGeometry, grid: VolumeGeometry, index: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether a mask holds the voxels of another grid, by the voxel that lies nearest to each middle.

    index : (rows, columns, 3) z, y, x in `grid`
    """
    points = np.concatenate([index[..., ::-1], np.ones((*index.shape[:2], 1))], axis=-1)
    there = points @ (of.inverse_affine_lps @ grid.affine_lps).T
    local = np.rint(there[..., 2::-1]).astype(np.int64) - mask.origin
    is_inside = ((local >= 0) & (local < mask.voxels.shape)).all(axis=-1)
    clipped = np.clip(local, 0, np.array(mask.voxels.shape) - 1)
    held: NDArray[np.bool_] = is_inside & mask.voxels[tuple(np.moveaxis(clipped, -1, 0))]
    return held
