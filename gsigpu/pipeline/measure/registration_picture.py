"""Masks that were carried over, as a picture: where they lay before, and where they lie after, on the phase that is measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import SpectralStack
from gsigpu.dicom.reading.hu_planes import read_volume
from gsigpu.figure_fonts import fonts_for
from gsigpu.phase_words import phase_name
from gsigpu.pictures import (
    ANATOMY_WINDOW,
    REGION_COLOURS,
    draw_scale_bar,
    draw_side_letters,
    hex_colour,
    limits,
    voxel_edges,
)
from gsigpu.pipeline.measure.collected_masks import CarriedLesion
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.regions.region_mask import RegionMask
from gsigpu.volume import VolumeGeometry, patient_letters

# Layout.
#   _FIELDS_MM      sides of the square that is shown: a lesion of 30 mm and a way of 10 mm with as much liver around them; the
#                   next ones hold larger lesions
#   _MOST           lesions of one picture; the largest ones are shown
_FIELDS_MM = (80.0, 120.0, 200.0, 400.0)
_SHARE = 0.75
_MOST = 20
_PANEL_INCHES = 2.3
_TITLE_INCHES = 0.32
_KEV = 70.0
_BEFORE, _AFTER = hex_colour(REGION_COLOURS["core"]), hex_colour(REGION_COLOURS["rim"])


@dataclass(frozen=True, slots=True)
class _Cut:
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


def save_registration(
    path: Path, measurement: Measurement, *, name_shown: Callable[[str], str] = str
) -> None:
    """A row for each lesion that was carried over.

    Left the phase that it was drawn on, beside it two planes through the carried mask on the phase that is measured:
    axial, and from the front, where breathing shows. Solid lines are the mask as it lies, dashed ones as it lay before.
    The measurement has carried masks. name_shown : a lesion's name -> what the picture calls it
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn, told = measurement.masks.drawn, {c.lesion_id: c for c in measurement.masks.carried}
    assert drawn is not None
    here = {lesion.lesion_id: lesion.mask for lesion in measurement.masks.masks.lesions}
    shown = sorted(told, key=lambda name: -here[name].n_voxels)[:_MOST]
    width, height = 3 * _PANEL_INCHES, len(shown) * (_PANEL_INCHES + _TITLE_INCHES) + 0.75
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    for row, name in enumerate(shown):
        top = 0.4 + row * (_PANEL_INCHES + _TITLE_INCHES)
        figure.text(
            0.01,
            1 - (top + 0.06) / height,
            _words(name_shown(name), told[name]),
            fontsize=8,
            weight="bold",
            va="top",
        )
        cuts = _cuts(drawn.stack, drawn.masks[name], measurement.stack, here[name])
        for column, cut in enumerate(cuts):
            bottom = height - top - _TITLE_INCHES - _PANEL_INCHES
            axes = figure.add_axes(
                (
                    (column * _PANEL_INCHES + 0.03) / width,
                    (bottom + 0.03) / height,
                    (_PANEL_INCHES - 0.06) / width,
                    (_PANEL_INCHES - 0.06) / height,
                )
            )
            _show(axes, cut)
    titles = (
        f"{phase_name(drawn.stack.phase)}, as drawn",
        f"{phase_name(measurement.stack.phase)}, axial",
        f"{phase_name(measurement.stack.phase)}, from the front",
    )
    for column, title in enumerate(titles):
        figure.text((column + 0.5) / 3, 1 - 0.1 / height, title, fontsize=9, ha="center", va="top")
    n_left = len(told) - len(shown)
    foot = f"orange, dashed: before; blue: carried over. {_kev(measurement.stack):g} keV, window {limits(ANATOMY_WINDOW)[0]:g} to {limits(ANATOMY_WINDOW)[1]:g} HU."
    foot += f" The {len(shown)} largest of {len(told)} lesions." if n_left else ""
    figure.text(0.01, 0.1 / height, foot, fontsize=7.5, va="bottom")
    with fonts_for(figure):
        figure.savefig(path, dpi=150)


def _words(name: str, carried: CarriedLesion) -> str:
    off = (
        f"up to {carried.possible_offset_mm:.0f}"
        if carried.possible_offset_mm >= 1.0
        else "less than 1"
    )
    return (
        f"lesion {name}: went {carried.shift_mm:.1f} mm, volume × {carried.volume_ratio:.2f},"
        f" may lie {off} mm off"
    )


