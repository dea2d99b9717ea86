"""Pixels of int16 images as a transfer syntax stores them: native, or compressed without loss and encapsulated.

The codecs are those of imagecodecs, which also decodes what is read; they release the GIL, so threads scale.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid as uids
from pydicom.uid import UID

Stored = NDArray[np.int16]

_ITEM = b"\xfe\xff\0\xe0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"


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


def _jpeg_lossless(stored: Stored) -> bytes:
    """By the predictor that the transfer syntax names; imagecodecs' `ljpeg_encode` takes the sixth (T.81 table H.1)."""
    samples = stored.view(np.uint16)
    return bytes(imagecodecs.jpeg8_encode(samples, lossless=True, predictor=1, bitspersample=16))


_CODECS: Mapping[str, tuple[UID, Callable[[Stored], bytes] | None]] = {
    "explicit": (uids.ExplicitVRLittleEndian, None),
    "implicit": (uids.ImplicitVRLittleEndian, None),
    "deflated": (uids.DeflatedExplicitVRLittleEndian, None),
    "rle": (uids.RLELossless, _rle),
    "jpeg-lossless": (
        uids.JPEGLosslessSV1,
        _jpeg_lossless,
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


def transfer_syntax_uid(name: str) -> UID:
    """The UID of a transfer syntax by its name in gsigpu.choices.TRANSFER_SYNTAXES.

    >>> transfer_syntax_uid("htj2k").name
    'High-Throughput JPEG 2000 Image Compression (Lossless Only)'
    """
    return _CODECS[name][0]


def is_native(name: str) -> bool:
    """Whether pixels are stored as they are."""
    return _CODECS[name][1] is None


def encode_frame(stored: Stored, name: str) -> bytes:
    """One frame (y, x) int16 as a transfer syntax stores it."""
    codec = _CODECS[name][1]
    return np.ascontiguousarray(stored, "<i2").tobytes() if codec is None else codec(stored)


def encapsulated(frames: Iterable[bytes]) -> Iterator[bytes]:
    """The value of Pixel Data made of compressed frames, with an empty offset table (PS3.5, A.4)."""
    yield _ITEM + b"\0\0\0\0"
    for frame in frames:
        even = frame + b"\0" * (len(frame) % 2)
        yield _ITEM + struct.pack("<L", len(even)) + even
    yield _SEQUENCE_END
