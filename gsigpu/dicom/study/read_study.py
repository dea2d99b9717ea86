"""From planes to series, and from series to the spectral stack of one phase.

A DICOM series may hold several energies, or one energy twice; a phase is several DICOM series. So
planes are grouped by what they say of themselves, and a group that cannot be used keeps the reason
as its `problem` instead of stopping everything else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gsigpu.dicom.model import (
    Evidence,
    HeaderScan,
    Plane,
    Series,
    SeriesKind,
    Skipped,
    Study,
)
from gsigpu.dicom.reading.elements import uid_name
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.study.classify import Classification, Patterns, classify, load_patterns
from gsigpu.dicom.study.grid import grid_of
from gsigpu.dicom.study.phases import name_phases
from gsigpu.errors import DuplicateSlices, GeometryError, GsigpuError, SettingsError

Progress = Callable[[int, int], None]


def read_study(
    root: Path | str,
    *,
    energy_overrides: Mapping[str, float] | None = None,
    phase_overrides: Mapping[str, str] | None = None,
    patterns: Patterns | None = None,
    progress: Progress | None = None,
) -> Study:
    """What a folder holds.

    energy_overrides : SeriesInstanceUID -> keV, wins over all evidence
    phase_overrides : SeriesInstanceUID -> phase
    Raises InputError if the folder cannot be read, SettingsError if an override names no series.
    """
    root = Path(root)
    return study_from_scan(
        root,
        scan_headers(root, progress=progress),
        energy_overrides=energy_overrides or {},
        phase_overrides=phase_overrides or {},
        patterns=patterns or load_patterns(),
    )


def study_from_scan(
    root: Path,
    scan: HeaderScan,
    *,
    energy_overrides: Mapping[str, float],
    phase_overrides: Mapping[str, str],
    patterns: Patterns,
) -> Study:
    """The same, from headers that were read already."""
    by_uid: dict[str, list[Plane]] = defaultdict(list)
    for plane in scan.planes:
        by_uid[plane.evidence.series_uid].append(plane)
    _require_known([*energy_overrides, *phase_overrides], by_uid)
    series: list[Series] = []
    for uid, planes in by_uid.items():
        classified = _classified(planes, patterns, energy_overrides.get(uid))
        series.extend(_series_of(uid, planes, classified, phase_overrides.get(uid)))
    series.sort(key=_order)
    series, warnings = name_phases(series, set(phase_overrides))
    return Study(
        root, tuple(series), scan.skipped, (*warnings, *_damage_warnings(root, scan.skipped))
    )


def _damage_warnings(root: Path, skipped: Sequence[Skipped]) -> list[str]:
    """Damaged files may be the end of a series, which then looks whole."""
    damaged = [file for file in skipped if file.damaged]
    if not damaged:
        return []
    files = "1 damaged file is" if len(damaged) == 1 else f"{len(damaged)} damaged files are"
    first = damaged[0]
    name = first.path.relative_to(root) if first.path.is_relative_to(root) else first.path
    return [f"{files} left out: {name}: {first.reason}" + (", ..." if len(damaged) > 1 else "")]


def _require_known(uids: Iterable[str], known: Mapping[str, object]) -> None:
    for uid in uids:
        if uid not in known:
            raise SettingsError(
                f"no series {uid} in this folder",
                remedy="gsigpu scan lists the series and their UIDs",
            )


def _order(series: Series) -> tuple[object, ...]:
    number = series.evidence.series_number
    return (
        series.evidence.study_uid,
        number is None,
        number or 0,
        series.energy_kev or 0.0,
        series.key,
    )


def _classified(
    planes: Sequence[Plane], patterns: Patterns, override_kev: float | None
) -> dict[Evidence, Classification]:
    """One classification per distinct evidence; planes share those objects."""
    classified = {}
    for evidence in {id(plane.evidence): plane.evidence for plane in planes}.values():
        classification = classify(evidence, patterns)
        if override_kev is not None:
            given = f"{override_kev:g} keV said by --energy"
            classification = replace(
                classification,
                kind=SeriesKind.VMI,
                energy_kev=override_kev,
                problem=None,
                evidence_used=(given, *classification.evidence_used),
            )
        classified[evidence] = classification
    return classified


def _series_of(
    uid: str,
    planes: Sequence[Plane],
    classified: Mapping[Evidence, Classification],
    phase_override: str | None,
) -> list[Series]:
    """The series that one DICOM series holds: one per kind, energy and phase."""
    groups: dict[tuple[SeriesKind, float | None, str], list[Plane]] = defaultdict(list)
    why: dict[tuple[SeriesKind, float | None, str], Classification] = {}
    by_id = {id(evidence): classification for evidence, classification in classified.items()}
    for plane in planes:
        classification = by_id.get(id(plane.evidence)) or classified[plane.evidence]
        label = (
            classification.kind,
            classification.energy_kev,
            phase_override if phase_override is not None else classification.phase,
        )
        groups[label].append(plane)
        why.setdefault(label, classification)
    series: list[Series] = []
    for (kind, energy, phase), members in groups.items():
        key = uid
        if len(groups) > 1:
            key += f"#{energy:g}keV" if energy is not None else f"#{kind.value}"
            if len({label[:2] for label in groups}) < len(groups):
                key += f"#{phase or 'no-phase'}"
        used = why[kind, energy, phase].evidence_used
        if phase_override is not None:
            used = (
                *(line for line in used if not line.startswith("phase ")),
                f"phase {phase} said by --phase-of",
            )
        template = Series(
            key=key,
            kind=kind,
            energy_kev=energy,
            phase=phase,
            geometry=None,
            planes=(),
            evidence_used=used,
            problem=why[kind, energy, phase].problem,
        )
        series.extend(_on_grids(template, members))
    return series


def _on_grids(template: Series, planes: Sequence[Plane]) -> list[Series]:
    """`template` with its grid; two acquisitions in one series are told apart by their number."""
    try:
        geometry, ordered = grid_of(planes)
    except DuplicateSlices as duplicates:
        acquisitions: dict[int | None, list[Plane]] = defaultdict(list)
        for plane in planes:
            acquisitions[plane.evidence.acquisition_number].append(plane)
        if len(acquisitions) == 1:
            return [_with_problem(template, planes, duplicates)]
        parts: list[Series] = []
        for number, members in sorted(acquisitions.items(), key=lambda item: item[0] or 0):
            which = f"acquisition {number} of several in one series"
            part = replace(
                template,
                key=f"{template.key}#acquisition{number}",
                evidence_used=(*template.evidence_used, which),
            )
            parts.extend(_on_grids(part, members))
        return parts
    except GeometryError as error:
        return [_with_problem(template, planes, error)]
    return [replace(template, geometry=geometry, planes=ordered)]


def _with_problem(template: Series, planes: Sequence[Plane], error: GsigpuError) -> Series:
    return replace(template, planes=tuple(planes), problem=template.problem or error)


def describe(study: Study) -> dict[str, object]:
    """The study as plain data: what `gsigpu scan` prints, without anything that names the patient."""
    skipped = Counter(file.reason for file in study.skipped)
    return {
        "root": str(study.root),
        "series": [_describe_series(series) for series in study.series],
        "skipped": dict(sorted(skipped.items())),
        "warnings": list(study.warnings),
    }


def _describe_series(series: Series) -> dict[str, object]:
    grid, evidence = series.geometry, series.evidence
    return {
        "key": series.key,
        "series_uid": evidence.series_uid,
        "study_uid": evidence.study_uid,
        "series_number": evidence.series_number,
        "description": evidence.series_description,
        "kind": series.kind.value,
        "energy_kev": series.energy_kev,
        "phase": series.phase,
        "n_slices": len(series.planes),
        "shape": None if grid is None else list(grid.shape),
        "spacing_mm": None if grid is None else list(grid.spacing_mm),
        "origin_mm": None if grid is None else list(grid.origin_mm),
        "directions": None
        if grid is None
        else [list(grid.row_direction), list(grid.column_direction), list(grid.slice_direction)],
        "frame_of_reference_uid": evidence.frame_of_reference_uid,
        "manufacturer": evidence.manufacturer,
        "model": evidence.model,
        "kernel": evidence.convolution_kernel,
        "transfer_syntax": uid_name(series.planes[0].format.transfer_syntax_uid),
        "evidence": list(series.evidence_used),
        "problem": None if series.problem is None else str(series.problem),
    }
