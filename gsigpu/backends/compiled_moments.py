"""The compiled loops of moments of many regions (kernels/gathered_moments.cpp), where it was built.

Its NumPy twin is `gsigpu.regions.segment_statistics.moments_in_numpy`, which says what is computed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends.compiled import Loop, choose_loop

# Numbers of a region and row: n, mean, Σ (x - mean)^j for j = 2, 3, 4, and five that the loop keeps for itself.
_N_NUMBERS = 10


def gathered_moments(
    values: NDArray[np.float32],
    voxels: NDArray[np.integer[Any]],
    starts: NDArray[np.int64],
    rows: Sequence[int],
    *,
    order: int,
    in_order: NDArray[np.float32] | None,
) -> NDArray[np.float64] | None:
    """Moments of rows of values in regions; None where no library was built, or it does not take the arrays.

    values : (R, M); rows : P of them
    voxels : (N,) columns, which must lie within the rows, int32 or int64; starts : (S + 1,) of the regions in them
    order : 2 or 4
    in_order : (P, N), overwritten with the values at the voxels, if given
    Returns (P, S, 5): how many values are no NaN, their mean, and the sums of the powers 2, 3 and 4 of what they
    differ from it; the last two are 0 for order 2.
    """
    loop, _ = choose_loop()
    if loop is None:
        return None
    return run(loop, values, voxels, starts, rows, order=order, in_order=in_order)


def run(
    loop: Loop,
    values: NDArray[np.float32],
    voxels: NDArray[np.integer[Any]],
    starts: NDArray[np.int64],
    rows: Sequence[int],
    *,
    order: int,
    in_order: NDArray[np.float32] | None,
) -> NDArray[np.float64] | None:
    """As `gathered_moments`, by a given library."""
    voxels = _as_columns(voxels, values.shape[1])
    arrays = (values, voxels, starts, *(() if in_order is None else (in_order,)))
    types = (np.float32, np.int32, np.int64, np.float32)
    if not all(
        array.flags.c_contiguous and array.flags.aligned and array.dtype == dtype
        for array, dtype in zip(arrays, types, strict=False)
    ):
        return None
    n_segments = len(starts) - 1
    which = np.array(rows, np.int64)
    moments = np.empty((len(which), n_segments, _N_NUMBERS))
    function = loop.functions.gsigpu_gathered_moments
    function.restype = None
    function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int64]
    function.argtypes += [ctypes.c_void_p, ctypes.c_int64]
    function.argtypes += [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
    function.argtypes += [ctypes.c_void_p, ctypes.c_void_p]
    function(
        loop.number,
        values.ctypes.data,
        values.shape[1],
        which.ctypes.data,
        len(which),
        voxels.ctypes.data,
        starts.ctypes.data,
        n_segments,
        order,
        None if in_order is None else in_order.ctypes.data,
        moments.ctypes.data,
    )
    return moments[..., :5]


def _as_columns(voxels: NDArray[np.integer[Any]], row_length: int) -> NDArray[np.integer[Any]]:
    """As the loop takes them, where columns of a row of this length can be that."""
    fits = voxels.dtype == np.int64 and row_length <= np.iinfo(np.int32).max
    return voxels.astype(np.int32) if fits else voxels


def whole_moments(
    stored: NDArray[np.int16],
    voxels: NDArray[np.integer[Any]],
    starts: NDArray[np.int64],
    padding: NDArray[np.int16],
) -> NDArray[np.float64] | None:
    """Moments of stored values in regions, exact but for one rounding each; None where the loop is not there.

    stored : (C, M), all rows of it; voxels, starts : as for `gathered_moments`
    padding : (C, 2) the range of values that are none; low > high for no range
    Returns (C, S, 3): how many values count, their mean, and the sum of the squares of what they differ from it.
    """
    loop, _ = choose_loop()
    return None if loop is None else run_whole(loop, stored, voxels, starts, padding)


def run_whole(
    loop: Loop,
    stored: NDArray[np.int16],
    voxels: NDArray[np.integer[Any]],
    starts: NDArray[np.int64],
    padding: NDArray[np.int16],
) -> NDArray[np.float64] | None:
    """As `whole_moments`, by a given library."""
    voxels = _as_columns(voxels, stored.shape[1])
    arrays: tuple[NDArray[Any], ...] = (stored, voxels, starts, padding)
    types = (np.int16, np.int32, np.int64, np.int16)
    if not all(
        array.flags.c_contiguous and array.flags.aligned and array.dtype == dtype
        for array, dtype in zip(arrays, types, strict=True)
    ):
        return None
    n_rows, n_segments = len(stored), len(starts) - 1
    moments = np.empty((n_rows, n_segments, 3))
    function = loop.functions.gsigpu_whole_moments
    function.restype = None
    function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    function.argtypes += [*[ctypes.c_void_p] * 2, ctypes.c_int64, *[ctypes.c_void_p] * 2]
    function(
        loop.number,
        stored.ctypes.data,
        stored.shape[1],
        n_rows,
        voxels.ctypes.data,
        starts.ctypes.data,
        n_segments,
        padding.ctypes.data,
        moments.ctypes.data,
    )
    return moments
