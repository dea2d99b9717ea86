"""What an archive may be: its names, its size, and the errors where it is otherwise.

No file of an archive is ever written under its name, so that a name cannot lead out of a folder. What must be inflated
as a whole goes into memory or into a temporary file without a name, which the system removes when the process ends,
however it ends.
"""

from __future__ import annotations

import lzma
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from tarfile import TarError
from typing import IO
from zipfile import BadZipFile

from gsigpu.errors import InputError, OutputError, PixelDataError

ZIP_SUFFIXES = (".zip",)
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ARCHIVE_SUFFIXES = (*ZIP_SUFFIXES, *TAR_SUFFIXES)

# Limits, each with its reason.
MOST_BYTES = 64 * 2**30  # unpacked: two phases of 11 energies and 2,000 slices have 23 GB
MOST_FILES = 500_000  # an index of them is held in memory; that study has 44,000
IN_MEMORY_BYTES = 64 * 2**20  # of a file that is inflated for one reading: a slice has 0.5 MB
SPARE_DISK_BYTES = 2**30  # left free where something is unpacked into a temporary file
PIECE_BYTES = 2**20

_UNPACK = "unpack it and name the folder"
# What zipfile, tarfile and the codecs raise on damage; each has its own.
DAMAGE = (BadZipFile, TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


def is_archive_name(name: str) -> bool:
    """Whether a file is called like an archive that can be read.

    >>> is_archive_name("P001.ZIP"), is_archive_name("a.tar.gz"), is_archive_name("mask.nii.gz")
    (True, True, False)
    """
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def archive_stem(path: Path) -> str:
    """The name of an archive without what says that it is one.

    >>> archive_stem(Path("in/P001.tar.gz")), archive_stem(Path("in/P001"))
    ('P001', 'P001')
    """
    suffix = next((s for s in ARCHIVE_SUFFIXES if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)] or path.name


def member_name(name: str) -> str:
    r"""The place of a file in an archive; steps upwards and roots are left out.

    >>> member_name("./DICOM/IM1"), member_name("/DICOM\\IM1"), member_name("../../etc/passwd")
    ('DICOM/IM1', 'DICOM/IM1', 'etc/passwd')
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return "/".join(part for part in parts if part not in ("/", "..", "//"))


class Index:
    """The files of an archive and their sizes, while they are listed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._n_bytes = 0
        self.sizes: dict[str, int] = {}

    def add(self, name: str, size: int) -> str:
        """Takes a file up. Returns its place.

        Raises InputError where the archive is too large, or holds a name twice.
        """
        place = member_name(name)
        if place in self.sizes:
            raise unreadable_archive(self._path, "holds two files of one name")
        self.sizes[place] = size
        self._n_bytes += size
        if self._n_bytes > MOST_BYTES or len(self.sizes) > MOST_FILES:
            raise too_large(self._path)
        return place


def too_large(path: Path) -> InputError:
    """Of an archive that unpacks to more than a study can have."""
    return InputError(
        f"unpacks to more than {MOST_BYTES // 2**30} GiB or {MOST_FILES:,} files", where=path,
        remedy=_UNPACK,
    )  # fmt: skip


def damaged_archive(path: Path, error: BaseException) -> InputError:
    """Of an archive whose list of files, or whose stream, is broken."""
    return InputError(
        f"is damaged, cut off or no archive ({_words(error)})",
        where=path,
        remedy="export or transfer it again",
    )


def damaged_member(path: Path, error: BaseException) -> PixelDataError:
    """Of a file in an archive that cannot be inflated, or whose checksum is another."""
    # What zipfile says repeats the file's name, which may be a person's, outside of `where`.
    words = "its checksum or its head is wrong" if isinstance(error, BadZipFile) else _words(error)
    return PixelDataError(
        f"is damaged in its archive ({words})",
        where=path,
        remedy="export or transfer the archive again",
    )


def unreadable_archive(path: Path, why: str, remedy: str = _UNPACK) -> InputError:
    """Of an archive that holds something which cannot be read as it is; without names, which may be persons'."""
    return InputError(why, where=path, remedy=remedy)


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def without_a_name(pieces: Iterable[bytes], path: Path) -> IO[bytes]:
    """The pieces in a temporary file that has no name.

    path : of the archive, for errors
    Raises InputError if they are more than an archive may hold, OutputError if the disk for temporary files is full.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by whoever keeps it
    try:
        for piece in _within_limits(pieces, path):
            file.write(piece)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _within_limits(pieces: Iterable[bytes], path: Path) -> Iterator[bytes]:
    n_bytes = 0
    for number, piece in enumerate(pieces):
        n_bytes += len(piece)
        if n_bytes > MOST_BYTES:
            raise too_large(path)
        if number % 64 == 0 and shutil.disk_usage(tempfile.gettempdir()).free < SPARE_DISK_BYTES:
            raise OutputError(
                f"no room to inflate {path.name}",
                where=tempfile.gettempdir(),
                remedy="free space, or set TMPDIR to a larger disk",
            )
        yield piece


def pieces_of(file: IO[bytes]) -> Iterator[bytes]:
    """What is left of a file, piece by piece."""
    while piece := file.read(PIECE_BYTES):
        yield piece
