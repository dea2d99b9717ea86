"""Output that is whole or not there: written beside its place, and renamed when complete.

Nothing is replaced but what was there when the run began, was written by the same command, and was to be
overwritten; see design/007-writing.md.
"""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gsigpu.errors import GsigpuWarning, OutputError
from gsigpu.output.leftovers import unfinished_name, warn_of_leftovers
from gsigpu.output.marks import why_not_replaceable, write_mark
from gsigpu.output.rename_new import rename_new, rename_onto_empty

# A margin over the estimate: directories, headers that are longer than thought, other programs.
_SPARE_BYTES = 16 * 2**20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ONLY_WRITING_FAILS_SO = {*_FULL, errno.EROFS}
_ANOTHER_OUTPUT = "choose another output"
_TAKEN = "choose another output, or add --overwrite"


@contextmanager
def staged_folder(
    final: Path,
    *,
    command: str = "",
    overwrite: bool = False,
    n_bytes: int = 0,
    protected: Iterable[Path] = (),
) -> Iterator[Path]:
    """A temporary folder beside `final` that takes its place when the block ends well.

    final : absent or empty; a link is kept, and the folder that it points to is written
    command : of gsigpu, that writes the folder: it is marked as such. Only a folder with the mark of the same
        command is replaced. "" for a folder inside a command's output, which needs no mark
    overwrite : replace what is there, once the new is complete
    n_bytes : what will be written; refused at once if the disk has not that much room
    protected : files and folders (the input) that must not be taken away with `final`; the
        current and the home folder are always among them
    After an exception nothing is left behind, and what was there is untouched. So is what appears at the place
    while the block runs: it makes the run fail at its end. What killed runs left beside `final` is warned of.

    Raises OutputError if the place is taken, or cannot be written to, or the disk is or gets full.
    """
    final, before = require_place(final, command=command, overwrite=overwrite, protected=protected)
    with _staged_beside(final, n_bytes) as staged:
        yield staged
        if command:
            write_mark(staged, command)
        _take_place(staged, final, before)


def require_place(
    final: Path, *, command: str = "", overwrite: bool = False, protected: Iterable[Path] = ()
) -> tuple[Path, _Occupant | None]:
    """The place itself, behind its links, and what is there; raises OutputError as `staged_folder` does."""
    final = _behind_links(final)
    before = _Occupant.at(final)
    if before is not None:
        if not (overwrite or before.is_empty_folder):
            raise OutputError("is there already", where=final, remedy=_TAKEN)
        _require_unprotected(final, [*protected, Path.cwd(), Path.home()])
        _require_mark(final, command)
    return final, before


def require_free_bytes(final: Path, needed: int) -> None:
    """Raises OutputError if the disk that a place lies on has not that much room. Writes nothing."""
    there = next(folder for folder in final.absolute().parents if folder.exists())
    _require_room(there, needed)


@contextmanager
def staged_files(
    finals: Sequence[Path],
    *,
    overwrite: bool = False,
    is_replaceable: Callable[[Path], bool] = lambda _path: True,
) -> Iterator[Path]:
    """A temporary folder whose files take their places, in the order of `finals`, when the block ends well.

    finals : files of one folder; those that the block did not write are left out
    overwrite : replace what is there; otherwise an existing file is refused before anything is done
    is_replaceable : whether a file that is there was written by the same command
    After an exception nothing is left behind, and what was there, or appeared meanwhile, is untouched. Name the
    file that others look for last: where it is new, all are.

    Raises OutputError as `staged_folder` does.
    """
    finals = [path.absolute() for path in finals]
    require_free(finals, overwrite=overwrite, is_replaceable=is_replaceable)
    before = {path: _Occupant.at(path) for path in finals}
    with _staged_beside(finals[-1], 0) as staged:
        yield staged
        _move_all(staged, {path: before[path] for path in finals if (staged / path.name).exists()})


def require_free(
    finals: Iterable[Path],
    *,
    overwrite: bool = False,
    is_replaceable: Callable[[Path], bool] = lambda _path: True,
) -> None:
    """Raises OutputError if one of these files is there, and may not be replaced."""
    for path in finals:
        if path.is_symlink():
            raise OutputError(
                "is a link", where=path, remedy=f"name the file it points to: {path.resolve()}"
            )
        if path.is_dir():
            raise OutputError("is a folder", where=path, remedy=_ANOTHER_OUTPUT)
        if not path.exists():
            continue
        if not overwrite:
            raise OutputError("is there already", where=path, remedy=_TAKEN)
        if not is_replaceable(path):
            raise OutputError(
                "was not written by this command, so --overwrite does not replace it",
                where=path,
                remedy=_ANOTHER_OUTPUT,
            )


