"""What was written is forced to the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_HAS_FOLDER_DESCRIPTORS = hasattr(os, "O_DIRECTORY")  # not on Windows
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}


def sync(descriptor: int) -> None:
    """Forces a file, or the entries of a folder, to the disk; where a file system cannot, it has said so."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def sync_path(path: Path) -> None:
    """Forces a file or folder to the disk; Windows opens no folder, and forces no file that was opened to be read."""
    if _HAS_FOLDER_DESCRIPTORS:
        flags = os.O_RDONLY
    elif path.is_dir():
        return
    else:
        flags = os.O_RDWR
    descriptor = os.open(path, flags)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
