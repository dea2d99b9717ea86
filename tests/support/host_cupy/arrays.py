"""Arrays of the double, and the functions on them: NumPy's, queued on the current stream.

What a function gives (shape, type, view or new memory) is told by a first run on whatever lies in memory; the values
come from a second one, when the stream's thread gets there.
"""

from __future__ import annotations

import functools
import inspect
import re
import weakref

import cupy as real
import numpy as np

from tests.support.host_cupy.card import Card, poison

TYPE_CODES = "?bhilqBHILQefdFD"
# Their result's shape depends on values: CuPy waits for the stream.
WAITING = {"nonzero", "flatnonzero", "argwhere", "unique", "extract", "compress", "array_equal", "allclose", "bincount"}  # fmt: skip
IN_PLACE = {"sort", "fill", "partition", "put"}
_OPERATORS = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift",
)  # fmt: skip
_COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert")

_card: list[Card] = []


def card():
    """The card that is installed."""
    return _card[-1]


class MemoryPointer:
    """What keeps device memory from being handed out again."""

    def __init__(self, block):
        self.block, self.ptr, self.mem = block, block.address, block
        self._card = card()
        weakref.finalize(self, self._card.dropped.append, block)


def pinned(shape, dtype=float, order="C"):
    """`cupyx.empty_pinned`: a NumPy array on page-locked memory, full of poison."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    dtype = np.dtype(dtype)
    block = card().allocate(int(np.prod(shape)) * dtype.itemsize, "pinned")
    owner = block.buffer()
    weakref.finalize(owner, card().dropped.append, block)
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    return owner[:n_bytes].view(dtype).reshape(shape, order=order)


class _ArrayType(type):
    """So that `type(array).__module__` is that of CuPy's arrays."""


