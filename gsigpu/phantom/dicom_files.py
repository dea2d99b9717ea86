"""DICOM files written fast: the header encoded once per series, each slice changes a few elements.

Also the transfer syntaxes, deterministic UIDs, and file names.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid as uids
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID

from gsigpu.dicom.writing.template import HeaderTemplate

Stored = NDArray[np.int16]

# A UID made from a UUID needs no registered root (DICOM PS3.5 B.2).
IMPLEMENTATION_UID = UID("2.25.289207434563274569148271136184561827934")
IMPLEMENTATION_VERSION = "GSIGPU_PHANTOM"
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


# What may differ between the files of one template, and what stands for it in the template.
_MARKERS = {
    "SOPInstanceUID": "9.9.9.0.424242",
    "SeriesDescription": "DIFFERS 424242",
    "SeriesInstanceUID": "9.9.9.1.424242",
    "SeriesNumber": "1424242000",
    "InstanceNumber": "1424242001",
    "ImagePositionPatient": "-4242.4242\\4242.4242\\1",
    "SliceLocation": "1424242002",
}


def file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str) -> FileMetaDataset:
    """File meta information (PS3.10 section 7.1) that names this program's phantoms."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = _CODECS[transfer_syntax][0]
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    return meta


class FileTemplate:
    """A file without its frames, encoded once, from which files are made that differ little."""

    def __init__(
        self,
        dataset: Dataset,
        transfer_syntax: str,
        *,
        changing: Collection[str],
        n_pixel_bytes: int,
    ) -> None:
        """What all files share.

        dataset : everything but Pixel Data; it is not changed
        changing : keywords of the elements that differ, among those of `_MARKERS`;
            SOPInstanceUID must be one of them
        n_pixel_bytes : of all frames of a file together, uncompressed
        """
        self._transfer_syntax = transfer_syntax
        self._native = _CODECS[transfer_syntax][1] is None
        markers = {keyword: _MARKERS[keyword] for keyword in changing}
        marked = Dataset(dict(dataset.items()))  # its elements are shared: a tenth of a deep copy
        for keyword, marker in markers.items():
            if keyword in marked:  # to set it would change the shared element
                del marked[keyword]
            setattr(marked, keyword, marker.split("\\"))
        meta = file_meta(marked.SOPClassUID, marked.SOPInstanceUID, transfer_syntax)
        self._header = HeaderTemplate(
            FileDataset("", marked, file_meta=meta),
            markers,
            n_pixel_bytes=n_pixel_bytes if self._native else None,
            pixel_vr="OW" if self._native else "OB",
        )

    def file_parts(self, changes: Mapping[str, str], frames: Iterable[bytes]) -> Iterator[bytes]:
        """A whole file, piece by piece.

        changes : text of the changing elements, by keyword
        frames : from `encode_frame`
        """
        meta, dataset = self._header.fill_parts(changes)
        yield meta
        parts = self._dataset_parts(dataset, frames)
        yield from _deflated(parts) if self._transfer_syntax == "deflated" else parts

    def _dataset_parts(self, dataset: bytes, frames: Iterable[bytes]) -> Iterator[bytes]:
        yield dataset
        if self._native:
            yield from frames
        else:
            yield _ITEM + b"\0\0\0\0"  # no offset table
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
