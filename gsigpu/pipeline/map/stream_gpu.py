"""The flow of `map` on a GPU.

Chunks of slices go round three slots. A slot has pinned host buffers, device buffers and a
stream; copy in, kernels and copy out are queued on that stream and nothing waits for them but the
slot's next use. So while the card works on one chunk, reader threads fill the next and writer threads
empty the chunk before. Memory is that of three chunks, however large the volume. A card that cannot
hold three chunks gets smaller chunks, down to single slices.

Out of memory, wherever it comes up (device memory, pinned memory, the context), every slot's stream is waited for
before its buffers go back, and they go back before the next try: an exception that is still held keeps the
frames alive that hold them.

`card.Device` is all that the flow knows of CUDA; `CupyDevice` is the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends.device import n_sharing
from gsigpu.errors import DeviceOutOfMemory
from gsigpu.pipeline.map.card import Device
from gsigpu.pipeline.map.chunk_size import N_SLOTS, chunk_size
from gsigpu.pipeline.map.program import Block, MapProgram
from gsigpu.pipeline.map.stream import (
    ObservedSource,
    Sink,
    Source,
    StreamReport,
    run_on_cpu,
)
from gsigpu.pipeline.progress import Progress
from gsigpu.pipeline.workers import Stopwatch, default_workers, finish_all

_CUDA_OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation, and CUDA_ERROR_OUT_OF_MEMORY of the driver


class CupyDevice:
    """The current CUDA device through CuPy."""

    def __init__(self) -> None:
        import cupy
        import cupyx

        from gsigpu.backends import gpu

        self._cupy, self._cupyx, self._gpu = cupy, cupyx, gpu

    def is_out_of_memory(self, error: BaseException) -> bool:
        """CuPy's own error, or one of CUDA's with the status that means so."""
        return isinstance(error, self._cupy.cuda.memory.OutOfMemoryError) or (
            type(error).__name__ in ("CUDARuntimeError", "CUDADriverError")
            and getattr(error, "status", None) == _CUDA_OUT_OF_MEMORY
        )

    def free_bytes(self) -> int:
        """What the driver has free, and what CuPy's pool has."""
        pool = self._cupy.get_default_memory_pool()
        free, _ = self._cupy.cuda.runtime.memGetInfo()
        return int(free) + int(pool.total_bytes() - pool.used_bytes())

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Page-locked host memory."""
        if 0 in shape:
            return np.empty(shape, dtype)
        buffer: NDArray[Any] = self._cupyx.empty_pinned(shape, dtype)
        return buffer

    def empty(self, shape: tuple[int, ...], dtype: Any, stream: Any) -> Any:
        """Device memory of the stream's arena: what is freed is used again behind the stream's work."""
        with stream:
            return self._cupy.empty(shape, dtype)

    def stream(self) -> Any:
        """A stream that does not wait for the default stream."""
        return self._cupy.cuda.Stream(non_blocking=True)

    def array(self, host: NDArray[Any]) -> Any:
        """A copy of an array on the card, for work on the current stream."""
        return self._cupy.asarray(host)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Zeros on the card, for work on the current stream."""
        return self._cupy.zeros(shape, dtype)

    def current_stream(self) -> Any:
        """The stream that this thread works on."""
        return self._cupy.cuda.get_current_stream()

    def record(self, stream: Any) -> Any:
        """An event behind all that is queued on a stream."""
        return stream.record(self._cupy.cuda.Event(disable_timing=True))

    def wait_for(self, event: Any, stream: Any) -> None:
        """What is queued on a stream from now on waits for an event; the host does not."""
        stream.wait_event(event)

    def gather_voxels(
        self, planes: Any, starts: Any, indices: Any, out: Any, origin: int, stream: Any
    ) -> None:
        """Queues the kernel."""
        with stream:
            self._gpu.gather_voxels(planes, starts, indices, out, origin=origin)

    def copy_in(self, host: NDArray[Any], device: Any, stream: Any) -> None:
        """Queues host -> device; `set` from pinned memory does not stage."""
        device.set(host, stream=stream)

    def copy_out(self, device: Any, host: NDArray[Any], stream: Any) -> None:
        """Queues device -> host."""
        device.get(stream=stream, out=host, blocking=False)

    def linear_maps(
        self, stored: Any, block: Block, out: Any, padding: NDArray[Any] | None, stream: Any
    ) -> Any:
        """Queues the kernel; the tables are parameters of its launch."""
        with stream:
            return self._gpu.linear_maps(stored, block.weights, block.offsets, out, padding=padding)

    def finish(self, program: MapProgram, rows: Any, stream: Any) -> tuple[Any, Any]:
        """Queues the nonlinear maps."""
        with stream:
            finished = [program.finish(slice_rows) for slice_rows in rows]
            planes = self._cupy.stack([slice_planes for slice_planes, _ in finished])
            return planes, self._cupy.stack([n for _, n in finished]).sum(axis=0)

    def synchronize(self, stream: Any) -> None:
        """Waits for the stream."""
        stream.synchronize()

    def give_back(self) -> None:
        """Waits for the current stream, and empties its part of CuPy's pool; other streams may be at work."""
        stream = self._cupy.cuda.get_current_stream()
        stream.synchronize()
        self._cupy.get_default_memory_pool().free_all_blocks(stream=stream)

    def release(self) -> None:
        """Empties CuPy's pools, once the card is at rest: what observers did with slices went through streams of their own."""
        self._cupy.cuda.Device().synchronize()
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
    chunk_slices: int | None = None,
) -> StreamReport:
    """Runs a program on the GPU.

    device : the current CUDA device if None
    chunk_slices : slices per chunk to begin with, halved where the card has no room; see `chunk_size` if None
    Raises DeviceOutOfMemory if not even single slices fit, and whatever source or sink raise first.
    """
    workers = n_workers or default_workers()
    report, n_done, why = _as_far_as_it_fits(
        program, source, sink, workers, progress, device, chunk_slices
    )
    if why is not None:
        raise DeviceOutOfMemory(
            f"{_no_room(program)} ({why}); {n_done} of {program.n_slices} slices were done",
            remedy="free the GPU of other programs, use fewer --workers, or --backend cpu",
        )
    return report


