"""Whether the disk takes what a run will write, and what it says when it is full."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gsigpu.errors import OutputError
from gsigpu.pipeline.cohort_run.failure_kinds import is_disk_full

SPARE_BYTES = 256 * 2**20  # left on the disk while a run goes on, for everything else on it


def require_room(out: Path, n_bytes: int) -> None:
    """Raises OutputError if the disk has not so much room and some to spare."""
    free = free_bytes(out)
    if n_bytes + SPARE_BYTES > free:
        raise OutputError(
            f"the run will write about {n_bytes / 2**30:.1f} GiB, the disk has {free / 2**30:.1f} GiB left",
            where=out,
            remedy="free space, write elsewhere, or leave out --maps and --study-pages",
        )


def free_bytes(folder: Path) -> int:
    """Of the disk on which a folder lies, or will lie."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def written_bytes(folders: Iterable[Path]) -> int:
    """Of all files in some folders; what another part of the run takes away meanwhile does not count."""
    n_bytes = 0
    for folder in folders:
        for above, _, names in os.walk(folder):
            for name in names:
                with suppress(FileNotFoundError):
                    n_bytes += (Path(above) / name).stat().st_size
    return n_bytes


@contextmanager
def clear_when_full(out: Path) -> Iterator[None]:
    """A full disk, whoever meets it, as an error that says how to go on."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise disk_is_full(out) from error
        raise


@contextmanager
def ignored_when_full() -> Iterator[None]:
    """What could not be written because the disk is full is let go."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise


def disk_is_full(out: Path) -> OutputError:
    """The error of a full disk."""
    return OutputError("the disk is full", where=out, remedy="free space, and run again to go on")
