"""How large a region is.

Diameters run between the outer edges of voxels: a region of one voxel is one voxel wide. (Between
centres every lesion would be a voxel too small, which matters at 5 mm.)
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.regions.mask import RegionMask

Spacing = tuple[float, float, float]


def volume_ml(mask: RegionMask, spacing_mm: Spacing) -> float:
    """Voxels times their volume, mL."""
    return mask.n_voxels * float(np.prod(spacing_mm)) / 1000.0


def longest_axial_diameter_mm(mask: RegionMask, spacing_mm: Spacing) -> float:
    """The longest line within one slice (RECIST 1.1), mm; 0 for an empty mask."""
    voxels = _on_host(mask.voxels)
    diameters = [_diameter(_corners(np.argwhere(plane), spacing_mm[1:])) for plane in voxels]
    return max(diameters, default=0.0)


def feret_diameter_mm(mask: RegionMask, spacing_mm: Spacing) -> float:
    """The longest distance between two points of the region in space, mm; 0 for an empty mask."""
    return _diameter(_corners(np.argwhere(_on_host(mask.voxels)), spacing_mm))


def _on_host(voxels: Any) -> NDArray[np.bool_]:
    return voxels.get() if hasattr(voxels, "get") else np.asarray(voxels)


def _corners(index: NDArray[np.integer], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """(n, d) positions of all voxel corners, mm."""
    halves = np.array(list(product((-0.5, 0.5), repeat=len(spacing))))
    corners = (index[:, None, :] + halves[None]).reshape(-1, len(spacing))
    return np.asarray(np.unique(corners, axis=0) * np.array(spacing), dtype=np.float64)


def _diameter(points: NDArray[np.float64]) -> float:
    """Largest distance between two of the points, which lie on their convex hull."""
    if len(points) == 0:
        return 0.0
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    return float(pdist(points[ConvexHull(points).vertices]).max())