def run_on_gpu_or_cpu(
    program: MapProgram,
    source: Source,
    sink: Sink,
    *,
    n_workers: int | None = None,
    progress: Progress | None = None,
    device: Device | None = None,
    chunk_slices: int | None = None,
) -> tuple[StreamReport, str | None]:
    """As `run_on_gpu`, but slices that find no room on the card are computed on the CPU.

    Returns the report (its backend is `gpu` if any slice came from there) and a line that says so, None
    where all came from the card.
    """
    workers = n_workers or default_workers()
    report, n_done, why = _as_far_as_it_fits(
        program, source, sink, workers, progress, device, chunk_slices
    )
    if why is None:
        return report, None
    rest = _Behind(source, sink, n_done)

    def shifted(n: int, _total: int) -> None:
        if progress is not None:
            progress(n_done + n, program.n_slices)

    on_cpu = run_on_cpu(program.from_slice(n_done), rest, rest, n_workers=workers, progress=shifted)
    report.n_clipped = report.n_clipped + on_cpu.n_clipped
    for stage, seconds in on_cpu.seconds.items():
        report.seconds[stage] = report.seconds.get(stage, 0.0) + seconds
    which = "all slices" if n_done == 0 else f"slices {n_done + 1} to {program.n_slices}"
    report.backend = "gpu" if n_done else "cpu"
    return report, f"{_no_room(program)} ({why}): {which} were computed on the CPU"


def _no_room(program: MapProgram) -> str:
    return f"the GPU has no room for three single slices of {program.n_energies} energies"


class _Behind:
    """Source and sink of the slices from one on."""

    def __init__(self, source: Source, sink: Sink, first: int) -> None:
        self.source, self.sink, self.first = source, sink, first

    def read(self, z: int, out: NDArray[np.int16]) -> None:
        self.source.read(self.first + z, out)

    def write(self, z: int, planes: Sequence[NDArray[Any]]) -> None:
        self.sink.write(self.first + z, planes)


