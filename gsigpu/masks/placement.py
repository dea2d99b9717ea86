"""A label volume of one grid brought onto another.

Where the voxels of both grids fall together (the same grid, or flipped, permuted or a part of it), every
voxel moves exactly. Elsewhere the nearest label is taken, and the change of volume is told. Only the box
that holds labels is ever touched: a study has a hundred million voxels, its lesions some thousand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import cast

import numpy as np
from numpy.typing import NDArray

from gsigpu.regions.region_boxes import Box, box_of_set
from gsigpu.volume import VolumeGeometry

# Tolerances, in voxels.
#   _SAME_VOXEL   two voxel centres fall together when they lie within a hundredth of a voxel: positions in
#                 files are rounded to some thousandths of a millimetre
#   _GRID_DRIFT   over the whole grid, axes that differ in their last digits may drift by half a voxel
#   _TIE          midway between two voxels the higher index is taken, whatever the rounding of the affines
#   _EDGE         a voxel on the edge of the study's grid is inside, whatever that rounding
_SAME_VOXEL = 0.01
_GRID_DRIFT = 0.5
_TIE = 1e-6
_EDGE = 1e-3


@dataclass(frozen=True, slots=True)
class LabelVolume:
    """Labels as a file holds them.

    labels : (z, y, x) integers, 0 for none
    geometry : of their voxels
    """

    labels: NDArray[np.integer]
    geometry: VolumeGeometry


@dataclass(frozen=True, slots=True)
class Placed:
    """Labels on the grid of a study.

    labels : (z, y, x) integers, the box that may hold labels; empty where the grids do not meet
    origin : (z, y, x) index in the study's grid of the box's first voxel
    is_exact : every voxel moved as it was
    outside_share : share of labelled voxels that lie outside the study's grid
    """

    labels: NDArray[np.integer]
    origin: tuple[int, int, int]
    is_exact: bool
    outside_share: float


def cropped(
    labels: NDArray[np.generic],
    geometry: VolumeGeometry,
    *,
    box: Box | None = None,
    check: Callable[[NDArray[np.generic]], None] = lambda _inside: None,
) -> LabelVolume:
    """The smallest box of a label volume that holds all that is not 0; one voxel where nothing is.

    box : where all that is not 0 lies, if it is known
    check : looks at the values in the box, as they are stored, and may raise

    >>> labels = np.zeros((4, 5, 6), np.uint8)
    >>> labels[2, 3, 1:3] = 7
    >>> small = cropped(labels, VolumeGeometry(labels.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    >>> small.labels.tolist(), small.geometry.origin_mm
    ([[[7, 7]]], (1.0, 3.0, 2.0))
    """
    box = box or box_of_set(labels) or (slice(0, 1), slice(0, 1), slice(0, 1))
    z, y, x = (side.start for side in box)
    inside = labels[box]
    check(inside)
    # Of few bytes a voxel they stay so: a box around a liver has some millions.
    small = labels.dtype in (np.uint8, np.uint16) and labels.dtype.isnative
    kept = inside.astype(labels.dtype if small else np.int32)
    moved = replace(geometry, shape=kept.shape, origin_mm=geometry.position_mm(z, y, x))
    return LabelVolume(cast("NDArray[np.integer]", kept), moved)


def place(volume: LabelVolume, geometry: VolumeGeometry) -> Placed:
    """Labels of `volume` on the grid of `geometry`."""
    # Index of the study's grid -> index of the mask's grid, both (x, y, z).
    to_mask = volume.geometry.inverse_affine_lps @ geometry.affine_lps
    whole = np.rint(to_mask[:3, :3])
    corner_error = np.abs((to_mask[:3, :3] - whole) @ np.array(geometry.shape[::-1])).max()
    shift_error = np.abs(to_mask[:3, 3] - np.rint(to_mask[:3, 3])).max()
    is_exact = bool(
        corner_error <= _GRID_DRIFT
        and shift_error <= _SAME_VOXEL
        and np.abs(np.linalg.det(whole)) == 1
        and np.abs(whole).sum() == 3
    )
    if is_exact:
        to_mask[:3, :3], to_mask[:3, 3] = whole, np.rint(to_mask[:3, 3])
    outside_share = _outside_share(volume, geometry)
    lows, highs = _box(volume, to_mask, geometry)
    if np.any(lows >= highs):
        return Placed(
            labels=np.zeros((0, 0, 0), np.int32),
            origin=(0, 0, 0),
            is_exact=is_exact,
            outside_share=outside_share,
        )
    moved = (_turned if is_exact else _nearest)(volume.labels, to_mask, lows, highs)
    x, y, z = (int(low) for low in lows)
    return Placed(labels=moved, origin=(z, y, x), is_exact=is_exact, outside_share=outside_share)


def _box(
    volume: LabelVolume, to_mask: NDArray[np.float64], geometry: VolumeGeometry
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """(x, y, z) from and to, on the study's grid, of all voxels that a voxel of the mask may reach."""
    ends = [(-0.5, n - 0.5) for n in reversed(volume.labels.shape)]
    corners = np.array(list(product(*ends))).T
    to_study = np.linalg.inv(to_mask)
    index = to_study[:3, :3] @ corners + to_study[:3, 3:]
    limits = np.array(geometry.shape[::-1])
    lows = np.clip(np.ceil(index.min(axis=1) - 2 * _TIE), 0, limits).astype(int)
    highs = np.clip(np.floor(index.max(axis=1) + 2 * _TIE) + 1, 0, limits).astype(int)
    return lows, highs


def _turned(
    labels: NDArray[np.integer],
    to_mask: NDArray[np.float64],
    lows: NDArray[np.integer],
    highs: NDArray[np.integer],
) -> NDArray[np.integer]:
    """Labels with axes permuted and flipped, from `lows` to `highs` of the study's grid."""
    order, sides = [], []
    for axis in (2, 1, 0):  # z, y, x of the study
        of_mask = int(np.flatnonzero(to_mask[:3, axis])[0])
        sign, shift = int(to_mask[of_mask, axis]), int(to_mask[of_mask, 3])
        order.append(2 - of_mask)
        ends = [sign * int(lows[axis]) + shift, sign * (int(highs[axis]) - 1) + shift]
        low, high = min(ends), max(ends) + 1
        sides.append(
            slice(low, high) if sign > 0 else slice(high - 1, low - 1 if low else None, -1)
        )
    return np.ascontiguousarray(labels.transpose(order)[tuple(sides)])


def _nearest(
    labels: NDArray[np.integer],
    to_mask: NDArray[np.float64],
    lows: NDArray[np.integer],
    highs: NDArray[np.integer],
) -> NDArray[np.integer]:
    """The label nearest to each voxel from `lows` to `highs` of the study's grid."""
    from scipy.ndimage import affine_transform

    matrix = to_mask[:3, :3]
    offset = to_mask[:3, 3] + matrix @ lows + _TIE
    return np.asarray(
        affine_transform(
            labels,
            matrix[::-1, ::-1],
            offset=offset[::-1],
            output_shape=tuple(reversed(highs - lows)),
            order=0,
            mode="grid-constant",
            cval=0,
            prefilter=False,
        )
    )


def _outside_share(volume: LabelVolume, geometry: VolumeGeometry) -> float:
    """Share of labelled voxels whose centre is not within half a voxel of the study's grid."""
    to_study = geometry.inverse_affine_lps @ volume.geometry.affine_lps
    limits = np.array(geometry.shape[::-1])[:, None]

    def inside_mask(index: NDArray[np.integer]) -> NDArray[np.bool_]:
        where = to_study[:3, :3] @ index + to_study[:3, 3:]
        return np.asarray(
            np.all((where > -0.5 - _EDGE) & (where < limits - 0.5 + _EDGE), axis=0), dtype=bool
        )

    corners = np.array(list(product(*((0, n - 1) for n in reversed(volume.labels.shape))))).T
    if inside_mask(corners).all():
        return 0.0
    z, y, x = np.nonzero(volume.labels)
    return float(1.0 - inside_mask(np.stack([x, y, z])).mean()) if z.size else 0.0
