"""Runs a program where the user wants it: `auto` takes the GPU as far as it has room, and says so."""

from __future__ import annotations

from typing import Literal

from gsigpu.backends import BackendName
from gsigpu.caution import Caution
from gsigpu.pipeline.map.auto_choice import processor_for
from gsigpu.pipeline.map.program import MapProgram
from gsigpu.pipeline.map.stream import Sink, Source, StreamReport, run_on_cpu
from gsigpu.pipeline.progress import Progress


def run_program(
    program: MapProgram,
    source: Source,
    sink: Sink,
    *,
    backend: BackendName,
    processor: Literal["cpu", "gpu"],
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[StreamReport, list[Caution]]:
    """Runs a program.

    backend : what was asked for; with `auto`, what the rule in `auto_choice` gives to the CPU, and slices that find no
        room on the GPU, are computed on the CPU
    processor : what `choose` made of it
    Returns the report, and lines for the user where it did not go as `backend` says.
    Raises BackendError for `gpu` where the card cannot take the program or has no room for it, and whatever source or sink raise first.
    """
    if processor == "cpu":
        report = run_on_cpu(program, source, sink, n_workers=n_workers, progress=progress)
        return report, _unusable_device() if backend == "auto" else []
    from gsigpu.pipeline.map.stream_gpu import run_on_gpu, run_on_gpu_or_cpu

    if backend == "gpu":
        return run_on_gpu(program, source, sink, n_workers=n_workers, progress=progress), []
    best, note = processor_for(program)
    if best == "cpu":
        report = run_on_cpu(program, source, sink, n_workers=n_workers, progress=progress)
        return report, [] if note is None else [Caution("backend", note)]
    report, note = run_on_gpu_or_cpu(program, source, sink, n_workers=n_workers, progress=progress)
    return report, [] if note is None else [Caution("backend", note)]


def _unusable_device() -> list[Caution]:
    from gsigpu.backends.device import why_device_is_unusable

    reason = why_device_is_unusable()
    return [] if reason is None else [Caution("backend", f"computed on the CPU: {reason}")]
