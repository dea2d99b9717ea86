"""CuPy on host memory, stricter than a card: what runs here without a fault runs there.

    def test_something(monkeypatch):
        cupy = host_cupy.install(monkeypatch, seed=1)     # `import cupy`, `import cupyx` give the double
        ...
        cupy.card.check()                                  # all work is done, and nothing was at fault

`install` replaces `cupy` and `cupyx` (and what hangs below them), and imports `gsigpu.backends.gpu` anew, so that
`--backend gpu`, `choose("auto")`, `run_on_gpu` and the regions run on it. Everything is undone with the monkeypatch.

What it holds code to:

- **Arrays are of a type of their own.** NumPy functions on them are errors (CuPy takes some: this is stricter), an
  implicit `__array__` raises as CuPy's does, host arrays are no arguments of device functions (`asarray` alone takes them).
  A name, a method or an argument that CuPy does not have is not here either.
- **Streams are threads.** Work is queued and done later, after random delays (`seed`, `delay_s`, `delayed_share`). With
  `late=True` nothing is done before somebody waits for it. The default stream waits for blocking streams and they for
  it; non-blocking ones know it not. The current stream belongs to a thread of the host.
- **Order is proved, not tried.** Work that touches the same bytes on two streams that did not wait for each
  other is a `Fault`, in whichever order it happened (vector clocks: events, `synchronize`, the default stream).
- **Memory is poisoned** when it is freed (in the order of the stream it was allocated on, as in CuPy's pools) and when it is
  handed out again; float32 poison is NaN, int16 -21555 or -64. Freeing what another stream still uses is a fault, so is
  `free_all_blocks` before the host has waited for work there, and pinned memory freed before its copy is done.
- **Copies** check kind, type, shape and contiguity with CuPy's errors. `out` of `get` is poison until the copy is done;
  a pinned source that changes before its copy is done is a fault; `get(blocking=False)` needs pinned memory.
- **Kernels** are the CUDA sources, compiled as C++ with warnings as errors (`tests/kernels/shim.h`); sizes of arguments are
  checked, writes beyond an array are faults. No shared memory, no `__syncthreads`, no warp functions.
- **Out of memory** where it is asked for: `room`, `pinned_room` in bytes, `cupy.card.taken` by other processes; `cupy.card.fail_at = {n}` lets the n-th allocation
  fail (device and pinned memory counted together, from 0; `cupy.card.n_allocations` counts them).

`cupy.card` also keeps what was done: `copies` (direction, bytes, stream), `launches` (names of kernels), `peak` (bytes of arrays at once). A fault in queued work
comes up at the next wait of the host, as a card's errors do.

CuPy 14's own behaviour, where it is imitated, was read in its source and documentation: `core.pyx` (`get`, `set`,
`__array__`), `memory.pyx` (arenas per stream), `pinned_memory.pyx`, `function.pyx` (arguments), "User-Defined Kernels".
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from functools import lru_cache
from types import ModuleType

import cupy as real
import numpy as np

from tests.support.host_cupy import arrays, kernels, streams
from tests.support.host_cupy.card import Card, Fault

__all__ = ["Card", "Fault", "install"]


class _Ufunc:
    """A ufunc: callable, and `at`."""

    def __init__(self, name):
        self.__name__ = name
        self._ufunc = getattr(np, name)
        self._real = getattr(real, name)

    def __call__(self, *args, **options):
        if "where" in options:
            raise TypeError("CuPy's ufuncs take no `where`")
        return arrays.call(self.__name__, self._ufunc, args, options)

    def at(self, target, *args):
        self._real.at  # noqa: B018  # CuPy must have it
        arrays.in_place(f"{self.__name__}.at", self._ufunc.at, target, args, {})


class _Namespace(ModuleType):
    """Functions of a NumPy or SciPy namespace that the one of CuPy has too."""

    def __init__(self, name, host, device, **members):
        super().__init__(name)
        self.__dict__.update(members, _host=host, _device=device)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        device, host = getattr(self._device, name), getattr(self._host, name)
        if isinstance(host, type) or not callable(host):
            return host
        if isinstance(host, np.ufunc) and self._host is np:
            return _Ufunc(name)

        def function(*args, **options):
            arrays.require_arguments(device, args, options)
            return arrays.call(name, host, args, options)

        function.__name__ = name
        return function


def _cupy(card):
    return _Namespace(
        "cupy",
        np,
        real,
        __version__=f"{real.__version__} (a double on the host)",
        __path__=[],
        card=card,
        ndarray=arrays.ndarray,
        asarray=arrays.asarray,
        array=arrays.array,
        asnumpy=arrays.asnumpy,
        empty=arrays.empty,
        empty_like=arrays.empty_like,
        ascontiguousarray=lambda a, dtype=None: arrays.call(
            "ascontiguousarray", lambda host: np.array(host, dtype=dtype, order="C"), (a,)
        ),
        copyto=lambda dst, src: arrays.in_place("copyto", np.copyto, dst, (src,), {}),
        RawKernel=kernels.RawKernel,
        RawModule=kernels.RawModule,
        cuda=streams.cuda_module(card),
        get_default_memory_pool=lambda: streams.Pool(card, "device"),
        get_default_pinned_memory_pool=lambda: streams.Pool(card, "pinned"),
    )


def _zeros_pinned(shape, dtype=float, order="C"):
    array = arrays.pinned(shape, dtype, order)
    array[...] = 0
    return array


def install(monkeypatch, **settings):
    """Puts the double in the place of CuPy; returns the module, whose `card` is a `Card` with these settings."""
    card = Card(**settings)
    monkeypatch.setattr(arrays, "_card", [card])
    cupy = _cupy(card)
    cupyx_module = ModuleType("cupyx")
    cupyx_module.__dict__.update(
        empty_pinned=arrays.pinned, zeros_pinned=_zeros_pinned, __path__=[]
    )
    modules = [
        cupy,
        cupy.cuda,
        cupy.cuda.memory,
        cupy.cuda.runtime,
        cupyx_module,
    ]
    for module in modules:
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    _import_backend_anew(monkeypatch)
    return cupy


def _import_backend_anew(monkeypatch):
    """`gsigpu.backends.gpu` on the double, and no memory of whether there is a card."""
    from gsigpu import backends
    from gsigpu.backends import device

    name = "gsigpu.backends.gpu"
    spec = importlib.util.spec_from_file_location(name, f"{backends.__path__[0]}/gpu.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(backends, "gpu", module, raising=False)
    spec.loader.exec_module(module)
    fresh = lru_cache(maxsize=1)(device.why_no_gpu.__wrapped__)
    monkeypatch.setattr(device, "why_no_gpu", fresh)
    monkeypatch.setattr(device, "_driver_library", lambda: True)
