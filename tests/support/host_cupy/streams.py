"""`cupy.cuda` of the double: streams, events, the device, memory pools, the runtime."""

from __future__ import annotations

import time
from types import ModuleType

import cupy as real
from cupy_backends.cuda.api.runtime import CUDARuntimeError

from tests.support.host_cupy import arrays


class Stream:
    """`cupy.cuda.Stream`."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        if ptds:
            raise NotImplementedError("the double has no per-thread default stream")
        card = arrays.card()
        self._card = card
        self.state = card.null if null else card.new_stream(non_blocking=non_blocking)
        self.ptr = self.state.number
        self.device_id = 0

    def __del__(self):
        if hasattr(self, "state") and self.state is not self._card.null:
            self.state.queue.close()

    def __eq__(self, other):
        return isinstance(other, Stream) and other.ptr == self.ptr

    __hash__ = None

    def __enter__(self):
        self._card.push(self.state)
        return self

    def __exit__(self, *_error):
        self._card.pop()

    def use(self):
        self._card.push(self.state)
        return self

    @property
    def done(self):
        return self.state.queue.n_done >= self.state.count

    def synchronize(self):
        self._card.synchronize(self.state)

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        event.wait_in(self.state)

    def launch_host_func(self, callback, arg):
        self._card.queue(self.state, "a host function", lambda: callback(arg))


class _CurrentStream(Stream):
    """The stream that a thread of the host queues on."""

    def __init__(self, state):
        self._card, self.state = arrays.card(), state
        self.ptr, self.device_id = state.number, 0

    def __del__(self):
        pass


class Event:
    """`cupy.cuda.Event`; times are those of the host's clock."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.card = arrays.card()
        self.queue = None
        self.count, self.known, self.seconds = 0, {}, None

    def record(self, stream=None):
        state = self.card.current() if stream is None else stream.state
        self.seconds = None
        self.card.queue(state, "an event", self._mark)
        self.queue, self.count, self.known = state.queue, state.count, dict(state.known)

    def _mark(self):
        self.seconds = time.perf_counter()

    @property
    def done(self):
        return self.queue is None or self.queue.n_done >= self.count

    def synchronize(self):
        if self.queue is not None:
            self.card.wait_for(self.queue, self.count, self.known)

    def wait_in(self, state):
        """A stream waits for the event: nothing if it was never recorded."""
        if self.queue is None:
            return
        with self.card.lock:
            for number, count in self.known.items():
                state.known[number] = max(state.known.get(number, 0), count)
        queue, count = self.queue, self.count
        self.card.queue(state, "a wait", lambda: queue.wait(count))


def elapsed_time_ms(start, end):
    """`cupy.cuda.get_elapsed_time`."""
    if not (start.done and end.done):
        raise CUDARuntimeError(600)  # cudaErrorNotReady
    return 1e3 * (end.seconds - start.seconds)


class Device:
    """`cupy.cuda.Device`; there is one."""

    compute_capability = "90"
    pci_bus_id = "0000:00:00.0"

    def __init__(self, device=0):
        self.id = int(device or 0)
        self._card = arrays.card()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def use(self):
        return self

    def synchronize(self):
        self._card.synchronize_all()

    @property
    def mem_info(self):
        return _memory_info(self._card)

    @property
    def attributes(self):
        return {
            "MultiProcessorCount": 2,
            "L2CacheSize": 1 << 14,
            "MemoryClockRate": 1_000_000,
            "GlobalMemoryBusWidth": 64,
        }


def _memory_info(card):
    total = 1 << 30 if card.room["device"] is None else card.room["device"]
    return max(total - card.taken - card.used("device"), 0), total


class Pool:
    """`cupy.cuda.MemoryPool` and `PinnedMemoryPool`."""

    def __init__(self, card, kind):
        self._card, self._kind = card, kind

    def free_all_blocks(self, stream=None):
        self._card.free_all_blocks(self._kind, stream)

    def total_bytes(self):
        return self._card.used(self._kind)

    def used_bytes(self):
        free = sum(len(blocks) * size for (_, size), blocks in self._card.free[self._kind].items())
        return self.total_bytes() - free

    def n_free_blocks(self):
        return sum(map(len, self._card.free[self._kind].values()))

    def get_limit(self):
        return self._card.room[self._kind] or 0

    def set_limit(self, size=None, fraction=None):
        if fraction is not None:
            size = int(fraction * _memory_info(self._card)[1])
        self._card.room[self._kind] = size or None


def cuda_module(card):
    """`cupy.cuda`."""
    cuda, memory, runtime = map(ModuleType, ("cupy.cuda", "cupy.cuda.memory", "cupy.cuda.runtime"))
    memory.OutOfMemoryError = real.cuda.memory.OutOfMemoryError
    memory.MemoryPointer = arrays.MemoryPointer
    runtime.__dict__.update(
        CUDARuntimeError=CUDARuntimeError,
        errorMemoryAllocation=2,
        getDeviceCount=lambda: 1,
        getDevice=lambda: 0,
        setDevice=lambda device: None,
        getDeviceProperties=lambda device: {
            "name": b"a double on the host",
            "totalGlobalMem": _memory_info(card)[1],
            "multiProcessorCount": 2,
            "l2CacheSize": 1 << 14,
            "memoryClockRate": 1_000_000,
            "memoryBusWidth": 64,
        },
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
        memGetInfo=lambda: _memory_info(card),
        deviceSynchronize=card.synchronize_all,
    )
    Stream.null = _CurrentStream(card.null)
    cuda.__dict__.update(
        __path__=[],
        memory=memory,
        runtime=runtime,
        Stream=Stream,
        Event=Event,
        Device=Device,
        get_current_stream=lambda: _CurrentStream(card.current()),
        get_elapsed_time=elapsed_time_ms,
        is_available=lambda: True,
    )
    return cuda
