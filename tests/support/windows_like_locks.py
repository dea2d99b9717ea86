"""A stand-in for `msvcrt`, of which locks are used: made of Linux's locks of bytes that belong to an open file."""

import errno
import fcntl
import os
import struct
from types import SimpleNamespace

_NOT_WAITING = 2  # LK_NBLCK of <sys/locking.h>


def locking(descriptor, mode, n_bytes):
    """Locks bytes from the position on, also beyond the end; never waits. Raises PermissionError where they are taken."""
    assert mode == _NOT_WAITING
    begin = os.lseek(descriptor, 0, os.SEEK_CUR)
    lock = struct.pack("hhqqhxxxxxx", fcntl.F_WRLCK, os.SEEK_SET, begin, n_bytes, 0)  # struct flock
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
    except BlockingIOError as error:
        raise PermissionError(errno.EACCES, "Permission denied") from error


MSVCRT = SimpleNamespace(LK_NBLCK=_NOT_WAITING, locking=locking)
