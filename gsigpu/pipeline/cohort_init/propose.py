"""`gsigpu cohort init`: a manifest proposed from a folder tree.

A study folder is the one that holds all CT images of a Study Instance UID and none of another. What stands beside
it, up to where another study begins, is its own: masks there are taken for what their names say. What cannot
be decided is left empty and told.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from pydicom import Dataset, dcmread

from gsigpu.dicom.model import SeriesKind, Study
from gsigpu.dicom.reading.headers import files_below
from gsigpu.dicom.study.patterns import load_patterns
from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.writing.derived import quiet
from gsigpu.errors import GsigpuError, InputError
from gsigpu.masks.read_files import VOLUME_SUFFIXES
from gsigpu.masks.roles import Role, role_by_name

Progress = Callable[[int, int], None]

COLUMNS = (
    "case_id", "patient_id", "group", "phase", "study", "mask", "reader", "liver_mask",
    "vessel_mask", "aorta_mask", "normal_mask", "sex", "age", "confirmed",
)  # fmt: skip
_COLUMN_OF = {
    Role.LESION: "mask",
    Role.LIVER: "liver_mask",
    Role.VESSELS: "vessel_mask",
    Role.AORTA: "aorta_mask",
    Role.NORMAL: "normal_mask",
}
_LOOKED_AT = 6  # files of each folder: a folder of one study shows it in any of them
_TAGS = [
    "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "PatientSex", "PatientAge", "Modality",
    "StudyDate", "StudyTime",
]  # fmt: skip
_MASK_MODALITIES = ("SEG", "RTSTRUCT")
_READER = re.compile(r"(?:reader|rater|observer)[\s_-]*([A-Za-z0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A manifest to be completed.

    rows : column -> cell, paths absolute
    notes : what could not be decided, one line each
    """

    rows: list[dict[str, str]]
    notes: list[str]
    n_studies: int
    n_patients: int

    def as_csv(self, folder: Path) -> str:
        """The manifest's text, with paths relative to its folder where that is possible."""
        text = StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({name: _relative(name, cell, folder) for name, cell in row.items()})
        return text.getvalue()