class ndarray(metaclass=_ArrayType):  # noqa: N801  # as CuPy calls it
    """A device array; `_host` are the bytes that only queued work may touch."""

    __array_ufunc__ = None
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        if memptr is not None or strides is not None or order != "C":
            raise NotImplementedError("the double makes arrays of new memory only")
        shape = (int(shape),) if isinstance(shape, int | np.integer) else tuple(shape)
        dtype = np.dtype(dtype)
        if dtype.char not in TYPE_CODES:
            raise ValueError(f"Unsupported dtype {dtype}")
        n_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self.data = MemoryPointer(card().allocate(n_bytes, "device"))
        self._host = self.data.block.bytes[:n_bytes].view(dtype).reshape(shape)
        self.base = None

    @classmethod
    def _view(cls, source, host):
        array = object.__new__(cls)
        array.data, array._host, array.base = source.data, host, source
        return array

    def _region(self):
        return self.data.block.region(self._host)

    # What NumPy may not do

    def __array__(self, *_args, **_options):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_function__(self, function, *_args, **_options):
        raise TypeError(f"numpy.{function.__name__} was called with a device array")

    # What the host knows without waiting

    shape = property(lambda self: self._host.shape)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    dtype = property(lambda self: self._host.dtype)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)

    def __len__(self):
        return len(self._host)

    # Transfers

    def get(self, stream=None, order="C", out=None, blocking=True):
        state = card().current() if stream is None else stream.state
        if out is None:
            out = np.empty(self.shape, self.dtype, order=order)
        elif not isinstance(out, np.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
        elif out.dtype != self.dtype:
            raise TypeError(f"{out.dtype} array cannot be obtained from {self.dtype} array")
        elif out.shape != self.shape:
            raise ValueError(
                f"Shape mismatch. Expected shape: {self.shape}, actual shape: {out.shape}"
            )
        elif not out.flags.c_contiguous:
            raise RuntimeError("`out` cannot be specified when copying to non-contiguous ndarray")
        block = card().pinned_block(out) if out.size else None
        if not blocking and block is None and out.size:
            raise AssertionError(
                "a copy to pageable memory waits for the card, whatever `blocking` says"
            )
        source, reads = self._host, [self._region()]
        writes = [block.region(out)] if block is not None else []
        target = out if block is None else block.alias(out)
        poison(target.reshape(-1).view(np.uint8))
        card().copies.append(("out", self.nbytes, state.number))
        card().queue(
            state,
            "a copy to the host",
            lambda: np.copyto(target, source),
            reads=reads,
            writes=writes,
        )
        if blocking:
            card().synchronize(state)
        return out

    def set(self, arr, stream=None):
        state = card().current() if stream is None else stream.state
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self.flags.c_contiguous:
            raise RuntimeError("Cannot set to non-contiguous array")
        block = card().pinned_block(arr) if arr.size and arr.flags.c_contiguous else None
        # From pageable memory the driver takes what is there now; from pinned memory the card reads later.
        before, target = arr.copy(), self._host
        source = before if block is None else block.alias(arr)

        def copy():
            if not np.array_equal(source.view(np.uint8).ravel(), before.view(np.uint8).ravel()):
                raise AssertionError("pinned memory changed before its copy to the card was done")
            np.copyto(target, source)

        reads = [] if block is None else [block.region(arr)]
        card().copies.append(("in", self.nbytes, state.number))
        card().queue(state, "a copy to the card", copy, reads=reads, writes=[self._region()])

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def tobytes(self, order="C"):
        return self.get().tobytes(order)

    def __int__(self):
        return int(self.get())

    def __float__(self):
        return float(self.get())

    def __bool__(self):
        return bool(self.get())

    def __repr__(self):
        return repr(self.get())

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    # Indexing

    def __getitem__(self, key):
        keys = key if isinstance(key, tuple) else (key,)
        if any(isinstance(part, ndarray) and part.dtype == bool for part in keys):
            card().synchronize(card().current())
        return call("getitem", np.ndarray.__getitem__, (self, key))

    def __setitem__(self, key, value):
        def assign(host, key, value):
            host[key] = value

        in_place("setitem", assign, self, (key, value), {})

    T = property(lambda self: call("T", lambda host: host.T, (self,)))
    real = property(lambda self: call("real", lambda host: host.real, (self,)))


def unwrap(value):
    """The bytes behind device arrays; host arrays are no arguments."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, tuple | list):
        return type(value)(map(unwrap, value))
    if isinstance(value, slice):
        return slice(unwrap(value.start), unwrap(value.stop), unwrap(value.step))
    return value


def _device_arrays(value):
    if isinstance(value, ndarray):
        return [value]
    if isinstance(value, tuple | list):
        return [array for part in value for array in _device_arrays(part)]
    if isinstance(value, dict):
        return _device_arrays(list(value.values()))
    return []


def call(name, function, args, options=None):
    """Queues a function; returns device arrays for arrays."""
    options = dict(options or {})
    out = options.pop("out", None)
    if isinstance(out, tuple):
        (out,) = out
    if out is not None:
        in_place(
            name, lambda host, *args, **rest: function(*args, out=host, **rest), out, args, options
        )
        return out
    inputs = _device_arrays(args) + _device_arrays(options)
    if name in WAITING or (name == "where" and len(args) == 1):
        card().synchronize(card().current())
    hosts = unwrap(tuple(args))
    host_options = {key: unwrap(value) for key, value in options.items()}
    shown = _first_run(lambda: function(*hosts, **host_options))
    outputs = []
    result = _like(shown, inputs, outputs)

    # The work holds addresses, no arrays: what nobody holds any more is free before it runs, as on a card.
    blocks, targets = [array.data.block for array in inputs], [array._host for array in outputs]

    def work():
        with np.errstate(all="ignore"):
            values = _new_arrays(function(*hosts, **host_options), blocks)
        for target, array in zip(targets, values, strict=True):
            np.copyto(target, array)

    if outputs:
        card().queue(
            card().current(),
            name,
            work,
            reads=[array._region() for array in inputs],
            writes=[array._region() for array in outputs],
        )
    return result


def _first_run(function):
    """Runs it on what lies in memory; poison is no index, so after an error again on what is computed."""
    with np.errstate(all="ignore"):
        try:
            return function()
        except IndexError:
            card().synchronize(card().current())
            return function()


def _lies_in(values, block):
    if not (isinstance(values, np.ndarray) and values.size):
        return False
    address = np.lib.array_utils.byte_bounds(values)[0]
    return block.address <= address < block.address + block.n_bytes


def _like(shown, inputs, outputs):
    """Device arrays for what a function gave on the host; new ones are added to `outputs`."""
    if isinstance(shown, np.ndarray | np.generic):
        for source in inputs:
            if _lies_in(shown, source.data.block):
                return ndarray._view(source, shown)
        array = ndarray(shown.shape, shown.dtype)
        outputs.append(array)
        return array
    if isinstance(shown, tuple | list):
        return type(shown)(_like(part, inputs, outputs) for part in shown)
    return shown


def _new_arrays(shown, blocks):
    """What a function gave, but for views of its inputs."""
    if isinstance(shown, np.ndarray | np.generic):
        return [] if any(_lies_in(shown, block) for block in blocks) else [shown]
    if isinstance(shown, tuple | list):
        return [array for part in shown for array in _new_arrays(part, blocks)]
    return []


def in_place(name, function, target, args, options):
    """Queues a function that overwrites `target`."""
    if not isinstance(target, ndarray):
        raise TypeError(f"{name} writes into {type(target)}, which is no device array")
    hosts = unwrap(tuple(args))
    host_options = {key: unwrap(value) for key, value in options.items()}
    # What does not fit together is told at once.
    _first_run(lambda: function(target._host.copy(), *hosts, **host_options))
    host = target._host

    def work():
        with np.errstate(all="ignore"):
            function(host, *hosts, **host_options)

    inputs = _device_arrays(args) + _device_arrays(options)
    card().queue(
        card().current(),
        name,
        work,
        reads=[array._region() for array in inputs],
        writes=[target._region()],
    )


@functools.cache
def _signature(text):
    scope = {}
    exec(f"def described{text}: pass", scope)  # the first line of CuPy's own docstring
    return inspect.signature(scope["described"])


def require_arguments(function, args, options):
    """Raises TypeError for arguments that CuPy's function does not take."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        described = re.match(
            r"[\w.]+(\(.*?\))( -> .*)?$", (function.__doc__ or "").split("\n", 1)[0]
        )
        if not described:
            return
        text = re.sub(r"\b(int|bool|str|tuple|Py_ssize_t) (?=\w)", "", described[1])
        signature = _signature(text.replace("\\*", "*"))
    signature.bind(*args, **options)


