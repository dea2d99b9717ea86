"""Masks of one phase on the grid of another."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from gsigpu.errors import OutsideStudy
from gsigpu.regions.region_mask import RegionMask, trimmed
from gsigpu.registration.images import displacement, empty_image, image_of, sitk
from gsigpu.registration.register import Registration
from gsigpu.volume import Vector, VolumeGeometry

_FAR_MM = 1e3


@dataclass(frozen=True, slots=True)
class Carried:
    """A mask that was carried over.

    mask : on the grid of the phase that is measured
    moved_mm : LPS, from where it was drawn to where it lies
    volume_ratio : of the volume here to the volume there
    """

    mask: RegionMask
    moved_mm: Vector
    volume_ratio: float


def carried(
    mask: RegionMask, drawn_on: VolumeGeometry, onto: VolumeGeometry, registration: Registration
) -> Carried:
    """A mask on the grid of the other phase.

    The signed distance to its boundary is interpolated along the transform. The voxels that lie deepest are taken, as
    many as the drawn volume fills after the stretch of the transform: the zero of an interpolated distance would make
    small lesions smaller.

    mask : on the grid `drawn_on`, which is that of the moving phase
    onto : the grid of the fixed phase
    Raises OutsideStudy where it does not lie whole within `onto`.
    """
    box = _reached(mask, drawn_on, onto, registration.reach_mm)
    distance = _distance(mask, drawn_on)
    grid = empty_image(box, onto)
    depth = sitk.GetArrayFromImage(
        sitk.Resample(distance, grid, registration.transform, sitk.sitkLinear, -_FAR_MM)
    )
    inside = depth >= 0.0
    if not inside.any():
        inside = depth == depth.max()
        if depth.max() <= -_FAR_MM:
            raise _outside(mask)
    stretch = _jacobian(grid, registration)[inside].mean()
    n_drawn_ml = mask.n_voxels * drawn_on.voxel_volume_ml
    n_voxels = max(1, round(n_drawn_ml / stretch / onto.voxel_volume_ml))
    deepest = np.argsort(-depth, axis=None, kind="stable")[:n_voxels]
    voxels = np.zeros(depth.size, bool)
    voxels[deepest] = True
    low = tuple(side.start for side in box)
    made = trimmed(
        RegionMask(name=mask.name, label=mask.label, origin=low, voxels=voxels.reshape(depth.shape))
    )
    if _touches(made, onto) and not _touches(mask, drawn_on):
        raise _outside(mask)
    there, here = _centre(mask, drawn_on), _centre(made, onto)
    x, y, z = (float(b - a) for a, b in zip(there, here, strict=True))
    return Carried(made, (x, y, z), float(n_voxels * onto.voxel_volume_ml / n_drawn_ml))


def _outside(mask: RegionMask) -> OutsideStudy:
    return OutsideStudy(
        f"{mask.name} does not lie whole within the images of this phase",
        remedy="leave it out (--role LABEL=ignore), or measure the phase that it was drawn on",
    )


def _distance(mask: RegionMask, grid: VolumeGeometry) -> Any:
    """Signed distance to the boundary, mm, positive inside, with room around it."""
    room = 3
    voxels = np.pad(mask.voxels, room)
    distance = distance_transform_edt(voxels, sampling=grid.spacing_mm)
    distance -= distance_transform_edt(~voxels, sampling=grid.spacing_mm)
    z, y, x = (float(index - room) for index in mask.origin)
    return image_of(distance.astype(np.float32), grid, (z, y, x))


def _reached(
    mask: RegionMask, drawn_on: VolumeGeometry, onto: VolumeGeometry, reach_mm: float
) -> tuple[slice, slice, slice]:
    """The box of the other grid that the mask may come to lie in."""
    ends = [(side.start - 1.0, float(side.stop)) for side in mask.box]
    corners = np.array([drawn_on.position_mm(*corner) for corner in itertools.product(*ends)])
    low, high = corners.min(axis=0) - reach_mm, corners.max(axis=0) + reach_mm
    points = np.array([[*point, 1.0] for point in itertools.product(*zip(low, high, strict=True))])
    indices = (points @ onto.inverse_affine_lps.T)[:, 2::-1]
    first = np.clip(np.floor(indices.min(axis=0)), 0, onto.shape).astype(int)
    last = np.clip(np.ceil(indices.max(axis=0)) + 1, 0, onto.shape).astype(int)
    if (last <= first).any():
        raise _outside(mask)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return z, y, x


def _jacobian(grid: Any, registration: Registration) -> NDArray[np.float64]:
    """How much tissue a voxel of the grid holds, as measured in the other phase: 1 where nothing stretches."""
    if min(grid.GetSize()) < 3:
        return np.ones(grid.GetSize()[::-1])
    stretch = sitk.DisplacementFieldJacobianDeterminant(displacement(registration.transform, grid))
    return np.asarray(sitk.GetArrayFromImage(stretch), np.float64)


def _touches(mask: RegionMask, grid: VolumeGeometry) -> bool:
    return any(
        side.start == 0 or side.stop == n for side, n in zip(mask.box, grid.shape, strict=True)
    )


def _centre(mask: RegionMask, grid: VolumeGeometry) -> Vector:
    z, y, x = np.argwhere(mask.voxels).mean(axis=0) + mask.origin
    return grid.position_mm(float(z), float(y), float(x))
