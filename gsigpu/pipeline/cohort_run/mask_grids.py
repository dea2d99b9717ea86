"""On which study's grid a mask was drawn, as far as grids tell.

A mask whose voxels are not those of its own study, and are exactly those of another study of the manifest, was given
to the wrong row. Grids are compared by what no flip or permutation of axes changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import GeometryError, InputError
from gsigpu.masks.read_files import is_volume
from gsigpu.masks.stored_volume import read_grid
from gsigpu.volume import VolumeGeometry

# Of two grids that are one.
_SAME_CENTRE_MM = 0.1  # formats round positions to 0.01 or 0.001 mm
_SAME_SPACING = 1e-3  # relative: NIfTI holds float32

Grid = dict[str, Any]


def grid_of_study(geometry: VolumeGeometry) -> Grid:
    """Shape, spacing and centre, as plain data."""
    affine = np.asarray(geometry.affine_lps, np.float64)
    return _grid(geometry.shape[::-1], affine)


def grid_of_mask(path: Path) -> Grid | None:
    """That of a label volume, by its header; None for what has no grid of its own (DICOM, folders)."""
    if not is_volume(path) or not path.is_file():
        return None
    try:
        geometry = read_grid(path)
    except (InputError, GeometryError):  # what cannot be read is told where it is measured
        return None
    return grid_of_study(geometry)


def _grid(shape_xyz: Sequence[int], affine: NDArray[np.float64]) -> Grid:
    middle = (np.array(shape_xyz) - 1) / 2
    centre = affine[:3, :3] @ middle + affine[:3, 3]
    sides = sorted(
        zip(np.linalg.norm(affine[:3, :3], axis=0).tolist(), map(int, shape_xyz), strict=True)
    )
    return {"sides": [list(side) for side in sides], "centre": centre.tolist()}


def is_same_grid(first: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two grids have the same voxels, in whatever order of the axes."""
    return all(
        n == m and abs(a - b) <= _SAME_SPACING * b
        for (a, n), (b, m) in zip(first["sides"], other["sides"], strict=True)
    ) and bool(np.allclose(first["centre"], other["centre"], rtol=0.0, atol=_SAME_CENTRE_MM))
