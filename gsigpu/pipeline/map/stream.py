"""The flow of `map`: slabs go read, compute, write, in bounded memory whatever the volume.

A source delivers the stored values of a slice at all energies, a sink takes the planes of its maps.
Both are called from several threads, a slice by one thread at a time, in any order of slices.
On the CPU a worker owns a slice from the first byte to the last; on the GPU see `stream_gpu`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from gsigpu.pipeline.map.compiled_pass import CompiledPass
from gsigpu.pipeline.map.evaluate import evaluate
from gsigpu.pipeline.map.program import MapProgram
from gsigpu.pipeline.progress import Progress
from gsigpu.pipeline.workers import Stopwatch, default_workers, finish_all


class Source(Protocol):
    """Where stored values come from."""

    def read(self, z: int, out: NDArray[np.int16]) -> None:
        """Delivered values of slice z into `out`, (E, rows, columns) int16."""


@runtime_checkable
class ObservedSource(Protocol):
    """A source that also looks at its slices where they are on a card."""

    def read(self, z: int, out: NDArray[np.int16]) -> None:
        """As a source; the slice does not go to a card."""

    def read_to_go_up(self, z: int, out: NDArray[np.int16]) -> None:
        """As `read`, of a slice that is on its way to a card."""

    def is_there(self, first: int, host: NDArray[np.int16], stored: Any, stream: Any) -> None:
        """Slices from `first` on lie on a card, behind what is queued on a stream; they do so for what is queued during the call.

        host : (S, E, rows, columns) as they were read
        stored : (S, E, N) of the same values on the card
        """


class Sink(Protocol):
    """Where planes go."""

    def write(self, z: int, planes: Sequence[NDArray[Any]]) -> None:
        """The (rows, columns) planes of slice z, one per map; they are the sink's only during the call."""


@dataclass(slots=True)
class StreamReport:
    """What a run did.

    n_clipped : voxels of each map beyond its integer range, in the order of the definitions
    seconds : per stage, summed over threads; `elapsed` is wall time
    """

    backend: Literal["cpu", "gpu"]
    n_slices: int
    n_workers: int
    slab_slices: int
    n_clipped: NDArray[np.int64]
    seconds: dict[str, float] = field(default_factory=dict)


def run_on_cpu(
    program: MapProgram,
    source: Source,
    sink: Sink,
    *,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> StreamReport:
    """Runs a program on the CPU, one slice per worker at a time.

    Raises whatever source or sink raise first; slices not yet begun are then left out.
    """
    workers = n_workers or default_workers()
    watch = Stopwatch()
    begun = perf_counter()
    of_thread = threading.local()
    clipped = np.zeros(program.n_maps, dtype=np.int64)
    lock = threading.Lock()
    n_done = 0

    def one_slice(z: int) -> None:
        if not hasattr(of_thread, "buffers"):
            of_thread.buffers = _SliceBuffers(program)
        with watch.stage("read"):
            source.read(z, of_thread.buffers.stored)
        with watch.stage("compute"):
            buffers = of_thread.buffers
            planes, n_clipped = evaluate(
                program, z, buffers.stored, linear=buffers.linear, rows=buffers.rows
            )
        with watch.stage("write"):
            sink.write(z, planes)
        done(1, n_clipped)

    def done(n_slices: int, n_clipped: Sequence[Any] | NDArray[np.int64]) -> None:
        nonlocal n_done
        with lock:
            clipped[:] += np.asarray(n_clipped, np.int64)
            n_done += n_slices
            if progress is not None:
                progress(n_done, program.n_slices)

    plain = CompiledPass.of(program, source, sink)
    at_once = 1 if plain is None else plain.slices_at_once(workers)

    def some_slices(first: int) -> None:
        z, end = first, min(first + at_once, program.n_slices)
        while z < end:
            n_plain = 0
            if plain is not None:
                n_plain, n_clipped = plain.run(z, end, watch)
                done(n_plain, n_clipped)
            z += n_plain
            if z < end:
                one_slice(z)
                z += 1

    # The workers are the threads; a matrix product that starts threads too would compete with them.
    with (
        threadpool_limits(limits=1, user_api="blas"),
        ThreadPoolExecutor(workers, "gsigpu-map") as pool,
    ):
        finish_all([pool.submit(some_slices, z) for z in range(0, program.n_slices, at_once)])
    watch.seconds["elapsed"] = perf_counter() - begun
    return StreamReport(
        backend="cpu",
        n_slices=program.n_slices,
        n_workers=workers,
        slab_slices=1,
        n_clipped=clipped,
        seconds=watch.seconds,
    )


class _SliceBuffers:
    """A worker's memory, reused for every slice."""

    def __init__(self, program: MapProgram) -> None:
        plane = program.plane_shape
        n_linear = 0 if program.linear is None else program.linear.n_rows
        n_rows = 0 if program.nonlinear is None else program.nonlinear.n_rows
        self.stored = np.empty((program.n_energies, *plane), np.int16)
        self.linear = np.empty((n_linear, *plane), program.dtype)
        self.rows = np.empty((n_rows, *plane), np.float32)
