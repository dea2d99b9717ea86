"""The compiled loops of regions (kernels/distance_transform.cpp, region_voxels.cpp, region_boxes.cpp), where they were built.

Their twins say what is computed: `gsigpu.backends.cpu.distance_transform` (SciPy), `gsigpu.regions.region_voxels` and
`gsigpu.regions.region_boxes`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import DISTANCE_UNIT_MM
from gsigpu.backends.compiled import Loop, choose_loop

# Of a spacing, in `DISTANCE_UNIT_MM`, for the longest line: squares of more are rounded, and by SciPy otherwise.
_LARGEST_EXTENT_MM = 128.0


def distance_transform(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]
) -> NDArray[np.float64] | None:
    """As `gsigpu.backends.Backend.distance_transform`; None where the loop is not there, or may differ from SciPy."""
    loop, _ = choose_loop()
    return None if loop is None else transformed(loop, mask, spacing_mm)


def transformed(
    loop: Loop, mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]
) -> NDArray[np.float64] | None:
    """As `distance_transform`, by a given library."""
    n_axes = len(spacing_mm)
    sides_mm = [n * step for n, step in zip(mask.shape[-n_axes:], spacing_mm, strict=False)]
    if not (
        1 <= n_axes <= min(3, mask.ndim)
        and all((step / DISTANCE_UNIT_MM).is_integer() for step in spacing_mm)
        and sum(side * side for side in sides_mm) <= _LARGEST_EXTENT_MM**2
    ):
        return None
    mask = np.ascontiguousarray(mask)
    within = (*[1] * (3 - n_axes), *mask.shape[mask.ndim - n_axes :])
    shape = np.array((prod(mask.shape[: mask.ndim - n_axes]), *within), np.int64)
    steps = np.array((*[0.0] * (3 - n_axes), *spacing_mm))
    distances, room = np.empty(mask.shape), np.empty(mask.shape)
    function = loop.functions.gsigpu_distance_transform
    function.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 3, ctypes.c_int, *[ctypes.c_void_p] * 2]
    failed = function(
        loop.number,
        mask.ctypes.data,
        shape.ctypes.data,
        steps.ctypes.data,
        n_axes,
        distances.ctypes.data,
        room.ctypes.data,
    )
    return None if failed else distances


# (z, y, x) bool, rows together; and the index of its first voxel on the grid.
Region = tuple[NDArray[np.bool_], tuple[int, int, int]]
# Numbers of a region, see `Region` in kernels/region_voxels.cpp.
_N_NUMBERS = 9


def region_columns(
    regions: Sequence[Region], grid_shape: tuple[int, int, int]
) -> (
    tuple[
        list[NDArray[np.int64]],
        NDArray[np.intp],
        NDArray[np.int64],
        list[NDArray[np.int32]],
    ]
    | None
):
    """What `gsigpu.regions.region_voxels` is made of; None where the loop is not there or does not take the arrays.

    Returns per region its voxels in each slice of its box, then as in `RegionVoxels` indices, sizes and columns.
    """
    loop, _ = choose_loop()
    return None if loop is None else columns_of(loop, regions, grid_shape)


def columns_of(
    loop: Loop, regions: Sequence[Region], grid_shape: tuple[int, int, int]
) -> (
    tuple[
        list[NDArray[np.int64]],
        NDArray[np.intp],
        NDArray[np.int64],
        list[NDArray[np.int32]],
    ]
    | None
):
    """As `region_columns`, by a given library."""
    fits = np.intp is np.int64 and prod(grid_shape) <= np.iinfo(np.int32).max
    is_taken = fits and all(
        voxels.dtype == bool
        and voxels.ndim == 3
        and all(
            o >= 0 and o + n <= m for o, n, m in zip(origin, voxels.shape, grid_shape, strict=True)
        )
        for voxels, origin in regions
    )
    if not is_taken:
        return None
    # Kept here while the loop has their addresses.
    arrays = [
        voxels if voxels.strides[2] == 1 or voxels.shape[2] == 1 else np.ascontiguousarray(voxels)
        for voxels, _ in regions
    ]
    numbers = np.array(
        [
            (voxels.ctypes.data, *voxels.strides[:2], *origin, *voxels.shape)
            for voxels, (_, origin) in zip(arrays, regions, strict=True)
        ],
        np.int64,
    ).reshape(-1, _N_NUMBERS)
    n_in_slices = numbers[:, 6]
    counts = np.empty(int(n_in_slices.sum()), np.int64)
    library = loop.functions
    count = library.gsigpu_region_counts
    count.restype = None
    count.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
    count(numbers.ctypes.data, len(numbers), counts.ctypes.data)
    of_region = np.split(counts, np.cumsum(n_in_slices)[:-1]) if len(numbers) else []
    n = int(counts.sum())
    indices, columns = np.empty(n, np.int64), np.empty(n, np.int32)
    sizes = np.empty(grid_shape[0], np.int64)
    plane = np.zeros(grid_shape[1:], np.uint8)
    n_before = np.empty((grid_shape[1], -(-grid_shape[2] // 8)), np.int64)
    cursors = np.empty((len(numbers), 2), np.int64)
    fill = library.gsigpu_region_columns
    fill.restype = None
    fill.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, *[ctypes.c_int64] * 2]
    fill.argtypes += [ctypes.c_void_p] * 6
    fill(
        numbers.ctypes.data,
        len(numbers),
        counts.ctypes.data,
        grid_shape[0],
        grid_shape[2],
        *(array.ctypes.data for array in (plane, n_before, indices, sizes, columns, cursors)),
    )
    ends = np.cumsum([int(part.sum()) for part in of_region], dtype=np.int64)
    parts = np.split(columns, ends[:-1]) if len(numbers) else []
    return of_region, indices[: int(sizes.sum())], sizes, parts


def ends_of_set(values: NDArray[Any]) -> NDArray[np.int64] | None:
    """(6,) from and to along z, y and x of what is not 0 in (z, y, x); as `gsigpu.regions.region_boxes.box_of_set`.

    From is not below to where nothing is. None where the loop is not there or does not take the array.
    """
    loop, _ = choose_loop()
    return None if loop is None else ends_of(loop, values)


def ends_of(loop: Loop, values: NDArray[Any]) -> NDArray[np.int64] | None:
    """As `ends_of_set`, by a given library."""
    if values.dtype.kind not in "bui" or not _has_rows(values):
        return None
    n_bytes = values.dtype.itemsize
    numbers = np.array(
        (*values.strides[:2], *values.shape[:2], values.shape[2] * n_bytes), np.int64
    )
    ends = np.empty(6, np.int64)
    function = loop.functions.gsigpu_box_of_set
    function.argtypes = [ctypes.c_void_p] * 4
    at = numbers.ctypes.data
    function(values.ctypes.data, at, at + 2 * numbers.itemsize, ends.ctypes.data)
    ends[4] //= n_bytes
    ends[5] = -(-ends[5] // n_bytes)
    return ends


def label_numbers(
    labels: NDArray[np.integer[Any]], n_labels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """(L + 1,) voxels and (L + 1, 6) from and to along z, y and x of the labels up to L; nothing of label 0.

    None where the loop is not there or does not take the array.
    """
    loop, _ = choose_loop()
    return None if loop is None else numbers_of(loop, labels, n_labels)


def numbers_of(
    loop: Loop, labels: NDArray[np.integer[Any]], n_labels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """As `label_numbers`, by a given library."""
    is_taken = labels.dtype in (np.uint8, np.uint16, np.int32) and labels.dtype.isnative
    if not (is_taken and labels.flags.aligned and _has_rows(labels)):
        return None
    numbers = np.array((*labels.strides[:2], *labels.shape), np.int64)
    counts, ends = np.empty(n_labels + 1, np.int64), np.empty((n_labels + 1, 6), np.int64)
    function = loop.functions.gsigpu_label_boxes
    function.argtypes = [ctypes.c_void_p, ctypes.c_int, *[ctypes.c_void_p] * 2, ctypes.c_int64]
    function.argtypes += [ctypes.c_void_p] * 2
    at = numbers.ctypes.data
    failed = function(
        labels.ctypes.data,
        labels.dtype.itemsize,
        at,
        at + 2 * numbers.itemsize,
        n_labels,
        counts.ctypes.data,
        ends.ctypes.data,
    )
    return None if failed else (counts, ends)


def _has_rows(array: NDArray[Any]) -> bool:
    """Whether an array has three axes, and the voxels of a row lie one behind the other."""
    return array.ndim == 3 and (
        array.strides[2] == array.dtype.itemsize or array.shape[2] == 1 or array.size == 0
    )
