"""Headers of many slices that differ in a few values: encoded once, then filled in.

pydicom encodes the header with a marker in every place that differs. The bytes between the markers
are kept; a slice's header is those pieces with the slice's values between. Values may vary in length:
each is the value of a whole element with a two-byte length, and sequences around it are written with
undefined length, so nothing else depends on it but the length of group 2.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Mapping
from typing import Literal

from pydicom.dataset import FileDataset
from pydicom.filewriter import dcmwrite
from pydicom.valuerep import format_number_as_ds

_META_LENGTH_AT = 132 + 8
_PAD_WITH_NUL = b"UI"


def decimal(value: float) -> str:
    """A decimal string (DS, at most 16 characters), exact where that is possible.

    >>> decimal(-126.690002), decimal(0.1 + 0.2), decimal(2.0)
    ('-126.690002', '0.30000000000000', '2')
    """
    short = repr(float(value)).removesuffix(".0")
    return short if len(short) <= 16 else format_number_as_ds(float(value))


class HeaderTemplate:
    """The header of a file up to the value of its last element, Pixel Data."""

    def __init__(
        self,
        ds: FileDataset,
        markers: Mapping[str, str],
        *,
        n_pixel_bytes: int,
        pixel_vr: Literal["OB", "OW"] = "OW",
    ) -> None:
        """Encodes `ds`, which has no pixel data, explicit VR little endian.

        markers : name -> a text that stands in `ds` as the whole value of some elements, and nowhere else
        n_pixel_bytes : of the pixel data that will follow; even
        """
        buffer = io.BytesIO()
        dcmwrite(buffer, ds, enforce_file_format=True)
        encoded = buffer.getvalue()
        places = [
            (match.start() - 8, match.end() + len(marker) % 2, name)
            for name, marker in markers.items()
            for match in re.finditer(re.escape(marker.encode("ascii")), encoded)
        ]
        if {name for *_, name in places} != set(markers):
            raise AssertionError("a marker is not in the header")
        self._pieces: list[tuple[bytes, bytes, str]] = []
        position = 0
        for start, end, name in sorted(places):
            self._pieces.append((encoded[position:start], encoded[start : start + 6], name))
            position = end
        pixel_element = struct.pack("<HH2s2xL", 0x7FE0, 0x0010, pixel_vr.encode(), n_pixel_bytes)
        self._tail = encoded[position:] + pixel_element
        # Group 2 ends where group 8 begins; only values within group 2 change its length.
        self._meta_end = _META_LENGTH_AT + 4 + struct.unpack_from("<L", encoded, _META_LENGTH_AT)[0]
        self._meta_growth = [name for start, _, name in sorted(places) if start < self._meta_end]
        self._marker_sizes = {name: len(text) + len(text) % 2 for name, text in markers.items()}

    def fill(self, values: Mapping[str, str]) -> bytes:
        """The header with these values in the places of the markers."""
        parts: list[bytes] = []
        for before, tag_and_vr, name in self._pieces:
            value = values[name].encode("ascii")
            if len(value) % 2:
                value += b"\0" if tag_and_vr[4:] == _PAD_WITH_NUL else b" "
            parts += (before, tag_and_vr, struct.pack("<H", len(value)), value)
        header = bytearray(b"".join(parts) + self._tail)
        growth = sum(
            len(values[name]) + len(values[name]) % 2 - self._marker_sizes[name]
            for name in self._meta_growth
        )
        length = self._meta_end - _META_LENGTH_AT - 4 + growth
        struct.pack_into("<L", header, _META_LENGTH_AT, length)
        return bytes(header)
