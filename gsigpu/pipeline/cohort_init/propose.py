"""`gsigpu cohort init`: a manifest proposed from a folder tree.

A study folder is the one that holds all CT images of a Study Instance UID and none of another. What stands beside
it, up to where another study begins, is its own: masks there are taken for what their names say, unless they name
another study. Masks elsewhere are taken where their names say for sure of which patient and study they are, DICOM masks
where they refer to the study. What cannot be decided is left empty and told.
"""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from pydicom import Dataset

from gsigpu.archives.archive_rules import is_archive_name
from gsigpu.archives.open_archives import files_in, split_at_archive
from gsigpu.dicom.model import Series, SeriesKind, SpectralStack, Study
from gsigpu.dicom.reading.directory_records import is_dicomdir
from gsigpu.dicom.reading.headers import files_below
from gsigpu.dicom.study.patterns import Patterns, load_patterns
from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import label_of, select_stack, stacks_of_phase
from gsigpu.dicom.study.two_voltages import REMEDY, no_energies, two_voltages
from gsigpu.errors import AmbiguousStack, GsigpuError, InputError, SettingsError
from gsigpu.masks.read_files import is_volume
from gsigpu.masks.roles import Role
from gsigpu.phase_words import phase_words
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
    study_header,
)
from gsigpu.tables.region_columns import REGION_COLUMN, is_region_column, region_problems

Progress = Callable[[int, int], None]

