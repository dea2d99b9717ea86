"""Where the frames of encapsulated pixel data lie (PS3.5 A.4).

Pixel Data of undefined length is a sequence of items: the Basic Offset Table, which may be empty,
then fragments. A frame is one fragment or several.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from gsigpu.errors import TruncatedPixelData, UnsupportedPixelData

_ITEM, _SEQUENCE_END = 0xE000FFFE, 0xE0DDFFFE
_SEQUENCE_END_BYTES = struct.pack("<L", _SEQUENCE_END)
_ITEM_HEAD = struct.Struct("<LL")  # tag and length
_TWO_ITEMS = 8 + 4 + 8  # the head of a table, one offset, and the head of a fragment
_AGAIN = "export or transfer the file again"


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """frames[i] : (offset, length) in the file of each fragment of frame i."""

    frames: tuple[tuple[tuple[int, int], ...], ...] = field(repr=False)

    def read(self, file: FileIO, frame: int) -> bytes:
        """The encoded bytes of a frame."""
        parts = []
        for offset, length in self.frames[frame]:
            file.seek(offset)
            parts.append(file.read(length))
        return b"".join(parts)


def read_only_frame(file: FileIO, path: Path, offset: int) -> bytes:
    """The encoded bytes of the frame of a file that has one.

    offset : where the value of Pixel Data begins
    In nearly all files it is one fragment behind a table that is empty or names its first byte, which takes three reads.
    Whatever else there is, and what is wrong, is told by `index_frames`, whose errors are raised.
    """
    size = file.seek(0, 2)
    file.seek(offset)
    head = file.read(_TWO_ITEMS)
    if len(head) == _TWO_ITEMS:
        table_tag, table_length = _ITEM_HEAD.unpack_from(head)
        if table_tag == _ITEM and table_length in (0, 4):
            tag, length = _ITEM_HEAD.unpack_from(head, 8 + table_length)
            if not table_length:
                file.seek(offset + 16)
            if tag == _ITEM and offset + length < size:
                frame, end = file.read(length), file.read(8)
                if len(frame) == length and len(end) == 8 and end.startswith(_SEQUENCE_END_BYTES):
                    return frame
    return index_frames(file, path, offset, 1).read(file, 0)


def index_frames(file: FileIO, path: Path, offset: int, n_frames: int) -> FrameIndex:
    """Finds the fragments of each frame.

    offset : where the value of Pixel Data begins
    Raises TruncatedPixelData if the items end before the sequence does, UnsupportedPixelData if
    fragments cannot be told apart by frame.
    """
    items = _items(file, path, offset)
    if not items:
        raise TruncatedPixelData("pixel data hold no items", where=path, remedy=_AGAIN)
    (table_offset, table_length), *fragments = items
    if len(fragments) == n_frames:
        return FrameIndex(tuple((fragment,) for fragment in fragments))
    if n_frames == 1:
        return FrameIndex((tuple(fragments),))
    if table_length != 4 * n_frames or len(fragments) < n_frames:
        raise UnsupportedPixelData(
            f"{len(fragments)} fragments for {n_frames} frames, and no offset table that tells which is whose",
            where=path,
            remedy="convert the file, e.g. with gdcmconv",
        )
    file.seek(table_offset)
    # Offsets count from the first byte of the item behind the table.
    first_item = table_offset + table_length
    starts = [
        first_item + start for start in struct.unpack(f"<{n_frames}L", file.read(table_length))
    ]
    ends = [*starts[1:], fragments[-1][0] + 1]
    return FrameIndex(
        tuple(
            tuple(fragment for fragment in fragments if start <= fragment[0] - 8 < end)
            for start, end in zip(starts, ends, strict=True)
        )
    )


def _items(file: FileIO, path: Path, offset: int) -> list[tuple[int, int]]:
    """(offset, length) of the value of each item."""
    items: list[tuple[int, int]] = []
    size = file.seek(0, 2)
    while offset + 8 <= size:
        file.seek(offset)
        tag, length = struct.unpack("<LL", file.read(8))
        if tag == _SEQUENCE_END:
            return items
        if tag != _ITEM or offset + 8 + length > size:
            break
        items.append((offset + 8, length))
        offset += 8 + length
    raise TruncatedPixelData(
        f"compressed pixel data break off after {max(len(items) - 1, 0)} fragments",
        where=path,
        remedy=_AGAIN,
    )
