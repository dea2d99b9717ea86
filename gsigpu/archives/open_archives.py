"""Paths that lead into an archive, `P001.zip/DICOM/IM1`, as if it were a folder.

    files_in(Path("P001.zip"))                    the files of an archive, or of a folder of it
    open_member(Path("P001.zip/DICOM/IM1"))       a file of it, open

Archives are kept open, a few at a time, as long as they are the same file.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path

from gsigpu.archives.archive_rules import ARCHIVE_SUFFIXES, ZIP_SUFFIXES, is_archive_name
from gsigpu.archives.member_file import MemberFile, MemberStatus
from gsigpu.archives.tar_archive import TarArchive
from gsigpu.archives.zip_archive import ZipArchive
from gsigpu.errors import InputError

_KEPT = 4  # a compressed tar holds its inflated copy as long as it is open
_STATE = tuple[int, int, int]
_open: OrderedDict[tuple[int, Path], tuple[_STATE, ZipArchive | TarArchive]] = OrderedDict()
_lock = threading.RLock()


def split_at_archive(path: Path | str) -> tuple[Path, str] | None:
    """The archive that a path names or leads into, and the place in it; None for a path of the file system.

    The place of the archive itself is "".
    """
    name = os.fspath(path)
    lowered = name.lower()
    if not any(suffix in lowered for suffix in ARCHIVE_SUFFIXES):
        return None
    path = Path(path)
    for archive in (*reversed(path.parents), path):
        if is_archive_name(archive.name) and archive.is_file():
            return archive, path.relative_to(archive).as_posix().removeprefix(".")
    return None


def is_in_archive(path: Path | str) -> bool:
    """Whether a path leads into an archive; that of an archive itself is a plain file."""
    parts = split_at_archive(path)
    return parts is not None and parts[1] != ""


def files_in(path: Path) -> list[str]:
    """The files of an archive, or of a folder in it, as paths that lead into it.

    Raises InputError where the archive has no such folder, is damaged, encrypted, or too large.
    """
    archive_path, place = _split(path)
    names = _archive(archive_path).sizes
    inner = [name for name in names if not place or name == place or name.startswith(f"{place}/")]
    if place and not inner:
        raise InputError("is not in its archive", where=path, remedy="name a folder that is in it")
    return [f"{archive_path}/{name}" for name in inner]


def open_member(path: Path, *, proven: bool) -> MemberFile:
    """A file in an archive, open.

    proven : only once its length and checksum are known to be right; else its head is there at once
    Raises InputError as `files_in`, PixelDataError where the file is damaged.
    """
    archive_path, place = _split(path)
    archive = _archive(archive_path)
    _require(archive, path, place)
    return archive.proven(place) if proven else archive.stream(place)


def member_status(path: Path) -> MemberStatus:
    """What tells whether a file in an archive is still the same. Raises InputError as `files_in`."""
    archive_path, place = _split(path)
    archive = _archive(archive_path)
    _require(archive, path, place)
    return archive.status(place)


def _require(archive: ZipArchive | TarArchive, path: Path, place: str) -> None:
    if place not in archive.sizes:
        raise InputError("is no file in its archive", where=path, remedy="check the path")


def _split(path: Path) -> tuple[Path, str]:
    parts = split_at_archive(path)
    if parts is None:
        raise InputError("is in no archive", where=path, remedy="check the path")
    return parts


def _archive(path: Path) -> ZipArchive | TarArchive:
    """The archive as it is now."""
    key = os.getpid(), path  # a forked process must not share the place in an open file
    status = os.stat(path)  # noqa: PTH116  # for every file that is read
    state = status.st_size, status.st_mtime_ns, status.st_ino
    with _lock:
        known = _open.get(key)
        if known is None or known[0] != state:
            known = _open[key] = _opened(path)
        _open.move_to_end(key)
        while len(_open) > _KEPT:
            _open.popitem(last=False)
        return known[1]


def _opened(path: Path) -> tuple[_STATE, ZipArchive | TarArchive]:
    file = path.open("rb")
    try:
        status = os.fstat(file.fileno())
        kind = ZipArchive if path.name.lower().endswith(ZIP_SUFFIXES) else TarArchive
        state = status.st_size, status.st_mtime_ns, status.st_ino
    except OSError:
        file.close()
        raise
    return state, kind(path, file, status.st_mtime_ns, status.st_ino)