def _as_far_as_it_fits(
    program: MapProgram,
    source: Source,
    sink: Sink,
    workers: int,
    progress: Progress | None,
    device: Device | None,
    chunk_slices: int | None,
) -> tuple[StreamReport, int, str | None]:
    """(report, slices done, why there is no room for more)."""
    card = CupyDevice() if device is None else device
    run = _Run(program, source, sink, card, progress)
    begun = perf_counter()
    sizes: list[int] = [] if chunk_slices is None else [min(chunk_slices, program.n_slices)]

    def choose_size() -> None:
        sizes.append(chunk_size(program, workers, card.free_bytes() // n_sharing()))

    why = None if sizes else run.attempt(choose_size)
    with ThreadPoolExecutor(workers, "gsigpu-map") as pool:
        while sizes and run.n_done < program.n_slices:
            why = run.attempt(lambda: run.from_slice(run.n_done, sizes[-1], pool))
            if why is None:
                break
            card.release()
            if sizes[-1] == 1:
                break
            sizes.append(sizes[-1] // 2)
    run.watch.seconds["elapsed"] = perf_counter() - begun
    report = StreamReport(
        backend="gpu",
        n_slices=program.n_slices,
        n_workers=workers,
        slab_slices=sizes[-1] if sizes else 0,
        n_clipped=run.clipped,
        seconds=run.watch.seconds,
    )
    return report, run.n_done, why


class _Slot:
    """Buffers of one chunk, on both sides, and the stream that connects them."""

    def __init__(self, program: MapProgram, device: Device, n_slices: int) -> None:
        self.stream = device.stream()
        n_linear = 0 if program.linear is None else program.linear.n_rows
        n_rows = 0 if program.nonlinear is None else program.nonlinear.n_rows

        def shape(n_planes: int) -> tuple[int, ...]:
            return (n_slices, n_planes, *program.plane_shape)

        self.host_in = device.pinned(shape(program.n_energies), np.int16)
        self.device_in = device.empty(shape(program.n_energies), np.int16, self.stream)
        self.host_linear = device.pinned(shape(n_linear), program.dtype)
        self.device_linear = device.empty(shape(n_linear), program.dtype, self.stream)
        self.host_finished = device.pinned(shape(program.n_nonlinear), program.dtype)
        self.device_rows = device.empty(shape(n_rows), np.float32, self.stream)
        self.host_clipped = device.pinned((program.n_maps,), np.int64)
        self.filled: list[Future[None]] = []
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
        self.observer = source if isinstance(source, ObservedSource) else None
        self.read = source.read if self.observer is None else self.observer.read_to_go_up
        self.watch = Stopwatch()
        self.clipped = np.zeros(program.n_maps, dtype=np.int64)
        self.n_done = 0  # slices written, all below this one

    def attempt(self, work: Callable[[], None]) -> str | None:
        """Does the work; returns why memory ran out, if it did.

        On return the exception is gone, and with it the frames that held the slots.
        """
        try:
            work()
        except Exception as error:
            if not self.device.is_out_of_memory(error):
                raise
            return (str(error).strip().splitlines() or [type(error).__name__])[0]
        return None

    def from_slice(self, first: int, size: int, pool: ThreadPoolExecutor) -> None:
        """Runs the slices from `first` on, in chunks of `size`; `n_done` tells how far it came."""
        slots = [_Slot(self.program, self.device, size) for _ in range(N_SLOTS)]
        filling: list[tuple[int, int, _Slot]] = []
        queued: list[tuple[int, int, _Slot]] = []

        def proceed() -> None:
            """The chunk that is being filled goes to the card, and the one before is taken from it."""
            start, n, slot = filling.pop(0)
            with self.watch.stage("read"):
                finish_all(slot.filled)
            self._queue(slot, start, n)
            queued.append((start, n, slot))
            if len(queued) == N_SLOTS - 1:
                self._empty(*queued.pop(0), pool)

        try:
            for number, start in enumerate(range(first, self.program.n_slices, size)):
                slot = slots[number % N_SLOTS]
                finish_all(slot.emptied)
                n = min(size, self.program.n_slices - start)
                slot.filled = [pool.submit(self.read, start + i, slot.host_in[i]) for i in range(n)]
                filling.append((start, n, slot))
                if len(filling) == 2:
                    proceed()
            while filling:
                proceed()
        finally:
            self._come_to_rest(slots)
            # Chunks that are already on the card are finished, so that a retry begins behind them.
            for chunk in queued:
                self._empty(*chunk, pool)
            finish_all([future for slot in slots for future in slot.emptied])

    def _come_to_rest(self, slots: list[_Slot]) -> None:
        """Nothing reads from or writes into the buffers any more, neither threads nor the card."""
        filled = [future for slot in slots for future in slot.filled]
        for future in filled:
            future.cancel()
        wait(filled)
        for slot in slots:
            self.device.synchronize(slot.stream)

    def _queue(self, slot: _Slot, start: int, n: int) -> None:
        """Copy in, kernels, copy out.

        Arrays that die here while work is queued on them are of the arena of the slot's stream: CuPy hands their
        memory out again to that stream alone, behind the work.
        """
        device, program = self.device, self.program
        device.copy_in(slot.host_in[:n], slot.device_in[:n], slot.stream)
        stored = slot.device_in[:n].reshape(n, program.n_energies, -1)
        if self.observer is not None:
            self.observer.is_there(start, slot.host_in[:n], stored, slot.stream)
        padding = None if program.padding is None else program.padding[start : start + n]
        n_linear = 0
        if program.linear is not None:
            n_linear = program.linear.n_rows
            out = slot.device_linear[:n].reshape(n, n_linear, -1)
            block = program.linear.slices(start, start + n)
            counts = device.linear_maps(stored, block, out, padding, slot.stream)
            device.copy_out(slot.device_linear[:n], slot.host_linear[:n], slot.stream)
            device.copy_out(counts, slot.host_clipped[:n_linear], slot.stream)
        if program.nonlinear is not None:
            rows = slot.device_rows[:n]
            flat = rows.reshape(n, program.nonlinear.n_rows, -1)
            block = program.nonlinear.slices(start, start + n)
            device.linear_maps(stored, block, flat, padding, slot.stream)
            planes, counts = device.finish(program, rows, slot.stream)
            device.copy_out(planes, slot.host_finished[:n], slot.stream)
            device.copy_out(counts, slot.host_clipped[n_linear:], slot.stream)

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
