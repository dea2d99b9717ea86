"""One pass over the headers of a folder.

Every file is opened once; its elements (gsigpu.dicom.reading.elements) become planes. What is equal in the
files of a series is decoded once: raw bytes are the key to the decoded object.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gsigpu.archives.archive_rules import is_archive_name
from gsigpu.archives.open_archives import files_in, is_in_archive, open_member, split_at_archive
from gsigpu.backends.compiled_files import Heads
from gsigpu.dicom.model import HeaderScan, Plane, Skipped
from gsigpu.dicom.reading import elements as el
from gsigpu.dicom.reading.alike_headers import AlikeHeaders
from gsigpu.dicom.reading.bounded_file import MOST_HEADER_BYTES, BoundedFile, NoHeader
from gsigpu.dicom.reading.directory_records import files_named, is_dicomdir
from gsigpu.dicom.reading.element_values import integer
from gsigpu.dicom.reading.elements import Elements
from gsigpu.dicom.reading.file_heads import FileHead, head_of, with_heads
from gsigpu.dicom.reading.header_walk import SMALLEST_READ, HeaderWalker
from gsigpu.dicom.reading.multiframe import InconsistentFrames, frames_of
from gsigpu.dicom.reading.pixel_location import MisplacedPixelData, check_end, find_pixel_data
from gsigpu.dicom.reading.planes import (
    PLANE_TAGS,
    IncompleteImage,
    PlaneDecoder,
)
from gsigpu.dicom.reading.siblings import NOT_DICOM, mark_damaged_siblings
from gsigpu.dicom.reading.sop_classes import (
    CT_IMAGE_STORAGE,
    ENHANCED_CT_IMAGE_STORAGE,
    LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE,
    MEDIA_STORAGE_DIRECTORY,
)
from gsigpu.errors import InputError, PixelDataError
from gsigpu.file_state import FileState, open_input

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Progress = Callable[[int, int], None]

_PREAMBLE = 132
# Of the beginnings of files: headers of a study differ by names and numbers of some bytes; a disk gives whole pages.
_MORE_THAN_LONGEST = 512
_PAGE = 4096
_MOST_OF_A_HEAD = 16 * _PAGE
# Philips Medical Systems, and its CT division in Haifa.
_PHILIPS_ROOTS = ("1.3.46.670589.", "1.2.840.113704.")
_MULTI_FRAME = (ENHANCED_CT_IMAGE_STORAGE, LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE)


def scan_headers(root: Path, *, progress: Progress | None = None) -> HeaderScan:
    """All CT planes below a folder, and why every other file is none.

    root : a folder, an archive, a folder in one, a DICOMDIR, or one DICOM file
    progress : called with (files done, files in all)
    Returns planes and skipped files in the order of their paths, whatever the file system's.
    Raises InputError if `root` does not exist, cannot be listed, or is empty.
    """
    paths = files_below(root)
    if not paths:
        raise InputError("folder is empty", where=root, remedy="name the folder of a DICOM export")
    scanner = _Scanner()
    n_done = 0
    for names, heads in with_heads(paths, scanner.how_much):
        scanner.add_files(names, heads)
        n_done += len(names)
        if progress is not None:
            progress(n_done, len(paths))
    skipped = mark_damaged_siblings(scanner.planes, scanner.skipped)
    return HeaderScan(tuple(scanner.planes), tuple(skipped), len(paths))


def files_below(root: Path) -> list[str]:
    """All files, sorted; what is neither file nor folder is left out, for it may never end.

    Links to folders are followed, after all real folders, and each folder is listed once. An archive is a folder where
    `root` names it, and a file where it lies in one. A DICOMDIR is the files that it names, there or not.
    """
    if is_dicomdir(root) and not root.is_dir():
        return files_named(root, files_below(root.parent))
    if split_at_archive(root):
        return sorted(files_in(root))
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
                    kind = _kind_of(entry)
                    if kind == "folder":
                        (links if entry.is_symlink() else folders).append(entry.path)
                    elif kind == "file":
                        files.append(entry.path)
        except OSError as error:
            raise InputError(
                f"cannot be listed ({error.strerror})", where=folder, remedy="check its permissions"
            ) from error
    return sorted(files)


def _kind_of(entry: os.DirEntry[str]) -> Literal["folder", "file", "other"]:
    """A link that leads nowhere, or round in a circle, is a file, which then cannot be read."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        return "file" if entry.is_symlink() and not Path(entry.path).exists() else "other"
    except OSError:
        return "file"


