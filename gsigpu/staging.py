"""Output that is whole or not there: written beside its place, and renamed when complete."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gsigpu.errors import OutputError

_SPARE_BYTES = 16 * 2**20


@contextmanager
def staged_folder(final: Path, *, overwrite: bool = False, n_bytes: int = 0) -> Iterator[Path]:
    """A temporary folder beside `final` that takes its place when the block ends well.

    overwrite : replace what is there, once the new is complete; otherwise an existing file or
        non-empty folder is refused before anything is done
    n_bytes : what will be written; refused at once if the disk has not that much room
    After an exception nothing is left behind, and what was there is untouched.

    Raises OutputError if the place is taken, or cannot be written to, or the disk is or gets full.
    """
    final = final.absolute()
    _require_place(final, overwrite=overwrite)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _require_room(final.parent, n_bytes)
        staged = Path(tempfile.mkdtemp(prefix=f".{final.name}.partial-", dir=final.parent))
    except OSError as error:
        raise _cannot_write(final, error) from error
    try:
        staged.chmod(0o777 & ~_umask())
        yield staged
        _move_into_place(staged, final)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise _cannot_write(final, error) from error
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _require_place(final: Path, *, overwrite: bool) -> None:
    if overwrite or not (final.exists() or final.is_symlink()):
        return
    if final.is_dir() and not any(final.iterdir()):
        return
    raise OutputError(
        "is there already", where=final, remedy="choose another output, or add --overwrite"
    )


def _require_room(folder: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if n_bytes + _SPARE_BYTES > free:
        raise OutputError(
            f"needs {n_bytes / 2**20:.0f} MiB, the disk has {free / 2**20:.0f} MiB left",
            where=folder,
            remedy="free space, or write elsewhere",
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _move_into_place(staged: Path, final: Path) -> None:
    if final.is_symlink() or final.is_file():
        final.unlink()
    if final.is_dir():
        old = Path(tempfile.mkdtemp(prefix=f".{final.name}.old-", dir=final.parent))
        final.rename(old / "content")
        staged.rename(final)
        shutil.rmtree(old, ignore_errors=True)
    else:
        staged.rename(final)


def _cannot_write(final: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot be written ({error.strerror})",
        where=final,
        remedy="free space, or write elsewhere",
    )
