"""What a compressed frame says of itself, read before a decoder is trusted with it.

A native decoder allocates what the frame's header claims, and may do worse with markers that make no
sense. So the markers are walked here first: the size must be that of the image, with one component,
and the frame must end with its end marker. What lies behind that marker is padding of any kind (PS3.5
A.4 pads to an even length; encoders do so with 00 or FF, or with more).
"""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias

import numpy as np

from gsigpu.backends.compiled_bits import NO_END, coded_bytes
from gsigpu.errors import PixelDataError, TruncatedPixelData, UnsupportedPixelData

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_SOF3_LOSSLESS, _SOF55_JPEG_LS = 0xC3, 0xF7
_TABLES, _RESTARTS, _JPEG_LS_PRESETS = 0xC4, 0xDD, 0xF8
_COMMENTS = frozenset({0xFE, *range(0xE0, 0xF0)})
# What may stand before the scan where the decoder gives what is meant.
_JPEG_MARKERS = _COMMENTS | {_SOF3_LOSSLESS, _TABLES}
_JPEG_LS_MARKERS = _COMMENTS | {_SOF55_JPEG_LS, _JPEG_LS_PRESETS, _RESTARTS}
_CODESTREAM = b"\xff\x4f\xff\x51"  # SOC, and SIZ, which must follow
_JP2_BOX = b"\0\0\0\x0cjP  "
_TILE_PART = b"\xff\x90"
_END_OF_IMAGE = b"\xff\xd9"


# A compressed frame: bytes of their own, or a part of the memory that some are read into.
Encoded: TypeAlias = bytes | memoryview


class JpegLossless(NamedTuple):
    """What a JPEG Lossless frame is made of.

    tables : bodies of its Huffman table segments, joined
    scan : body of its scan header
    bits : precision of its samples
    n_bytes : of its coded data, without stuffed zeros and fill bytes
    """

    tables: bytes
    scan: bytes
    bits: int
    n_bytes: int


def check_jpeg_lossless(encoded: Encoded, rows: int, columns: int) -> JpegLossless:
    """The parts of a JPEG Lossless frame, which is whole, of this size, and of the plain kind.

    Raises PixelDataError where the markers make no sense, TruncatedPixelData without an end marker,
    and UnsupportedPixelData with restart markers or a point transform, which another decoder may know.
    """
    frame = _checked_frame(encoded, _JPEG_MARKERS, _SOF3_LOSSLESS, rows, columns)
    scan = frame.segments[-1].body
    # The last byte of a scan header holds the point transform in its lower half (T.81 B.2.3).
    if scan[-1] & 0x0F:
        raise UnsupportedPixelData("JPEG Lossless with point transform")
    tables = b"".join(segment.body for segment in frame.segments if segment.code == _TABLES)
    return JpegLossless(tables=tables, scan=scan, bits=frame.bits, n_bytes=frame.n_bytes)


def check_jpeg_ls(encoded: Encoded, rows: int, columns: int) -> None:
    """Raise unless a JPEG-LS frame is whole and of this size; as `check_jpeg_lossless` does."""
    _checked_frame(encoded, _JPEG_LS_MARKERS, _SOF55_JPEG_LS, rows, columns)


