"""Headers of many slices that differ in a few values: encoded once, then filled in.

pydicom encodes the header with a marker in every place that differs. The bytes between the markers
are kept; a slice's header is those pieces with the slice's values between. Values may vary in length: each
is the value of a whole element that is no sequence, and sequences around it are written with
undefined length, so nothing else depends on it but the length of group 2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.valuerep import format_number_as_ds

_META_LENGTH_AT = 132 + 8
_ENCAPSULATED = 0xFFFFFFFF  # the length of Pixel Data that is made of items


def decimal(value: float) -> str:
    """A decimal string (DS, at most 16 characters), exact where that is possible.

    >>> decimal(-126.690002), decimal(0.1 + 0.2), decimal(2.0)
    ('-126.690002', '0.30000000000000', '2')
    """
    short = repr(float(value)).removesuffix(".0")
    return short if len(short) <= 16 else format_number_as_ds(float(value))


class _Piece(NamedTuple):
    """Bytes up to the length of an element, then the element whose value differs.

    length_format : of that length, for `struct`
    pad : what makes the value's length even
    """

    before: bytes
    name: str
    length_format: str
    pad: bytes


class HeaderTemplate:
    """The header of a file up to the value of its last element, Pixel Data."""

    def __init__(
        self,
        ds: FileDataset,
        markers: Mapping[str, str],
        *,
        n_pixel_bytes: int | None,
        pixel_vr: Literal["OB", "OW"] = "OW",
    ) -> None:
        """Encodes `ds`, which has no pixel data, as its (little endian) transfer syntax says.

        Deflated files are not deflated here: that is done to the whole dataset, pixel data included.

        markers : name -> a text that stands in `ds` as the whole value of some elements, and nowhere else
        n_pixel_bytes : of the pixel data that will follow, even; None if they will be encapsulated
        """
        implicit = ds.file_meta.TransferSyntaxUID.is_implicit_VR
        encoded = _encoded(ds, implicit=implicit)
        # Group 2 ends where group 8 begins; only values within group 2 change its length.
        self._meta_end = _META_LENGTH_AT + 4 + struct.unpack_from("<L", encoded, _META_LENGTH_AT)[0]
        self._pieces, rest, places = _cut(
            encoded, markers, implicit_from=self._meta_end if implicit else None
        )
        pixel_element = struct.pack("<HH", 0x7FE0, 0x0010)
        if not implicit:
            pixel_element += struct.pack("<2s2x", pixel_vr.encode())
        length = _ENCAPSULATED if n_pixel_bytes is None else n_pixel_bytes
        self._tail = rest + pixel_element + struct.pack("<L", length)
        self._meta_growth = [name for start, name in places if start < self._meta_end]
        self._marker_sizes = {name: len(text) + len(text) % 2 for name, text in markers.items()}

    def fill(self, values: Mapping[str, str]) -> bytes:
        """The header with these values in the places of the markers."""
        return b"".join(self.fill_parts(values))

    def fill_parts(self, values: Mapping[str, str]) -> tuple[bytes, bytes]:
        """As `fill`: preamble and file meta information, then the dataset."""
        header = bytearray(_filled(self._pieces, values) + self._tail)
        growth = sum(
            len(values[name]) + len(values[name]) % 2 - self._marker_sizes[name]
            for name in self._meta_growth
        )
        meta_end = self._meta_end + growth
        struct.pack_into("<L", header, _META_LENGTH_AT, meta_end - _META_LENGTH_AT - 4)
        return bytes(header[:meta_end]), bytes(header[meta_end:])


class ItemTemplate:
    """An item of a sequence with many items, explicit VR little endian, of undefined length."""

    def __init__(self, ds: Dataset, markers: Mapping[str, str]) -> None:
        """Encodes `ds`, whose sequences are made ones of undefined length.

        markers : as for HeaderTemplate; of a binary value the text that its bytes spell
        """
        _open_ended(ds)
        self._pieces, self._rest, _ = _cut(encoded_elements(ds), markers)

    def fill(self, values: Mapping[str, str | bytes]) -> bytes:
        """The item with these values in the places of the markers."""
        return encoded_item(_filled(self._pieces, values) + self._rest)


def encoded_item(content: bytes) -> bytes:
    """An item of undefined length around encoded elements (PS3.5, 7.5)."""
    return b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + content + b"\xfe\xff\x0d\xe0\0\0\0\0"


def encoded_sequence(tag: int, items: Iterable[bytes]) -> bytes:
    """A sequence of undefined length, explicit VR little endian, around encoded items."""
    start = struct.pack("<HH2s2xL", tag >> 16, tag & 0xFFFF, b"SQ", _ENCAPSULATED)
    return b"".join([start, *items, b"\xfe\xff\xdd\xe0\0\0\0\0"])


def encoded_elements(ds: Dataset) -> bytes:
    """Elements in explicit VR little endian, without a file's head; text as UTF-8."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds, parent_encoding="utf8")
    return buffer.getvalue()


def _open_ended(ds: Dataset) -> None:
    for element in ds:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                _open_ended(item)


def _cut(
    encoded: bytes, markers: Mapping[str, str], *, implicit_from: int | None = None
) -> tuple[list[_Piece], bytes, list[tuple[int, str]]]:
    """Pieces, what follows the last of them, and where each begins.

    implicit_from : where elements without VR begin; nowhere if None
    """
    first_implicit = len(encoded) if implicit_from is None else implicit_from
    places = sorted(
        (match.start() - 8, match.end() + len(marker) % 2, name)
        for name, marker in markers.items()
        for match in re.finditer(re.escape(marker.encode("ascii")), encoded)
    )
    if {name for *_, name in places} != set(markers):
        raise AssertionError("a marker is not in the header")
    pieces: list[_Piece] = []
    position = 0
    for start, end, name in places:
        # Before the value stand eight bytes: tag, VR and a short length, or tag and a long length.
        if start >= first_implicit:
            group, element = struct.unpack_from("<HH", encoded, start)
            n_head, length_format, vr = 4, "<L", dictionary_VR(group << 16 | element)
        else:
            n_head, length_format, vr = 6, "<H", encoded[start + 4 : start + 6].decode()
        pad = b"\0" if vr == "UI" else b" "
        before = encoded[position : start + n_head]
        pieces.append(_Piece(before=before, name=name, length_format=length_format, pad=pad))
        position = end
    return pieces, encoded[position:], [(start, name) for start, _, name in places]


def _filled(pieces: Sequence[_Piece], values: Mapping[str, str | bytes]) -> bytes:
    parts: list[bytes] = []
    for before, name, length_format, pad in pieces:
        given = values[name]
        value = given if isinstance(given, bytes) else given.encode("ascii")
        if len(value) % 2:
            value += pad
        parts += (before, struct.pack(length_format, len(value)), value)
    return b"".join(parts)


def _encoded(ds: FileDataset, *, implicit: bool) -> bytes:
    buffer = DicomBytesIO()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    buffer.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(buffer, ds.file_meta, enforce_standard=True)
    buffer.is_little_endian, buffer.is_implicit_VR = True, implicit
    write_dataset(buffer, ds)
    return buffer.getvalue()
