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
    map_groups,
)

_THREADS = 256
# Enough blocks to fill any card several times; the kernel strides over the rest.
_MOST_BLOCKS = 4096


@lru_cache(maxsize=256)
def _kernel(device: int, name: str, options: tuple[str, ...]) -> Any:  # noqa: ARG001  # device keys the cache
    """The kernel compiled for the current device, once per specialisation."""
    module = cupy.RawModule(code=kernel_source(name), options=("-std=c++17", *options))
    return module.get_function(name)


def linear_maps(stored: Any, weights: Any, offsets: Any, out: Any, *, padding: Any = None) -> Any:
    """K linear maps of a slab of stored values; see `gsigpu.backends.Backend.linear_maps`."""
    require_shapes(stored, weights, offsets, out, padding)
    n_slices, n_energies, n_voxels = stored.shape
    n_maps = weights.shape[1]
    n_clipped = cupy.zeros(n_maps, dtype=cupy.uint64)
    aligned = n_voxels % VOXELS_PER_THREAD == 0 and all(
        array.data.ptr % 16 == 0 for array in (stored, out)
    )
    n_groups = -(-n_voxels // VOXELS_PER_THREAD)
    blocks = min(-(-n_groups // _THREADS), _MOST_BLOCKS)
    no_padding = cupy.empty(0, dtype=cupy.int16)
    for first_map, n_now in map_groups(n_maps):
        options = linear_maps_options(
            n_maps=n_now,
            n_energies=n_energies,
            quantised=out.dtype == cupy.int16,
            has_padding=padding is not None,
            vector=aligned,
        )
        kernel = _kernel(cupy.cuda.Device().id, "linear_maps", options)
        kernel(
            (blocks, n_slices),
            (_THREADS,),
            (
                stored,
                weights,
                offsets,
                no_padding if padding is None else padding,
                out,
                n_clipped,
                cupy.int64(n_voxels),
                cupy.int32(n_maps),
                cupy.int32(first_map),
            ),
        )
    return n_clipped.astype(cupy.int64)
