"""CuPy on host memory, as strict as CuPy: nothing of NumPy takes its arrays, and it takes none of NumPy's.

What code does that treats a device array as a host array fails here as it fails on a card.
"""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import scipy.ndimage

_PLAIN = ("shape", "ndim", "size", "dtype", "nbytes")
_METHODS = (
    "any", "all", "sum", "max", "min", "mean", "std", "copy", "astype", "ravel", "reshape", "nonzero",
)  # fmt: skip
_OPERATORS = (
    "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "matmul", "and", "or",
    "xor", "iand", "ior", "iadd", "isub", "invert", "neg", "lt", "le", "gt", "ge", "eq", "ne", "getitem",
)  # fmt: skip


def _in(value):
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, tuple | list):
        return type(value)(map(_in, value))
    return value


def _out(value):
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    return tuple(map(_out, value)) if isinstance(value, tuple) else value


def _wrapped(function):
    def call(*args, **options):
        return _out(
            function(*map(_in, args), **{name: _in(value) for name, value in options.items()})
        )

    return call


class ndarray:  # noqa: N801  # as CuPy calls it
    """A device array."""

    __array_ufunc__ = None

    def __init__(self, host):
        self._host = host

    def __array__(self, *_args, **_options):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __getattr__(self, name):
        if name in _PLAIN:
            return getattr(self._host, name)
        if name in _METHODS:
            return _wrapped(getattr(self._host, name))
        raise AttributeError(name)

    def __setitem__(self, key, value):
        self._host[_in(key)] = _in(value)

    def __len__(self):
        return len(self._host)

    def __bool__(self):
        return bool(self._host)

    def __float__(self):
        return float(self._host)

    def __int__(self):
        return int(self._host)

    def tolist(self):
        return self._host.tolist()

    def get(self):
        return self._host.copy()

    __hash__ = None


for _name in _OPERATORS:

    def _operator(self, *others, _name=f"__{_name}__"):
        return _out(getattr(self._host, _name)(*map(_in, others)))

    setattr(ndarray, f"__{_name}__", _operator)
ndarray.__module__ = "cupy"


class _Cupy(ModuleType):
    ndarray = ndarray

    def __getattr__(self, name):
        attribute = getattr(np, name)
        plain = isinstance(attribute, type) or not callable(attribute)
        return attribute if plain else _wrapped(attribute)

    @staticmethod
    def asarray(value, **options):
        return value if isinstance(value, ndarray) else ndarray(np.array(value, **options))


def install(monkeypatch):
    """Puts it in the place of CuPy; returns the module."""
    cupy = _Cupy("cupy")
    names = ("cupyx", "cupyx.scipy", "cupyx.scipy.ndimage")
    cupyx = {name: ModuleType(name) for name in names}
    cupyx["cupyx.scipy.ndimage"].distance_transform_edt = _wrapped(
        scipy.ndimage.distance_transform_edt
    )
    for name, module in {"cupy": cupy, **cupyx}.items():
        monkeypatch.setitem(sys.modules, name, module)
    return cupy
