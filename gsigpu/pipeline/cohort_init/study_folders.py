"""The studies of a folder tree: which folders hold their images, and which are theirs alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset

from gsigpu.archives.archive_rules import archive_stem
from gsigpu.archives.open_archives import split_at_archive
from gsigpu.dicom.quiet import quiet
from gsigpu.dicom.reading.bounded_file import read_header
from gsigpu.masks.read_files import is_volume

_LOOKED_AT = 6  # files of each folder: a folder of one study shows it in any of them

_TAGS = [
    "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "PatientSex", "PatientAge", "Modality",
    "StudyDate", "StudyTime", "PatientName", "PatientBirthDate",
]  # fmt: skip

# Files that gsigpu leaves in its outputs, and the bytes of them that name it.
_OWN_RECORDS = ("run.json", "provenance.json")

_RECORD_BYTES = 4096

_MASK_MODALITIES = ("SEG", "RTSTRUCT")


@dataclass
class StudyFolder:
    """A study in the tree, or as much of it as one archive holds; or studies that lie mixed in the same folders.

    uid : Study Instance UID; of mixed ones that of the first
    archive : in which it lies; None in the file system
    folder : of its images; area : the folder above that is its alone
    """

    uid: str
    header: Dataset
    folders: set[Path] = field(default_factory=set)
    folder: Path = Path()
    area: Path = Path()
    archive: Path | None = None


@dataclass
class LookedStudy:
    """What is kept of a study that was read: its headers would fill the memory in a tree of thousands.

    place : its folder, and a header of its own
    series : what names the study among others in that folder; "" where it is alone there
    series_of_phase : what names the stacks of a phase that holds several
    phases : of its monoenergetic series; phase_of_series : by Series Instance UID
    dicom_masks : SEG and RTSTRUCT files that lie among its images
    """

    place: StudyFolder
    phases: list[str]
    phase_of_series: dict[str, str]
    dicom_masks: list[Path]
    series: str = ""
    series_of_phase: dict[str, list[str]] = field(default_factory=dict)
    patient: str = ""
    case_id: str = ""

    @property
    def key(self) -> str:
        """Of the study, or of the part of it that lies in one archive."""
        return f"{self.place.uid} {self.place.folder}"

    @property
    def header_patient(self) -> str:
        return header_text(self.place, "PatientID")


class OwnOutputs:
    """Folders that gsigpu wrote: what is in them is no input."""

    def __init__(self) -> None:
        """Nothing was looked at yet."""
        self._known: dict[Path, bool] = {}

    def holds(self, folder: Path, root: Path) -> bool:
        """Whether a folder, or one above it up to `root`, is an output."""
        if folder not in self._known:
            above = folder != root and folder.is_relative_to(root)
            self._known[folder] = (above and self.holds(folder.parent, root)) or any(
                _is_own_record(folder / name) for name in _OWN_RECORDS
            )
        return self._known[folder]


def _is_own_record(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b'"software": "gsigpu ' in file.read(_RECORD_BYTES)
    except OSError:
        return False


def find_studies(
    by_folder: dict[Path, list[Path]],
) -> tuple[list[StudyFolder], list[Path]]:
    """CT studies with the folders of their images, and DICOM masks, by a look at some files of each folder."""
    studies: dict[tuple[str, Path | None], StudyFolder] = {}
    masks = []
    for folder, files in by_folder.items():
        images: dict[str, Dataset] = {}
        candidates = [path for path in files if not is_volume(path)]
        step = max(len(candidates) // _LOOKED_AT, 1)
        for path in candidates if len(candidates) <= 2 * _LOOKED_AT else candidates[::step]:
            header = study_header(path)
            if header is None:
                continue
            if header.get("Modality") in _MASK_MODALITIES:
                masks.append(path)
            elif header.get("Modality") == "CT" and header.get("StudyInstanceUID"):
                images.setdefault(str(header.StudyInstanceUID), header)
        for uid, header in images.items():
            place = split_at_archive(folder)
            archive = place[0] if place else None
            study = studies.setdefault(
                (uid, archive), StudyFolder(uid=uid, header=header, archive=archive)
            )
            study.folders.add(folder)
    return _mixed_joined(studies.values()), masks


def _mixed_joined(studies: Iterable[StudyFolder]) -> list[StudyFolder]:
    """Studies that share a folder become one place, which is read once."""
    joined: list[StudyFolder] = []
    place_of: dict[Path, StudyFolder] = {}
    for study in studies:
        others = list({id(p): p for f in study.folders if (p := place_of.get(f))}.values())
        place = others[0] if others else study
        for other in (*others[1:], study):
            if other is not place:
                place.folders |= other.folders
        if not others:
            joined.append(study)
        joined = [known for known in joined if not any(known is other for other in others[1:])]
        place_of |= dict.fromkeys(place.folders, place)
    return joined


def study_header(path: Path) -> Dataset | None:
    """Who and what a file is of; None if it does not say."""
    try:
        with quiet():
            return read_header(path, _TAGS)
    except Exception:  # noqa: BLE001  # what is no DICOM, or broken, names no study
        return None


def placed(studies: list[StudyFolder], root: Path, notes: list[str]) -> list[StudyFolder]:
    """Studies with a folder of their own, and the folder above it that is still theirs alone."""
    placed = []
    users: Counter[Path] = Counter()
    for study in studies:
        study.folder = Path(os.path.commonpath([str(folder) for folder in study.folders]))
        users.update({above for folder in study.folders for above in (folder, *folder.parents)})
    for study in studies:
        if users[study.folder] > 1:
            notes.append(
                f"{study.folder}: holds several studies in folders that cross; give each its own folder"
            )
            continue
        study.area = study.folder
        while study.area != root and users[study.area.parent] == 1:
            study.area = study.area.parent
        if study.archive is not None and study.archive.is_relative_to(study.area):
            study.folder = study.archive
        placed.append(study)
    return sorted(placed, key=lambda study: str(study.folder))


def folder_parts(folder: Path, root: Path) -> tuple[str, ...]:
    """What the folders from the tree's root on are called; an archive without its suffix."""
    parts = folder.relative_to(root).parts or (folder.name,)
    place = split_at_archive(folder)
    if place is None or not place[0].is_relative_to(root):
        return parts
    at = len(place[0].relative_to(root).parts) - 1
    return (*parts[:at], archive_stem(place[0]), *parts[at + 1 :])


def header_text(study: StudyFolder, keyword: str) -> str:
    return str(study.header.get(keyword) or "").strip()
