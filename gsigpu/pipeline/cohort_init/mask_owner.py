"""To which study a mask file belongs, by whole parts of names; nothing is guessed.

A name is cut at everything that is no letter and no digit. A patient is named by the Patient ID and by folders that
hold all his studies and none of another patient; a study by folders that tell it from the patient's others, and by
its date. A mask belongs to a study when its name, or the folders that it lies in, name one patient, and, where the
patient has several studies, one of these.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gsigpu.masks.read_files import file_stem
from gsigpu.masks.roles import known_role

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
    """Finds the study of a mask.

    A name is looked up by the sequences of parts that it holds, so that a mask costs the same among ten studies and
    among ten thousand.
    """

    def __init__(self, studies: Sequence[NamedStudy]) -> None:
        self._studies: dict[str, list[NamedStudy]] = defaultdict(list)
        for study in studies:
            self._studies[study.patient].append(study)
        self._rank = {patient: rank for rank, patient in enumerate(self._studies)}
        patient_labels = self._patient_labels = self._labels_of_patients()
        self._patient_of: dict[Parts, str] = {
            label: patient for patient, labels in patient_labels.items() for label in labels
        }
        self._longest = max(map(len, self._patient_of), default=0)
        self._study_labels: dict[str, set[Parts]] = {}
        for patient, members in self._studies.items():
            self._study_labels |= _labels_of_studies(members, patient_labels[patient])
        self._all_study_labels = set[Parts]().union(*self._study_labels.values())
        self._longest = max(self._longest, max(map(len, self._all_study_labels), default=0))

    def _labels_of_patients(self) -> dict[str, set[Parts]]:
        """Patient -> what names him: his names, and folders of all his studies; not what names another too."""
        users: dict[Parts, set[str]] = defaultdict(set)
        labels_of: dict[str, set[Parts]] = {}
        for patient, studies in self._studies.items():
            names = {name_parts(name) for study in studies for name in study.patient_names}
            folders = [set(map(name_parts, study.folders)) for study in studies]
            labels_of[patient] = (set.intersection(*folders) | names) - {()}
            for label in names.union(*folders):
                users[label].add(patient)
        return {
            patient: {label for label in labels if len(users[label]) == 1}
            for patient, labels in labels_of.items()
        }

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
        spoken = self._spoken(components) & self._all_study_labels
        named = [key for key in keys if self._study_labels[key] & spoken]
        if len(named) == 1:
            return Ownership(named[0], keys)
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
        spoken = self._spoken(components)
        return any(self._study_labels[other] & spoken for other in others) and not (
            self._study_labels[study.key] & self._spoken([*components, *inner])
        )

    def without_owner(self, name: str, study: NamedStudy) -> str:
        """A name without what says whose it is: the rest may say what it is of.

        study : the owner; what its folders are called stays where that is a word for a region
        """
        of_owner = self._patient_labels[study.patient] | self._study_labels[study.key]
        labels = {label for label in of_owner if known_role(" ".join(label)) is None}
        parts, kept, at = name_parts(name), list[str](), 0
        while at < len(parts):
            lengths = range(len(parts) - at, 0, -1)
            n_spoken = next((n for n in lengths if parts[at : at + n] in labels), 0)
            kept += parts[at : at + 1] if not n_spoken else ()
            at += max(n_spoken, 1)
        return " ".join(kept)

    def _patients_named(self, components: Sequence[Parts]) -> list[str]:
        """Patients whose names stand there; a bare number counts fully only where nothing speaks against it."""
        strengths: dict[str, int] = {}
        for label in self._spoken(components) & self._patient_of.keys():
            patient = self._patient_of[label]
            strengths[patient] = max(strengths.get(patient, 0), _strength(label, components))
        ordered = sorted(strengths, key=self._rank.__getitem__)
        sure = [patient for patient in ordered if strengths[patient] == 2]
        return sure or ordered

    def _spoken(self, components: Sequence[Parts]) -> set[Parts]:
        """Every sequence of parts that stands there, up to the length of the longest label."""
        return {
            parts[begin : begin + length]
            for parts in components
            for begin in range(len(parts))
            for length in range(1, min(self._longest, len(parts) - begin) + 1)
        }


def _labels_of_studies(
    studies: Sequence[NamedStudy], patient_labels: set[Parts]
) -> dict[str, set[Parts]]:
    """Study of one patient -> folders and dates that tell it from his others."""
    folders = {study.key: set(map(name_parts, study.folders)) for study in studies}
    dates = {study.key: set(map(name_parts, study.dates)) for study in studies}
    n_folders = Counter(label for labels in folders.values() for label in labels)
    n_dates = Counter(label for labels in dates.values() for label in labels)
    # Without another study of the patient its folders name it only where they do so elsewhere.
    return {
        study.key: {
            *(label for label in folders[study.key] - patient_labels if n_folders[label] == 1),
            *(label for label in dates[study.key] if n_dates[label] == 1),
        }
        - {()}
        for study in studies
    }


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
