"""A file as the general reader of headers may see it: only so much of it.

pydicom reads what a header says, and a file of zeros, or of noise, can say that there are a hundred
million elements, or one of a gigabyte. No header of an image is like that.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from io import BufferedReader, FileIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gsigpu.file_state import open_input

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# A header of 10,000 frames in functional groups has some 20 MB, read in some 2 million pieces.
MOST_HEADER_BYTES = 64 * 1024 * 1024
# A deflated file is inflated in memory; its images and header together.
MOST_INFLATED_BYTES = 1024 * 1024 * 1024
MOST_READS = 8_000_000
# Heads of elements that are all zero, one after the other: tag (0000,0000) stands in no file.
MOST_ZERO_HEADS = 16
_HEAD = 8
_INFLATED_PIECE = 1 << 20


class NoHeader(Exception):
    """What is read cannot be the header of an image; the scan reports it as skipped."""


def read_header(path: Path, tags: Sequence[str] | None = None) -> Dataset:
    """The header of a DICOM file by pydicom, which sees only so much of it.

    tags : keywords of the elements to keep; all if None
    Raises NoHeader instead of reading without end, and what `dcmread` does: anything.
    """
    from pydicom import dcmread

    with open_input(path) as file:
        return dcmread(
            BoundedFile(BufferedReader(file)),
            stop_before_pixels=True,
            specific_tags=None if tags is None else list(tags),
        )


class BoundedFile:
    """The `read`, `seek` and `tell` of a file, until too much was read."""

    def __init__(self, file: BinaryIO | FileIO) -> None:
        """`file` : open, and closed by its owner."""
        self._file = file
        self._n_bytes = self._n_reads = self._n_zero_heads = 0

    def read(self, size: int = -1) -> bytes:
        """As of a file. Raises NoHeader instead of reading too much."""
        if size < 0:
            return self._deflated()
        self._n_bytes += size
        self._n_reads += 1
        if self._n_bytes > MOST_HEADER_BYTES or self._n_reads > MOST_READS:
            raise NoHeader(f"its header is longer than that of an image ({self._n_bytes:,} bytes)")
        data = self._file.read(size) or b""
        if size == _HEAD:
            self._n_zero_heads = 0 if any(data) else self._n_zero_heads + 1
            if self._n_zero_heads > MOST_ZERO_HEADS:
                raise NoHeader("zeros where its header should go on")
        return data

    def _deflated(self) -> bytes:
        """All that is left: pydicom reads so only what it inflates at once."""
        data = self._file.read(MOST_INFLATED_BYTES + 1) or b""
        inflater, rest, n_inflated = zlib.decompressobj(-zlib.MAX_WBITS), data, 0
        while rest and not inflater.eof:
            n_inflated += len(inflater.decompress(rest, _INFLATED_PIECE))
            rest = inflater.unconsumed_tail
            if n_inflated > MOST_INFLATED_BYTES or len(data) > MOST_INFLATED_BYTES:
                raise NoHeader(f"it inflates to more than {MOST_INFLATED_BYTES:,} bytes")
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of a file."""
        return self._file.tell()
