"""Runs kernels/linear_maps.cu on the CPU: the very source, compiled by g++ behind a small shim."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from gsigpu.backends.kernel_source import kernel_source, linear_maps_options, map_groups

SHIM = Path(__file__).with_name("shim.h")
CACHE = Path(tempfile.gettempdir()) / "gsigpu-kernel-shim"

DRIVER = """
extern "C" void run(unsigned blocks, unsigned slices, unsigned threads, const short *stored,
    const float *weights, const float *offsets, const short *padding, Out *out,
    unsigned long long *n_clipped, long long n_voxels, int n_maps, int first_map) {
    gridDim = {blocks, slices, 1};
    blockDim = {threads, 1, 1};
    for (unsigned y = 0; y < slices; ++y)
        for (unsigned x = 0; x < blocks; ++x)
            for (unsigned t = 0; t < threads; ++t) {
                blockIdx = {x, y, 0};
                threadIdx = {t, 0, 0};
                linear_maps(stored, weights, offsets, padding, out, n_clipped, n_voxels, n_maps, first_map);
            }
}
"""


@lru_cache(maxsize=256)
def compiled(options: tuple[str, ...], sanitize: bool = False) -> ctypes.CDLL:
    """The kernel as a shared library, once per specialisation and source."""
    source = f'#include "{SHIM}"\n{kernel_source("linear_maps")}\n{DRIVER}'
    flags = [
        "-O1",
        "-g",
        "-std=c++17",
        "-shared",
        "-fPIC",
        "-Wall",
        "-Wextra",
        "-Wno-unknown-pragmas",
        "-Wno-unused-parameter",
        "-Werror",
    ]
    if sanitize:
        flags += ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
    key = hashlib.sha256(
        "\0".join([source, SHIM.read_text(), *flags, *options]).encode()
    ).hexdigest()[:20]
    library = CACHE / f"{key}.so"
    if not library.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            text, built = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
            text.write_text(source)
            subprocess.run(["g++", *flags, *options, str(text), "-o", str(built)], check=True)
            built.replace(library)
    return ctypes.CDLL(str(library))


def linear_maps(
    stored, weights, offsets, out, *, padding=None, blocks=3, threads=7, sanitize=False
):
    """As `gsigpu.backends.gpu.linear_maps` launches it, on host arrays."""
    n_slices, n_energies, n_voxels = stored.shape
    n_maps = weights.shape[1]
    n_clipped = np.zeros(n_maps, np.uint64)
    aligned = n_voxels % 8 == 0 and all(array.ctypes.data % 16 == 0 for array in (stored, out))
    for first_map, n_now in map_groups(n_maps):
        options = linear_maps_options(
            n_maps=n_now,
            n_energies=n_energies,
            quantised=out.dtype == np.int16,
            has_padding=padding is not None,
            vector=aligned,
        )
        pointers = [
            ctypes.c_void_p(0 if array is None else array.ctypes.data)
            for array in (stored, weights, offsets, padding, out, n_clipped)
        ]
        compiled(options, sanitize).run(
            ctypes.c_uint(blocks),
            ctypes.c_uint(n_slices),
            ctypes.c_uint(threads),
            *pointers,
            ctypes.c_longlong(n_voxels),
            ctypes.c_int(n_maps),
            ctypes.c_int(first_map),
        )
    return n_clipped.astype(np.int64)