def _kev(stack: SpectralStack) -> float:
    return min(stack.energies_kev, key=lambda kev: abs(kev - _KEV))


def _cuts(
    drawn: SpectralStack, before: RegionMask, stack: SpectralStack, after: RegionMask
) -> list[_Cut]:
    """The three planes of a lesion."""
    there, here = drawn.geometry, stack.geometry
    field = _field_mm(before, there, after, here)
    return [
        _axial(drawn, before, [(before, there, _BEFORE, "solid")], field),
        _axial(
            stack,
            after,
            [(before, there, _BEFORE, "dashed"), (after, here, _AFTER, "solid")],
            field,
        ),
        _frontal(
            stack,
            after,
            [(before, there, _BEFORE, "dashed"), (after, here, _AFTER, "solid")],
            field,
        ),
    ]


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


def _axial(stack: SpectralStack, mask: RegionMask, outlined: _Outlined, field_mm: float) -> _Cut:
    grid = stack.geometry
    z, y, x = _middle(mask)
    rows, columns = (
        _around(middle, field_mm, mm, n)
        for middle, mm, n in zip((y, x), grid.spacing_mm[1:], grid.shape[1:], strict=True)
    )
    at = min(max(round(z), 0), grid.shape[0] - 1)
    (plane,) = _planes(stack, [at])
    index = np.stack(np.meshgrid([at], rows, columns, indexing="ij"), axis=-1)[0]
    return _Cut(
        plane=plane[rows.start : rows.stop, columns.start : columns.stop],
        spacing_mm=grid.spacing_mm[1:],
        letters=(
            patient_letters(grid.row_direction)[0],
            patient_letters(grid.column_direction)[0],
        ),
        outlines=tuple((_at(m, g, grid, index), colour, style) for m, g, colour, style in outlined),
    )


def _frontal(stack: SpectralStack, mask: RegionMask, outlined: _Outlined, field_mm: float) -> _Cut:
    """A plane of rows of slices, the head above."""
    grid = stack.geometry
    z, y, x = _middle(mask)
    slices = _around(z, field_mm, grid.spacing_mm[0], grid.shape[0])
    columns = _around(x, field_mm, grid.spacing_mm[2], grid.shape[2])
    at = min(max(round(y), 0), grid.shape[1] - 1)
    planes = _planes(stack, list(slices))[:, at, columns.start : columns.stop]
    index = np.stack(np.meshgrid(slices, [at], columns, indexing="ij"), axis=-1)[:, 0]
    masks = [_at(m, g, grid, index) for m, g, _, _ in outlined]
    below = patient_letters(grid.slice_direction)[0]
    if below == "H":
        planes, masks, below = planes[::-1], [m[::-1] for m in masks], "F"
    return _Cut(
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


def _planes(stack: SpectralStack, slices: list[int]) -> NDArray[np.float32]:
    series = stack.series[stack.energies_kev.index(_kev(stack))]
    return read_volume(series, slices=slices)


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


def _show(axes: Any, cut: _Cut) -> None:
    from matplotlib.collections import LineCollection

    low, high = limits(ANATOMY_WINDOW)
    (rows, columns), (y_mm, x_mm) = cut.plane.shape, cut.spacing_mm
    axes.imshow(
        np.ma.masked_invalid(cut.plane), cmap="gray", vmin=low, vmax=high, aspect="equal",
        extent=(0.0, columns * x_mm, rows * y_mm, 0.0), interpolation="nearest",
    )  # fmt: skip
    axes.set_facecolor("black")
    axes.set(xticks=[], yticks=[])
    for mask, colour, style in cut.outlines:
        # The dark line below keeps the other visible on bright tissue.
        for ink, width, dashes in (("black", 2.0, "solid"), (colour, 1.1, style)):
            lines = LineCollection(list(voxel_edges(mask, cut.spacing_mm)), colors=ink, linewidths=width, linestyles=dashes)  # fmt: skip
            lines.set_capstyle("projecting" if style == "solid" else "butt")
            axes.add_collection(lines, autolim=False)
    draw_side_letters(axes, *cut.letters, size=7.0, inset=0.04, halo=True)
    draw_scale_bar(axes, size=7.0, halo=True)
