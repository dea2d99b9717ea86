"""The compiled loop of order statistics and bins (kernels/order_statistics.cpp), where it was built.

Its NumPy twins are `gsigpu.backends.cpu.sort_segments` and `segment_histograms`, which say what is computed.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import BIN_EDGE
from gsigpu.backends.compiled import Loop, choose_loop


def order_statistics(
    values: NDArray[np.float32],
    starts: NDArray[np.int64],
    places: NDArray[np.int64],
    *,
    n_bins: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
    """Values at places of the order of each segment, and its histogram; without sorting.

    values : (P, N), NaN left out; starts : (S + 1,) of the segments in each row, as in `gsigpu.backends.Backend`
    places : (P, S, R), each below how many values of its segment are no NaN; any where none is
    n_bins : of equal width over the range of the segment; 0 for none
    Returns (P, S, R), NaN where a segment has no value, and (P, S, n_bins) counts. None where no library was built, or it
    does not take the arrays, or values are infinite or too far apart.
    """
    loop, _ = choose_loop()
    return None if loop is None else run(loop, values, starts, places, n_bins=n_bins)


def run(
    loop: Loop,
    values: NDArray[np.float32],
    starts: NDArray[np.int64],
    places: NDArray[np.int64],
    *,
    n_bins: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
    """As `order_statistics`, by a given library."""
    if not (
        all(array.flags.c_contiguous and array.flags.aligned for array in (values, starts))
        and values.dtype == np.float32
        and starts.dtype == np.int64
    ):
        return None
    n_rows, n_segments, n_places = places.shape
    upwards = places.argsort(axis=-1)
    ascending = np.take_along_axis(places, upwards, axis=-1)
    in_order = np.full(places.shape, np.nan, np.float32)
    counts = np.zeros((n_rows, n_segments, n_bins), np.int64)
    room = np.empty(int(np.diff(starts).max(initial=0)), np.float32)
    function = loop.functions.gsigpu_order_statistics
    function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
    function.argtypes += [ctypes.c_int64, ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    function.argtypes += [ctypes.c_double, *[ctypes.c_void_p] * 3]
    failed = function(
        loop.number,
        values.ctypes.data,
        n_rows,
        starts.ctypes.data,
        n_segments,
        ascending.ctypes.data,
        n_places,
        n_bins,
        BIN_EDGE,
        in_order.ctypes.data,
        counts.ctypes.data,
        room.ctypes.data,
    )
    if failed:
        return None
    picked = np.empty_like(in_order)
    np.put_along_axis(picked, upwards, in_order, axis=-1)
    return picked, counts
