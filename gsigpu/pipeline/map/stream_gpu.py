"""The flow of `map` on a GPU.

Chunks of slices go round three slots. A slot has pinned host buffers, device buffers and a
stream; copy in, kernels and copy out are queued on that stream and nothing waits for them but the
slot's next use. So while the card works on one chunk, reader threads fill the next and writer threads
empty the chunk before. Memory is that of three chunks, however large the volume. A card that cannot
hold three chunks gets smaller chunks, down to single slices.

`Device` is all that the flow knows of CUDA. `CupyDevice` is the real one; tests put one in its place
that runs the same kernel source on the CPU.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import DeviceOutOfMemory
from gsigpu.pipeline.map.program import Block, MapProgram
from gsigpu.pipeline.map.stream import Sink, Source, StreamReport
from gsigpu.pipeline.progress import Progress
from gsigpu.pipeline.workers import Stopwatch, default_workers, finish_all

N_SLOTS = 3
CHUNK_SLICES = 16


class Device(Protocol):
    """The operations on a device that the flow needs."""

    OutOfMemory: type[BaseException]

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Page-locked host memory."""

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Device memory; raises OutOfMemory."""

    def constant(self, host: NDArray[Any]) -> Any:
        """A copy on the device, complete on return."""

    def stream(self) -> Any:
        """A new stream."""

    def copy_in(self, host: NDArray[Any], device: Any, stream: Any) -> None:
        """Queues host -> device."""

    def copy_out(self, device: Any, host: NDArray[Any], stream: Any) -> None:
        """Queues device -> host."""

    def linear_maps(
        self, stored: Any, weights: Any, offsets: Any, out: Any, padding: Any, stream: Any
    ) -> Any:
        """Queues the kernel; returns the clipped counts, on the device."""

    def finish(self, program: MapProgram, rows: Any, stream: Any) -> tuple[Any, Any]:
        """Queues the nonlinear maps of a chunk: (S, R, y, x) -> (S, K2, y, x) and clipped (K2,)."""

    def synchronize(self, stream: Any) -> None:
        """Waits until all that is queued on the stream is done."""

    def release(self) -> None:
        """Gives unused device memory back, after an OutOfMemory."""


class CupyDevice:
    """The current CUDA device through CuPy."""

    def __init__(self) -> None:
        import cupy
        import cupyx

        from gsigpu.backends import gpu

        self._cupy, self._cupyx, self._gpu = cupy, cupyx, gpu
        self.OutOfMemory: type[BaseException] = cupy.cuda.memory.OutOfMemoryError

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Page-locked host memory."""
        if 0 in shape:
            return np.empty(shape, dtype)
        buffer: NDArray[Any] = self._cupyx.empty_pinned(shape, dtype)
        return buffer

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Device memory."""
        return self._cupy.empty(shape, dtype)

    def constant(self, host: NDArray[Any]) -> Any:
        """A copy on the device."""
        device = self._cupy.asarray(host)
        self._cupy.cuda.get_current_stream().synchronize()
        return device

    def stream(self) -> Any:
        """A stream that does not wait for the default stream."""
        return self._cupy.cuda.Stream(non_blocking=True)

    def copy_in(self, host: NDArray[Any], device: Any, stream: Any) -> None:
        """Queues host -> device; `set` from pinned memory does not stage."""
        device.set(host, stream=stream)

    def copy_out(self, device: Any, host: NDArray[Any], stream: Any) -> None:
        """Queues device -> host."""
        device.get(stream=stream, out=host, blocking=False)

    def linear_maps(
        self, stored: Any, weights: Any, offsets: Any, out: Any, padding: Any, stream: Any
    ) -> Any:
        """Queues the kernel."""
        with stream:
            return self._gpu.linear_maps(stored, weights, offsets, out, padding=padding)

    def finish(self, program: MapProgram, rows: Any, stream: Any) -> tuple[Any, Any]:
        """Queues the nonlinear maps."""
        with stream:
            finished = [program.finish(slice_rows) for slice_rows in rows]
            planes = self._cupy.stack([slice_planes for slice_planes, _ in finished])
            return planes, self._cupy.stack([n for _, n in finished]).sum(axis=0)

    def synchronize(self, stream: Any) -> None:
        """Waits for the stream."""
        stream.synchronize()

    def release(self) -> None:
        """Empties CuPy's pools."""
        self._cupy.get_default_memory_pool().free_all_blocks()
        self._cupy.get_default_pinned_memory_pool().free_all_blocks()


def run_on_gpu(
    program: MapProgram,
    source: Source,
    sink: Sink,
    *,
    n_workers: int | None = None,
    progress: Progress | None = None,
    device: Device | None = None,
    chunk_slices: int = CHUNK_SLICES,
) -> StreamReport:
    """Runs a program on the GPU.

    device : the current CUDA device if None
    chunk_slices : slices per chunk to begin with; halved where the card has no room
    Raises DeviceOutOfMemory if not even single slices fit, and whatever source or sink raise first.
    """
    card = CupyDevice() if device is None else device
    workers = n_workers or default_workers()
    run = _Run(program, source, sink, card, progress)
    size = min(chunk_slices, program.n_slices)
    begun = perf_counter()
    with ThreadPoolExecutor(workers, "gsigpu-map") as pool:
        while run.n_done < program.n_slices:
            try:
                run.from_slice(run.n_done, size, pool)
            except card.OutOfMemory as error:
                card.release()
                if size == 1:
                    raise DeviceOutOfMemory(
                        f"the GPU has no room for three single slices of {program.n_energies} energies",
                        remedy="free the GPU of other programs, or use --backend cpu",
                    ) from error
                size //= 2
    run.watch.seconds["elapsed"] = perf_counter() - begun
    return StreamReport(
        backend="gpu",
        n_slices=program.n_slices,
        n_workers=workers,
        slab_slices=size,
        n_clipped=run.clipped,
        seconds=run.watch.seconds,
    )


