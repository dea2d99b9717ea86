"""Runs kernels/linear_maps.cu on the CPU: the very source, compiled by g++ behind a small shim."""

from __future__ import annotations

import numpy as np

from gsigpu.backends.kernel_source import (
    kernel_source,
    linear_maps_options,
    linear_maps_tables,
    map_groups,
    runs_of_equal_slices,
)
from tests.kernels import sanitized
from tests.support.host_cupy.kernels import compiled


def in_this_process(options, grid, block, arguments):
    """Arrays by address, scalars and tables by value."""
    kernel = compiled(kernel_source("linear_maps"), "linear_maps", options)
    values = [
        np.uint64(argument.ctypes.data).tobytes() if is_array(argument) else argument
        for argument in arguments
    ]
    kernel.run(grid, block, values)


def under_sanitizers(options, grid, block, arguments):
    """The same, where a byte beyond an array or undefined behaviour is an error."""
    sanitized.run(kernel_source("linear_maps"), "linear_maps", options, grid, block, arguments)


def is_array(argument):
    return not isinstance(argument, bytes)


def linear_maps(
    stored, weights, offsets, out, *, padding=None, blocks=3, threads=7, run=in_this_process
):
    """As `gsigpu.backends.gpu.linear_maps` launches it, on host arrays.

    run : `in_this_process` or `under_sanitizers`
    """
    n_clipped = np.zeros(weights.shape[1], np.uint64)
    aligned = stored.shape[2] % 8 == 0 and all(
        array.ctypes.data % 16 == 0 for array in (stored, out)
    )
    for first, end in runs_of_equal_slices(weights, offsets, padding):
        _, n_energies, n_voxels = stored.shape
        n_maps = weights.shape[1]
        for first_map, n_now in map_groups(n_maps, n_energies):
            options = linear_maps_options(
                n_maps=n_now,
                n_energies=n_energies,
                quantised=out.dtype == np.int16,
                has_padding=padding is not None,
                vector=aligned,
            )
            rows = slice(first_map, first_map + n_now)
            tables = linear_maps_tables(
                weights[first, rows],
                offsets[first, rows],
                None if padding is None else padding[first],
            )
            sizes = (np.int64(n_voxels), np.int32(n_maps), np.int32(first_map), tables)
            arguments = [stored[first:end], out[first:end], n_clipped]
            arguments += [size.tobytes() for size in sizes]
            run(options, (blocks, end - first), (threads,), arguments)
    return n_clipped.astype(np.int64)