@dataclass(frozen=True, slots=True)
class _Occupant:
    """What stands at a place: enough to know it again."""

    device: int
    inode: int
    modified_ns: int
    is_folder: bool
    is_empty_folder: bool

    @classmethod
    def at(cls, path: Path) -> _Occupant | None:
        """What is there; None for nothing."""
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _cannot_write(path, error) from error
        is_folder = path.is_dir() and not path.is_symlink()
        return cls(
            device=status.st_dev,
            inode=status.st_ino,
            modified_ns=status.st_mtime_ns,
            is_folder=is_folder,
            is_empty_folder=is_folder and not any(path.iterdir()),
        )

    def is_at(self, path: Path) -> bool:
        """Whether the same stands at `path`; a file also with the same content, by its time."""
        now = _Occupant.at(path)
        if now is None or (now.device, now.inode) != (self.device, self.inode):
            return False
        return self.is_folder or now.modified_ns == self.modified_ns


def _behind_links(final: Path) -> Path:
    """The place itself: where a link points to, and the links above it."""
    try:
        return final.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop, before Python 3.13
        raise OutputError(
            "is a link that leads nowhere", where=final, remedy=_ANOTHER_OUTPUT
        ) from error


@contextmanager
def _staged_beside(final: Path, n_bytes: int) -> Iterator[Path]:
    """A new folder beside `final`, gone at the end; the folders above it too, where they are new and empty."""
    staged = unfinished_name(final, "partial")
    new_parents: list[Path] = []
    try:
        try:
            new_parents = [folder for folder in final.parents if not folder.exists()]
            final.parent.mkdir(parents=True, exist_ok=True)
            warn_of_leftovers(final.parent)
            _require_room(final.parent, n_bytes)
            staged.mkdir()
        except OSError as error:
            raise _cannot_write(final, error) from error
        try:
            yield staged
        except OSError as error:
            if error.errno in _ONLY_WRITING_FAILS_SO or _is_in(staged, error):
                raise _cannot_write(final, error) from error
            raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        for folder in new_parents:
            with suppress(OSError):  # not empty: the output is in it
                folder.rmdir()


def _take_place(staged: Path, final: Path, before: _Occupant | None) -> None:
    """Moves a folder to its place, if there is what was there before."""
    try:
        if before is None:
            rename_new(staged, final)
        elif before.is_empty_folder:
            rename_onto_empty(staged, final)
        else:
            _replace_folder(staged, final, before)
    except FileExistsError as error:
        raise _appeared(final) from error


def _replace_folder(staged: Path, final: Path, before: _Occupant) -> None:
    old = unfinished_name(final, "old")
    try:
        _move_aside(final, old, before)
        rename_new(staged, final)
    except BaseException:  # Ctrl-C may strike between the two
        if old.exists():
            _put_back(old, final)
        raise
    if old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink(missing_ok=True)


def _move_all(staged: Path, finals: dict[Path, _Occupant | None]) -> None:
    """Moves files into their places; all of them, or none.

    finals : place -> what was there before
    """
    old = staged / "old"
    old.mkdir()
    begun: list[Path] = []
    try:
        for path, before in finals.items():
            begun.append(path)
            if before is not None:
                _move_aside(path, old / path.name, before)
            rename_new(staged / path.name, path)
    except BaseException as error:
        for path in reversed(begun):
            if not (staged / path.name).exists():
                path.unlink(missing_ok=True)
            if (old / path.name).exists():
                _put_back(old / path.name, path)
        if isinstance(error, FileExistsError):
            raise _appeared(begun[-1]) from error
        raise


def _move_aside(path: Path, old: Path, before: _Occupant) -> None:
    """Raises FileExistsError if this is not what was there before; then it is at `old`, to be put back."""
    try:
        path.rename(old)
    except FileNotFoundError:  # somebody removed it: the place is free
        return
    if not before.is_at(old):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _put_back(old: Path, final: Path) -> None:
    """What was there goes back; where the place is taken meanwhile, beside it, as the next run will tell."""
    try:
        rename_new(old, final)
    except FileExistsError:
        kept = unfinished_name(final, "old")
        rename_new(old, kept)
        warnings.warn(f"{final}: what was there before is now {kept}", GsigpuWarning, stacklevel=2)


def _appeared(final: Path) -> OutputError:
    return OutputError(
        "appeared or changed while this ran, and is left as it is",
        where=final,
        remedy=_ANOTHER_OUTPUT,
    )


def _require_unprotected(final: Path, protected: Iterable[Path]) -> None:
    for path in protected:
        if path.resolve().is_relative_to(final):
            raise OutputError(
                f"cannot be replaced: {path} is in it", where=final, remedy=_ANOTHER_OUTPUT
            )


def _require_mark(final: Path, command: str) -> None:
    if command and (why := why_not_replaceable(final, command)):
        raise OutputError(
            f"{why}, so --overwrite does not replace it", where=final, remedy=_ANOTHER_OUTPUT
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
