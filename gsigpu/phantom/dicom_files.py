"""DICOM files written fast: the header encoded once per series, each slice changes a few elements.

Also the transfer syntaxes, deterministic UIDs, and file names.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID

from gsigpu.dicom.writing.encoding import encapsulated, is_native, transfer_syntax_uid
from gsigpu.dicom.writing.template import HeaderTemplate

# A UID made from a UUID needs no registered root (DICOM PS3.5 B.2).
IMPLEMENTATION_UID = UID("2.25.289207434563274569148271136184561827934")
IMPLEMENTATION_VERSION = "GSIGPU_PHANTOM"


def phantom_uid(*words: object) -> str:
    """A UID `2.25.…` that is the same for the same words.

    >>> phantom_uid("a", 1) == phantom_uid("a", "1") != phantom_uid("b")
    True
    """
    digest = hashlib.sha256("\x1f".join(map(str, words)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"


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
    meta.TransferSyntaxUID = transfer_syntax_uid(transfer_syntax)
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
        self._native = is_native(transfer_syntax)
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
            yield from encapsulated(frames)


def _deflated(parts: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    n_bytes = 0
    for part in parts:
        packed = packer.compress(part)
        n_bytes += len(packed)
        yield packed
    last = packer.flush()
    yield last + b"\0" * ((n_bytes + len(last)) % 2)
