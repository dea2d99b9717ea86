"""The whole of `map`: how far from a naive script, and how far from reading and writing the bytes?

Eleven energies in, four maps out as CT series.
"""

from __future__ import annotations

import copy
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import Any

import numpy as np
from common import (
    arguments,
    ct_like,
    on_all_cores,
    ratio_table,
    report,
    scratch,
    write_series,
)
from even_start import EvenStart, rounds_table, timed_rounds
from pydicom import dcmread

from gsigpu.dicom.writing import slice_files
from gsigpu.physics import iodine_hu_per_mg_per_ml
from gsigpu.pipeline import choose_stack
from gsigpu.pipeline.map import map_study as map_study_module
from gsigpu.pipeline.map import prepare_maps
from gsigpu.pipeline.map.map_study import MapResult, map_study

ENERGIES = tuple(range(40, 141, 10))
MAPS = ["lambda-hu", "iodine", "vnc", "mono-55"]
STEPS = (0.001, 0.01, 1.0, 1.0)


def naive(folders: list[Path], out: Path) -> None:
    """What one writes in an afternoon with pydicom and NumPy."""
    slices = []
    for folder in folders:
        series = [dcmread(path) for path in folder.iterdir()]
        slices.append(sorted(series, key=lambda ds: float(ds.ImagePositionPatient[2])))
    stack = np.stack(
        [
            [
                ds.pixel_array.astype(np.float32) * float(ds.RescaleSlope)
                + float(ds.RescaleIntercept)
                for ds in series
            ]
            for series in slices
        ]
    )
    r = iodine_hu_per_mg_per_ml(ENERGIES)
    inverse = np.linalg.pinv(np.column_stack([np.ones(len(ENERGIES)), r]))
    water, iodine = np.tensordot(inverse.astype(np.float32), stack + np.float32(1000), axes=1)
    at = ENERGIES.index
    maps = [
        (stack[at(60)] - stack[at(100)]) / 60,
        iodine,
        water - 1000,
        water + iodine * iodine_hu_per_mg_per_ml([55])[0] - 1000,
    ]
    for name, values, step in zip(MAPS, maps, STEPS, strict=True):
        (out / name).mkdir(parents=True)
        for z, source in enumerate(slices[0]):
            ds = copy.deepcopy(source)
            ds.PixelData = (
                np.clip(np.rint(values[z] / step), -32767, 32767).astype(np.int16).tobytes()
            )
            ds.RescaleSlope = step
            ds.SeriesDescription = name
            ds.save_as(out / name / f"{z:04d}.dcm")


def raw(paths: list[Path], out: Path, n_out: int, n_bytes: int) -> None:
    """The same bytes in and out, nothing else, on all cores."""
    buffers = [bytearray(paths[0].stat().st_size + 4096) for _ in range(2)]
    payload = bytes(n_bytes)
    out.mkdir()

    def read(i: int) -> None:
        with paths[i].open("rb", buffering=0) as file:
            file.readinto(buffers[i % 2])

    def write(i: int) -> None:
        with (out / f"{i:05d}").open("wb", buffering=0) as file:
            file.write(payload)

    on_all_cores(read, len(paths))
    on_all_cores(write, n_out)


