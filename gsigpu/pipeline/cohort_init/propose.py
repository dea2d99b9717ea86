"""`gsigpu cohort init`: a manifest proposed from a folder tree.

A study folder is the one that holds all CT images of a Study Instance UID and none of another. What stands beside
it, up to where another study begins, is its own: masks there are taken for what their names say, unless they name
another study. Masks elsewhere are taken where their names say for sure of which patient and study they are, DICOM masks
where they refer to the study. What cannot be decided is left empty and told.
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from gsigpu.dicom.model import SeriesKind
from gsigpu.dicom.reading.headers import files_below
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import GsigpuError, InputError
from gsigpu.masks.read_files import is_volume
from gsigpu.masks.roles import Role
from gsigpu.pipeline.cohort_init.mask_columns import (
    COLUMN_OF,
    ProposedMask,
    mask_cells,
    owned_masks,
)
from gsigpu.pipeline.cohort_init.patients_and_cases import folder_groups, name_cases, name_patients
from gsigpu.pipeline.cohort_init.study_folders import (
    LookedStudy,
    OwnOutputs,
    StudyFolder,
    find_studies,
    header_text,
    placed,
)

Progress = Callable[[int, int], None]

COLUMNS = (
    "case_id", "patient_id", "group", "phase", "study", "mask", "reader", "liver_mask",
    "vessel_mask", "aorta_mask", "normal_mask", "sex", "age", "confirmed",
)  # fmt: skip


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


def propose_manifest(
    root: Path, *, groups_from_folders: bool = False, progress: Progress | None = None
) -> Proposal:
    """Looks through a folder tree.

    groups_from_folders : fill in the groups where a level of folders holds several patients each
    progress : called with (studies done, studies in all)
    Raises InputError if there is no CT study.
    """
    root = root.absolute()
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    own_outputs = OwnOutputs()
    for name in files_below(root):
        path = Path(name)
        if not own_outputs.holds(path.parent, root):
            by_folder[path.parent].append(path)
    notes: list[str] = []
    studies, dicom_masks = find_studies(by_folder, notes)
    if not studies:
        raise InputError(
            "no CT study in it", where=root, remedy="name a folder above the DICOM exports"
        )
    studies = placed(studies, root, notes)
    looked = _looked_at(studies, notes, progress)
    name_patients(looked, root, notes)
    name_cases(looked)
    volume_masks = [path for files in by_folder.values() for path in files if is_volume(path)]
    owned = owned_masks(looked, volume_masks, dicom_masks, root, notes)
    groups = folder_groups(looked, root, notes, is_wanted=groups_from_folders)
    rows: list[dict[str, str]] = []
    for study in looked:
        rows += _rows(study, owned[study.place.uid], groups.get(study.patient, ""), notes)
    return Proposal(
        rows=rows,
        notes=notes,
        n_studies=len({row["study"] for row in rows}),
        n_patients=len({row["patient_id"] for row in rows}),
    )


def _looked_at(
    studies: Sequence[StudyFolder], notes: list[str], progress: Progress | None
) -> list[LookedStudy]:
    """The studies that have monoenergetic series."""
    looked = []
    for n_done, place in enumerate(studies):
        if progress is not None:
            progress(n_done, len(studies))
        try:
            study = read_study(place.folder)
        except GsigpuError as error:
            notes.append(str(error))
            continue
        phases = list(dict.fromkeys(s.phase for s in study.series if s.kind is SeriesKind.VMI))
        if not phases:
            notes.append(f"{place.folder}: no monoenergetic series, so it is left out")
            continue
        notes += [f"{place.folder}: {s.problem}" for s in study.series if s.problem is not None]
        if not header_text(place, "PatientID"):
            notes.append(f"{place.folder}: no Patient ID; fill in patient_id and case_id")
        if "" in phases:
            notes.append(f"{place.folder}: no header names the phase; fill it in")
        if any(phase.startswith("phase-") for phase in phases):
            notes.append(
                f"{place.folder}: phases are told apart by time alone ({', '.join(phases)});"
                " the names stay as they are here, AP is not known"
            )
        looked.append(
            LookedStudy(
                place=place,
                phases=phases,
                phase_of_series={s.evidence.series_uid: s.phase for s in study.series},
                dicom_masks=[
                    skipped.path
                    for skipped in study.skipped
                    if "Segmentation Storage" in skipped.reason or "RT Structure" in skipped.reason
                ],
            )
        )
    if progress is not None:
        progress(len(studies), len(studies))
    return looked


def _rows(
    study: LookedStudy, masks: Sequence[ProposedMask], group: str, notes: list[str]
) -> Iterator[dict[str, str]]:
    """A row per phase and reader."""
    place = study.place
    readers = sorted({mask.reader for mask in masks if mask.role is Role.LESION}) or [""]
    if len(readers) > 1 and not readers[0]:
        notes.append(f"{place.folder}: one mask of lesions names no reader; fill in reader")
    for phase in study.phases:
        for reader in readers:
            cells = mask_cells(masks, phase, reader, place, notes)
            yield {
                **dict.fromkeys(COLUMNS, ""),
                "case_id": study.case_id,
                "patient_id": study.patient,
                "group": group,
                "phase": phase,
                "study": str(place.folder),
                "reader": reader,
                "sex": header_text(place, "PatientSex")[:1],
                "age": header_text(place, "PatientAge").lstrip("0").removesuffix("Y"),
                **cells,
            }


def _relative(column: str, cell: str, folder: Path) -> str:
    if column not in ("study", "mask", *COLUMN_OF.values()) or not cell:
        return cell
    return ";".join(os.path.relpath(path, folder.absolute()) for path in cell.split(";"))
