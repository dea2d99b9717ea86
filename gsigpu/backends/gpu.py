"""The hot functions as CUDA kernels, launched through CuPy on the current stream."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cupy

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