class Parts:
    """Wall and processor time of the parts of a run, by functions that are wrapped while it goes on."""

    # Which attribute of what, and what it is called. A part that another calls is taken out of it.
    WATCHED = (
        (choose_stack, "read_study", "scan"),
        (map_study_module, "open_sink", "headers of the output"),
        (map_study_module, "run_maps", "stream"),
        (slice_files.SliceFiles, "finish", "names into files"),
        (
            prepare_maps.PreparedMaps,
            "label_sample",
            "beside the headers: slices of the label check",
        ),
        (prepare_maps.PreparedMaps, "doubts", "beside the stream: label check"),
    )

    def __init__(self) -> None:
        self.seconds: dict[str, list[tuple[float, float]]] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notes the parts of what runs inside."""
        kept = [(owner, name, getattr(owner, name)) for owner, name, _ in self.WATCHED]
        for (owner, name, call), (_, _, part) in zip(kept, self.WATCHED, strict=True):
            clock = thread_time if part.startswith("beside") else process_time
            setattr(owner, name, self._timed(call, part, clock))
        try:
            yield
        finally:
            for owner, name, call in kept:
                setattr(owner, name, call)

    def _timed(
        self, call: Callable[..., Any], part: str, clock: Callable[[], float]
    ) -> Callable[..., Any]:
        @wraps(call)
        def timed(*args: Any, **named: Any) -> Any:
            begun, busy = perf_counter(), clock()
            try:
                return call(*args, **named)
            finally:
                spent = perf_counter() - begun, clock() - busy
                self.seconds.setdefault(part, []).append(spent)

        return timed


def parts_table(run: Callable[[], Any]) -> list[str]:
    """Where the time of one run goes."""
    parts, begun, before = Parts(), perf_counter(), os.times()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    with parts.watched():
        result = run()
    wall, after = perf_counter() - begun, os.times()
    now = resource.getrusage(resource.RUSAGE_SELF)
    lines = ["| part of one run | s by the clock | processor s |", "|---|---:|---:|"]
    rest_wall, rest_busy = wall, after.user + after.system - before.user - before.system
    lines.append(f"| all | {wall:.2f} | {rest_busy:.2f} |")
    for _, _, part in Parts.WATCHED:
        taken = parts.seconds.get(part, [])
        # The series are finished side by side: the longest is what the run waits for, and each counts all threads.
        a, b = (max((spent[k] for spent in taken), default=0.0) for k in (0, 1))
        if not part.startswith("beside"):  # which the others' figures hold already
            rest_wall, rest_busy = rest_wall - a, rest_busy - b
        lines.append(f"| {part} | {a:.2f} | {b:.2f} |")
    lines.append(
        f"| rest: reading of the choice, staging, rename, provenance | {rest_wall:.2f} | {rest_busy:.2f} |"
    )
    stream = result.report.seconds
    lines += [
        "",
        "Of the stream, summed over its threads by the clock: "
        + ", ".join(f"{name} {stream[name]:.2f} s" for name in ("read", "compute", "write"))
        + f". Of the whole, in the kernel: {after.system - before.system:.2f} s; page faults without reading "
        f"{now.ru_minflt - usage.ru_minflt:,}, with reading {now.ru_majflt - usage.ru_majflt:,}; waits "
        f"{now.ru_nvcsw - usage.ru_nvcsw:,}, taken away {now.ru_nivcsw - usage.ru_nivcsw:,} times.",
    ]
    return lines


def dropped(paths: list[Path]) -> None:
    """Puts the files out of the page cache, so that they are read from the disk."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cold_table(
    paths: list[Path], n_units: int, before: Callable[[], None], **contenders: Callable[[], object]
) -> list[str]:
    """Each contender once with files that are not in memory, in turn, twice."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(2):
        for name, run in contenders.items():
            before()
            dropped(paths)
            begun = perf_counter()
            run()
            seconds[name].append(perf_counter() - begun)
    return ratio_table(seconds, "output slices", n_units, "raw")


class Question:
    """The study, and what is done to it."""

    def __init__(self, folder: Path, n_slices: int, size: int) -> None:
        images = [ct_like(size, size, seed) for seed in range(4)]
        self.study = folder / "study"
        self.folders = [self.study / f"{kev}" for kev in ENERGIES]
        self.paths: list[Path] = []
        for kev, series in zip(ENERGIES, self.folders, strict=True):
            self.paths += write_series(series, kev, images, n_slices)
        self.n_out = len(MAPS) * n_slices
        self.n_bytes = size**2 * 2 + 4000  # of a file

    def raw(self, out: Path) -> Callable[[], object]:
        """Reads and writes the bytes."""
        return lambda: raw(self.paths, out, self.n_out, self.n_bytes)

    def ours(self, out: Path) -> Callable[[], MapResult]:
        """The whole of `map`."""
        return lambda: map_study(self.study, out, maps=MAPS, backend="cpu")

    def even_start(self, folder: Path) -> EvenStart:
        """Of outputs in a folder."""
        return EvenStart(folder, self.n_out * self.n_bytes)


def evenly(question: Question, repeats: int, folder: Path) -> list[str]:
    """Rounds in which raw and `map` find the same system."""
    start = question.even_start(folder)
    taken = timed_rounds(
        repeats, start.even, raw=question.raw(start.out), gsigpu=question.ours(start.out)
    )
    lines = rounds_table(taken, "output slices", question.n_out, "raw")
    return [*lines, f"Before each, raw and gsigpu in turn: {'; '.join(start.notes[2:])}."]


def in_memory(question: Question, repeats: int) -> list[str]:
    """The same with outputs in a file system that lies in memory, where there is one with room."""
    if not os.access("/dev/shm", os.W_OK) or _no_room(question):
        return ["(no file system in memory with room for the outputs)"]
    with tempfile.TemporaryDirectory(prefix="gsigpu-bench-", dir="/dev/shm") as folder:
        return evenly(question, repeats, Path(folder))


def _no_room(question: Question) -> bool:
    return shutil.disk_usage("/dev/shm").free < 4 * question.n_out * question.n_bytes


def as_found(question: Question, repeats: int, folder: Path) -> list[str]:
    """Rounds in which the earlier output is removed just before, as who runs `map` again and again does it."""
    out = folder / "again"

    def removed() -> None:
        shutil.rmtree(out, ignore_errors=True)

    taken = timed_rounds(repeats, removed, raw=question.raw(out), gsigpu=question.ours(out))
    return rounds_table(taken, "output slices", question.n_out, "raw")


def main() -> None:
    """Runs it."""
    options = arguments(__doc__ or "", slices=300, size=512)
    if options.quick:
        options.slices, options.size, options.repeats = 4, 64, 1
    with scratch() as folder:
        question = Question(folder, options.slices, options.size)
        disk = folder / "disk"
        disk.mkdir()
        fast = evenly(question, options.repeats, disk)
        memory = in_memory(question, options.repeats)
        rest = folder / "rest"
        rest.mkdir()
        start = question.even_start(rest)
        ours = question.ours(start.out)
        start.even()
        parts = parts_table(ours)
        slow = timed_rounds(
            1 if options.quick else 2,
            start.even,
            gsigpu=ours,
            naive=lambda: naive(question.folders, start.out),
        )
        cold = ["(this system does not drop files from its page cache)"]
        if hasattr(os, "posix_fadvise"):
            cold = cold_table(
                question.paths,
                question.n_out,
                start.even,
                raw=question.raw(start.out),
                gsigpu=ours,
            )
        # Last: files that were removed slow down those that are made after them.
        again = as_found(question, options.repeats, folder)
        lines = [
            f"{len(ENERGIES)} x {options.slices} slices of {options.size} x {options.size} in, {question.n_out} slices out, page-cached, every contender from the same start (even_start.py).",
            "",
            *fast,
            "",
            "`raw`: the same bytes read and written on all cores, and nothing else. Aim: gsigpu within 1.5, worst 2.0.",
            "",
            "The same with outputs in memory (/dev/shm):",
            "",
            *memory,
            "",
            *parts,
            "",
            *cold,
            "",
            "The same with the input dropped from the page cache before each run.",
            "",
            *rounds_table(slow, "output slices", question.n_out, "gsigpu"),
            "",
            "`naive`: pydicom + NumPy in float32 (float64 does not fit 24 GiB). Aim: 20 or more.",
            "",
            "As it is found, the earlier output removed just before each run and nothing made even:",
            "",
            *again,
        ]
    report("map_study", lines, save=options.save)


if __name__ == "__main__":
    main()
