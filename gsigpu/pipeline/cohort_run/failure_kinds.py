"""Why something failed: the input is wrong, the trouble may pass, or the program is at fault."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from gsigpu.errors import FileChanged, GsigpuError

INPUT, PASSING, PROGRAM = "input", "passing", "program"
# Errors of a disk, a network mount or a crowded machine, which may be over a minute later.
_PASSING_ERRNOS = {
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ENODEV,
    errno.ENXIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENETDOWN, errno.ENETUNREACH,
    errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ENOTCONN, errno.ESHUTDOWN,
    errno.EHOSTDOWN, errno.EHOSTUNREACH,
    *(getattr(errno, name) for name in ("EREMOTEIO", "ECOMM") if hasattr(errno, name)),  # Linux
}  # fmt: skip
_UNKNOWN = os.strerror(0x7FFFFFFF).partition(" 2147483647")[
    0
]  # says nothing: Windows, of sockets' errors
_PASSING_WORDS = {
    words for words in map(os.strerror, sorted(_PASSING_ERRNOS)) if not words.startswith(_UNKNOWN)
}
_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT}


def kind_of(error: BaseException) -> str:
    """`input`, `passing` or `program`.

    What the error was raised from counts: a slice that the disk would not give is a passing trouble,
    whatever the reader made of it. So is a file that another program writes to just now.

    >>> kind_of(OSError(errno.EIO, "Input/output error")), kind_of(ZeroDivisionError())
    ('passing', 'program')
    """
    for link in _chain(error):
        if isinstance(link, MemoryError | FileChanged):
            return PASSING
        if isinstance(link, OSError) and link.errno in _PASSING_ERRNOS:
            return PASSING
    if isinstance(error, GsigpuError | OSError):
        return INPUT
    return PROGRAM


def is_disk_full(error: BaseException) -> bool:
    """Whether a disk or a quota is full, which no other row will fare better with."""
    return any(isinstance(link, OSError) and link.errno in _FULL_ERRNOS for link in _chain(error))


def is_passing_reason(text: str) -> bool:
    """Whether a text that was made of an error of the system names one that may pass.

    >>> is_passing_reason("cannot be read (Input/output error)")
    True
    """
    return any(words in text for words in _PASSING_WORDS)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
