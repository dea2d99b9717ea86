"""How large a region is.

Diameters run between the outer edges of voxels: a region of one voxel is one voxel wide. (Between
centres every lesion would be a voxel too small, which matters at 5 mm.)
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.regions.region_mask import RegionMask, Spacing


def volume_ml(mask: RegionMask, spacing_mm: Spacing) -> float:
    """Voxels times their volume, mL."""
    return mask.n_voxels * float(np.prod(spacing_mm)) / 1000.0


def longest_axial_diameter_mm(mask: RegionMask, spacing_mm: Spacing) -> float:
    """The longest line within one slice (RECIST 1.1), mm; 0 for an empty mask."""
    longest_mm = 0.0
    for plane in _on_host(mask.voxels):
        corners = _row_ends(plane) * spacing_mm[1:]
        # No line is longer than the box's diagonal: most slices need no hull.
        if len(corners) and np.linalg.norm(np.ptp(corners, axis=0)) > longest_mm:
            longest_mm = max(longest_mm, _diameter(corners))
    return longest_mm


def feret_diameter_mm(mask: RegionMask, spacing_mm: Spacing) -> float:
    """The longest distance between two points of the region in space, mm; 0 for an empty mask."""
    return _diameter(_row_ends(_on_host(mask.voxels)) * spacing_mm)


def _on_host(voxels: Any) -> NDArray[np.bool_]:
    return voxels.get() if hasattr(voxels, "get") else np.asarray(voxels)


def _row_ends(voxels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, d) index of the outer corners of the first and last voxel of every row: all that can be on the hull.

    voxels : (..., x) bool of d axes
    """
    rows = np.argwhere(voxels.any(axis=-1))
    filled = voxels[tuple(rows.T)]
    first = filled.argmax(axis=1) - 0.5
    last = filled.shape[1] - 0.5 - filled[:, ::-1].argmax(axis=1)
    ends = [
        np.column_stack([rows + halves, x])
        for halves in product((-0.5, 0.5), repeat=rows.shape[1])
        for x in (first, last)
    ]
    return np.concatenate(ends)


def _diameter(points: NDArray[np.float64]) -> float:
    """Largest distance between two of the points, which lie on their convex hull."""
    if len(points) == 0:
        return 0.0
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    return float(pdist(points[ConvexHull(points).vertices]).max())
