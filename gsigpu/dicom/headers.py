"""One pass over the headers of a folder.

Every file is opened once; its elements (gsigpu.dicom.elements) become planes. What is equal in the
files of a series is decoded once: raw bytes are the key to the decoded object.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

from gsigpu.dicom import elements as el
from gsigpu.dicom.elements import Elements
from gsigpu.dicom.model import HeaderScan, Plane, Skipped
from gsigpu.dicom.multiframe import frames_of
from gsigpu.dicom.planes import IncompleteImage, PlaneDecoder
from gsigpu.errors import InputError

Progress = Callable[[int, int], None]

_MULTI_FRAME = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)


def scan_headers(root: Path, *, progress: Progress | None = None) -> HeaderScan:
    """All CT planes below a folder, and why every other file is none.

    root : a folder, or one DICOM file
    progress : called with (files done, files in all)
    Raises InputError if `root` does not exist, cannot be listed, or is empty.
    """
    paths = sorted(_files_below(root))
    if not paths:
        raise InputError("folder is empty", where=root, remedy="name the folder of a DICOM export")
    scanner = _Scanner()
    for n_done, path in enumerate(paths):
        if progress is not None and n_done % 64 == 0:
            progress(n_done, len(paths))
        scanner.add(path)
    if progress is not None:
        progress(len(paths), len(paths))
    return HeaderScan(tuple(scanner.planes), tuple(scanner.skipped), len(paths))


def _files_below(root: Path) -> Iterator[str]:
    if root.is_file():
        yield os.fspath(root)
        return
    if not root.is_dir():
        raise InputError("no such folder", where=root, remedy="name the folder of a DICOM export")

    def refuse(error: OSError) -> None:
        raise InputError(
            f"cannot be listed ({error.strerror})",
            where=error.filename,
            remedy="check its permissions",
        )

    # Links to folders are not followed, so a loop cannot trap the walk.
    for folder, _, names in os.walk(root, onerror=refuse):
        for name in names:
            yield f"{folder}{os.sep}{name}"


class _Scanner:
    """Planes and skipped files so far, and the decoded objects they share."""

    def __init__(self) -> None:
        self.planes: list[Plane] = []
        self.skipped: list[Skipped] = []
        self._walker = el.HeaderWalker()
        self._decoder = PlaneDecoder()

    def add(self, name: str) -> None:
        path = Path(name)
        try:
            with path.open("rb", buffering=0) as file:
                self.planes.extend(self._planes_of(path, file))
        except (NotAnImage, IncompleteImage) as reason:
            self.skipped.append(Skipped(path, str(reason)))
        except OSError as error:
            self.skipped.append(Skipped(path, f"cannot be read ({error.strerror or error})"))

    def _planes_of(self, path: Path, file: BinaryIO) -> list[Plane]:
        found = self._walker.read(file)
        if found is not None and _sop_class(found) == CTImageStorage:
            return [self._decoder.plane(path, found)]
        if found is not None and _sop_class(found) not in _MULTI_FRAME:
            raise NotAnImage(_what_else(found))
        file.seek(0)
        ds, found = read_with_pydicom(file)
        if _sop_class(found) == CTImageStorage:
            return [self._decoder.plane(path, found)]
        if _sop_class(found) in _MULTI_FRAME:
            return [
                self._decoder.plane(path, one, frame=frame)
                for frame, one in enumerate(frames_of(ds, found))
            ]
        raise NotAnImage(_what_else(found))


class NotAnImage(Exception):
    """Why a file gives no planes; never leaves the scan."""


def read_with_pydicom(file: BinaryIO) -> tuple[Dataset, Elements]:
    """The header and its elements, by the general reader.

    Raises NotAnImage if that cannot read it either.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # a skipped or odd header is reported by its consequence
            ds = dcmread(file, stop_before_pixels=True, force=True)
            syntax = str(ds.file_meta.get("TransferSyntaxUID", "") or _guessed_syntax(ds))
            found = el.elements_of_dataset(ds, syntax)
    except InvalidDicomError as error:
        raise NotAnImage("not DICOM") from error
    except Exception as error:  # pydicom raises anything on a broken header
        raise NotAnImage(f"broken DICOM header ({type(error).__name__}: {error})") from error
    if "SOPClassUID" not in ds and "TransferSyntaxUID" not in ds.file_meta:
        raise NotAnImage("not DICOM")
    if "DirectoryRecordSequence" in ds:
        raise NotAnImage("DICOMDIR")
    if syntax != el.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        _find_pixel_data(file, found)
    return ds, found


def _guessed_syntax(ds: Dataset) -> str:
    """Of a file without meta information, as pydicom found it."""
    implicit, little = ds.original_encoding
    if implicit:
        return el.IMPLICIT_VR_LITTLE_ENDIAN
    return el.EXPLICIT_VR_LITTLE_ENDIAN if little else el.EXPLICIT_VR_BIG_ENDIAN


def _find_pixel_data(file: BinaryIO, found: Elements) -> None:
    """Note where Pixel Data begins; pydicom left the file in front of group 7FE0."""
    order: Literal["big", "little"]
    order = "big" if found.transfer_syntax_uid == el.EXPLICIT_VR_BIG_ENDIAN else "little"
    implicit = found.transfer_syntax_uid == el.IMPLICIT_VR_LITTLE_ENDIAN
    while len(head := file.read(8)) == 8:
        tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:4], order)
        if tag >> 16 != 0x7FE0:
            return
        if implicit:
            length = int.from_bytes(head[4:8], order)
        elif head[4:6] in (b"UL", b"US"):
            length = int.from_bytes(head[6:8], order)
        else:
            length = int.from_bytes(file.read(4), order)
        if tag == el.PIXEL_DATA:
            found.pixel_offset = file.tell()
            found.pixel_length = -1 if length == 0xFFFFFFFF else length
            return
        if length == 0xFFFFFFFF:
            return
        file.seek(length, os.SEEK_CUR)


def _sop_class(found: Elements) -> str:
    return found.values.get(0x00080016, b"").rstrip(b"\0 ").decode("ascii", "replace")


def _what_else(found: Elements) -> str:
    sop_class = _sop_class(found)
    if sop_class == MediaStorageDirectoryStorage:
        return "DICOMDIR"
    if not sop_class:
        return "DICOM without a SOP class"
    name = UID(sop_class).name
    return f"not a CT image but {name if name != sop_class else f'SOP class {sop_class}'}"
