"""The card of the double: memory with an owner, streams that are threads, and what is ordered before what.

Order is tracked with vector clocks: every stream counts its work, and knows how far the others were when it
waited for them. Two pieces of work on the same bytes, one of them a write, on streams that did not wait for each
other are a fault, whatever happened to come first in this run.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import deque

import numpy as np
from cupy.cuda.memory import OutOfMemoryError
from cupy_backends.cuda.api.runtime import CUDARuntimeError

# As float32 a NaN, as float64 -2e307, as int16 -21555 and -64.
POISON = np.array([0xFFC0ABCD], np.uint32)
GUARD = 4096  # bytes on either side of a block that nobody may write
UNIT = 512  # CuPy's pool rounds up to this
MEMORY_ALLOCATION = 2  # cudaErrorMemoryAllocation


class Fault(AssertionError):
    """What a card would have answered with a wrong result, or with an illegal access."""


def poison(target):
    """Fills bytes with the pattern."""
    words = target[: target.size // 4 * 4].view(np.uint32)
    words[:] = POISON[0]
    target[words.nbytes :] = 0xAB


class Block:
    """One allocation; outlives the arrays on it, as addresses do."""

    def __init__(self, n_bytes, kind, arena):
        self.n_bytes, self.kind, self.arena = n_bytes, kind, arena
        self.raw = np.full(n_bytes + 2 * GUARD + UNIT, 0xEE, np.uint8)
        self.start = -(self.raw.ctypes.data + GUARD) % UNIT + GUARD
        self.address = self.raw.ctypes.data + self.start
        self.bytes = self.raw[self.start : self.start + n_bytes]
        self.accesses = {}  # (stream, low, high, is_write) -> (count, name)
        self.is_gone = False
        poison(self.bytes)

    def buffer(self):
        """The bytes for an owner: an array that is no base of anything on the card's side."""
        return np.frombuffer(memoryview(self.raw)[self.start : self.start + self.n_bytes], np.uint8)

    def region(self, host):
        """(block, first byte, byte behind the last) of an array on it."""
        low, high = np.lib.array_utils.byte_bounds(host)
        return self, low - self.address, high - self.address

    def alias(self, host):
        """The bytes of an array on it, without holding the array."""
        _, low, high = self.region(host)
        return self.bytes[low:high].view(host.dtype).reshape(host.shape)

    def check_guards(self, name):
        before, after = self.raw[: self.start], self.raw[self.start + self.n_bytes :]
        if (before != 0xEE).any() or (after != 0xEE).any():
            raise Fault(f"{name} wrote beyond an array of {self.n_bytes} bytes")


class _Queue:
    """Work of one stream, done by a thread of its own, each piece after a random delay.

    With `late` nothing begins before somebody waits for it.
    """

    def __init__(self, card, number):
        self.card, self.number = card, number
        self.random = random.Random(f"{card.seed} {number}")
        self.changed = threading.Condition()
        self.work = deque()
        self.n_done = self.n_awaited = 0
        self.is_closed = self.has_ended = False
        self.thread = threading.Thread(
            target=self._run, name=f"stream {number} of the double", daemon=True
        )
        self.thread.start()

    def put(self, work):
        with self.changed:
            if self.has_ended:  # what a destroyed stream leaves behind: its memory
                work()
                self.n_done += 1
                return
            self.work.append(work)
            self.changed.notify_all()

    def wait(self, count):
        """Until the first `count` pieces are done."""
        with self.changed:
            self.n_awaited = max(self.n_awaited, count)
            self.changed.notify_all()
            while self.n_done < count:
                self.changed.wait(5.0)

    def close(self):
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()

    def _run(self):
        while True:
            with self.changed:
                while not self.is_closed and (
                    not self.work or (self.card.late and self.n_awaited <= self.n_done)
                ):
                    self.changed.wait()
                if self.is_closed and not self.work:
                    self.has_ended = True
                    return
                work = self.work.popleft()
            if self.random.random() < self.card.delayed_share:
                time.sleep(self.random.random() * self.card.delay_s)
            try:
                work()
            except BaseException as error:  # noqa: BLE001  # an asynchronous fault, told at the next wait
                self.card.faults.append(error)
            del work
            with self.changed:
                self.n_done += 1
                self.changed.notify_all()


