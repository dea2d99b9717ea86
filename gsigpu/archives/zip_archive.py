"""A zip archive: each file is inflated for itself, and its checksum proved."""

from __future__ import annotations

import threading
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from typing import IO
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile, ZipInfo

from gsigpu.archives.archive_rules import (
    DAMAGE,
    IN_MEMORY_BYTES,
    Index,
    damaged_archive,
    damaged_member,
    pieces_of,
    unreadable_archive,
    without_a_name,
)
from gsigpu.archives.member_file import (
    MemberFile,
    MemberStatus,
    MemberStream,
    MemberWindow,
    SharedFile,
)

_ENCRYPTED = 1  # bit of the general purpose flag (APPNOTE 4.4.4)
_METHODS = (ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA)
# Large files are kept inflated while other frames of them are read; a stack of eleven energies has eleven.
_KEPT_LARGE = 24


class ZipArchive:
    """The files of an open zip archive.

    sizes : place in the archive -> bytes
    """

    def __init__(self, path: Path, file: IO[bytes], mtime_ns: int, inode: int) -> None:
        """`file` : the archive, open; closed when nothing reads from it any more.

        Raises InputError for one that is damaged, encrypted or too large.
        """
        self._path, self._mtime_ns, self._inode = path, mtime_ns, inode
        self._file = SharedFile(file)
        self._large: OrderedDict[str, SharedFile] = OrderedDict()
        self._lock = threading.Lock()
        try:
            self._zip = ZipFile(file)
            infos = [info for info in self._zip.infolist() if not info.is_dir()]
        except (*DAMAGE, ValueError) as error:
            raise damaged_archive(path, error) from error
        index = Index(path)
        self._infos: dict[str, ZipInfo] = {}
        for info in infos:
            self._refuse(info)
            self._infos[index.add(info.filename, info.file_size)] = info
        self.sizes = index.sizes

    def _refuse(self, info: ZipInfo) -> None:
        if info.flag_bits & _ENCRYPTED:
            raise unreadable_archive(
                self._path, "is encrypted", "unpack it with its password and name the folder"
            )
        if info.compress_type not in _METHODS:
            why = f"holds files compressed by method {info.compress_type}, which nothing here reads"
            raise unreadable_archive(self._path, why)

    def stream(self, place: str) -> MemberFile:
        """A file as it is inflated; damage may show only when all of it was read."""
        where = self._path / place
        try:
            stream = self._zip.open(self._infos[place])
            return MemberStream(stream, self._file, where, self.status(place))
        except DAMAGE as error:
            raise damaged_member(where, error) from error

    def proven(self, place: str) -> MemberFile:
        """A file whose length and checksum were proved before a byte of it is given.

        Raises PixelDataError where they are wrong.
        """
        info = self._infos[place]
        try:
            if info.file_size <= IN_MEMORY_BYTES:
                with self._zip.open(info) as stream:
                    content = BytesIO(stream.read())
                self._require_length(place, len(content.getbuffer()))
                return MemberWindow(SharedFile(content), 0, self.status(place))
            with self._lock:
                return self._large_file(place, info)
        except DAMAGE as error:
            raise damaged_member(self._path / place, error) from error

    def _large_file(self, place: str, info: ZipInfo) -> MemberFile:
        known = self._large.get(place)
        if known is None:
            with self._zip.open(info) as stream:
                known = SharedFile(without_a_name(pieces_of(stream), self._path))
            self._require_length(place, known.file.seek(0, 2))
            self._large[place] = known
            if len(self._large) > _KEPT_LARGE:
                self._large.popitem(last=False)
        return MemberWindow(known, 0, self.status(place))

    def _require_length(self, place: str, n_bytes: int) -> None:
        if n_bytes != self.sizes[place]:
            raise EOFError(f"{n_bytes:,} of {self.sizes[place]:,} bytes")

    def status(self, place: str) -> MemberStatus:
        """Of a file."""
        return MemberStatus(self.sizes[place], self._mtime_ns, self._inode)
