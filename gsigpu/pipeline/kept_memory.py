"""Memory that a process frees and takes again, kept instead of given back to the system."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

# Planes that are looked at before a pass, as the images that are registered or shown to a program, are kept for it up to so
# much: two energies of two phases of 250 slices of 512 x 512. What is beyond is read again. A worker is counted with it (pool.py).
MOST_KEPT_BYTES = 2**29

# Of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def glibc() -> Any:
    """The C library where it is glibc, which others do not keep memory like; None elsewhere."""
    platform: str = sys.platform
    libc = ctypes.CDLL(None) if platform == "linux" else None
    return libc if hasattr(libc, "gnu_get_libc_version") else None


def keep_memory(n_bytes: int) -> None:
    """What an array gives back is kept for the next one, up to n_bytes in all, arrays of more than that excepted.

    By itself, glibc gives arrays of megabytes to the system with each that goes, takes new pages for the next, and
    the system sets these to zero.
    """
    if (libc := glibc()) is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, n_bytes)
        libc.mallopt(_M_TRIM_THRESHOLD, n_bytes)
