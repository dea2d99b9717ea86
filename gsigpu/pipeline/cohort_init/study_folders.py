"""The studies of a folder tree: which folders hold their images, and which are theirs alone."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset

from gsigpu.dicom.reading.bounded_file import read_header
from gsigpu.dicom.writing.derived import quiet
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
    """A study in the tree."""

    uid: str
    header: Dataset
    folders: set[Path] = field(default_factory=set)
    folder: Path = Path()
    area: Path = Path()


@dataclass
class LookedStudy:
    """What is kept of a study that was read: its headers would fill the memory in a tree of thousands.

    phases : of its monoenergetic series; phase_of_series : by Series Instance UID
    dicom_masks : SEG and RTSTRUCT files that lie among its images
    """

    place: StudyFolder
    phases: list[str]
    phase_of_series: dict[str, str]
    dicom_masks: list[Path]
    patient: str = ""
    case_id: str = ""

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
    by_folder: dict[Path, list[Path]], notes: list[str]
) -> tuple[list[StudyFolder], list[Path]]:
    """CT studies with the folders of their images, and DICOM masks, by a look at some files of each folder."""
    studies: dict[str, StudyFolder] = {}
    masks = []
    mixed: set[str] = set()
    for folder, files in by_folder.items():
        images: dict[str, Dataset] = {}
        candidates = [path for path in files if not is_volume(path)]
        step = max(len(candidates) // _LOOKED_AT, 1)
        for path in candidates if len(candidates) <= 2 * _LOOKED_AT else candidates[::step]:
            header = _header(path)
            if header is None:
                continue
            if header.get("Modality") in _MASK_MODALITIES:
                masks.append(path)
            elif header.get("Modality") == "CT" and header.get("StudyInstanceUID"):
                images.setdefault(str(header.StudyInstanceUID), header)
        if len(images) > 1:
            notes.append(
                f"{folder}: holds files of {len(images)} studies; give each its own folder"
            )
            mixed |= set(images)
        for uid, header in images.items():
            studies.setdefault(uid, StudyFolder(uid, header)).folders.add(folder)
    return [study for uid, study in studies.items() if uid not in mixed], masks


def _header(path: Path) -> Dataset | None:
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
        placed.append(study)
    return sorted(placed, key=lambda study: str(study.folder))


def header_text(study: StudyFolder, keyword: str) -> str:
    return str(study.header.get(keyword) or "").strip()
