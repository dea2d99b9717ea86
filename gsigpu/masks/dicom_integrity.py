"""Whether a DICOM file is whole: every element ends inside its parent, and the last at the file's end.

pydicom reads what there is: a file that breaks off between two contours, or within a sequence, is a file
with fewer contours to it.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from gsigpu.masks.volume_headers import damaged

_IMPLICIT = "1.2.840.10008.1.2"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_PREFIX_END = 132  # 128 bytes of preamble, and DICM
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXEL_DATA = 0x7FE00010
_TRANSFER_SYNTAX = 0x00020010
# Value representations with two bytes reserved and a length of four (PS3.5 table 7.1-1).
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}  # fmt: skip
_SHORT_VRS = {
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH",
    b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
}  # fmt: skip
# Sequences in sequences: SEG and RTSTRUCT have five or six; more is no file of theirs.
_DEEPEST = 32


class _Broken(Exception):
    """Where the walk ends before the file does."""


def require_whole_dicom(path: Path) -> None:
    """Raises DamagedMask unless the elements of a DICOM file fill it to its end."""
    data = path.read_bytes()
    try:
        walker = _Walker(data, is_implicit=False, is_big=False)
        position, syntax = walker.file_meta()
        if syntax == _DEFLATED:
            data, position = _inflated(data[position:]), 0
        is_big = syntax == _BIG_ENDIAN
        declared = syntax == _IMPLICIT
        try:
            _Walker(data, is_implicit=declared, is_big=is_big).elements(position, len(data), 0)
        except _Broken:
            # Some files are implicit where they say explicit, or the reverse, and pydicom reads them.
            try:
                _Walker(data, is_implicit=not declared, is_big=is_big).elements(
                    position, len(data), 0
                )
            except _Broken:
                pass
            else:
                return
            raise
    except _Broken as error:
        raise damaged(path, str(error)) from error


def _inflated(data: bytes) -> bytes:
    """Data of the deflated transfer syntax, which may be padded to an even length."""
    stream = zlib.decompressobj(wbits=-15)
    try:
        expanded = stream.decompress(data)
    except zlib.error as error:
        raise _Broken(str(error)) from error
    if not stream.eof or stream.unused_data.strip(b"\0"):
        raise _Broken("its deflated data break off")
    return expanded


class _Walker:
    """Steps from element to element without reading values."""

    def __init__(self, data: bytes, *, is_implicit: bool, is_big: bool) -> None:
        self._data = data
        self._is_implicit = is_implicit
        self._order: str = "big" if is_big else "little"

    def file_meta(self) -> tuple[int, str]:
        """Where the dataset begins, and its transfer syntax."""
        position, syntax = _PREFIX_END, ""
        while self._number(position, 2) == 0x0002:
            tag, start, length = self._header(position)
            if length == _UNDEFINED or start + length > len(self._data):
                raise _Broken("its file meta information breaks off")
            if tag == _TRANSFER_SYNTAX:
                syntax = (
                    self._data[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
                )
            position = start + length
        if not syntax:
            raise _Broken("its file meta information names no transfer syntax")
        return position, syntax

    def elements(self, position: int, end: int, depth: int, *, until: int | None = None) -> int:
        """The end of the elements from `position`: at the tag `until`, else just at `end`."""
        if depth > _DEEPEST:
            raise _Broken("its sequences are nested without end")
        while position < end:
            tag, start, length = self._header(position)
            if tag == until:
                return start
            if self._is_sequence(position, tag, length):
                stop = end if length == _UNDEFINED else start + length
                if stop > end:
                    raise _Broken(f"element {_shown(tag)} is longer than what is left of it")
                position = self._items(
                    start, stop, depth + 1, is_open=length == _UNDEFINED, tag=tag
                )
                continue
            if length == _UNDEFINED or start + length > end:
                raise _Broken(f"element {_shown(tag)} is longer than what is left of it")
            position = start + length
        if until is not None:
            raise _Broken("a sequence has no end")
        return position

    def _items(self, position: int, end: int, depth: int, *, is_open: bool, tag: int) -> int:
        while position < end:
            item = self._tag(position)
            length = self._number(position + 4, 4)
            start = position + 8
            if item == _SEQUENCE_END and is_open:
                return start
            if item != _ITEM:
                raise _Broken(f"the sequence {_shown(tag)} holds something else than items")
            if length == _UNDEFINED:
                position = self.elements(start, end, depth, until=_ITEM_END)
                continue
            if start + length > end:
                raise _Broken(f"an item of {_shown(tag)} is longer than what is left of it")
            if tag != _PIXEL_DATA:  # there items are fragments of compressed frames
                self.elements(start, start + length, depth)
            position = start + length
        if is_open:
            raise _Broken(f"the sequence {_shown(tag)} has no end")
        return position

    def _is_sequence(self, position: int, tag: int, length: int) -> bool:
        if length == _UNDEFINED:
            return True
        if not self._is_implicit:
            return self._data[position + 4 : position + 6] == b"SQ"
        from pydicom.datadict import dictionary_VR

        try:
            return dictionary_VR(tag) == "SQ"
        except KeyError:
            return False

    def _header(self, position: int) -> tuple[int, int, int]:
        """Tag, where the value begins, and its length."""
        tag = self._tag(position)
        if self._is_implicit or tag >> 16 == 0xFFFE:
            return tag, position + 8, self._number(position + 4, 4)
        vr = self._data[position + 4 : position + 6]
        if vr in _LONG_VRS:
            return tag, position + 12, self._number(position + 8, 4)
        if vr not in _SHORT_VRS:
            raise _Broken(f"element {_shown(tag)} has no value representation")
        return tag, position + 8, self._number(position + 6, 2)

    def _tag(self, position: int) -> int:
        return self._number(position, 2) << 16 | self._number(position + 2, 2)

    def _number(self, position: int, size: int) -> int:
        field = self._data[position : position + size]
        if len(field) < size:
            raise _Broken("it breaks off within an element")
        return int.from_bytes(field, self._order)  # type: ignore[arg-type]  # big or little


def _shown(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