def is_manifest(path: Path) -> bool:
    """Whether a file is a manifest as `gsigpu cohort init` writes it, by its first line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next(csv.reader(file), [])
    except (OSError, ValueError, csv.Error):
        return False
    return list(COLUMNS) == first[: len(COLUMNS)]


@dataclass
class _StudyFolder:
    """A study in the tree."""

    uid: str
    header: Dataset
    folders: set[Path] = field(default_factory=set)
    folder: Path = Path()
    area: Path = Path()


@dataclass(frozen=True, slots=True)
class _Mask:
    """A mask file: what it seems to be of; phase and reader "" for all."""

    path: Path
    role: Role
    is_sure: bool
    phase: str
    reader: str


def propose_manifest(root: Path, *, progress: Progress | None = None) -> Proposal:
    """Looks through a folder tree.

    progress : called with (studies done, studies in all)
    Raises InputError if there is no CT study.
    """
    root = root.absolute()
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for name in files_below(root):
        by_folder[Path(name).parent].append(Path(name))
    notes: list[str] = []
    studies, dicom_masks = _studies(by_folder, notes)
    if not studies:
        raise InputError(
            "no CT study in it", where=root, remedy="name a folder above the DICOM exports"
        )
    studies = _placed(studies, root, notes)
    mask_files = [
        path
        for files in by_folder.values()
        for path in files
        if path.name.lower().endswith(VOLUME_SUFFIXES)
    ]
    rows: list[dict[str, str]] = []
    case_ids = _case_ids(studies)
    for n_done, study_folder in enumerate(studies):
        if progress is not None:
            progress(n_done, len(studies))
        rows += _rows(
            study_folder, case_ids[study_folder.uid], [*mask_files, *dicom_masks], studies, notes
        )
    if progress is not None:
        progress(len(studies), len(studies))
    patients = {row["patient_id"] for row in rows}
    return Proposal(
        rows=rows,
        notes=notes,
        n_studies=len({row["study"] for row in rows}),
        n_patients=len(patients),
    )


def _studies(
    by_folder: dict[Path, list[Path]], notes: list[str]
) -> tuple[list[_StudyFolder], list[Path]]:
    """CT studies with the folders of their images, and DICOM masks, by a look at some files of each folder."""
    studies: dict[str, _StudyFolder] = {}
    masks = []
    mixed: set[str] = set()
    for folder, files in by_folder.items():
        images: dict[str, Dataset] = {}
        candidates = [path for path in files if not path.name.lower().endswith(VOLUME_SUFFIXES)]
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
            studies.setdefault(uid, _StudyFolder(uid, header)).folders.add(folder)
    return [study for uid, study in studies.items() if uid not in mixed], masks


def _header(path: Path) -> Dataset | None:
    try:
        with quiet():
            return dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except Exception:  # noqa: BLE001  # what is no DICOM, or broken, names no study
        return None


def _placed(studies: list[_StudyFolder], root: Path, notes: list[str]) -> list[_StudyFolder]:
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


def _case_ids(studies: Sequence[_StudyFolder]) -> dict[str, str]:
    """PatientID, and the number of the study in time where a patient has several."""
    by_patient: dict[str, list[_StudyFolder]] = defaultdict(list)
    for study in studies:
        by_patient[_patient(study)].append(study)
    case_ids = {}
    for patient, members in by_patient.items():
        members.sort(
            key=lambda study: (_text(study, "StudyDate"), _text(study, "StudyTime"), study.uid)
        )
        for number, study in enumerate(members, start=1):
            case_ids[study.uid] = patient if len(members) == 1 else f"{patient}-{number}"
    return case_ids


def _patient(study: _StudyFolder) -> str:
    return _text(study, "PatientID")


def _text(study: _StudyFolder, keyword: str) -> str:
    return str(study.header.get(keyword) or "").strip()


def _rows(
    study_folder: _StudyFolder,
    case_id: str,
    mask_files: Sequence[Path],
    studies: Sequence[_StudyFolder],
    notes: list[str],
) -> Iterator[dict[str, str]]:
    """A row per phase and reader."""
    try:
        study = read_study(study_folder.folder)
    except GsigpuError as error:
        notes.append(str(error))
        return
    phases = list(dict.fromkeys(s.phase for s in study.series if s.kind is SeriesKind.VMI))
    if not phases:
        notes.append(f"{study_folder.folder}: no monoenergetic series, so it is left out")
        return
    notes += [f"{study_folder.folder}: {s.problem}" for s in study.series if s.problem is not None]
    if not _patient(study_folder):
        notes.append(f"{study_folder.folder}: no Patient ID; fill in patient_id and case_id")
    if "" in phases:
        notes.append(f"{study_folder.folder}: no header names the phase; fill it in")
    if any(phase.startswith("phase-") for phase in phases):
        notes.append(
            f"{study_folder.folder}: phases are told apart by time alone ({', '.join(phases)});"
            " the names stay as they are here, AP is not known"
        )
    masks = _own_masks(study_folder, mask_files, studies, study, phases)
    readers = sorted({mask.reader for mask in masks if mask.role is Role.LESION}) or [""]
    if len(readers) > 1 and not readers[0]:
        notes.append(f"{study_folder.folder}: one mask of lesions names no reader; fill in reader")
    for phase in phases:
        for reader in readers:
            cells = _mask_cells(masks, phase, reader, study_folder, notes)
            yield {
                **dict.fromkeys(COLUMNS, ""),
                "case_id": case_id,
                "patient_id": _patient(study_folder),
                "phase": phase,
                "study": str(study_folder.folder),
                "reader": reader,
                "sex": _text(study_folder, "PatientSex")[:1],
                "age": _text(study_folder, "PatientAge").lstrip("0").removesuffix("Y"),
                **cells,
            }


def _own_masks(
    study_folder: _StudyFolder,
    files: Sequence[Path],
    studies: Sequence[_StudyFolder],
    study: Study,
    phases: Sequence[str],
) -> list[_Mask]:
    """Masks below the study's own folder; else those elsewhere that its folder's name names."""
    inside = [path for path in files if path.is_relative_to(study_folder.area)]
    inside += [
        skipped.path for skipped in study.skipped
        if "Segmentation Storage" in skipped.reason or "RT Structure" in skipped.reason
    ]  # fmt: skip
    if not inside:
        owned = [other.area for other in studies]
        name = _words(study_folder.area.name)
        inside = [
            path
            for path in files
            if name
            and f" {name} " in f" {_words(path.name)} {_words(path.parent.name)} "
            and not any(path.is_relative_to(folder) for folder in owned)
        ]
    return [_mask(path, study_folder.area, study, phases) for path in dict.fromkeys(inside)]


def _mask(path: Path, area: Path, study: Study, phases: Sequence[str]) -> _Mask:
    stem = re.sub(r"(\.seg)?\.(nii(\.gz)?|nrrd|mha|mhd|dcm)$", "", path.name, flags=re.IGNORECASE)
    inner = path.parent.relative_to(area).parts if path.is_relative_to(area) else ()
    match = _READER.search(" ".join((*inner, stem)))
    named = _READER.sub("", stem).strip(" _-.") or stem
    if path.name.lower().endswith(VOLUME_SUFFIXES):
        role, is_sure = role_by_name(named.replace("-", " "))
        phase = "" if role is Role.VESSELS else _phase_named(named, phases)
    else:  # regions in it have names of their own
        role, is_sure, phase = Role.LESION, True, _phase_of_dicom(path, study)
    return _Mask(
        path=path, role=role, is_sure=is_sure, phase=phase, reader=match[1] if match else ""
    )


def _phase_named(name: str, phases: Sequence[str]) -> str:
    """The only phase of the study for which a name speaks."""
    text = name.replace("_", " ")
    spoken = {rule.answer for rule in load_patterns().phase if rule.pattern.search(text)}
    named_phases = [phase for phase in phases if phase in spoken]
    return named_phases[0] if len(named_phases) == 1 else ""


def _phase_of_dicom(path: Path, study: Study) -> str:
    """That of the series which a SEG or RTSTRUCT refers to."""
    try:
        with quiet():
            header = dcmread(path, stop_before_pixels=True)
            named = {
                str(element.value)
                for element in header.iterall()
                if element.keyword == "SeriesInstanceUID"
            }
    except Exception:  # noqa: BLE001  # the run will say what is wrong with it
        return ""
    phases = {series.phase for series in study.series if series.evidence.series_uid in named}
    return phases.pop() if len(phases) == 1 else ""


def _mask_cells(
    masks: Sequence[_Mask], phase: str, reader: str, study_folder: _StudyFolder, notes: list[str]
) -> dict[str, str]:
    """The mask columns of a row; a mask of a phase or reader goes before one of all."""
    cells = {}
    for role, column in _COLUMN_OF.items():
        fitting = [
            mask
            for mask in masks
            if mask.role is role
            and mask.phase in ("", phase)
            and (mask.reader == reader or (role is not Role.LESION and not mask.reader))
        ]
        best = [mask for mask in fitting if mask.is_sure] or fitting
        for special in ("reader", "phase"):
            best = [mask for mask in best if getattr(mask, special)] or best
        where = f"{study_folder.folder}, phase {phase or '(none)'}" + (
            f", reader {reader}" if reader else ""
        )
        names = ", ".join(mask.path.name for mask in best)
        if role is Role.LESION:
            cells[column] = ";".join(str(mask.path) for mask in best)
            if not best:
                notes.append(f"{where}: no mask of lesions found; fill in mask")
            elif not all(mask.is_sure for mask in best):
                notes.append(f"{where}: {names} taken for lesions, which their names do not say")
            elif len(best) > 1:
                notes.append(f"{where}: {names} all taken for lesions; keep what belongs together")
        elif len(best) == 1:
            cells[column] = str(best[0].path)
        elif best:
            notes.append(f"{where}: which of {names} is the {column}? Fill it in")
    return cells


def _words(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().lower()


def _relative(column: str, cell: str, folder: Path) -> str:
    if column not in ("study", "mask", *_COLUMN_OF.values()) or not cell:
        return cell
    return ";".join(os.path.relpath(path, folder.absolute()) for path in cell.split(";"))
