"""To which study a mask file belongs, by whole parts of names; nothing is guessed.

A name is cut at everything that is no letter and no digit. A patient is named by the Patient ID and by folders that
hold all his studies and none of another patient; a study by folders that tell it from the patient's others, and by
its date. A mask belongs to a study when its name, or the folders that it lies in, name one patient, and, where the
patient has several studies, one of these.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gsigpu.masks.read_files import file_stem

Parts = tuple[str, ...]
# Before a number, they say that it is the patient's.
_PATIENT_WORDS = {
    "patient", "pat", "pt", "p", "case", "subject", "subj", "sub", "proband", "fall", "id", "pid", "mrn",
}  # fmt: skip


def name_parts(text: str) -> Parts:
    """The parts of a name.

    >>> name_parts("P001_baseline-lesions"), name_parts("Doe, Jane")
    (('p001', 'baseline', 'lesions'), ('doe', 'jane'))
    """
    return tuple(re.sub(r"[\W_]+", " ", text).casefold().split())


@dataclass(frozen=True, slots=True)
class NamedStudy:
    """A study as names may speak of it.

    key : of the study
    patient : key of the patient
    folders : the study's folder, from the tree's root on
    patient_names, dates : what else names the patient, and the study
    """

    key: str
    patient: str
    folders: tuple[str, ...]
    patient_names: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose a mask is: the key of a study, or "" and the keys of studies that it may be of."""

    study: str
    candidates: tuple[str, ...] = ()


class MaskOwners:
    """Finds the study of a mask."""

    def __init__(self, studies: Sequence[NamedStudy]) -> None:
        self._studies: dict[str, list[NamedStudy]] = defaultdict(list)
        for study in studies:
            self._studies[study.patient].append(study)
        self._patient_labels = {
            patient: self._labels_of_patient(patient) for patient in self._studies
        }
        self._study_labels = {study.key: self._labels_of_study(study) for study in studies}
        self._all_study_labels = {
            label for labels in self._study_labels.values() for label in labels
        }

    def _labels_of_patient(self, patient: str) -> set[Parts]:
        studies = self._studies[patient]
        shared = set.intersection(*(set(map(name_parts, study.folders)) for study in studies))
        others = {
            name_parts(folder)
            for other, studies in self._studies.items()
            if other != patient
            for study in studies
            for folder in study.folders
        }
        names = {name_parts(name) for study in studies for name in study.patient_names}
        # A name that two patients have names neither.
        foreign = others | {
            name_parts(name)
            for other, studies in self._studies.items()
            if other != patient
            for study in studies
            for name in study.patient_names
        }
        return ((shared | names) - foreign) - {()}

    def _labels_of_study(self, study: NamedStudy) -> set[Parts]:
        others = [other for other in self._studies[study.patient] if other.key != study.key]
        folders = set(map(name_parts, study.folders)) - self._patient_labels[study.patient]
        shared = {name_parts(folder) for other in others for folder in other.folders}
        dates = {
            name_parts(date)
            for date in study.dates
            if not any(date in other.dates for other in others)
        }
        # Without another study of the patient its folders name it only where they do so elsewhere.
        return ((folders - shared) | dates) - {()}

    def owner(self, path: Path, root: Path) -> Ownership:
        """The study that the name of a file, and of its folders below `root`, speak of."""
        relative = path.relative_to(root)
        components = [
            *map(name_parts, relative.parts[:-1]), name_parts(file_stem(relative)),
        ]  # fmt: skip
        patients = self._patients_named(components)
        if len(patients) != 1:
            return Ownership(
                "", tuple(s.key for patient in patients for s in self._studies[patient])
            )
        return self.study_of(patients[0], components)

    def study_of(self, patient: str, components: Sequence[Parts]) -> Ownership:
        """The study of a patient that names speak of."""
        studies = self._studies[patient]
        keys = tuple(study.key for study in studies)
        named = [key for key in keys if _hits(self._study_labels[key], components)]
        if len(named) == 1:
            return Ownership(named[0], keys)
        spoken = {label for label in self._all_study_labels if _hits([label], components)}
        known = {label for key in keys for label in self._study_labels[key]}
        if len(studies) == 1 and not named and not spoken - known:
            return Ownership(keys[0], keys)
        return Ownership("", tuple(named) or keys)

    def contradicts(self, path: Path, root: Path, study: NamedStudy) -> bool:
        """Whether a name speaks of another patient or another study than the one beside which it lies."""
        components = [name_parts(file_stem(path))]
        inner = [name_parts(part) for part in path.relative_to(root).parts[:-1]]
        patients = self._patients_named(components)
        if patients and study.patient not in patients:
            return True
        others = [other.key for other in self._studies[study.patient] if other.key != study.key]
        return any(_hits(self._study_labels[other], components) for other in others) and not _hits(
            self._study_labels[study.key], [*components, *inner]
        )

    def _patients_named(self, components: Sequence[Parts]) -> list[str]:
        """Patients whose names stand there; a bare number counts fully only where nothing speaks against it."""
        sure, weak = [], []
        for patient, labels in self._patient_labels.items():
            strengths = [_strength(label, components) for label in labels]
            best = max(strengths, default=0)
            if best == 2:
                sure.append(patient)
            elif best == 1:
                weak.append(patient)
        return sure or weak


def _hits(labels: Iterable[Parts], components: Sequence[Parts]) -> bool:
    return any(_strength(label, components) for label in labels)


def _strength(label: Parts, components: Sequence[Parts]) -> int:
    """2 where a label stands there as a whole; 1 for a bare number without a word that says whose; else 0.

    >>> _strength(("1",), [("patient", "1", "lesion", "2")]), _strength(("2",), [("patient", "1", "lesion", "2")])
    (2, 1)
    >>> _strength(("p001",), [("masks",), ("p0011", "lesions")])
    0
    """
    is_number = len(label) == 1 and label[0].isdigit()
    best = 0
    for parts in components:
        for at in range(len(parts) - len(label) + 1):
            if parts[at : at + len(label)] != label:
                continue
            is_whole = len(parts) == len(label)
            is_said = at > 0 and parts[at - 1] in _PATIENT_WORDS
            best = max(best, 2 if not is_number or is_whole or is_said else 1)
    return best
