"""Where the value of Pixel Data lies in a file, read from the bytes.

How an element begins is seen at the element itself, whatever the Transfer Syntax claims: an explicit
VR is two letters, and no even length looks like one. That the place is right is proved by its end:
pixel data of a given length end where the file ends, where another element begins, or in front of
zeros that fill a file up.
"""

from __future__ import annotations

from typing import BinaryIO, Literal, NamedTuple

from gsigpu.dicom.reading.elements import PIXEL_DATA

_UNDEFINED = 0xFFFFFFFF
_PIXEL_GROUP = 0x7FE0
# VRs that are followed by two reserved bytes and a length of four (PS3.5 7.1.2); then the others.
_LONG_VRS = frozenset(b"OB OW OF OD OL OV UN SQ UT UC UR SV UV".split())
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
# Zeros behind the data are looked at in pieces of this size.
_PIECE = 1 << 20


class MisplacedPixelData(Exception):
    """The length of Pixel Data does not end where something else begins."""


class _ElementHead(NamedTuple):
    """Tag and length of an element, and where its value begins."""

    tag: int
    length: int
    value: int


def find_pixel_data(file: BinaryIO, *, little: bool) -> tuple[int, int] | None:
    """Offset and length of the value of Pixel Data; length -1 if undefined; None if there is none.

    file : positioned at an element of group 7FE0, or in front of one
    """
    while True:
        head = _element_head(file, little=little)
        if head is None or head.tag >> 16 != _PIXEL_GROUP:
            return None
        if head.tag == PIXEL_DATA:
            return head.value, -1 if head.length == _UNDEFINED else head.length
        if head.length == _UNDEFINED:
            return None
        file.seek(head.value + head.length)


def check_end(file: BinaryIO, offset: int, length: int, size: int, *, little: bool = True) -> None:
    """Raise MisplacedPixelData unless pixel data of this offset and length end where they may.

    size : of the file; data that go on beyond it are cut off, which whoever reads them tells
    """
    position, last_tag = offset + length, PIXEL_DATA
    while 0 < position < size:
        file.seek(position)
        head = _element_head(file, little=little)
        if head is None or head.tag <= last_tag or head.value + _definite(head) > size:
            file.seek(position)
            if last_tag == PIXEL_DATA and not _all_zero(file):
                raise MisplacedPixelData(
                    f"its {length} bytes of pixel data end where neither an element nor the end of the file is"
                )
            return
        if head.length == _UNDEFINED:
            return
        position, last_tag = head.value + head.length, head.tag


def _definite(head: _ElementHead) -> int:
    return 0 if head.length == _UNDEFINED else head.length


def _element_head(file: BinaryIO, *, little: bool) -> _ElementHead | None:
    order: Literal["big", "little"] = "little" if little else "big"
    head = file.read(8)
    if len(head) < 8:
        return None
    tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:4], order)
    if head[4:6] in _LONG_VRS and head[6:8] == b"\0\0":
        length = int.from_bytes(file.read(4), order)
    elif head[4:6] in _SHORT_VRS:
        length = int.from_bytes(head[6:8], order)
    else:
        length = int.from_bytes(head[4:8], order)
    return _ElementHead(tag=tag, length=length, value=file.tell())


def _all_zero(file: BinaryIO) -> bool:
    while piece := file.read(_PIECE):
        if piece.count(0) < len(piece):
            return False
    return True