COLUMNS = (
    "case_id", "patient_id", "group", "phase", "study", "mask", "reader", "liver_mask",
    "vessel_mask", "aorta_mask", "normal_mask", "sex", "age", "confirmed", "series",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proposal:
    """A manifest to be completed.

    rows : column -> cell, paths absolute
    regions : names of which there is a column
    notes : what could not be decided, one line each
    """

    rows: list[dict[str, str]]
    notes: list[str]
    n_studies: int
    n_patients: int
    regions: tuple[str, ...] = ()

    def as_csv(self, folder: Path) -> str:
        """The manifest's text, with paths relative to its folder where that is possible."""
        text = StringIO()
        columns = [*COLUMNS, *(f"{REGION_COLUMN}{region}" for region in self.regions)]
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
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
    older = COLUMNS[:-1]  # before there was `series`
    return list(older) == first[: len(older)]


def propose_manifest(
    root: Path | str,
    *,
    groups_from_folders: bool = False,
    regions: Sequence[str] = (),
    patterns: Patterns | None = None,
    progress: Progress | None = None,
) -> Proposal:
    """Looks through a folder tree.

    regions : names of further regions, a column for each with the masks that are called so
    groups_from_folders : fill in the groups where a level of folders holds several patients each
    patterns : what words of series mean, from `load_patterns`; the built-in table if None
    progress : called with (studies done, studies in all)
    Raises InputError if there is no CT study, SettingsError for a name that no region can have or no mask has.
    """
    for problem in region_problems([f"{REGION_COLUMN}{region}" for region in regions]):
        raise SettingsError(problem, remedy="give --region another name")
    root = Path(root).absolute()
    notes: list[str] = []
    by_folder = _files_of_tree(root, notes)
    root = root.parent if is_dicomdir(root) and root.is_file() else root
    places, dicom_masks = find_studies(by_folder)
    if not places:
        raise InputError(
            "no CT study in it" + (f" ({notes[0]})" if notes else ""),
            where=root,
            remedy="name a folder above the DICOM exports",
        )
    places = placed(places, root, notes)
    looked = _looked_at(places, patterns or load_patterns(), notes, progress)
    name_patients(looked, root, notes)
    name_cases(looked)
    volume_masks = [path for files in by_folder.values() for path in files if is_volume(path)]
    volume_masks = _outside_archives(volume_masks, notes)
    dicom_masks += [path for study in looked for path in study.dicom_masks]
    dicom_masks = _outside_archives(list(dict.fromkeys(dicom_masks)), notes)
    owned = owned_masks(looked, volume_masks, dicom_masks, root, notes, regions=regions)
    named = {mask.region for masks in owned.values() for mask in masks}
    for region in regions:
        if region not in named:
            raise SettingsError(
                f"no file of a mask is called {region!r}",
                remedy="name the masks so, or fill in the column by hand and leave --region out",
            )
    groups = folder_groups(looked, root, notes, is_wanted=groups_from_folders)
    rows: list[dict[str, str]] = []
    for study in looked:
        rows += _rows(study, owned[study.key], groups.get(study.patient, ""), notes, regions)
    return Proposal(
        rows=rows,
        notes=notes,
        n_studies=len(looked),
        n_patients=len({row["patient_id"] for row in rows}),
        regions=tuple(regions),
    )


def _outside_archives(masks: Sequence[Path], notes: list[str]) -> list[Path]:
    """Masks that can be read where they lie; told of the others."""
    inside = Counter(str(place[0]) for path in masks if (place := split_at_archive(path)))
    for archive, n_masks in inside.items():
        files = "1 file" if n_masks == 1 else f"{n_masks} files"
        notes.append(f"{archive}: {files} in it may be masks: unpack them beside it")
    return [path for path in masks if not split_at_archive(path)]


def _files_of_tree(root: Path, notes: list[str]) -> dict[Path, list[Path]]:
    """Folder -> its files, but for outputs of gsigpu; archives are folders too."""
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    own_outputs = OwnOutputs()
    for name in files_below(root):
        names = [name]
        if is_archive_name(name) and not split_at_archive(root):
            try:
                names = files_in(Path(name))
            except GsigpuError as error:
                notes.append(str(error))
                continue
        for path in map(Path, names):
            if not own_outputs.holds(path.parent, root):
                by_folder[path.parent].append(path)
    return by_folder


def _looked_at(
    places: Sequence[StudyFolder],
    patterns: Patterns,
    notes: list[str],
    progress: Progress | None,
) -> list[LookedStudy]:
    """The studies that have monoenergetic series."""
    looked: list[LookedStudy] = []
    for n_done, place in enumerate(places):
        if progress is not None:
            progress(n_done, len(places))
        try:
            study = read_study(place.folder, patterns=patterns)
        except GsigpuError as error:
            notes.append(str(error))
            continue
        by_uid: dict[str, list[Series]] = defaultdict(list)
        for member in study.series:
            by_uid[member.evidence.study_uid].append(member)
        dicom_masks = [
            skipped.path
            for skipped in study.skipped
            if "Segmentation Storage" in skipped.reason or "RT Structure" in skipped.reason
        ]
        if len(by_uid) > 1:
            notes.append(
                f"{place.folder}: holds {len(by_uid)} studies; the column series tells them apart,"
                " and one worker reads the folder"
            )
        for uid, series in by_uid.items():
            header = place.header if uid == place.uid else study_header(series[0].planes[0].path)
            of_study = replace(place, uid=uid, header=header or Dataset())
            kept_study = _looked_study(
                of_study, series, dicom_masks, notes, is_alone=len(by_uid) == 1
            )
            if kept_study is not None:
                looked.append(kept_study)
    if progress is not None:
        progress(len(places), len(places))
    return _without_repeated(looked, notes)


def _looked_study(
    place: StudyFolder,
    series: Sequence[Series],
    dicom_masks: list[Path],
    notes: list[str],
    *,
    is_alone: bool,
) -> LookedStudy | None:
    """What is kept of a study; None if it has no monoenergetic series."""
    where = str(place.folder) if is_alone else f"{place.folder}, study ...{place.uid[-8:]}"
    phases = list(dict.fromkeys(s.phase for s in series if s.kind is SeriesKind.VMI))
    if not phases:
        why = no_energies(two_voltages(series))
        but = f", but {why}: {REMEDY}" if why else ", so it is left out"
        notes.append(f"{where}: no monoenergetic series{but}")
        return None
    notes += [f"{where}: {s.problem}" for s in series if s.problem is not None]
    if not header_text(place, "PatientID"):
        notes.append(f"{where}: no Patient ID; fill in patient_id and case_id")
    if "" in phases:
        notes.append(f"{where}: no header names the phase; fill it in")
    if any(phase.startswith("phase-") for phase in phases):
        notes.append(
            f"{where}: phases are told apart by time alone ({', '.join(phases)});"
            " the names stay as they are here, AP is not known"
        )
    return LookedStudy(
        place=place,
        series="" if is_alone else place.uid,
        series_of_phase=_series_of_phases(place, series, phases, where, notes),
        phases=phases,
        phase_of_series={s.evidence.series_uid: s.phase for s in series},
        dicom_masks=dicom_masks,
    )


def _series_of_phases(
    place: StudyFolder,
    series: Sequence[Series],
    phases: Sequence[str],
    where: str,
    notes: list[str],
) -> dict[str, list[str]]:
    """Phase -> cells of `series`, one for each stack that λHU can be had from, for two kernels or thicknesses.

    A phase with one stack has none.
    """
    cells: dict[str, list[str]] = {}
    for phase in phases:
        study = Study(root=place.folder, series=tuple(series))
        try:
            stacks = stacks_of_phase(study, phase)
        except AmbiguousStack as error:
            notes.append(
                f"{where}: {phase_words(phase)}: {error.what}; fill in series with a number, UID or words, and a row"
                " and case_id for each that is to be measured"
            )
            continue
        except GsigpuError:  # told of the series already
            continue
        spectral = [stack for stack in stacks if len(stack.series) > 1]
        if len(stacks) < 2 or not spectral:
            continue
        cells[phase] = [_series_cell(study, phase, stack) for stack in spectral]
        told = "; ".join(
            f"series {cell}: {label_of(stack)}{_kernel(stack)}"
            for cell, stack in zip(cells[phase], spectral, strict=True)
        )
        end = (
            "a row for each: delete those that are not to be measured, or give each a case_id of its own"
            if len(spectral) > 1
            else "the others hold one energy each"
        )
        notes.append(f"{where}: {phase_words(phase)} holds {len(stacks)} stacks: {told}; {end}")
    return cells


def _series_cell(study: Study, phase: str, stack: SpectralStack) -> str:
    """Numbers that choose a stack and no other, UIDs where they do not."""
    numbers = tuple(str(member.evidence.series_number) for member in stack.series)
    uids = tuple(member.evidence.series_uid for member in stack.series)
    for names in (tuple(dict.fromkeys(numbers)), tuple(dict.fromkeys(uids))):
        with suppress(GsigpuError):
            chosen = select_stack(study, phase=phase or None, series=names)
            if {member.key for member in chosen.series} == {member.key for member in stack.series}:
                return ";".join(names)
    return ";".join(member.key for member in stack.series)


def _kernel(stack: SpectralStack) -> str:
    kernels = dict.fromkeys(member.evidence.convolution_kernel for member in stack.series)
    named = "/".join(filter(None, map(str, kernels)))
    return f", kernel {named}" if named else ""


def _without_repeated(looked: Sequence[LookedStudy], notes: list[str]) -> list[LookedStudy]:
    """Without a study that lies there again, unpacked and in an archive; parts in several archives stay."""
    kept: list[LookedStudy] = []
    first: dict[tuple[str, str], LookedStudy] = {}
    for study in looked:
        again = [
            first[study.place.uid, phase]
            for phase in study.phases
            if (study.place.uid, phase) in first
        ]
        if again:
            notes.append(
                f"{study.place.folder}: holds the study of {again[0].place.folder} again; left out"
            )
            continue
        first |= {(study.place.uid, phase): study for phase in study.phases}
        kept.append(study)
    return kept


def _rows(
    study: LookedStudy,
    masks: Sequence[ProposedMask],
    group: str,
    notes: list[str],
    regions: Sequence[str],
) -> Iterator[dict[str, str]]:
    """A row per phase, stack and reader."""
    place = study.place
    readers = sorted({mask.reader for mask in masks if mask.role is Role.LESION}) or [""]
    if len(readers) > 1 and not readers[0]:
        notes.append(f"{place.folder}: one mask of lesions names no reader; fill in reader")
    chosen = [
        (phase, series)
        for phase in study.phases
        for series in study.series_of_phase.get(phase, [study.series])
    ]
    for phase, series in chosen:
        for reader in readers:
            cells = mask_cells(masks, phase, reader, place, notes, regions=regions)
            yield {
                **dict.fromkeys(COLUMNS, ""),
                "case_id": study.case_id,
                "patient_id": study.patient,
                "group": group,
                "phase": phase,
                "study": str(place.folder),
                "series": series,
                "reader": reader,
                "sex": header_text(place, "PatientSex")[:1],
                "age": header_text(place, "PatientAge").lstrip("0").removesuffix("Y"),
                **cells,
            }


def _relative(column: str, cell: str, folder: Path) -> str:
    is_path = column in ("study", "mask", *COLUMN_OF.values()) or is_region_column(column)
    if not is_path or not cell:
        return cell
    return ";".join(os.path.relpath(path, folder.absolute()) for path in cell.split(";"))
