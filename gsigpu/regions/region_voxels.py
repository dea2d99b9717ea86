"""The voxels of many regions: which slices hold any, and each region's as columns of the voxels of them all.

A voxel of several regions is kept once. Computed by `in_numpy`, or by a compiled loop that gives the same
(kernels/region_voxels.cpp): a liver has a million voxels, and NumPy passes over each of them ten times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import compiled_regions
from gsigpu.regions.region_mask import RegionMask


@dataclass(frozen=True, slots=True, repr=False)
class RegionVoxels:
    """Voxels of R regions on a grid of Z slices.

    slices : that hold any
    regions_in : slice -> the regions that have voxels in it
    indices : (M,) intp, of the voxels of any region in their planes, slice by slice, ascending
    sizes : (Z,) int64, how many those are in each slice
    columns : R of (n,) int32, int64 on a grid of more than 2^31 voxels, each region's voxels among the M, in the order of `np.nonzero` of its mask
    """

    slices: tuple[int, ...]
    regions_in: Callable[[int], list[int]]
    indices: NDArray[np.intp]
    sizes: NDArray[np.int64]
    columns: list[NDArray[Any]]

    def __repr__(self) -> str:
        """How much there is."""
        return f"RegionVoxels({len(self.columns)} regions, {self.indices.size} voxels)"


def region_voxels(masks: Sequence[RegionMask], grid_shape: tuple[int, int, int]) -> RegionVoxels:
    """Of masks on the host, which lie within the grid.

    >>> row = RegionMask("a", 1, (0, 0, 1), np.ones((1, 1, 2), bool))
    >>> made = region_voxels([row, RegionMask("b", 2, (0, 0, 2), row.voxels)], (1, 1, 4))
    >>> made.indices, made.columns
    (array([1, 2, 3]), [array([0, 1], dtype=int32), array([1, 2], dtype=int32)])
    """
    boxes = [(mask.voxels, mask.origin) for mask in masks]
    parts = compiled_regions.region_columns(boxes, grid_shape)
    if parts is None:
        return in_numpy(masks, grid_shape)
    counts, indices, sizes, columns = parts
    in_slices = [(mask.origin[0], of_mask) for mask, of_mask in zip(masks, counts, strict=True)]

    def regions_in(z: int) -> list[int]:
        return [
            index
            for index, (first, of_mask) in enumerate(in_slices)
            if 0 <= z - first < of_mask.size and of_mask[z - first]
        ]

    return RegionVoxels(
        slices=tuple(np.flatnonzero(sizes).tolist()),
        regions_in=regions_in,
        indices=indices,
        sizes=sizes,
        columns=columns,
    )


def in_numpy(masks: Sequence[RegionMask], grid_shape: tuple[int, int, int]) -> RegionVoxels:
    """The same; the truth that the loop is tested against."""
    touched: dict[int, list[int]] = {}
    for index, mask in enumerate(masks):
        for local in np.flatnonzero(mask.voxels.any(axis=(1, 2))).tolist():
            touched.setdefault(mask.origin[0] + local, []).append(index)
    indices: list[NDArray[np.intp]] = [np.zeros(0, np.intp)]
    sizes = np.zeros(grid_shape[0], np.int64)
    dtype = np.int32 if prod(grid_shape) <= np.iinfo(np.int32).max else np.int64
    columns: list[list[NDArray[Any]]] = [[np.zeros(0, dtype)] for _ in masks]
    in_any: NDArray[Any] = np.zeros(grid_shape[1:], bool)
    column_of: NDArray[Any] = np.zeros(grid_shape[1:], dtype)
    n_before = 0
    for z in sorted(touched):
        in_any[...] = False
        parts = []
        for index in touched[z]:
            mask = masks[index]
            _, rows, sides = mask.box
            parts.append((index, (rows, sides), mask.voxels[z - mask.origin[0]]))
            in_any[rows, sides] |= parts[-1][2]
        indices.append(np.flatnonzero(in_any))
        sizes[z] = indices[-1].size
        column_of.ravel()[indices[-1]] = np.arange(n_before, n_before + indices[-1].size)
        n_before += indices[-1].size
        for index, box, voxels in parts:
            columns[index].append(column_of[box][voxels])
    return RegionVoxels(
        slices=tuple(sorted(touched)),
        regions_in=lambda z: touched.get(z, []),
        indices=np.concatenate(indices),
        sizes=sizes,
        columns=[np.concatenate(of_mask) for of_mask in columns],
    )
