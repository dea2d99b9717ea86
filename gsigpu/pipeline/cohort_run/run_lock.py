"""One run at a time in a folder: by a lock of the file system, or by a file where it has none."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

from gsigpu.errors import OutputError
from gsigpu.output.file_lock import NoLocks, Taken, open_lock, read_at_once, take, wait_for

_LOCK_FILE, _OWNER_FILE, _RECORD_LOCK = ".lock", ".lock-owner", ".lock-record"


@contextmanager
def locked(out: Path, shard: str = "") -> Iterator[list[str]]:
    """The folder, for this run alone; yields warnings.

    shard : `i-of-n`; shards of one run work side by side, and none beside a whole run
    Raises OutputError if another run is at work on it.
    """
    with open_lock(out / _LOCK_FILE) as whole:
        try:
            _take(whole, out, shared=bool(shard))
        except NoLocks:
            with _owned(out, shard):
                told = (
                    f"{out}: its file system has no locks (flock), so {_OWNER_FILE} says which run is at work;"
                    " never start two runs at the same moment"
                )
                yield [told]
            return
        if not shard:
            yield []
            return
        with open_lock(out / f"{_LOCK_FILE}-{shard}") as part:
            _take(part, out)
            yield []


@contextmanager
def record_locked(out: Path) -> Iterator[None]:
    """The record for this process alone, for the moment of reading and writing it: shards begin side by side."""
    with open_lock(out / _RECORD_LOCK) as lock:
        # Where a file system has no locks, the folder's owner file keeps whole runs apart.
        with suppress(NoLocks, OSError):
            wait_for(lock)
        yield


def _take(file: IO[str], out: Path, *, shared: bool = False) -> None:
    """Takes a lock. Raises NoLocks, OutputError."""
    try:
        take(file, shared=shared)
    except Taken as error:
        raise OutputError(
            "another run is at work on it",
            where=out,
            remedy=f"wait for it: gsigpu cohort status {out}",
        ) from error
    except OSError as error:
        raise OutputError(
            f"cannot be locked ({error.strerror})", where=out, remedy="write elsewhere"
        ) from error


@contextmanager
def _owned(out: Path, shard: str) -> Iterator[None]:
    """A file that only one process can make; one whose process is dead on this machine is taken over."""
    path = out / (f"{_OWNER_FILE}-{shard}" if shard else _OWNER_FILE)
    content = json.dumps({"host": socket.gethostname(), "process": os.getpid()})
    others = [path, *([out / _OWNER_FILE] if shard else out.glob(f"{_OWNER_FILE}-*"))]
    for other in others:
        _require_dead(other, out)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError as error:
        raise OutputError(
            "another run is at work on it",
            where=out,
            remedy=f"wait for it: gsigpu cohort status {out}",
        ) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _require_dead(path: Path, out: Path) -> None:
    """Removes the file of a run that is no more. Raises OutputError if it may be at work."""
    try:
        owner = json.loads(read_at_once(path))
        host, process = str(owner["host"]), int(owner["process"])
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError):
        host, process = "", 0
    if host == socket.gethostname() and not psutil.pid_exists(process):
        # By renaming, so that of two runs that come at once only one takes it away.
        aside = path.with_name(f".partial-{secrets.token_hex(4)}.{path.name}")
        try:
            path.rename(aside)
            aside.unlink()
        except FileNotFoundError:
            pass
        return
    raise OutputError(
        f"a run on {host or 'another machine'} (process {process or 'unknown'}) is at work on it, or was killed",
        where=out,
        remedy=f"wait for it; if it is no more, remove it: rm {path}",
    )
