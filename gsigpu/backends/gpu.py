"""The hot functions as CUDA kernels, launched through CuPy on the current stream."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cupy
import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import BIN_EDGE
from gsigpu.backends.cpu import require_shapes
from gsigpu.backends.kernel_source import (
    VOXELS_PER_THREAD,
    kernel_source,
    linear_maps_options,
    linear_maps_tables,
    map_groups,
    runs_of_equal_slices,
)

_THREADS = 256
# Of a slice. Enough to fill any card several times; the kernel strides over the rest.
_MOST_BLOCKS = 4096
# Of a segment, each with sums of its own: fixed, so that sums do not depend on the card.
_LANES = 256
_SIGN = 0x80000000


@lru_cache(maxsize=256)
def _kernel(device: int, name: str, options: tuple[str, ...]) -> Any:  # noqa: ARG001  # device keys the cache
    """The kernel compiled for the current device, once per specialisation."""
    module = cupy.RawModule(code=kernel_source(name), options=("-std=c++17", *options))
    return module.get_function(name)


def linear_maps(stored: Any, weights: Any, offsets: Any, out: Any, *, padding: Any = None) -> Any:
    """K linear maps of a slab of stored values; see `gsigpu.backends.Backend.linear_maps`.

    The tables go to the kernel as parameters, with one launch for each run of slices with equal ones. They
    are NumPy arrays; those on the card are fetched, which waits for the current stream.
    """
    require_shapes(stored, weights, offsets, out, padding)
    weights, offsets, padding = map(_on_host, (weights, offsets, padding))
    n_clipped = cupy.zeros(weights.shape[1], dtype=cupy.uint64)
    for first, end in runs_of_equal_slices(weights, offsets, padding):
        padded = None if padding is None or _is_empty(padding[first]) else padding[first]
        _launch(
            stored[first:end], weights[first], offsets[first], padded, out[first:end], n_clipped
        )
    return n_clipped.view(cupy.int64)


def _on_host(table: Any) -> Any:
    return table.get() if isinstance(table, cupy.ndarray) else table


def _is_empty(ranges: Any) -> bool:
    return bool((ranges[:, 0] > ranges[:, 1]).all())


def _launch(
    stored: Any, weights: Any, offsets: Any, padding: Any, out: Any, n_clipped: Any
) -> None:
    """All maps of slices that share their tables."""
    n_slices, n_energies, n_voxels = stored.shape
    n_maps = len(weights)
    aligned = n_voxels % VOXELS_PER_THREAD == 0 and all(
        array.data.ptr % 16 == 0 for array in (stored, out)
    )
    blocks = min(-(-n_voxels // (VOXELS_PER_THREAD * _THREADS)), _MOST_BLOCKS)
    for first_map, n_now in map_groups(n_maps, n_energies):
        options = linear_maps_options(
            n_maps=n_now,
            n_energies=n_energies,
            quantised=out.dtype == cupy.int16,
            has_padding=padding is not None,
            vector=aligned,
        )
        rows = slice(first_map, first_map + n_now)
        _kernel(cupy.cuda.Device().id, "linear_maps", options)(
            (blocks, n_slices),
            (_THREADS,),
            (
                stored,
                out,
                n_clipped,
                cupy.int64(n_voxels),
                cupy.int32(n_maps),
                cupy.int32(first_map),
                linear_maps_tables(weights[rows], offsets[rows], padding),
            ),
        )


def gather_voxels(planes: Any, starts: Any, indices: Any, out: Any, *, origin: int = 0) -> None:
    """Voxels of planes by their indices; see `gsigpu.backends.Backend.gather_voxels`."""
    n_planes, n_values = planes.shape
    if not (n_planes and n_values and indices.size):
        return
    blocks = min(-(-n_values // _THREADS), _MOST_BLOCKS)
    _kernel(cupy.cuda.Device().id, "gather_voxels", ())(
        (blocks, n_planes),
        (_THREADS,),
        (
            planes,
            starts,
            indices,
            out,
            cupy.int64(planes.strides[0] // planes.itemsize),
            cupy.int64(origin),
        ),
    )


def sort_segments(values: Any, starts: NDArray[np.int64]) -> Any:
    """Each segment of each row in order; see `gsigpu.backends.Backend.sort_segments`.

    One sort of 64-bit keys per row: the segment above, below it the value's bits so that they ascend as the values.
    """
    segments = _segment_of_each(starts).astype(cupy.uint64) << 32
    ordered = cupy.empty(values.shape, cupy.float32)
    for row, target in zip(values, ordered, strict=True):
        # One NaN, a positive one, which is above all numbers; and one zero.
        bits = cupy.where(cupy.isnan(row), cupy.float32(np.nan), row + cupy.float32(0)).view(
            cupy.uint32
        )
        keys = segments | _flipped(bits, is_negative=bits >= _SIGN)
        keys.sort()
        bits = (keys & cupy.uint64(0xFFFFFFFF)).astype(cupy.uint32)
        target[...] = _flipped(bits, is_negative=bits < _SIGN).view(cupy.float32)
    return ordered


def _flipped(bits: Any, *, is_negative: Any) -> Any:
    """Bits of floats as integers that ascend with them, and back: all of a negative one turned, else the sign."""
    return bits ^ cupy.where(is_negative, cupy.uint32(0xFFFFFFFF), cupy.uint32(_SIGN))


def _segment_of_each(starts: NDArray[np.int64]) -> Any:
    """(N,) int64, the segment of each column."""
    columns = cupy.arange(int(starts[-1]), dtype=cupy.int64)
    return cupy.searchsorted(cupy.asarray(starts[1:]), columns, side="right")


def segment_moments(
    values: Any, starts: NDArray[np.int64], centres: NDArray[np.float64], *, order: int
) -> NDArray[np.float64]:
    """Sums of powers in each segment; see `gsigpu.backends.Backend.segment_moments`."""
    n_rows, n_segments = centres.shape
    if not centres.size:
        return np.zeros((*centres.shape, order + 1))
    sums = cupy.empty((n_rows, n_segments, _LANES, order + 1), cupy.float64)
    kernel = _kernel(cupy.cuda.Device().id, "segment_moments", (f"-DORDER={order}",))
    kernel(
        (n_segments, n_rows),
        (_LANES,),
        (values, cupy.asarray(starts), cupy.asarray(centres), sums, cupy.int64(values.shape[1])),
    )
    of_segments: NDArray[np.float64] = sums.sum(axis=2).get()
    return of_segments


def segment_histograms(
    values: Any,
    starts: NDArray[np.int64],
    low: NDArray[np.float64],
    width: NDArray[np.float64],
    n_bins: int,
) -> NDArray[np.int64]:
    """Values of each segment in bins; see `gsigpu.backends.Backend.segment_histograms`."""
    n_rows, n_segments = low.shape
    counts = np.zeros((n_rows, n_segments, n_bins), np.int64)
    segments = _segment_of_each(starts)
    for p, row in enumerate(values):
        lows, widths = cupy.asarray(low[p])[segments], cupy.asarray(width[p])[segments]
        scaled = n_bins * (row.astype(cupy.float64) - lows) / widths + BIN_EDGE
        is_valid = ~cupy.isnan(scaled)
        bins = cupy.clip(cupy.where(is_valid, scaled, 0.0), 0, n_bins - 1).astype(cupy.int64)
        # What is no value goes behind the last bin of all.
        bins = cupy.where(is_valid, segments * n_bins + bins, n_segments * n_bins)
        of_row = cupy.bincount(bins, minlength=n_segments * n_bins + 1)[:-1].get()
        counts[p] = of_row.reshape(n_segments, n_bins)
    return counts


def distance_transform(mask: Any, spacing_mm: tuple[float, ...]) -> Any:
    """Distances to the background; see `gsigpu.backends.Backend.distance_transform`.

    cupyx has one too. It compares distances in float32 where spacings differ, and so may take a voxel that is not the
    nearest; it fills boxes up to cubes, and what it does cannot be run without a card.
    """
    squared = cupy.where(cupy.ascontiguousarray(mask), cupy.float64(np.inf), cupy.float64(0.0))
    if not mask.size:
        return squared
    other = cupy.empty_like(squared)
    blocks = min(-(-mask.size // _THREADS), _MOST_BLOCKS)
    kernel = _kernel(cupy.cuda.Device().id, "distance_transform", ())
    for axis, step in enumerate(spacing_mm, start=mask.ndim - len(spacing_mm)):
        stride = int(np.prod(mask.shape[axis + 1 :], dtype=np.int64))
        sizes = cupy.int64(mask.size), cupy.int64(mask.shape[axis]), cupy.int64(stride)
        kernel((blocks,), (_THREADS,), (squared, other, *sizes, cupy.float64(step)))
        squared, other = other, squared
    return cupy.sqrt(squared, out=squared)
