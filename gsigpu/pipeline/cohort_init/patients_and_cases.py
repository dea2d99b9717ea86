"""What patients, cases and groups are called, by headers and folders."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from gsigpu.pipeline.cohort_init.study_folders import (
    LookedStudy,
    folder_parts,
    header_text,
)

_PERSON_TAGS = ("PatientName", "PatientBirthDate", "PatientSex")

# Patient IDs that anonymisers give to everybody.
_NOBODY = {
    "anonymous", "anonymized", "anonymised", "anon", "anonym", "unknown", "none", "noid", "no id",
    "deidentified", "de-identified", "removed", "patient", "0", "00000000", "xxx", "test",
}  # fmt: skip


def name_patients(looked: Sequence[LookedStudy], root: Path, notes: list[str]) -> None:
    """The Patient ID of the headers; the folder, and a note, where an anonymiser gave everybody the same."""
    by_id: dict[str, list[LookedStudy]] = defaultdict(list)
    for study in looked:
        study.patient = study.header_patient
        by_id[study.patient].append(study)
    for patient_id, members in by_id.items():
        is_nobody = patient_id.casefold() in _NOBODY
        persons = {
            tuple(header_text(study.place, keyword) for keyword in _PERSON_TAGS)
            for study in members
        }
        if len(members) < 2 or not patient_id:
            continue
        if not is_nobody:
            if len(persons) > 1:
                notes.append(
                    f"{len(members)} studies have the Patient ID {patient_id!r} and differ in name, sex or birth"
                    " date: one patient or several? Check patient_id"
                )
            continue
        notes.append(
            f"{len(members)} studies have the Patient ID {patient_id!r}, which anonymisers give to everybody;"
            " their folders are taken for the patients: check patient_id and case_id"
        )
        folders = _telling_folders([study.place.folder for study in members], root)
        for study, folder in zip(members, folders, strict=True):
            study.patient = folder
        if len(set(folders)) < len(folders):
            shared = {name for name, n in Counter(folders).items() if n > 1}
            for study in members:
                study.patient = "" if study.patient in shared else study.patient
            notes.append(
                f"{', '.join(sorted(shared))}: several of these studies in one folder: whose each is cannot be told;"
                " fill in patient_id and case_id"
            )


def _telling_folders(folders: Sequence[Path], root: Path) -> list[str]:
    """Of each folder the first part of its path that no other has at that level; the whole path where none tells."""
    parts = [folder_parts(folder, root) for folder in folders]
    for depth in range(min(map(len, parts))):
        level = [path[depth] for path in parts]
        if len(set(level)) == len(level):
            return level
    return ["-".join(path) for path in parts]


def name_cases(looked: Sequence[LookedStudy]) -> None:
    """The patient, and a number in the order of time where there are several examinations.

    Studies of one day that hold different phases are one examination: some scanners store each phase as a study.
    """
    by_patient: dict[str, list[LookedStudy]] = defaultdict(list)
    for study in looked:
        by_patient[study.patient].append(study)
    for patient, members in by_patient.items():
        if not patient:
            continue
        members.sort(
            key=lambda s: (
                header_text(s.place, "StudyDate"),
                header_text(s.place, "StudyTime"),
                s.key,
            )
        )
        examinations: list[list[LookedStudy]] = []
        for study in members:
            last = examinations[-1] if examinations else []
            if last and _is_one_examination([*last, study]):
                last.append(study)
            else:
                examinations.append([study])
        for number, examination in enumerate(examinations, start=1):
            for study in examination:
                study.case_id = patient if len(examinations) == 1 else f"{patient}-{number}"


def _is_one_examination(studies: Sequence[LookedStudy]) -> bool:
    phases = [phase for study in studies for phase in study.phases]
    dates = {header_text(study.place, "StudyDate") for study in studies}
    return (
        len(dates) == 1 and dates != {""} and "" not in phases and len(set(phases)) == len(phases)
    )


def folder_groups(
    looked: Sequence[LookedStudy], root: Path, notes: list[str], *, is_wanted: bool
) -> dict[str, str]:
    """Patient -> group, by the level of folders that looks like groups; only told of unless it is wanted."""
    parts = [folder_parts(study.place.folder, root) for study in looked]
    n_patients = len({study.patient for study in looked})
    for depth in range(min(map(len, parts), default=0)):
        members: dict[str, set[str]] = defaultdict(set)
        for study, folders in zip(looked, parts, strict=True):
            members[folders[depth]].add(study.patient)
        is_partition = sum(map(len, members.values())) == n_patients
        if 2 <= len(members) <= n_patients // 2 and is_partition:
            names = ", ".join(f"{name} ({len(patients)})" for name, patients in members.items())
            if not is_wanted:
                notes.append(
                    f"folders that may be groups, with their patients: {names}; add --groups-from-folders"
                )
                return {}
            return {patient: name for name, patients in members.items() for patient in patients}
    if is_wanted:
        notes.append("no level of folders holds several patients each; fill in group")
    return {}
