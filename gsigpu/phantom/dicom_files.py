"""DICOM files written fast: the header encoded once per series, each slice changes a few elements.

Also the transfer syntaxes, deterministic UIDs, and file names.
"""

from __future__ import annotations

import copy
import hashlib
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid as uids
from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element
from pydicom.uid import UID

Stored = NDArray[np.int16]

# A UID made from a UUID needs no registered root (DICOM PS3.5 B.2).
IMPLEMENTATION_UID = UID("2.25.289207434563274569148271136184561827934")
IMPLEMENTATION_VERSION = "GSIGPU_PHANTOM"
_PIXEL_DATA = b"\xe0\x7f\x10\0"
_ITEM = b"\xfe\xff\0\xe0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def phantom_uid(*words: object) -> str:
    """A UID `2.25.…` that is the same for the same words.

    >>> phantom_uid("a", 1) == phantom_uid("a", "1") != phantom_uid("b")
    True
    """
    digest = hashlib.sha256("\x1f".join(map(str, words)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"


def _rle(stored: Stored) -> bytes:
    """DICOM PS3.5 Annex G: the high bytes, then the low bytes, each row packed by itself."""
    octets = np.ascontiguousarray(stored, ">i2").view(np.uint8).reshape(*stored.shape, 2)
    segments = []
    for byte in (0, 1):
        packed = imagecodecs.packbits_encode(np.ascontiguousarray(octets[..., byte]))
        segments.append(packed + b"\0" * (len(packed) % 2))
    offsets = [64, 64 + len(segments[0])]
    return struct.pack("<16L", 2, *offsets, *[0] * 13) + b"".join(segments)


def _jpeg_ls(stored: Stored) -> bytes:
    encoded = bytes(imagecodecs.jpegls_encode(stored.view(np.uint16)))
    return encoded[encoded.index(b"\xff\xd8\xff\xf7") :]  # without the SPIFF header


_CODECS: Mapping[str, tuple[UID, Callable[[Stored], bytes] | None]] = {
    "explicit": (uids.ExplicitVRLittleEndian, None),
    "implicit": (uids.ImplicitVRLittleEndian, None),
    "deflated": (uids.DeflatedExplicitVRLittleEndian, None),
    "rle": (uids.RLELossless, _rle),
    "jpeg-lossless": (
        uids.JPEGLosslessSV1,
        lambda stored: bytes(imagecodecs.ljpeg_encode(stored.view(np.uint16), bitspersample=16)),
    ),
    "jpeg-ls": (uids.JPEGLSLossless, _jpeg_ls),
    "jpeg2000": (
        uids.JPEG2000Lossless,
        lambda stored: bytes(
            imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True, numthreads=1)
        ),
    ),
    "htj2k": (
        uids.HTJ2KLossless,
        lambda stored: bytes(imagecodecs.htj2k_encode(stored, reversible=True)),
    ),
}


def encode_frame(stored: Stored, transfer_syntax: str) -> bytes:
    """One frame (y, x) int16 as `transfer_syntax` stores it."""
    codec = _CODECS[transfer_syntax][1]
    return np.ascontiguousarray(stored, "<i2").tobytes() if codec is None else codec(stored)


# What may differ between the files of one template; all of it text.
_CHANGEABLE = {
    "SOPInstanceUID": (0x00080018, "UI"),
    "SeriesDescription": (0x0008103E, "LO"),
    "SeriesInstanceUID": (0x0020000E, "UI"),
    "SeriesNumber": (0x00200011, "IS"),
    "InstanceNumber": (0x00200013, "IS"),
    "ImagePositionPatient": (0x00200032, "DS"),
    "SliceLocation": (0x00201041, "DS"),
}


def _text_element(tag: int, vr: str, text: str, *, implicit: bool = False) -> bytes:
    """A data element of a text VR with a short length; values are separated by backslashes."""
    value = text.encode()
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    start = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return start + struct.pack("<L", len(value)) + value
    return start + vr.encode() + struct.pack("<H", len(value)) + value


def file_start(sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str) -> bytes:
    """Preamble and file meta information (PS3.10 section 7.1)."""
    meta = b"\2\0\1\0OB\0\0\2\0\0\0\0\1" + b"".join(
        _text_element(tag, vr, text)
        for tag, vr, text in (
            (0x00020002, "UI", sop_class_uid),
            (0x00020003, "UI", sop_instance_uid),
            (0x00020010, "UI", str(_CODECS[transfer_syntax][0])),
            (0x00020012, "UI", IMPLEMENTATION_UID),
            (0x00020013, "SH", IMPLEMENTATION_VERSION),
        )
    )
    return b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0" + struct.pack("<L", len(meta)) + meta


class HeaderTemplate:
    """A dataset without pixels, encoded once, from which files are made that differ little."""

    def __init__(self, dataset: Dataset, transfer_syntax: str) -> None:
        """`dataset` : everything but Pixel Data; it is not changed."""
        self._transfer_syntax = transfer_syntax
        self._native = _CODECS[transfer_syntax][1] is None
        self._implicit = transfer_syntax == "implicit"
        self._sop_class_uid = str(dataset.SOPClassUID)
        encodings = convert_encodings(dataset.get("SpecificCharacterSet", ""))
        self._elements: dict[int, bytes] = {}
        for element in correct_ambiguous_vr(copy.deepcopy(dataset), is_little_endian=True):
            buffer = DicomBytesIO()
            buffer.is_little_endian, buffer.is_implicit_VR = True, self._implicit
            write_data_element(buffer, element, encodings)
            self._elements[int(element.tag)] = buffer.getvalue()

    def file_parts(
        self, changes: Mapping[str, str], frames: Iterable[bytes], n_bytes: int
    ) -> Iterator[bytes]:
        """A whole file, piece by piece.

        changes : text by keyword, in place of the template's; SOPInstanceUID must be among them,
            and _CHANGEABLE names what else may
        frames : from `encode_frame`
        n_bytes : of all frames together; only uncompressed files need it
        """
        yield file_start(self._sop_class_uid, changes["SOPInstanceUID"], self._transfer_syntax)
        parts = self._dataset_parts(changes, frames, n_bytes)
        yield from _deflated(parts) if self._transfer_syntax == "deflated" else parts

    def _dataset_parts(
        self, changes: Mapping[str, str], frames: Iterable[bytes], n_bytes: int
    ) -> Iterator[bytes]:
        elements = dict(self._elements)
        for keyword, text in changes.items():
            tag, vr = _CHANGEABLE[keyword]
            elements[tag] = _text_element(tag, vr, text, implicit=self._implicit)
        yield b"".join(elements[tag] for tag in sorted(elements))
        if self._native:
            representation = b"" if self._implicit else b"OW\0\0"
            yield _PIXEL_DATA + representation + struct.pack("<L", n_bytes)
            yield from frames
        else:
            yield _PIXEL_DATA + b"OB\0\0\xff\xff\xff\xff" + _ITEM + b"\0\0\0\0"  # no offset table
            for frame in frames:
                even = frame + b"\0" * (len(frame) % 2)
                yield _ITEM + struct.pack("<L", len(even)) + even
            yield _SEQUENCE_END


def _deflated(parts: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    n_bytes = 0
    for part in parts:
        packed = packer.compress(part)
        n_bytes += len(packed)
        yield packed
    last = packer.flush()
    yield last + b"\0" * ((n_bytes + len(last)) % 2)


def decimal(value: float) -> str:
    """A decimal string of at most 16 characters.

    >>> decimal(-95.625)
    '-95.625'
    """
    return f"{value:.6f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
