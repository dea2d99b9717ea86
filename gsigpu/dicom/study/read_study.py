"""From planes to series, and from series to the spectral stack of one phase.

A DICOM series may hold several energies, or one energy twice; a phase is several DICOM series. So
planes are grouped by what they say of themselves, and a group that cannot be used keeps the reason
as its `problem` instead of stopping everything else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gsigpu.caution import Caution
from gsigpu.dicom.model import (
    HeaderScan,
    Plane,
    Series,
    SeriesKind,
    Skipped,
    Study,
)
from gsigpu.dicom.reading.elements import uid_name
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.study.classify import Classification, classify
from gsigpu.dicom.study.copies import without_copies
from gsigpu.dicom.study.grid import PRINTED_PRECISION_MM, grid_of, position_error_mm
from gsigpu.dicom.study.overrides import Override, Overrides, given, series_names
from gsigpu.dicom.study.patterns import Patterns, load_patterns
from gsigpu.dicom.study.phases import name_phases
from gsigpu.dicom.study.two_voltages import REMEDY, no_energies, two_voltages
from gsigpu.dicom.study.weak_energies import settle_energies
from gsigpu.errors import DuplicateSlices, GeometryError, GsigpuError
from gsigpu.fewer_collections import fewer_collections

Progress = Callable[[int, int], None]
_Label = tuple[SeriesKind, float | None, str]


@fewer_collections()
def read_study(
    root: Path | str,
    *,
    energy_overrides: Mapping[str, float] | None = None,
    phase_overrides: Mapping[str, str] | None = None,
    kind_overrides: Mapping[str, SeriesKind | str] | None = None,
    patterns: Patterns | None = None,
    progress: Progress | None = None,
) -> Study:
    """What a folder holds.

    energy_overrides : series -> keV, wins over all evidence; a series is named by its SeriesInstanceUID, its
        key, or its number, as `gsigpu scan` prints them
    phase_overrides : series -> phase
    kind_overrides : series -> kind
    patterns : what words mean, from `load_patterns`; the built-in table if None
    Raises InputError if the folder cannot be read, SettingsError if an override names no series.
    """
    root = Path(root)
    return study_from_scan(
        root,
        scan_headers(root, progress=progress),
        energy_overrides=energy_overrides or {},
        phase_overrides=phase_overrides or {},
        kind_overrides=kind_overrides or {},
        patterns=patterns or load_patterns(),
    )


def study_from_scan(
    root: Path,
    scan: HeaderScan,
    *,
    energy_overrides: Mapping[str, float],
    phase_overrides: Mapping[str, str],
    patterns: Patterns,
    kind_overrides: Mapping[str, SeriesKind | str] | None = None,
) -> Study:
    """The same, from headers that were read already."""
    planes, n_copies = without_copies(scan.planes)
    by_uid: dict[str, list[Plane]] = defaultdict(list)
    for plane in planes:
        by_uid[plane.evidence.series_uid].append(plane)
    classified = _classified(planes, patterns)
    plain = {uid: _series_of(uid, members, classified) for uid, members in by_uid.items()}
    overrides = Overrides(energy_overrides, phase_overrides, kind_overrides or {}).resolved(
        [member for members in plain.values() for member in members]
    )
    series: list[Series] = []
    phases_given: set[str] = set()
    for uid, members in by_uid.items():
        whole = overrides.of(uid)
        parts = _series_of(uid, members, classified, whole) if whole else plain[uid]
        for part in parts:
            of_part = overrides.of(part.key) if part.key != uid else None
            changed = given(part, of_part) if of_part else part
            series.append(changed)
            if (whole and whole.phase is not None) or (of_part and of_part.phase is not None):
                phases_given.add(changed.key)
    overrides.require_used({member.key for member in series})
    series.sort(key=_order)
    series, warnings = name_phases(series, phases_given)
    return Study(
        root=root,
        series=tuple(series),
        skipped=scan.skipped,
        warnings=(
            *warnings,
            *_copy_warnings(n_copies),
            *_position_warnings(series),
            *_damage_warnings(root, scan.skipped),
        ),
        phase_patterns=patterns.phase_patterns,
    )


def _copy_warnings(n_copies: int) -> list[Caution]:
    if not n_copies:
        return []
    files = "1 file is a copy" if n_copies == 1 else f"{n_copies} files are copies"
    line = f"{files}, byte for byte, of others in the folder, and left out"
    return [Caution("copied-files", line)]


def _position_warnings(series: Sequence[Series]) -> list[Caution]:
    """Positions rounded by the scanner, or one slice off its place: the grid taken is the nearest regular one."""
    off_mm = [
        position_error_mm(member.geometry, member.planes)
        for member in series
        if member.geometry is not None
    ]
    beyond = [error for error in off_mm if error > PRINTED_PRECISION_MM]
    if not beyond:
        return []
    line = (
        f"slices of {len(beyond)} series stand up to {max(beyond):.2f} mm off regular places, as after"
        " rounding; the nearest regular grid is taken"
    )
    return [Caution("uneven-slices", line)]


def _voltage_warnings(series: Sequence[Series]) -> list[Caution]:
    """What a command that needs energies says as its error."""
    why = no_energies(two_voltages(series))
    text = f"no monoenergetic series, but {why}; {REMEDY}"
    return [Caution("left-out-series", text)] if why else []


def _damage_warnings(root: Path, skipped: Sequence[Skipped]) -> list[Caution]:
    """Damaged files may be the end of a series, which then looks whole."""
    damaged = [file for file in skipped if file.damaged]
    if not damaged:
        return []
    files = "1 damaged file is" if len(damaged) == 1 else f"{len(damaged)} damaged files are"
    first = damaged[0]
    name = first.path.relative_to(root) if first.path.is_relative_to(root) else first.path
    more = ", ..." if len(damaged) > 1 else ""
    return [Caution("damaged-files", f"{files} left out: {name}: {first.reason}{more}")]


def _order(series: Series) -> tuple[object, ...]:
    number = series.evidence.series_number
    return (
        series.evidence.study_uid,
        number is None,
        number or 0,
        series.energy_kev or 0.0,
        series.key,
    )


def _classified(planes: Sequence[Plane], patterns: Patterns) -> Callable[[Plane], Classification]:
    """One classification per distinct header; planes share those objects."""
    headers = list({id(plane.evidence): plane.evidence for plane in planes}.values())
    settled = settle_energies(headers, [classify(header, patterns) for header in headers])
    known = {id(header): reasons for header, reasons in zip(headers, settled, strict=True)}

    def of_plane(plane: Plane) -> Classification:
        classification = known[id(plane.evidence)]
        if plane.format.samples_per_pixel == 1:
            return classification
        why = "a colour picture: its pixels are no numbers"
        return replace(
            classification,
            kind=SeriesKind.OTHER,
            energy_kev=None,
            evidence_used=(why, *classification.evidence_used),
            problem=None,
        )

    return of_plane


def _series_of(
    uid: str,
    planes: Sequence[Plane],
    classification_of: Callable[[Plane], Classification],
    override: Override | None = None,
) -> list[Series]:
    """The series that one DICOM series holds: one per kind, energy and phase."""
    groups: dict[_Label, list[Plane]] = defaultdict(list)
    why: dict[_Label, Classification] = {}
    for plane in planes:
        classification = classification_of(plane)
        if override is not None:
            classification = override.applied(classification, plane.evidence)
        label = (classification.kind, classification.energy_kev, classification.phase)
        groups[label].append(plane)
        why.setdefault(label, classification)
    series: list[Series] = []
    for label, members in groups.items():
        kind, energy, phase = label
        key = uid
        if len(groups) > 1:
            key += f"#{energy:g}keV" if energy is not None else f"#{kind.value}"
            if len({other[:2] for other in groups}) < len(groups):
                key += f"#{phase or 'no-phase'}"
        template = Series(
            key=key,
            kind=kind,
            energy_kev=energy,
            phase=phase,
            geometry=None,
            planes=(),
            evidence_used=why[label].evidence_used,
            problem=why[label].problem,
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
    except Exception as error:  # noqa: BLE001  a fault in one series must not take the others down
        unexpected = GeometryError(
            f"cannot be laid on a grid (unexpected {type(error).__name__}: {error})",
            where=f"series {template.key}",
            remedy="report it; the other series can be used",
        )
        return [_with_problem(template, planes, unexpected)]
    return [replace(template, geometry=geometry, planes=ordered)]


def _with_problem(template: Series, planes: Sequence[Plane], error: GsigpuError) -> Series:
    return replace(template, planes=tuple(planes), problem=template.problem or error)


def describe(study: Study) -> dict[str, object]:
    """The study as plain data: what `gsigpu scan` prints, without anything that names the patient."""
    skipped = Counter(file.reason for file in study.skipped)
    return {
        "root": str(study.root),
        "series": [
            _describe_series(series, name)
            for series, name in zip(study.series, series_names(study.series), strict=True)
        ],
        "skipped": dict(sorted(skipped.items())),
        "warnings": [*study.warnings, *_voltage_warnings(study.series)],
    }


def _describe_series(series: Series, name: str) -> dict[str, object]:
    grid, evidence = series.geometry, series.evidence
    return {
        "name": name,
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
