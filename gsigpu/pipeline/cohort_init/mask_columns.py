"""The mask columns of a manifest: which masks are of which study, and what they are of."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset

from gsigpu.dicom.quiet import quiet
from gsigpu.dicom.reading.bounded_file import read_header
from gsigpu.dicom.study.patterns import load_patterns, normalised
from gsigpu.masks.read_files import file_stem
from gsigpu.masks.roles import Role, is_name_of, role_by_name
from gsigpu.phase_words import phase_words
from gsigpu.pipeline.cohort_init.mask_owner import MaskOwners, NamedStudy
from gsigpu.pipeline.cohort_init.study_folders import (
    LookedStudy,
    StudyFolder,
    folder_parts,
    header_text,
)
from gsigpu.tables.region_columns import REGION_COLUMN

COLUMN_OF = {
    Role.LESION: "mask",
    Role.LIVER: "liver_mask",
    Role.VESSELS: "vessel_mask",
    Role.AORTA: "aorta_mask",
    Role.NORMAL: "normal_mask",
}

_SHOWN_CANDIDATES = 4  # names in a note: a line that a person reads

_READER = re.compile(r"(?:reader|rater|observer)[\s_-]*([A-Za-z0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ProposedMask:
    """A mask file: what it seems to be of; phase and reader "" for all.

    region : the name that was asked for, of a mask that is of that region and has no role
    """

    path: Path
    role: Role
    is_sure: bool
    phase: str
    reader: str
    region: str = ""


def owned_masks(
    looked: Sequence[LookedStudy],
    volume_masks: Sequence[Path],
    dicom_masks: Sequence[Path],
    root: Path,
    notes: list[str],
    *,
    regions: Sequence[str] = (),
) -> dict[str, list[ProposedMask]]:
    """Key of a study -> its masks: where they lie, what their names say, what DICOM refers to.

    regions : names of further regions whose masks are looked for
    """
    named = {
        study.key: NamedStudy(
            key=study.key,
            patient=study.patient or study.key,
            folders=folder_parts(study.place.folder, root),
            patient_names=tuple(filter(None, {study.patient, study.header_patient})),
            dates=tuple(filter(None, [header_text(study.place, "StudyDate")])),
        )
        for study in looked
    }
    owners = MaskOwners(list(named.values()))
    by_key = {study.key: study for study in looked}
    by_area: dict[Path, list[LookedStudy]] = defaultdict(list)
    by_uid: dict[str, list[LookedStudy]] = defaultdict(list)
    for study in looked:
        by_area[study.place.area].append(study)
        by_uid[study.place.uid].append(study)
    masks: dict[str, list[ProposedMask]] = {key: [] for key in by_key}
    candidates: dict[str, list[Path]] = defaultdict(list)
    for path in volume_masks:
        beside = [study for folder in path.parents for study in by_area.get(folder, ())]
        if len(beside) == 1:
            key = beside[0].key
            if owners.contradicts(path, root, named[key]):
                notes.append(
                    f"{path}: lies beside {beside[0].place.folder} and is named for another study; not used"
                )
                continue
        else:
            owner = owners.owner(path, root)
            key = owner.study
            for candidate in () if key else owner.candidates:
                candidates[candidate].append(path)
        if key:
            masks[key].append(_volume_mask(path, by_key[key], root, owners, named[key], regions))
    for path in dicom_masks:
        for study in _referred_studies(path, by_uid):
            masks[study.key].append(_dicom_mask(path, study, root))
    for key, paths in candidates.items():
        if not any(mask.role is Role.LESION for mask in masks[key]):
            told = ", ".join(path.name for path in paths[:_SHOWN_CANDIDATES])
            more = len(paths) - _SHOWN_CANDIDATES
            notes.append(
                f"{by_key[key].place.folder}: candidates whose names do not say for sure: {told}"
                + (f" and {more} more" if more > 0 else "")
            )
    return masks


def _referred_studies(path: Path, by_uid: dict[str, list[LookedStudy]]) -> list[LookedStudy]:
    """The study that a SEG or RTSTRUCT belongs to; none for what gsigpu itself wrote.

    Of a study in several archives those that hold the series which it refers to.
    """
    try:
        with quiet():
            header = read_header(path)
            made_by = str(header.get("ManufacturerModelName") or header.get("Manufacturer") or "")
            uid = str(header.get("StudyInstanceUID") or "")
            patient_id = str(header.get("PatientID") or "").strip()
    except Exception:  # noqa: BLE001  # what cannot be read belongs to nobody
        return []
    studies = by_uid.get(uid, [])
    if made_by.casefold() == "gsigpu":
        return []
    studies = [study for study in studies if patient_id in ("", study.header_patient)]
    if len(studies) < 2:
        return studies
    named = _series_named(header)
    return [study for study in studies if named & set(study.phase_of_series)]


def _volume_mask(
    path: Path,
    study: LookedStudy,
    root: Path,
    owners: MaskOwners,
    owner: NamedStudy,
    regions: Sequence[str],
) -> ProposedMask:
    """By its name, without the words that say whose it is."""
    named = _READER.sub(" ", file_stem(path))
    bare = owners.without_owner(named, owner)
    role, is_sure = role_by_name(bare)
    region = next((region for region in regions if is_name_of(bare, region)), "")
    phase = "" if role is Role.VESSELS else _phase_named(named, study.phases)
    return ProposedMask(
        path=path,
        role=Role.IGNORE if region else role,
        is_sure=is_sure or bool(region),
        phase=phase,
        reader=_reader(path, study, root),
        region=region,
    )


def _dicom_mask(path: Path, study: LookedStudy, root: Path) -> ProposedMask:
    """Of lesions: the regions in it have names of their own."""
    phase = _phase_of_dicom(path, study.phase_of_series)
    return ProposedMask(
        path=path, role=Role.LESION, is_sure=True, phase=phase, reader=_reader(path, study, root)
    )


def _reader(path: Path, study: LookedStudy, root: Path) -> str:
    """By the file's name and its folders, those of the study's own left out."""
    above = study.place.area if path.is_relative_to(study.place.area) else root
    inner = path.parent.relative_to(above).parts if path.is_relative_to(above) else ()
    match = _READER.search(" ".join((*inner, file_stem(path))))
    return match[1] if match else ""


def _phase_named(name: str, phases: Sequence[str]) -> str:
    """The only phase of the study for which a name speaks."""
    text = name.replace("_", " ")
    spoken = {
        rule.answer for rule in load_patterns().phase if rule.pattern.search(normalised(text))
    }
    named_phases = [phase for phase in phases if phase in spoken]
    return named_phases[0] if len(named_phases) == 1 else ""


def _phase_of_dicom(path: Path, phase_of_series: dict[str, str]) -> str:
    """That of the series which a SEG or RTSTRUCT refers to."""
    try:
        with quiet():
            named = _series_named(read_header(path))
    except Exception:  # noqa: BLE001  # the run will say what is wrong with it
        return ""
    phases = {phase for uid, phase in phase_of_series.items() if uid in named}
    return phases.pop() if len(phases) == 1 else ""


def _series_named(header: Dataset) -> set[str]:
    """Series Instance UIDs that stand anywhere in a header."""
    return {
        str(element.value) for element in header.iterall() if element.keyword == "SeriesInstanceUID"
    }


def mask_cells(
    masks: Sequence[ProposedMask],
    phase: str,
    reader: str,
    study_folder: StudyFolder,
    notes: list[str],
    *,
    regions: Sequence[str] = (),
) -> dict[str, str]:
    """The mask columns of a row; a mask of a phase or reader goes before one of all.

    regions : of which there are columns too
    """
    cells = {}
    columns = [(role, "", column) for role, column in COLUMN_OF.items()]
    columns += [(Role.IGNORE, region, f"{REGION_COLUMN}{region}") for region in regions]
    for role, region, column in columns:
        fitting = [
            mask
            for mask in masks
            if (mask.role, mask.region) == (role, region)
            and mask.phase in ("", phase)
            and (mask.reader == reader or (role is not Role.LESION and not mask.reader))
        ]
        best = [mask for mask in fitting if mask.is_sure] or fitting
        for special in ("reader", "phase"):
            best = [mask for mask in best if getattr(mask, special)] or best
        where = f"{study_folder.folder}, {phase_words(phase)}" + (
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
            left = ", ".join(mask.path.name for mask in fitting if mask not in best)
            if left:
                notes.append(f"{where}: {names} taken for lesions, not {left}")
        elif len(best) == 1:
            cells[column] = str(best[0].path)
        elif best:
            notes.append(f"{where}: which of {names} is the {column}? Fill it in")
    return cells
