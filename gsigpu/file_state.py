"""What is remembered of a file between two readings, and the check that it still holds.

Whoever reads a file twice, or keeps an offset, a hash or a header of it for later, keeps its
`FileState` too, taken while the file was open (or before it is opened by a library), and checks it
when the file is opened again. A file that was changed meanwhile is an error that names it; nothing
read of it before may be used with what is read now.

    state = FileState.of(file)               when the header, the hash, the offset is taken
    with open_unchanged(path, state) as f:   when the file is opened again: one `fstat`
    with unchanged(path, mask_path):         around readers that open by name, once or several times
    state.check(path)                        behind a reader that opened by name

Size, time of the last change and inode are compared: writing into a file changes its time, and
putting another in its place changes its inode. Undetected is only what keeps all three, as a program
does that writes in place, to the same length, and sets the old time again.

A path may lead into an archive (gsigpu.archives); its file has the size of its own, and the archive's time and inode.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO, cast

from gsigpu.archives.member_file import MemberFile
from gsigpu.archives.open_archives import is_in_archive, member_status, open_member
from gsigpu.errors import FileChanged


@dataclass(frozen=True, slots=True)
class FileState:
    """Size, time of the last change, and inode of a file at some time."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, file: BinaryIO | FileIO | Path) -> FileState:
        """The state of an open file (one `fstat`) or of the file at a path (links followed).

        Raises OSError as `os.stat` does.
        """
        if isinstance(file, MemberFile):
            return cls(*file.status)
        if isinstance(file, Path) and is_in_archive(file):
            return cls(*member_status(file))
        status = os.stat(file) if isinstance(file, Path) else os.fstat(file.fileno())  # noqa: PTH116  one branch for both
        return cls(size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino)

    def check(self, path: Path, file: BinaryIO | FileIO | None = None) -> None:
        """Raise FileChanged unless the file is still in this state.

        path : named in the error
        file : the same, open; without it the path is asked
        """
        if FileState.of(path if file is None else file) != self:
            raise FileChanged(
                "was changed after it was first read",
                where=path,
                remedy="run the command again when no other program writes to this folder",
            )


def open_input(path: Path | str) -> FileIO:
    """A file of the file system or of an archive, open for reading without a buffer.

    What comes of an archive is proved only when all of it was read: enough to look at a header.
    Raises OSError, InputError for an archive that cannot be read, PixelDataError for a damaged file in it.
    """
    if is_in_archive(path):
        return _as_file(open_member(Path(path), proven=False))
    return open(path, "rb", buffering=0)  # noqa: PTH123  faster than a Path's


def _as_file(member: MemberFile) -> FileIO:
    """It reads and seeks like one; only a descriptor it has not."""
    return cast("FileIO", member)


@contextmanager
def open_unchanged(path: Path, state: FileState | None) -> Iterator[FileIO]:
    """The file at `path`, open for reading without a buffer, in the state in which it was read before.

    state : None where nothing is remembered of the file, and nothing to be checked
    Raises FileChanged if it is in another, OSError if it cannot be opened, PixelDataError for a file of an archive whose
    checksum is wrong.
    """
    in_archive = is_in_archive(path)
    with (
        _as_file(open_member(path, proven=True)) if in_archive else path.open("rb", buffering=0)
    ) as file:
        if state is not None:
            state.check(path, file)
        yield file


@contextmanager
def unchanged(*paths: Path) -> Iterator[None]:
    """While the files at `paths` are read by name, as often as need be.

    Raises FileChanged at the end if one of them was changed meanwhile; what was read is then void.
    """
    states = [FileState.of(path) for path in paths]
    yield
    for path, state in zip(paths, states, strict=True):
        state.check(path)
