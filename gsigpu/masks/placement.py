"""A label volume of one grid brought onto another.

Where the voxels of both grids fall together (the same grid, or flipped, permuted or a part of it), every
voxel moves exactly. Elsewhere the nearest label is taken, and the change of volume is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from gsigpu.volume import VolumeGeometry

# Two voxel centres are one when they lie within a hundredth of a voxel.
_SAME_VOXEL = 0.01
# Midway between two voxels the higher index is taken, whatever the rounding of the affines.
_TIE = 1e-6


@dataclass(frozen=True, slots=True)
class LabelVolume:
    """Labels as a file holds them.

    labels : (z, y, x) integers, 0 for none
    affine_lps : (4, 4) from voxel index (x, y, z, 1) to LPS mm
    """

    labels: NDArray[np.integer]
    affine_lps: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Placed:
    """Labels on the grid of a study.

    is_exact : every voxel moved as it was
    outside_share : share of labelled voxels that lie outside the study's grid
    """

    labels: NDArray[np.integer]
    is_exact: bool
    outside_share: float


def place(volume: LabelVolume, geometry: VolumeGeometry) -> Placed:
    """Labels of `volume` on the grid of `geometry`."""
    # Index of the study's grid -> index of the mask's grid, both (x, y, z).
    to_mask = np.linalg.inv(volume.affine_lps) @ geometry.affine_lps
    whole = np.rint(to_mask[:3, :3])
    corner_error = np.abs((to_mask[:3, :3] - whole) @ np.array(geometry.shape[::-1])).max()
    shift_error = np.abs(to_mask[:3, 3] - np.rint(to_mask[:3, 3])).max()
    is_exact = bool(
        corner_error <= 0.5
        and shift_error <= _SAME_VOXEL
        and np.abs(np.linalg.det(whole)) == 1
        and np.abs(whole).sum() == 3
    )
    matrix, offset = (
        (whole, np.rint(to_mask[:3, 3])) if is_exact else (to_mask[:3, :3], to_mask[:3, 3] + _TIE)
    )
    moved = affine_transform(
        volume.labels,
        matrix[::-1, ::-1],
        offset=offset[::-1],
        output_shape=geometry.shape,
        order=0,
        mode="grid-constant",
        cval=0,
        prefilter=False,
    )
    return Placed(moved, is_exact, _outside_share(volume, geometry))


def _outside_share(volume: LabelVolume, geometry: VolumeGeometry) -> float:
    """Share of labelled voxels whose centre is not within half a voxel of the study's grid."""
    z, y, x = np.nonzero(volume.labels)
    if z.size == 0:
        return 0.0
    to_study = np.linalg.inv(geometry.affine_lps) @ volume.affine_lps
    index = to_study[:3, :3] @ np.stack([x, y, z]) + to_study[:3, 3:]
    limits = np.array(geometry.shape[::-1])[:, None]
    inside_mask = np.all((index > -0.5 - 1e-3) & (index < limits - 0.5 + 1e-3), axis=0)
    return float(1.0 - inside_mask.mean())
