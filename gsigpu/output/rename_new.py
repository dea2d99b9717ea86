"""Renaming that never replaces: what appeared at the place in the meantime makes it fail.

The system's own call is taken where it exists: `renameat2(RENAME_NOREPLACE)` on Linux,
`renamex_np(RENAME_EXCL)` on macOS, `os.rename` on Windows. File systems without it (NFS, some FUSE)
refuse the flag. Then the place is claimed by a call that fails on what exists: `os.link` for a file, `os.mkdir`
for a folder; `rename` of a folder onto an empty one is atomic, and fails where the claimed folder
is no longer empty.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

# <linux/fs.h>, <fcntl.h>; <sys/stdio.h> of macOS.
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCL = 4
# What a system or file system answers that does not know the flag, the call, or hard links.
_NOT_SUPPORTED = {
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EMLINK,
}
# What `rename` answers for a folder onto something that is no empty folder.
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR}


def rename_new(source: Path, target: Path) -> None:
    """Renames a file or folder to a name that does not exist yet, on the same file system.

    Raises FileExistsError, and changes nothing, if the name exists, be it as a dangling link.
    """
    if os.name == "nt":
        source.rename(target)
        return
    exclusive = _exclusive_rename()
    if exclusive is not None:
        number = exclusive(os.fsencode(source), os.fsencode(target))
        if number == 0:
            return
        if number not in _NOT_SUPPORTED:
            raise OSError(number, os.strerror(number), str(source), None, str(target))
    if source.is_dir() and not source.is_symlink():
        _claim_folder(source, target)
    else:
        _claim_file(source, target)


def rename_onto_empty(source: Path, target: Path) -> None:
    """Renames a folder onto one that is there and empty.

    Raises FileExistsError, and changes nothing, if it is no longer empty, or no folder.
    """
    if os.name == "nt":
        target.rmdir()
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in _TAKEN:
            raise _exists(source, target) from error
        raise


def _claim_folder(source: Path, target: Path) -> None:
    target.mkdir()
    try:
        rename_onto_empty(source, target)
    except FileExistsError:
        raise
    except OSError:
        target.rmdir()
        raise


def _claim_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        # No hard links here (FAT): an empty file claims the name, and is replaced.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        try:
            source.replace(target)
        except OSError:
            target.unlink(missing_ok=True)
            raise
    else:
        source.unlink()


def _exists(source: Path, target: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(source), None, str(target))


@lru_cache(maxsize=1)
def _exclusive_rename() -> Callable[[bytes, bytes], int] | None:
    """The C library's call, as (source, target) -> errno; None where there is none."""
    platform: str = sys.platform  # a type checker would call the other systems' lines unreachable
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if platform.startswith("linux"):
            renameat2 = library.renameat2
            renameat2.argtypes = [
                ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint,
            ]  # fmt: skip

            def on_linux(source: bytes, target: bytes) -> int:
                done = renameat2(_AT_FDCWD, source, _AT_FDCWD, target, _RENAME_NOREPLACE)
                return ctypes.get_errno() if done else 0

            return on_linux
        if platform == "darwin":
            renamex_np = library.renamex_np
            renamex_np.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint]

            def on_macos(source: bytes, target: bytes) -> int:
                done = renamex_np(source, target, _RENAME_EXCL)
                return ctypes.get_errno() if done else 0

            return on_macos
    except (OSError, AttributeError, TypeError):  # no such library, or an old one without the call
        return None
    return None
