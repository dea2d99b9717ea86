"""A file in an archive as an open file."""

from __future__ import annotations

import os
import threading
import weakref
from io import RawIOBase
from pathlib import Path
from typing import IO, NamedTuple

from gsigpu.archives.archive_rules import DAMAGE, damaged_member


class MemberStatus(NamedTuple):
    """What tells whether a file in an archive is still the same: its size, and the archive's time and inode."""

    size: int
    mtime_ns: int
    inode: int


class SharedFile:
    """An open file that several readers share; it is closed when the last of them is gone."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.lock = file, threading.Lock()
        weakref.finalize(self, file.close)


class MemberFile(RawIOBase):
    """Reads of a file in an archive.

    status : of the file; it has no file descriptor that could be asked
    """

    def __init__(self, status: MemberStatus) -> None:
        super().__init__()
        self.status = status

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readall(self) -> bytes:
        """What is left, in one piece."""
        return self.read(max(self.status.size - self.tell(), 0)) or b""


class MemberWindow(MemberFile):
    """A stretch of an open file, which several windows may share."""

    def __init__(self, source: SharedFile, offset: int, status: MemberStatus) -> None:
        """`offset` : of the stretch in `source`."""
        super().__init__(status)
        self._source, self._offset, self._at = source, offset, 0

    def readinto(self, buffer: object) -> int:
        """As of a file."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # typeshed's Buffer is of 3.12
        n_bytes = max(min(len(view), self.status.size - self._at), 0)
        with self._source.lock:
            self._source.file.seek(self._offset + self._at)
            data = self._source.file.read(n_bytes)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.status.size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def tell(self) -> int:
        """As of a file."""
        return self._at


class MemberStream(MemberFile):
    """A file as it is inflated: its head costs no more than that, and its checksum is known at the end alone."""

    def __init__(
        self, stream: IO[bytes], archive: SharedFile, path: Path, status: MemberStatus
    ) -> None:
        """`archive` : from which it is read; `path` : for errors."""
        super().__init__(status)
        self._stream, self._archive, self._path = stream, archive, path

    def readinto(self, buffer: object) -> int:
        """As of a file. Raises PixelDataError where it is damaged."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # typeshed's Buffer is of 3.12
        n_read = 0
        try:
            while n_read < len(view):
                piece = self._stream.read(len(view) - n_read)
                if not piece:
                    break
                view[n_read : n_read + len(piece)] = piece
                n_read += len(piece)
        except DAMAGE as error:
            raise damaged_member(self._path, error) from error
        return n_read

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file; backwards it begins again. Raises PixelDataError where it is damaged."""
        try:
            return self._stream.seek(offset, whence)
        except DAMAGE as error:
            raise damaged_member(self._path, error) from error

    def tell(self) -> int:
        """As of a file."""
        return self._stream.tell()

    def close(self) -> None:
        """Also what it reads from."""
        self._stream.close()
        super().close()
