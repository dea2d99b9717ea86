"""Locks of files: the one place that knows how each system takes them.

POSIX has `flock`, of a whole file, shared or exclusive. Windows has locks of bytes, exclusive alone
(`msvcrt.locking`, which reaches beyond a file's end): there an exclusive lock takes all bytes of a span, and a shared one
any single byte of it. Both are of the open file, both end when it is closed or its process dies. A lock tells processes
from each other that ask for it; on Windows, nobody else can write the locked bytes either, so a lock's file stays empty.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from gsigpu.errors import OutputError

_POSIX: Any = import_module("fcntl") if find_spec("fcntl") else None
_TAKEN = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
# A file system that has no locks (Lustre without -o flock, some network mounts).
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
# Limits, each with its reason.
_SPAN = (
    2**30
)  # bytes, of the 2**31 that a call can name: two shared locks meet once in a thousand million
_TRIES = 4  # at a byte that another shared lock may have
_LOOK_S = 0.05  # between two tries where the system cannot wait
# A pipe would be waited for without it, and with it is refused where nobody reads it; Windows has none in folders.
_NOT_WAITING = getattr(os, "O_NONBLOCK", 0)


class Taken(Exception):
    """Another process has the lock."""


class NoLocks(Exception):
    """The file system has no locks."""


def open_lock(path: Path) -> IO[str]:
    """The file of a lock, made where there is none. Raises OutputError."""
    try:
        return os.fdopen(
            os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NOT_WAITING, 0o666), "a"
        )
    except OSError as error:
        raise OutputError(
            f"cannot be opened as a lock ({error.strerror})",
            where=path,
            remedy="remove it, or write elsewhere",
        ) from error


def read_at_once(path: Path) -> str:
    """The text of a file, and none of a pipe, which would be waited for."""
    with os.fdopen(os.open(path, os.O_RDONLY | _NOT_WAITING), encoding="utf-8") as file:
        return file.read()


def take(file: IO[Any], *, shared: bool = False) -> None:
    """Locks an open file until it is closed. Raises Taken, NoLocks, OSError."""
    with _told():
        if _POSIX is not None:
            how = _POSIX.LOCK_SH if shared else _POSIX.LOCK_EX
            _POSIX.flock(file.fileno(), how | _POSIX.LOCK_NB)
        else:
            _take_bytes(file.fileno(), shared=shared)


def wait_for(file: IO[Any]) -> None:
    """Locks an open file for this process alone, whenever that may be. Raises NoLocks, OSError."""
    while _POSIX is None:
        with suppress(Taken):
            take(file)
            return
        time.sleep(_LOOK_S)
    with _told():
        _POSIX.flock(file.fileno(), _POSIX.LOCK_EX)


@contextmanager
def _told() -> Iterator[None]:
    """What the system's answers mean."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise NoLocks from error
        if error.errno in _TAKEN:
            raise Taken from error
        raise


def _take_bytes(descriptor: int, *, shared: bool) -> None:
    windows: Any = import_module("msvcrt")
    for attempt in range(_TRIES if shared else 1):
        os.lseek(descriptor, secrets.randbelow(_SPAN) if shared else 0, os.SEEK_SET)
        try:
            windows.locking(descriptor, windows.LK_NBLCK, 1 if shared else _SPAN)
        except OSError as error:
            if error.errno not in _TAKEN or attempt == _TRIES - 1 or not shared:
                raise
        else:
            return