class _Slot:
    """Buffers of one chunk, on both sides, and the stream that connects them."""

    def __init__(self, program: MapProgram, device: Device, n_slices: int) -> None:
        def both(n_planes: int, dtype: Any) -> tuple[NDArray[Any], Any]:
            shape = (n_slices, n_planes, *program.plane_shape)
            return device.pinned(shape, dtype), device.empty(shape, dtype)

        n_linear = 0 if program.linear is None else program.linear.n_rows
        n_rows = 0 if program.nonlinear is None else program.nonlinear.n_rows
        self.host_in, self.device_in = both(program.n_energies, np.int16)
        self.host_linear, self.device_linear = both(n_linear, program.dtype)
        self.host_finished = device.pinned(
            (n_slices, program.n_nonlinear, *program.plane_shape), program.dtype
        )
        self.device_rows = device.empty((n_slices, n_rows, *program.plane_shape), np.float32)
        self.host_clipped = device.pinned((program.n_maps,), np.int64)
        self.stream = device.stream()
        self.keep: list[Any] = []  # arrays that queued work still uses
        self.emptied: list[Future[None]] = []


class _Run:
    """One run over a stack: what is done, and how to do more."""

    def __init__(
        self,
        program: MapProgram,
        source: Source,
        sink: Sink,
        device: Device,
        progress: Progress | None,
    ) -> None:
        self.program, self.source, self.sink = program, source, sink
        self.device, self.progress = device, progress
        self.watch = Stopwatch()
        self.clipped = np.zeros(program.n_maps, dtype=np.int64)
        self.n_done = 0  # slices written, all below this one

    def from_slice(self, first: int, size: int, pool: ThreadPoolExecutor) -> None:
        """Runs the slices from `first` on, in chunks of `size`; `n_done` tells how far it came."""
        slots = [_Slot(self.program, self.device, size) for _ in range(N_SLOTS)]
        queued: list[tuple[int, int, _Slot]] = []
        try:
            for number, start in enumerate(range(first, self.program.n_slices, size)):
                slot = slots[number % N_SLOTS]
                finish_all(slot.emptied)
                n = min(size, self.program.n_slices - start)
                with self.watch.stage("read"):
                    finish_all(
                        [
                            pool.submit(self.source.read, start + i, slot.host_in[i])
                            for i in range(n)
                        ]
                    )
                self._queue(slot, start, n)
                queued.append((start, n, slot))
                if len(queued) == N_SLOTS - 1:
                    self._empty(*queued.pop(0), pool)
        finally:
            # Chunks that are already on the card are finished, so that a retry begins behind them.
            for chunk in queued:
                self._empty(*chunk, pool)
            finish_all([future for slot in slots for future in slot.emptied])

    def _queue(self, slot: _Slot, start: int, n: int) -> None:
        device, program = self.device, self.program
        slot.keep.clear()
        device.copy_in(slot.host_in[:n], slot.device_in[:n], slot.stream)
        stored = slot.device_in[:n].reshape(n, program.n_energies, -1)
        padding = (
            None if program.padding is None else device.constant(program.padding[start : start + n])
        )
        slot.keep.append(padding)
        n_linear = 0
        if program.linear is not None:
            n_linear = program.linear.n_rows
            out = slot.device_linear[:n].reshape(n, n_linear, -1)
            counts = self._launch(program.linear, slot, stored, out, padding, start, n)
            device.copy_out(slot.device_linear[:n], slot.host_linear[:n], slot.stream)
            device.copy_out(counts, slot.host_clipped[:n_linear], slot.stream)
        if program.nonlinear is not None:
            rows = slot.device_rows[:n]
            flat = rows.reshape(n, program.nonlinear.n_rows, -1)
            self._launch(program.nonlinear, slot, stored, flat, padding, start, n)
            planes, counts = device.finish(program, rows, slot.stream)
            slot.keep += [planes, counts]
            device.copy_out(planes, slot.host_finished[:n], slot.stream)
            device.copy_out(counts, slot.host_clipped[n_linear:], slot.stream)

    def _launch(
        self, block: Block, slot: _Slot, stored: Any, out: Any, padding: Any, start: int, n: int
    ) -> Any:
        weights = self.device.constant(block.weights[start : start + n])
        offsets = self.device.constant(block.offsets[start : start + n])
        counts = self.device.linear_maps(stored, weights, offsets, out, padding, slot.stream)
        slot.keep += [weights, offsets, counts]
        return counts

    def _empty(self, start: int, n: int, slot: _Slot, pool: ThreadPoolExecutor) -> None:
        """Waits for a chunk and hands its planes to the sink, in threads."""
        with self.watch.stage("compute"):
            self.device.synchronize(slot.stream)
        n_linear = self.program.n_maps - self.program.n_nonlinear
        counts = slot.host_clipped
        self.clipped += self.program.in_order(counts[:n_linear], counts[n_linear:])

        def write(i: int) -> None:
            planes = self.program.in_order(slot.host_linear[i], slot.host_finished[i])
            with self.watch.stage("write"):
                self.sink.write(start + i, planes)

        slot.emptied = [pool.submit(write, i) for i in range(n)]
        self.n_done = start + n
        if self.progress is not None:
            self.progress(self.n_done, self.program.n_slices)
