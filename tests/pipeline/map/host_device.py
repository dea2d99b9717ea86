"""A `Device` on host memory that runs the CUDA source through the C++ shim.

Work is queued on streams and done only when a stream is synchronised, as a card may; memory that is
given out is poisoned, and a copy checks that nothing it depends on was touched in between. So a flow
that reuses a buffer too early, or reads a result before it is there, fails in a test.
"""

from __future__ import annotations

import numpy as np

from tests.kernels import host

POISON = -21555


class OutOfHostDevice(Exception):
    """The device is full."""


class HostDevice:
    """See the module. `room` : bytes of device memory in all; `fail_at` : which allocations fail."""

    OutOfMemory = OutOfHostDevice

    def __init__(self, room=None, fail_finish_at=()):
        self.room = room
        self.used = 0
        self.released = 0
        self.fail_finish_at = set(fail_finish_at)
        self.n_finish = 0
        self.largest_chunk = 0

    def pinned(self, shape, dtype):
        return self._memory(shape, dtype)

    def empty(self, shape, dtype):
        n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if self.room is not None and self.used + n_bytes > self.room:
            raise OutOfHostDevice
        self.used += n_bytes
        return self._memory(shape, dtype)

    @staticmethod
    def _memory(shape, dtype):
        n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = np.empty(n_bytes + 16, np.uint8)
        start = -raw.ctypes.data % 16
        memory = raw[start : start + n_bytes].view(dtype).reshape(shape)
        memory.fill(POISON if np.dtype(dtype).kind == "i" else np.nan)
        return memory

    def constant(self, array):
        return array.copy()

    def stream(self):
        return []

    def copy_in(self, source, target, stream):
        before = source.copy()

        def copy():
            np.testing.assert_array_equal(source, before, "a pinned buffer was refilled too early")
            target[...] = source

        stream.append(copy)

    def copy_out(self, source, target, stream):
        target.fill(POISON if target.dtype.kind == "i" else np.nan)
        stream.append(lambda: np.copyto(target, source))

    def linear_maps(self, stored, weights, offsets, out, padding, stream):
        self.largest_chunk = max(self.largest_chunk, len(stored))
        n_clipped = np.full(weights.shape[1], POISON, np.int64)

        def launch():
            n_clipped[:] = host.linear_maps(stored, weights, offsets, out, padding=padding)

        stream.append(launch)
        return n_clipped

    def finish(self, program, rows, stream):
        self.n_finish += 1
        if self.n_finish in self.fail_finish_at:
            raise OutOfHostDevice
        planes = np.empty((len(rows), program.n_nonlinear, *program.plane_shape), program.dtype)
        n_clipped = np.zeros(program.n_nonlinear, np.int64)

        def work():
            for slice_rows, target in zip(rows, planes, strict=True):
                finished, n = program.finish(slice_rows)
                target[:] = finished
                n_clipped[:] += n

        stream.append(work)
        return planes, n_clipped

    def synchronize(self, stream):
        while stream:
            stream.pop(0)()

    def release(self):
        self.used = 0
        self.released += 1
