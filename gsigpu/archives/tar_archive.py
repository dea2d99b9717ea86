"""A tar archive: files lie in it as they are; a compressed one is inflated whole, its checksum proved, before use."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from gsigpu.archives.archive_rules import (
    DAMAGE,
    Index,
    damaged_archive,
    pieces_of,
    unreadable_archive,
    without_a_name,
)
from gsigpu.archives.member_file import MemberFile, MemberStatus, MemberWindow, SharedFile

_BLOCK = 512


class TarArchive:
    """The files of an open tar archive.

    sizes : place in the archive -> bytes
    A tar has a checksum of its headers and none of its files; gzip, bzip2 and xz have one of all.
    """

    def __init__(self, path: Path, file: IO[bytes], mtime_ns: int, inode: int) -> None:
        """`file` : the archive, open; closed when nothing reads from it any more.

        Raises InputError for one that is damaged or too large, OutputError where there is no room to inflate it.
        """
        self._path, self._mtime_ns, self._inode = path, mtime_ns, inode
        self._places: dict[str, int] = {}
        index = Index(path)
        try:
            self._file = SharedFile(_inflated(path, file))
            with tarfile.open(fileobj=self._file.file, mode="r:") as tar:
                for member in tar:
                    self._take(member, index)
                self._require_end(tar.offset)
        except (*DAMAGE, gzip.BadGzipFile, ValueError) as error:
            raise damaged_archive(path, error) from error
        self.sizes = index.sizes

    def _take(self, member: tarfile.TarInfo, index: Index) -> None:
        if member.isdir():
            return
        if not member.isreg() or member.issparse():
            kind = "links" if member.islnk() or member.issym() else "sparse or special files"
            raise unreadable_archive(self._path, f"holds {kind}")
        self._places[index.add(member.name, member.size)] = member.offset_data

    def _require_end(self, offset: int) -> None:
        """A tar that was cut off between two files lacks the empty blocks at its end."""
        self._file.file.seek(offset)
        if self._file.file.read(_BLOCK) != bytes(_BLOCK):
            raise EOFError("it lacks the empty blocks at its end")

    def stream(self, place: str) -> MemberFile:
        """A file; of a compressed archive proved already."""
        return MemberWindow(self._file, self._places[place], self.status(place))

    proven = stream

    def status(self, place: str) -> MemberStatus:
        """Of a file."""
        return MemberStatus(self.sizes[place], self._mtime_ns, self._inode)


def _inflated(path: Path, file: IO[bytes]) -> IO[bytes]:
    """The archive itself, or what it inflates to, told by its first bytes."""
    start = file.read(6)
    file.seek(0)
    openers: dict[bytes, Callable[[IO[bytes]], Any]] = {
        b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open,
    }  # fmt: skip
    for magic, opener in openers.items():
        if start.startswith(magic):
            with file, opener(file) as stream:
                return without_a_name(pieces_of(stream), path)
    return file
