"""CUDA sources run as C++: compiled by g++ behind `tests/kernels/shim.h`, thread by thread."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from tests.support.host_cupy import arrays

SHIM = Path(__file__).parents[2] / "kernels" / "shim.h"
CACHE = Path(tempfile.gettempdir()) / "gsigpu-kernel-shim"
WARNINGS = ("-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Wno-unused-parameter", "-Werror")

# The parameters' sizes, and for pointers whether the kernel may write there, come from the compiler.
DRIVER = """
template <class... P> struct Kernel {
    template <unsigned long... I>
    static void call(void (*kernel)(P...), void **args, std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_cv_t<P> *>(args[I])...);
    }
    static void run(void (*kernel)(P...), const unsigned *grid, const unsigned *block, void **args) {
        gridDim = {grid[0], grid[1], grid[2]};
        blockDim = {block[0], block[1], block[2]};
        for (unsigned bz = 0; bz < grid[2]; ++bz) for (unsigned by = 0; by < grid[1]; ++by)
        for (unsigned bx = 0; bx < grid[0]; ++bx) for (unsigned tz = 0; tz < block[2]; ++tz)
        for (unsigned ty = 0; ty < block[1]; ++ty) for (unsigned tx = 0; tx < block[0]; ++tx) {
            blockIdx = {bx, by, bz};
            threadIdx = {tx, ty, tz};
            call(kernel, args, std::make_index_sequence<sizeof...(P)>());
        }
    }
    static int describe(void (*)(P...), int *sizes, int *kinds) {
        const int all_sizes[] = {(int)sizeof(P)..., 0};
        const int all_kinds[] = {(std::is_pointer_v<P>
            ? (std::is_const_v<std::remove_pointer_t<P>> ? 1 : 2) : 0)..., 0};
        for (unsigned i = 0; i < sizeof...(P); ++i) { sizes[i] = all_sizes[i]; kinds[i] = all_kinds[i]; }
        return sizeof...(P);
    }
};
template <class... P> Kernel<P...> kernel_of(void (*)(P...));
extern "C" int describe(int *sizes, int *kinds) {
    return decltype(kernel_of(KERNEL))::describe(KERNEL, sizes, kinds);
}
extern "C" void run(const unsigned *grid, const unsigned *block, void **args) {
    decltype(kernel_of(KERNEL))::run(KERNEL, grid, block, args);
}
"""


class Compiled:
    """A kernel as a function of the host."""

    def __init__(self, library, name):
        self.name, self._run = name, library.run
        sizes, kinds = (ctypes.c_int * 64)(), (ctypes.c_int * 64)()
        n = library.describe(sizes, kinds)
        self.sizes, self.kinds = list(sizes[:n]), list(kinds[:n])

    def run(self, grid, block, values):
        """values : the bytes of each argument"""
        sizes = [len(value) for value in values]
        if sizes != self.sizes:
            raise TypeError(f"{self.name} takes arguments of {self.sizes} bytes, not {sizes}")
        buffers = [ctypes.create_string_buffer(value, len(value)) for value in values]
        pointers = (ctypes.c_void_p * len(buffers))(*map(ctypes.addressof, buffers))
        three = ctypes.c_uint * 3
        self._run(three(*three_of(grid)), three(*three_of(block)), pointers)


def three_of(size):
    return (*size, 1, 1)[:3]


@lru_cache(maxsize=512)
def compiled(source, name, options=()):
    """The kernel `name` of a CUDA source as a function, once per source and options.

    options : as for NVRTC; macros are what g++ takes of them
    """
    library = build(translated(source, name), ["-shared", "-fPIC"], options)
    return Compiled(ctypes.CDLL(str(library)), name)


def translated(source, name):
    """C++ with a function `run` that runs the kernel `name` of a CUDA source."""
    return f'#include "{SHIM}"\n{source}\n#define KERNEL {name}\n#line 1 "driver"\n{DRIVER}'


def build(text, flags, options):
    """The file that g++ makes of C++; kept in the temporary folder, and made again when text or flags change."""
    flags = ["-O1", "-std=c++17", *flags, *WARNINGS]
    flags += [option for option in options if option.startswith(("-D", "-U"))]
    key = hashlib.sha256("\0".join([text, SHIM.read_text(), *flags]).encode()).hexdigest()[:20]
    file = CACHE / f"{key}.so"
    if not file.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            source_file, built = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
            source_file.write_text(text)
            subprocess.run(["g++", *flags, str(source_file), "-o", str(built)], check=True)
            built.replace(file)
    return file


def argument_bytes(value):
    """An argument as CuPy passes it: arrays by address, scalars and arrays of one item by value."""
    if isinstance(value, arrays.ndarray):
        return np.uint64(value._host.ctypes.data).tobytes()
    if value is None:
        return bytes(8)
    if isinstance(value, np.ndarray):
        if value.size != 1:
            raise TypeError(
                f"You are trying to pass a numpy.ndarray of shape {value.shape} as a kernel parameter."
            )
        return value.tobytes()
    if isinstance(value, int):
        return np.int64(value).tobytes()
    if isinstance(value, float):
        return np.float64(value).tobytes()
    if isinstance(value, np.generic):
        return value.tobytes()
    raise TypeError(f"Unsupported type {type(value)}")


class RawKernel:
    """`cupy.RawKernel`, queued on the current stream."""

    def __init__(self, code, name, options=(), **_options):
        self.code, self.name, self.options = code, name, tuple(options)

    def compile(self):
        compiled(self.code, self.name, self.options)

    def __call__(self, grid, block, args, *, shared_mem=0):
        kernel = compiled(self.code, self.name, self.options)
        if not (1 <= np.prod(block) <= 1024 and all(1 <= n < 65536 for n in three_of(grid)[1:])):
            raise ValueError(f"CUDA_ERROR_INVALID_VALUE: grid {grid}, block {block}")
        if min(three_of(grid)) < 1:
            raise ValueError(f"CUDA_ERROR_INVALID_VALUE: grid {grid}")
        values = [argument_bytes(value) for value in args]
        if [len(value) for value in values] != kernel.sizes:
            kernel.run(grid, block, values)  # tells what does not fit
        touched = [
            (kind, array._region())
            for kind, array in zip(kernel.kinds, args, strict=True)
            if isinstance(array, arrays.ndarray)
        ]
        card = arrays.card()
        card.launches.append(self.name)
        card.queue(
            card.current(),
            self.name,
            lambda: kernel.run(grid, block, values),
            reads=[region for kind, region in touched if kind == 1],
            writes=[region for kind, region in touched if kind != 1],
        )


class RawModule:
    """`cupy.RawModule`."""

    def __init__(self, *, code, options=(), **_options):
        self.code, self.options = code, tuple(options)

    def get_function(self, name):
        kernel = RawKernel(self.code, name, self.options)
        kernel.compile()
        return kernel
