"""Output that is whole or not there: written beside its place, and renamed when complete."""

from __future__ import annotations

import errno
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gsigpu.errors import OutputError

_SPARE_BYTES = 16 * 2**20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ONLY_WRITING_FAILS_SO = {*_FULL, errno.EROFS}


@contextmanager
def staged_folder(
    final: Path,
    *,
    overwrite: bool = False,
    mark: str = "",
    n_bytes: int = 0,
    protected: Iterable[Path] = (),
) -> Iterator[Path]:
    """A temporary folder beside `final` that takes its place when the block ends well.

    overwrite : replace what is there, once the new is complete; otherwise an existing file or
        non-empty folder is refused before anything is done
    mark : a file that every folder of this kind holds; a folder without it is never replaced, since the
        name of a folder is easily mistaken
    n_bytes : what will be written; refused at once if the disk has not that much room
    protected : files and folders (the input) that `overwrite` must not take away with `final`; the
        current and the home folder are always among them
    After an exception nothing is left behind, and what was there is untouched.

    Raises OutputError if the place is taken, or cannot be written to, or the disk is or gets full.
    """
    final = final.absolute()
    _require_place(final, overwrite=overwrite)
    if overwrite:
        _require_replaceable(final, [*protected, Path.cwd(), Path.home()])
        _require_mark(final, mark)
    staged = final.with_name(f".{final.name}.partial-{secrets.token_hex(4)}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _require_room(final.parent, n_bytes)
        staged.mkdir()
    except OSError as error:
        raise _cannot_write(final, error) from error
    try:
        yield staged
        _move_into_place(staged, final)
    except OSError as error:
        if error.errno in _ONLY_WRITING_FAILS_SO or _is_in(staged, error):
            raise _cannot_write(final, error) from error
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def staged_files(finals: Sequence[Path], *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder whose files take their places, in the order of `finals`, when the block ends well.

    finals : files of one folder; those that the block did not write are left out
    overwrite : replace what is there; otherwise an existing file is refused before anything is done
    After an exception nothing is left behind, and what was there is untouched. Name the file that others
    look for last: where it is new, all are.

    Raises OutputError as `staged_folder` does.
    """
    finals = [path.absolute() for path in finals]
    require_free(finals, overwrite=overwrite)
    last = finals[-1]
    staged = last.with_name(f".{last.name}.partial-{secrets.token_hex(4)}")
    try:
        last.parent.mkdir(parents=True, exist_ok=True)
        _require_room(last.parent, 0)
        staged.mkdir()
    except OSError as error:
        raise _cannot_write(last, error) from error
    try:
        yield staged
        _move_all(staged, [path for path in finals if (staged / path.name).exists()])
    except OSError as error:
        if error.errno in _ONLY_WRITING_FAILS_SO or _is_in(staged, error):
            raise _cannot_write(last, error) from error
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def require_free(finals: Iterable[Path], *, overwrite: bool = False) -> None:
    """Raises OutputError if one of these files is there, and may not be replaced."""
    for path in finals:
        if path.is_dir() or (path.exists() and not overwrite):
            raise OutputError(
                "is there already", where=path, remedy="choose another output, or add --overwrite"
            )


def _move_all(staged: Path, finals: Sequence[Path]) -> None:
    """Moves files into their places; all of them, or none."""
    old = staged / "old"
    old.mkdir()
    begun: list[Path] = []
    try:
        for path in finals:
            begun.append(path)
            if path.exists():
                path.replace(old / path.name)
            (staged / path.name).replace(path)
    except BaseException:
        for path in reversed(begun):
            if not (staged / path.name).exists():
                path.unlink(missing_ok=True)
            if (old / path.name).exists():
                (old / path.name).replace(path)
        raise


def _require_place(final: Path, *, overwrite: bool) -> None:
    if overwrite or not (final.exists() or final.is_symlink()):
        return
    if final.is_dir() and not any(final.iterdir()):
        return
    raise OutputError(
        "is there already", where=final, remedy="choose another output, or add --overwrite"
    )


def _require_replaceable(final: Path, protected: Iterable[Path]) -> None:
    for path in protected:
        if path.resolve().is_relative_to(final.resolve()):
            raise OutputError(
                f"cannot be overwritten: {path} is in it",
                where=final,
                remedy="choose another output",
            )


def _require_mark(final: Path, mark: str) -> None:
    is_empty = final.is_dir() and not any(final.iterdir())
    if mark and final.exists() and not is_empty and not (final / mark).is_file():
        raise OutputError(
            f"holds no {mark}, so it is none of the outputs that --overwrite replaces",
            where=final,
            remedy="choose another output",
        )


def _require_room(folder: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    needed = n_bytes + _SPARE_BYTES
    if needed > free:
        raise OutputError(
            f"needs {needed / 2**20:.0f} MiB, the disk has {free / 2**20:.0f} MiB left",
            where=folder,
            remedy="free space, or write elsewhere",
        )


def _move_into_place(staged: Path, final: Path) -> None:
    if not (final.exists() or final.is_symlink()):
        staged.rename(final)
        return
    old = final.with_name(f".{final.name}.old-{secrets.token_hex(4)}")
    final.rename(old)
    try:
        staged.rename(final)
    except BaseException:  # Ctrl-C may strike between the two
        if not final.exists():
            old.rename(final)
        raise
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink()


def _is_in(staged: Path, error: OSError) -> bool:
    """Whether the error is about a file of the output, and not of the input."""
    names = [name for name in (error.filename, error.filename2) if isinstance(name, str | Path)]
    return any(Path(name).is_relative_to(staged) for name in names)


def _cannot_write(final: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot be written ({error.strerror})",
        where=final,
        remedy="free space, or write elsewhere"
        if error.errno in _FULL
        else "write where you may create files",
    )