class StreamState:
    """A stream as the card sees it."""

    def __init__(self, card, number, *, non_blocking):
        self.number, self.non_blocking = number, non_blocking
        self.queue = _Queue(card, number)
        self.count = 0
        self.known = {}  # stream -> how much of it is done before what is queued next here


class Card:
    """One card; see the package for its settings."""

    def __init__(self, *, seed=0, delay_s=0.002, delayed_share=0.05, late=False, room=None, pinned_room=None):  # fmt: skip
        self.seed, self.delay_s, self.delayed_share, self.late = seed, delay_s, delayed_share, late
        self.room = {"device": room, "pinned": pinned_room}
        self.taken = 0  # bytes of device memory that other processes hold
        self.fail_at = (
            set()
        )  # numbers of allocations (device and pinned, from 0) that find no memory
        self.n_allocations = 0
        self.live = {"device": 0, "pinned": 0}  # bytes of arrays; pools hold more
        self.peak = {"device": 0, "pinned": 0}  # the most that they were
        self.copies = []  # (direction, bytes, number of the stream), in the order of their queueing
        self.launches = []  # names of kernels
        self.faults = []
        self.lock = threading.RLock()
        self.host = {}  # stream -> how much of it the host has waited for
        self.streams = {}  # a stream that is destroyed still does its work
        self.blocks = {"device": {}, "pinned": {}}  # address -> Block
        self.free = {"device": {}, "pinned": {}}  # (arena, bytes) -> [Block]
        self.dropped = deque()  # blocks whose last array is gone
        self.of_thread = threading.local()
        self._n_streams = 0
        self.null = self.new_stream(non_blocking=False)

    # Streams

    def new_stream(self, *, non_blocking):
        with self.lock:
            state = StreamState(self, self._n_streams, non_blocking=non_blocking)
            self.streams[self._n_streams] = state
            self._n_streams += 1
            return state

    def current(self):
        stack = getattr(self.of_thread, "stack", None)
        return stack[-1] if stack else self.null

    def push(self, state):
        if not hasattr(self.of_thread, "stack"):
            self.of_thread.stack = []
        self.of_thread.stack.append(state)

    def pop(self):
        self.of_thread.stack.pop()

    def queue(self, stream, name, work, *, reads=(), writes=()):
        """Queues work; every (block, low, high) it touches is checked against what others do there."""
        with self.lock:
            self._settle()
            waits = self._legacy_order(stream)
            _merge(stream.known, self.host)
            stream.count += 1
            stream.known[stream.number] = stream.count
            try:
                for region in reads:
                    self._access(stream, name, *region, is_write=False)
                for region in writes:
                    self._access(stream, name, *region, is_write=True)
            except Fault:
                stream.queue.put(lambda: None)  # it is counted
                raise

            def run():
                for other, count in waits:
                    other.wait(count)
                work()
                for block, _, _ in writes:
                    block.check_guards(name)

            stream.queue.put(run)

    def _legacy_order(self, stream):
        """The default stream waits for all blocking streams, and they for it."""
        if stream is self.null:
            others = [other for other in self.streams.values() if not other.non_blocking]
        else:
            others = [] if stream.non_blocking else [self.null]
        others = [other for other in others if other is not stream]
        for other in others:
            _merge(stream.known, other.known)
        return [(other.queue, other.count) for other in others]

    def synchronize(self, stream):
        with self.lock:
            self._settle()
            count, known = stream.count, dict(stream.known)
        stream.queue.wait(count)
        with self.lock:
            _merge(self.host, known)
        self.raise_faults()

    def wait_for(self, queue, count, known):
        """The host waits for a point in a stream."""
        queue.wait(count)
        with self.lock:
            _merge(self.host, known)
        self.raise_faults()

    def synchronize_all(self):
        for stream in list(self.streams.values()):
            self.synchronize(stream)

    # Memory

    def allocate(self, n_bytes, kind):
        """A block of device memory (its arena is the current stream), or of pinned memory."""
        with self.lock:
            self._settle()
            number = self.n_allocations
            self.n_allocations += 1
            if number in self.fail_at:
                self._raise_out_of_memory(kind, n_bytes)
            size = -(-max(n_bytes, 1) // UNIT) * UNIT
            arena = self.current().number if kind == "device" else None
            free = self.free[kind].get((arena, size))
            block = free.pop() if free else self._new_block(size, kind, arena)
            if kind == "pinned":
                poison(block.bytes)
            self.live[kind] += size
            self.peak[kind] = max(self.peak[kind], self.live[kind])
            return block

    def _new_block(self, size, kind, arena):
        if self._is_full(kind, size):
            # As CuPy's pools do; cudaFree waits for the card.
            for stream in list(self.streams.values()):
                stream.queue.wait(stream.count)
            self._forget(kind)
            if self._is_full(kind, size):
                self._raise_out_of_memory(kind, size)
        block = Block(size, kind, arena)
        self.blocks[kind][block.address] = block
        return block

    def _is_full(self, kind, size):
        others = self.taken if kind == "device" else 0
        return self.room[kind] is not None and others + self.used(kind) + size > self.room[kind]

    def used(self, kind):
        return sum(block.n_bytes for block in self.blocks[kind].values())

    def _raise_out_of_memory(self, kind, n_bytes):
        if kind == "pinned":
            raise CUDARuntimeError(MEMORY_ALLOCATION)
        raise OutOfMemoryError(n_bytes, self.used(kind))

    def free_all_blocks(self, kind, stream=None):
        """Back to the driver; work that is still queued on them would touch what is no longer there.

        stream : whose arena is emptied; all if None
        """
        arena = None if stream is None else stream.ptr
        with self.lock:
            self._settle()
            for (of_arena, _), blocks in self.free[kind].items():
                for block in blocks if arena in (None, of_arena) else ():
                    for (number, _, _, _), (count, name) in block.accesses.items():
                        if self.host.get(number, 0) < count:
                            self.faults.append(
                                Fault(
                                    f"memory went back to the driver before {name} was waited for"
                                )
                            )
            self._forget(kind, arena)

    def _forget(self, kind, arena=None):
        for key in [key for key in self.free[kind] if arena in (None, key[0])]:
            for block in self.free[kind].pop(key):
                block.is_gone = True
                del self.blocks[kind][block.address]

    def _settle(self):
        """Blocks whose last array is gone return to their arena, in the order of the arena's stream."""
        while self.dropped:
            block = self.dropped.popleft()
            self.live[block.kind] -= block.n_bytes
            if block.kind == "pinned":
                for (number, _, _, _), (count, name) in block.accesses.items():
                    if self.host.get(number, 0) < count:
                        self.faults.append(
                            Fault(f"pinned memory was freed before {name} was waited for")
                        )
                block.accesses.clear()
                poison(block.bytes)
            else:
                arena = self.streams.get(block.arena, self.null)
                _merge(arena.known, self.host)
                # Kept in `faults`: nothing may be raised where an array happens to die.
                with contextlib.suppress(Fault):
                    self._check(
                        arena, "the freeing of its memory", block, 0, block.n_bytes, is_write=True
                    )
                arena.count += 1
                arena.known[arena.number] = arena.count
                arena.queue.put(lambda block=block: poison(block.bytes))
            self.free[block.kind].setdefault((block.arena, block.n_bytes), []).append(block)

    def _access(self, stream, name, block, low, high, *, is_write):
        self._check(stream, name, block, low, high, is_write=is_write)
        if is_write:  # what it covers is ordered before it, and need not be remembered
            for key in [key for key in block.accesses if low <= key[1] and key[2] <= high]:
                del block.accesses[key]
        block.accesses[stream.number, low, high, is_write] = (stream.count, name)

    def _check(self, stream, name, block, low, high, *, is_write):
        if block.is_gone:
            self._raise(f"{name} uses memory that went back to the driver")
        for (number, other_low, other_high, other_writes), (count, other) in block.accesses.items():
            overlaps = low < other_high and other_low < high and (is_write or other_writes)
            if overlaps and stream.known.get(number, 0) < count:
                self._raise(
                    f"{name} on stream {stream.number} is not ordered after {other} on stream {number}"
                )

    def _raise(self, text):
        fault = Fault(text)
        self.faults.append(fault)
        raise fault

    def raise_faults(self):
        """Raises the first fault, if there is any."""
        if self.faults:
            raise self.faults[0]

    def check(self):
        """For the end of a test: all work is done, and nothing was at fault."""
        self.synchronize_all()
        self.raise_faults()

    def pinned_block(self, host):
        """The pinned block that a NumPy array lies in, None for pageable memory."""
        address = host.ctypes.data
        with self.lock:
            for block in self.blocks["pinned"].values():
                if block.address <= address < block.address + block.n_bytes:
                    return block
        return None


def _merge(known, other):
    for number, count in other.items():
        if known.get(number, 0) < count:
            known[number] = count