def check_jpeg_2000(encoded: Encoded, rows: int, columns: int) -> tuple[int, bool]:
    """(bits, is signed) of the samples of a JPEG 2000 codestream, which is whole and of this size.

    Raises PixelDataError and TruncatedPixelData as `check_jpeg_lossless` does.
    """
    has_boxes = encoded[: len(_JP2_BOX)] == _JP2_BOX
    start = bytes(encoded).find(_CODESTREAM) if has_boxes else 0
    if start < 0 or encoded[start : start + 4] != _CODESTREAM or len(encoded) < start + 50:
        raise PixelDataError("does not begin like JPEG 2000")
    # SIZ (T.800 A.5.1): capabilities, then sizes and offsets of the image and of its tiles.
    right, bottom, left, top, tile_x, tile_y = struct.unpack_from(">6L", encoded, start + 8)
    (n_components,) = struct.unpack_from(">H", encoded, start + 40)
    _check_size(bottom - top, right - left, n_components, rows, columns)
    if not tile_x or not tile_y or -(-right // tile_x) * -(-bottom // tile_y) > rows * columns:
        raise PixelDataError("claims more tiles than pixels")
    if not _reaches_its_end(encoded, start + 2):
        raise TruncatedPixelData("its tiles do not end at its end marker")
    precision = encoded[start + 42]  # Ssiz: the sign, and the bits less one
    return (precision & 0x7F) + 1, bool(precision & 0x80)


def _reaches_its_end(encoded: Encoded, position: int) -> bool:
    """Whether the lengths of the header's segments and of the tile-parts lead to the end marker.

    OpenJPEG decodes as many tile-parts as there are, and what is left of a packet.
    """
    while encoded[position : position + 2] != _TILE_PART:  # T.800 A.4.2
        length = int.from_bytes(encoded[position + 2 : position + 4], "big")
        if encoded[position : position + 1] != b"\xff" or length < 2:
            return False
        position += 2 + length
    while encoded[position : position + 2] == _TILE_PART and position + 12 <= len(encoded):
        (length,) = struct.unpack_from(">L", encoded, position + 6)
        if length == 0:  # the last: up to the end marker, and no coded data contain one
            return _END_OF_IMAGE in bytes(encoded[position:])
        if length < 14:
            return False
        position += length
    return encoded[position : position + 2] == _END_OF_IMAGE


def check_rle(encoded: Encoded, n_segments: int) -> None:
    """Raise unless an RLE frame has a header of this many segments that lie in it (PS3.5 G.5)."""
    if len(encoded) < 64:
        raise TruncatedPixelData(f"{len(encoded)} bytes are no RLE header")
    claimed, *offsets = struct.unpack_from("<16L", encoded)
    if claimed != n_segments:
        raise PixelDataError(f"claims {claimed} RLE segments, not {n_segments}")
    used = offsets[:n_segments]
    if used[0] != 64 or sorted(used) != used:
        raise PixelDataError("RLE segments in no order")
    if used[-1] >= len(encoded):
        raise TruncatedPixelData(f"{len(encoded)} bytes end before the last RLE segment")


class _Segment(NamedTuple):
    code: int
    body: bytes


class _Frame(NamedTuple):
    """Marker segments up to the scan header, precision, and how many coded bytes there are."""

    segments: list[_Segment]
    bits: int
    n_bytes: int


def _checked_frame(
    encoded: Encoded, allowed: frozenset[int], frame_code: int, rows: int, columns: int
) -> _Frame:
    segments, start = _segments(encoded, allowed)
    frames = [segment.body for segment in segments if segment.code == frame_code]
    if len(frames) != 1 or len(frames[0]) < 6:
        raise PixelDataError(f"has {len(frames)} frame headers")
    bits, n_rows, n_columns, n_components = struct.unpack_from(">BHHB", frames[0])
    _check_size(n_rows, n_columns, n_components, rows, columns)
    if not 2 <= bits <= 16:
        raise PixelDataError(f"claims {bits} bits")
    if len(segments[-1].body) < 6 or segments[-1].body[0] != 1:
        raise PixelDataError("has a scan header of no sense")
    return _Frame(segments=segments, bits=bits, n_bytes=_coded_bytes(encoded, start))


def _coded_bytes(encoded: Encoded, start: int) -> int:
    """How many coded bytes lie between a scan header and the end marker.

    Coded data hold no end marker: FF is followed by a byte, or bit, of zero there. Such a byte counts
    for nothing, nor do fill bytes FF in front of the marker.
    """
    n_bytes = coded_bytes(encoded, start)
    if n_bytes is None:
        n_bytes = n_coded_in_numpy(encoded, start)
    if n_bytes == NO_END:
        raise TruncatedPixelData("end marker is missing")
    return n_bytes


def n_coded_in_numpy(encoded: Encoded, start: int) -> int:
    """Coded bytes of a frame, by NumPy: the truth that the compiled loop is tested against.

    As `gsigpu.backends.compiled_bits.coded_bytes`. A search for the few FF takes a tenth of the time of a
    search for pairs of bytes.
    """
    coded = np.frombuffer(encoded, np.uint8)[start:]
    marks = np.flatnonzero(coded[:-1] == 0xFF)
    following = coded[marks + 1]
    ends = np.flatnonzero(following == _END)
    if not len(ends):
        return NO_END
    end = int(marks[ends[0]])
    while end and coded[end - 1] == 0xFF:
        end -= 1
    return end - int(np.count_nonzero(following[: ends[0]] == 0))


def _segments(encoded: Encoded, allowed: frozenset[int]) -> tuple[list[_Segment], int]:
    """The marker segments up to the scan header, and where the coded data begin behind it."""
    if encoded[:2] != bytes((0xFF, _START)):
        raise PixelDataError("does not begin with a start marker")
    segments: list[_Segment] = []
    position = 2
    while True:
        while encoded[position : position + 2] == b"\xff\xff":  # fill bytes (T.81 B.1.1.2)
            position += 1
        head = encoded[position : position + 4]
        if len(head) < 4:
            raise TruncatedPixelData("ends within its markers")
        length = int.from_bytes(head[2:], "big")
        if head[0] != 0xFF or length < 2:
            raise PixelDataError("markers make no sense")
        code = head[1]
        if code != _SCAN and code not in allowed:
            if 0xC0 <= code <= 0xFE and code not in (_START, _END):
                name = "restart markers" if code == _RESTARTS else f"marker FF{code:02X}"
                raise UnsupportedPixelData(f"JPEG with {name}")
            raise PixelDataError(f"marker FF{code:02X} makes no sense")
        body = bytes(encoded[position + 4 : position + 2 + length])
        if len(body) < length - 2:
            raise TruncatedPixelData("ends within its markers")
        segments.append(_Segment(code=code, body=body))
        position += 2 + length
        if code == _SCAN:
            return segments, position


def _check_size(n_rows: int, n_columns: int, n_components: int, rows: int, columns: int) -> None:
    if (n_rows, n_columns) != (rows, columns):
        raise PixelDataError(
            f"decodes to {n_rows} x {n_columns} pixels, the header says {rows} x {columns}"
        )
    if n_components != 1:
        raise PixelDataError(f"has {n_components} components")
