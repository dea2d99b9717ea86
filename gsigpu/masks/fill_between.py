"""What lies between the drawn slices of a region: told, and filled where that is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gsigpu.regions.region_mask import RegionMask, Spacing


def skipped_slices(mask: RegionMask) -> int:
    """Slices between drawn ones, of a region that was drawn on every n-th slice; 0 for any other.

    A region two of whose drawn slices are neighbours is taken for what it is.

    >>> drawn = np.zeros((5, 2, 2), bool)
    >>> drawn[[0, 4]] = True
    >>> skipped_slices(RegionMask("lesion", 1, (0, 0, 0), drawn))
    3
    """
    drawn = _drawn(mask)
    gaps = np.diff(drawn)
    return int((gaps - 1).sum()) if gaps.size and gaps.min() > 1 else 0


def fill_between(mask: RegionMask, spacing_mm: Spacing) -> tuple[RegionMask, int]:
    """The region with every gap between its drawn slices filled, and how many slices that were.

    Shape-based interpolation (Raya and Udupa 1990): the signed in-plane distances to the outlines below
    and above are averaged by their distance in slices, and what is inside then is filled. Outlines
    that do not overlap leave the middle empty.
    """
    drawn = _drawn(mask)
    voxels, n_filled = mask.voxels.copy(), 0
    for low, high in zip(drawn[:-1].tolist(), drawn[1:].tolist(), strict=True):
        if high - low == 1:
            continue
        below, above = (_signed_distance(mask.voxels[z], spacing_mm[1:]) for z in (low, high))
        for z in range(low + 1, high):
            share = (z - low) / (high - low)
            voxels[z] = (1.0 - share) * below + share * above > 0.0
            n_filled += int(voxels[z].any())
    return replace(mask, voxels=voxels), n_filled


def _drawn(mask: RegionMask) -> NDArray[np.intp]:
    return np.flatnonzero(mask.voxels.any(axis=(1, 2)))


def _signed_distance(
    inside: NDArray[np.bool_], spacing_mm: tuple[float, float]
) -> NDArray[np.float64]:
    """(y, x) mm to the outline, positive inside; the plane goes on empty beyond its edges."""
    from scipy.ndimage import distance_transform_edt

    padded = np.pad(inside, 1)
    inner = distance_transform_edt(padded, sampling=spacing_mm)
    outer = distance_transform_edt(~padded, sampling=spacing_mm)
    return np.asarray(inner - outer, dtype=np.float64)[1:-1, 1:-1]
