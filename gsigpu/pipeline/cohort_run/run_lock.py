"""One run at a time in a folder: by a lock of the file system, or by a file where it has none."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil

from gsigpu.errors import OutputError

_LOCK_FILE, _OWNER_FILE = ".lock", ".lock-owner"
_TAKEN = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
# A file system that has no locks (Lustre without -o flock, some network mounts).
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


@contextmanager
def locked(out: Path, shard: str = "") -> Iterator[list[str]]:
    """The folder, for this run alone; yields warnings.

    shard : `i-of-n`; shards of one run work side by side, and none beside a whole run
    Raises OutputError if another run is at work on it.
    """
    with _lock_file(out, _LOCK_FILE) as whole:
        if not _flock(whole.fileno(), fcntl.LOCK_SH if shard else fcntl.LOCK_EX, out):
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
        with _lock_file(out, f"{_LOCK_FILE}-{shard}") as part:
            _flock(part.fileno(), fcntl.LOCK_EX, out)
            yield []


def _lock_file(out: Path, name: str) -> IO[str]:
    try:
        # A pipe would be waited for without O_NONBLOCK, and with it is refused where nobody reads it.
        return os.fdopen(
            os.open(out / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666), "a"
        )
    except OSError as error:
        raise OutputError(
            f"cannot be opened as a lock ({error.strerror})",
            where=out / name,
            remedy="remove it, or write elsewhere",
        ) from error


def _flock(descriptor: int, how: int, out: Path) -> bool:
    """Takes a lock; False where the file system has none."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        if error.errno not in _TAKEN:
            raise OutputError(
                f"cannot be locked ({error.strerror})", where=out, remedy="write elsewhere"
            ) from error
        raise OutputError(
            "another run is at work on it",
            where=out,
            remedy=f"wait for it: gsigpu cohort status {out}",
        ) from error
    return True


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


def _text(path: Path) -> str:
    """Of a file, and none of a pipe, which would be waited for."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as file:
        return file.read()


def _require_dead(path: Path, out: Path) -> None:
    """Removes the file of a run that is no more. Raises OutputError if it may be at work."""
    try:
        owner = json.loads(_text(path))
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