def _method(name):
    host_method, device_method = getattr(np.ndarray, name), getattr(real.ndarray, name)

    def method(self, *args, **options):
        require_arguments(device_method, (self, *args), options)
        if name in IN_PLACE:
            return in_place(name, host_method, self, args, options)
        return call(name, host_method, (self, *args), options)

    return method


def _operator(name):
    function = getattr(np.ndarray, f"__{name}__")
    return lambda self, *others: call(name, function, (self, *others))


def _in_place_operator(name):
    function = getattr(np.ndarray, f"__i{name}__")

    def operator(self, other):
        in_place(f"i{name}", function, self, (other,), {})
        return self

    return operator


for _name in _OPERATORS:
    setattr(ndarray, f"__{_name}__", _operator(_name))
    setattr(ndarray, f"__r{_name}__", _operator(f"r{_name}"))
    if _name != "matmul":  # CuPy has no __imatmul__
        setattr(ndarray, f"__i{_name}__", _in_place_operator(_name))
for _name in _COMPARISONS:
    setattr(ndarray, f"__{_name}__", _operator(_name))
for _name in dir(real.ndarray):
    if (
        not _name.startswith("_")
        and not hasattr(ndarray, _name)
        and callable(getattr(np.ndarray, _name, None))
    ):
        setattr(ndarray, _name, _method(_name))
ndarray.__module__ = "cupy"


def asarray(value, dtype=None, order=None, *, copy=None, blocking=False):
    """`cupy.asarray`: what lies on the host is copied as it is now."""
    if order not in (None, "C", "K"):
        raise NotImplementedError("the double knows C order only")
    if isinstance(value, ndarray):
        if copy or (dtype is not None and value.dtype != np.dtype(dtype)):
            return value.astype(value.dtype if dtype is None else dtype)
        return value
    if isinstance(value, tuple | list) and _device_arrays(value):
        return asarray(call("stack", np.stack, (list(value),)), dtype)
    host = np.array(value, dtype=dtype, order="C")
    array = ndarray(host.shape, host.dtype)
    stream = card().current()
    card().copies.append(("in", host.nbytes, stream.number))
    target = array._host
    card().queue(
        stream, "a copy to the card", lambda: np.copyto(target, host), writes=[array._region()]
    )
    if blocking:
        card().synchronize(stream)
    return array


def array(value, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    """`cupy.array`."""
    if subok or ndmin:
        raise NotImplementedError("the double knows neither subok nor ndmin")
    return asarray(value, dtype, None, copy=copy, blocking=blocking)


def asnumpy(value, stream=None, order="C", out=None, *, blocking=True):
    """`cupy.asnumpy`."""
    if isinstance(value, ndarray):
        return value.get(stream=stream, order=order, out=out, blocking=blocking)
    return np.asarray(value)


def empty(shape, dtype=float, order="C"):
    """`cupy.empty`: poison."""
    return ndarray(shape, dtype, order=order)


def empty_like(a, dtype=None, order="K", subok=None, shape=None):
    """`cupy.empty_like`: poison."""
    return ndarray(a.shape if shape is None else shape, a.dtype if dtype is None else dtype)
