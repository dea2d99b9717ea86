"""One pass over the headers of a folder.

Every file is opened once; its elements (gsigpu.dicom.reading.elements) become planes. What is equal in the
files of a series is decoded once: raw bytes are the key to the decoded object.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

from gsigpu.dicom.model import HeaderScan, Plane, Skipped
from gsigpu.dicom.reading import elements as el
from gsigpu.dicom.reading.elements import Elements
from gsigpu.dicom.reading.header_walk import HeaderWalker
from gsigpu.dicom.reading.multiframe import InconsistentFrames, frames_of
from gsigpu.dicom.reading.planes import IncompleteImage, PlaneDecoder, integer
from gsigpu.errors import InputError

Progress = Callable[[int, int], None]

# Philips Medical Systems, and its CT division in Haifa.
_PHILIPS_ROOTS = ("1.3.46.670589.", "1.2.840.113704.")
_MULTI_FRAME = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)


def scan_headers(root: Path, *, progress: Progress | None = None) -> HeaderScan:
    """All CT planes below a folder, and why every other file is none.

    root : a folder, or one DICOM file
    progress : called with (files done, files in all)
    Returns planes and skipped files in the order of their paths, whatever the file system's.
    Raises InputError if `root` does not exist, cannot be listed, or is empty.
    """
    paths = files_below(root)
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


def files_below(root: Path) -> list[str]:
    """All files, sorted; what is neither file nor folder is left out, for it may never end.

    Links to folders are followed, after all real folders, and each folder is listed once.
    """
    if root.is_file():
        return [os.fspath(root)]
    if not root.is_dir():
        what = "is no folder" if root.exists() else "no such folder"
        raise InputError(what, where=root, remedy="name the folder of a DICOM export")
    files: list[str] = []
    folders, links = [os.fspath(root)], list[str]()
    listed: set[tuple[int, int]] = set()
    while folders or links:
        if not folders:
            links.sort(reverse=True)
        folder = folders.pop() if folders else links.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116  a Path for each folder buys nothing
            if (status.st_dev, status.st_ino) in listed:
                continue
            listed.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir():
                        (links if entry.is_symlink() else folders).append(entry.path)
                    elif entry.is_file() or _dangles(entry):
                        files.append(entry.path)
        except OSError as error:
            raise InputError(
                f"cannot be listed ({error.strerror})", where=folder, remedy="check its permissions"
            ) from error
    return sorted(files)


def _dangles(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not Path(entry.path).exists()


class _Scanner:
    """Planes and skipped files so far, and the decoded objects they share."""

    def __init__(self) -> None:
        self.planes: list[Plane] = []
        self.skipped: list[Skipped] = []
        self._walker = HeaderWalker(CTImageStorage)
        self._decoder = PlaneDecoder()

    def add(self, name: str) -> None:
        path = Path(name)
        try:
            with open(name, "rb", buffering=0) as file:  # noqa: PTH123  the same, faster
                self.planes.extend(
                    [
                        self._decoder.plane(path, elements, frame=frame)
                        for frame, elements in enumerate(self._elements(file))
                    ]
                )
        except NotAnImage as reason:
            self.skipped.append(Skipped(path, str(reason)))
        except (DamagedImage, IncompleteImage) as reason:
            self.skipped.append(Skipped(path, str(reason), damaged=True))
        except OSError as error:
            reason_told = f"cannot be read ({error.strerror or error})"
            self.skipped.append(Skipped(path, reason_told, damaged=True))

    def _elements(self, file: BinaryIO) -> list[Elements]:
        """Of each frame."""
        elements = self._walker.read(file)
        if elements is None or _sop_class(elements) in _MULTI_FRAME:
            file.seek(0)
            return frames_by_pydicom(file)
        _refuse_unless_ct(elements)
        return [elements]


class NotAnImage(Exception):
    """Why a file gives no planes; never leaves the scan."""


class DamagedImage(Exception):
    """Why a file that should give planes gives none; never leaves the scan."""


def frames_by_pydicom(file: BinaryIO) -> list[Elements]:
    """The elements of each frame of an open file, by the general reader.

    Raises DamagedImage if that cannot read it either, NotAnImage if it is no CT image.
    """
    if not file.read(1):
        raise DamagedImage("empty file")
    file.seek(0)
    try:
        with warnings.catch_warnings():
            # A skipped or odd header is reported by its consequence.
            warnings.simplefilter("ignore")
            ds = dcmread(file, stop_before_pixels=True, force=True)
            _refuse_unless_image(ds)
            implicit, little = ds.original_encoding
            syntax = str(ds.file_meta.get("TransferSyntaxUID", "") or _guessed_syntax(ds))
            elements = el.elements_of_dataset(ds, syntax)
            _refuse_unless_ct(elements)
            if syntax != el.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
                _find_pixel_data(file, elements, implicit=bool(implicit), little=bool(little))
            return frames_of(ds, elements) if _sop_class(elements) in _MULTI_FRAME else [elements]
    except NotAnImage:
        raise
    except InconsistentFrames as error:
        raise DamagedImage(str(error)) from error
    except Exception as error:  # pydicom raises anything on a broken header
        raise DamagedImage(f"broken DICOM header ({type(error).__name__}: {error})") from error


def _guessed_syntax(ds: Dataset) -> str:
    """Of a file without meta information, as pydicom elements it."""
    implicit, little = ds.original_encoding
    if implicit:
        return el.IMPLICIT_VR_LITTLE_ENDIAN
    return el.EXPLICIT_VR_LITTLE_ENDIAN if little else el.EXPLICIT_VR_BIG_ENDIAN


def _find_pixel_data(file: BinaryIO, elements: Elements, *, implicit: bool, little: bool) -> None:
    """Note where Pixel Data begins; pydicom left the file in front of group 7FE0."""
    order: Literal["big", "little"] = "little" if little else "big"
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
            elements.pixel_offset = file.tell()
            elements.pixel_length = -1 if length == 0xFFFFFFFF else length
            return
        if length == 0xFFFFFFFF:
            return
        file.seek(length, os.SEEK_CUR)


def _sop_class(elements: Elements) -> str:
    return elements.values.get(0x00080016, b"").rstrip(b"\0 ").decode("ascii", "replace")


def _refuse_unless_image(ds: Dataset) -> None:
    if "SOPClassUID" not in ds and "TransferSyntaxUID" not in ds.file_meta:
        raise NotAnImage("not DICOM")
    if "DirectoryRecordSequence" in ds:
        raise NotAnImage("DICOMDIR")


def _refuse_unless_ct(elements: Elements) -> None:
    sop_class = _sop_class(elements)
    if sop_class == CTImageStorage:
        n_frames = integer(elements.values.get(el.NUMBER_OF_FRAMES))
        if n_frames is not None and n_frames != 1:
            raise NotAnImage(f"CT Image Storage holds one frame, this file claims {n_frames}")
    elif sop_class not in _MULTI_FRAME:
        raise NotAnImage(_what_else(sop_class))


def _what_else(sop_class: str) -> str:
    if sop_class == MediaStorageDirectoryStorage:
        return "DICOMDIR"
    if not sop_class:
        return "DICOM without a SOP class"
    name = el.uid_name(sop_class)
    if name != sop_class:
        return f"not a CT image but {name}"
    if sop_class.startswith(_PHILIPS_ROOTS):
        return (
            f"not a CT image but Philips' own SOP class {sop_class}; if it holds spectral base"
            " images, export monoenergetic series from the vendor's workstation"
        )
    return f"not a CT image but SOP class {sop_class!r}"