class _Scanner:
    """Planes and skipped files so far, and the decoded objects they share."""

    def __init__(self) -> None:
        self.planes: list[Plane] = []
        self.skipped: list[Skipped] = []
        self._walker = HeaderWalker(CT_IMAGE_STORAGE)
        self._decoder = PlaneDecoder()
        self._images: set[tuple[object, ...]] = set()  # common keys of images of one frame
        self._alike = AlikeHeaders()
        self._longest = 0  # header so far

    def how_much(self) -> int:
        """How many bytes the beginnings of the next files should have."""
        if not self._longest:
            return SMALLEST_READ
        n_pages = -(-(self._longest + _MORE_THAN_LONGEST) // _PAGE)
        return min(n_pages * _PAGE, _MOST_OF_A_HEAD)

    def add_files(self, names: Sequence[str], heads: Heads | None) -> None:
        """Adds what some files hold, of which the first bytes may be at hand."""
        if heads is None:
            for name in names:
                self.add(name)
            return
        n_done = 0
        while n_done < len(names):
            n_done += self._add_until_news(names[n_done:], heads.since(n_done))

    def _add_until_news(self, names: Sequence[str], heads: Heads) -> int:
        """How many of the files were added: the last of them may show what those behind it are like."""
        n_learned = self._alike.n_learned
        for at, (name, plane) in enumerate(
            zip(names, self._alike.planes(names, heads), strict=True)
        ):
            if plane is not None:
                self._add(plane)
                continue
            head = head_of(heads, at)
            if head is None or not self.add_plain(name, head):
                self.add(name)
            elif self._alike.n_learned > n_learned:
                return at + 1
        return len(names)

    def _add(self, plane: Plane) -> None:
        self.planes.append(plane)
        self._longest = max(self._longest, plane.pixel_offset)

    def add_plain(self, name: str, head: FileHead) -> bool:
        """Adds the plane of a file by how it begins; False where that does not tell all, and nothing was done."""
        elements = self._walker.read_start(head.start)
        if elements is None or elements.common_key is None:
            return False
        place_end = elements.pixel_offset + elements.pixel_length
        if elements.pixel_length >= 0 and place_end != head.state.size:
            return False
        if elements.common_key not in self._images:
            if not _is_one_image(elements):
                return False
            self._images.add(elements.common_key)
        try:
            plane = self._decoder.plane(name, elements, state=head.state)
        except IncompleteImage:
            return False
        self._add(plane)
        if self._alike.is_news(elements.common_key):
            likeness = self._walker.likeness(head.start, PLANE_TAGS)
            self._alike.learn(likeness, self._decoder.common(elements))
        return True

    def add(self, name: str) -> None:
        """Adds the planes of a file, or why it has none."""
        path = Path(name)
        try:
            with open_input(name) as file:
                state = FileState.of(file)
                self.planes.extend(
                    [
                        self._decoder.plane(name, elements, frame=frame, state=state)
                        for frame, elements in enumerate(self._elements(file, state.size))
                    ]
                )
            self._longest = max(self._longest, self.planes[-1].pixel_offset)
        except NotAnImage as reason:
            self.skipped.append(_skipped(path, str(reason)))
        except PixelDataError as error:
            self.skipped.append(Skipped(path, error.what, damaged=True))
        except (DamagedImage, IncompleteImage) as reason:
            self.skipped.append(Skipped(path, str(reason), damaged=True))
        except OSError as error:
            reason_told = f"cannot be read ({error.strerror or error})"
            self.skipped.append(Skipped(path, reason_told, damaged=True))

    def _elements(self, file: FileIO, size: int) -> list[Elements]:
        """Of each frame."""
        elements = self._walker.read(file)
        if elements is None or _sop_class(elements) in _MULTI_FRAME:
            file.seek(0)
            return frames_by_pydicom(file)
        _refuse_unless_ct(elements)
        if elements.pixel_length >= 0 and elements.pixel_offset + elements.pixel_length != size:
            _check_end(file, elements, size, little=True)
        return [elements]


def _skipped(path: Path, reason: str) -> Skipped:
    """A file that is no image; one of an archive only if its checksum says so too, for its head may be what is damaged."""
    if is_in_archive(path):
        try:
            open_member(path, proven=True).close()
        except PixelDataError as error:
            return Skipped(path, error.what, damaged=True)
    if reason == NOT_DICOM and is_archive_name(path.name):
        return Skipped(path, "an archive, which is read where it is named itself")
    return Skipped(path, reason)


class NotAnImage(Exception):
    """Why a file gives no planes; never leaves the scan."""


class DamagedImage(Exception):
    """Why a file that should give planes gives none; never leaves the scan."""


def frames_by_pydicom(file: FileIO) -> list[Elements]:
    """The elements of each frame of an open file, by the general reader.

    Raises DamagedImage if that cannot read it either, NotAnImage if it is no CT image.
    """
    start = file.read(_PREAMBLE)
    if not start:
        raise DamagedImage("empty file")
    if start[128:] != b"DICM" and not _begins_like_a_dataset(start):
        raise NotAnImage(NOT_DICOM)
    from pydicom import dcmread  # which takes longer to import than most studies to scan

    file.seek(0)
    bounded = BoundedFile(file)
    try:
        with warnings.catch_warnings():
            # A skipped or odd header is reported by its consequence.
            warnings.simplefilter("ignore")
            ds = dcmread(
                bounded,
                stop_before_pixels=True,
                force=True,
                defer_size=MOST_HEADER_BYTES,
            )
            _refuse_unless_image(ds, has_magic=start[128:] == b"DICM")
            little = bool(ds.original_encoding[1])
            syntax = str(ds.file_meta.get("TransferSyntaxUID", "") or _guessed_syntax(ds))
            elements = el.elements_of_dataset(ds, syntax)
            _refuse_unless_ct(elements)
            if syntax != el.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
                place = find_pixel_data(file, little=little)
                if place is not None:
                    elements.pixel_offset, elements.pixel_length = place
                    _check_end(file, elements, file.seek(0, os.SEEK_END), little=little)
            return frames_of(ds, elements) if _sop_class(elements) in _MULTI_FRAME else [elements]
    except (NotAnImage, DamagedImage):
        raise
    except (InconsistentFrames, NoHeader) as error:
        raise DamagedImage(str(error)) from error
    except Exception as error:  # pydicom raises anything on a broken header
        raise DamagedImage(f"broken DICOM header ({type(error).__name__}: {error})") from error


def _begins_like_a_dataset(start: bytes) -> bool:
    """Whether a file without preamble may be DICOM: an element of group 2 or 8, of either byte order.

    Anything else is left alone: reading it as if it were takes as long as the file is.
    """
    return start[:2] in (b"\2\0", b"\x08\0", b"\0\2", b"\0\x08") and len(start) > 8


def _check_end(file: FileIO, elements: Elements, size: int, *, little: bool) -> None:
    if elements.pixel_length < 0:
        return
    try:
        check_end(file, elements.pixel_offset, elements.pixel_length, size, little=little)
    except MisplacedPixelData as error:
        raise DamagedImage(str(error)) from error


def _guessed_syntax(ds: Dataset) -> str:
    """Of a file without meta information, as pydicom elements it."""
    implicit, little = ds.original_encoding
    if implicit:
        return el.IMPLICIT_VR_LITTLE_ENDIAN
    return el.EXPLICIT_VR_LITTLE_ENDIAN if little else el.EXPLICIT_VR_BIG_ENDIAN


def _sop_class(elements: Elements) -> str:
    return elements.values.get(0x00080016, b"").rstrip(b"\0 ").decode("ascii", "replace")


def _refuse_unless_image(ds: Dataset, *, has_magic: bool) -> None:
    """Of a file that is DICOM, but does not tell its class, the meta information may."""
    if "DirectoryRecordSequence" in ds:
        raise NotAnImage("DICOMDIR")
    if "SOPClassUID" in ds:
        return
    meta_class = str(ds.file_meta.get("MediaStorageSOPClassUID", ""))
    if meta_class and meta_class != CT_IMAGE_STORAGE and meta_class not in _MULTI_FRAME:
        raise NotAnImage(_what_else(meta_class))
    if has_magic or "TransferSyntaxUID" in ds.file_meta:
        raise DamagedImage("its DICOM header is cut off or overwritten: no SOP class")
    raise NotAnImage(NOT_DICOM)


def _refuse_unless_ct(elements: Elements) -> None:
    sop_class = _sop_class(elements)
    if sop_class == CT_IMAGE_STORAGE:
        raw = elements.values.get(el.NUMBER_OF_FRAMES, b"").strip(b"\0 ")
        n_frames = integer(raw)
        if raw and n_frames is None:
            raise DamagedImage(f"Number of Frames is no number: {raw[:16]!r}")
        if n_frames is not None and n_frames != 1:
            raise NotAnImage(f"CT Image Storage holds one frame, this file claims {n_frames}")
    elif sop_class not in _MULTI_FRAME:
        raise NotAnImage(_what_else(sop_class))


def _is_one_image(elements: Elements) -> bool:
    try:
        _refuse_unless_ct(elements)
    except (DamagedImage, NotAnImage):
        return False
    return _sop_class(elements) == CT_IMAGE_STORAGE


def _what_else(sop_class: str) -> str:
    if sop_class == MEDIA_STORAGE_DIRECTORY:
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
