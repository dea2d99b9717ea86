"""Choosing the spectral stack of one phase out of a study."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from gsigpu.caution import Caution
from gsigpu.dicom.model import Series, SeriesKind, SpectralStack, Study
from gsigpu.dicom.study.overrides import series_names
from gsigpu.dicom.study.patterns import phase_meant
from gsigpu.dicom.study.two_voltages import REMEDY, no_energies, two_voltages
from gsigpu.errors import AmbiguousStack, EnergyConflict, GridMismatch, NoSpectralStack
from gsigpu.one_or_more import one_or_more
from gsigpu.phase_words import phase_name, phase_words
from gsigpu.volume import VolumeGeometry


def select_stack(
    study: Study, *, phase: str | None = None, series: Sequence[str] = ()
) -> SpectralStack:
    """The monoenergetic series of one phase, ascending in energy.

    phase : as `gsigpu scan` shows it, or another word for it (`portal`); None where the study
        holds one stack only
    series : keep only series whose key, UID, number or part of the description is among these, or the UID of
        their study; several may stand in one text, by comma
    Series with a problem stay in the stack; who needs one raises its problem.

    Raises NoSpectralStack, or AmbiguousStack if more than one stack fits.
    """
    usable = [
        member
        for member in study.series
        if member.kind is SeriesKind.VMI and member.energy_kev is not None
    ]
    unclear = [
        member
        for member in study.series
        if member.kind is SeriesKind.VMI and member.energy_kev is None
    ]
    chosen = _among(usable, one_or_more(series), study)
    if phase is not None:
        known = sorted({member.phase for member in chosen}, key=lambda name: (not name, name))
        names = {phase.lower(), phase_meant(phase, study.phase_patterns).lower()} - {""}
        chosen = [member for member in chosen if member.phase.lower() in names]
        if not chosen and known:
            raise NoSpectralStack(
                f"no monoenergetic series of {phase_words(phase)}; there are {', '.join(map(phase_name, known))}",
                where=study.root,
                remedy="choose one of these with --phase, or give a series' phase with --phase-of SERIES=AP",
            )
    if not chosen:
        if unclear and unclear[0].problem is not None:
            raise unclear[0].problem
        raise _no_stack(study)
    stacks = _stacks(chosen)
    if len(stacks) > 1:
        raise AmbiguousStack(
            f"{len(stacks)} spectral stacks fit: {'; '.join(_labels(stacks))}",
            where=study.root,
            remedy="choose with --phase or --series (a number, part of the description, or a UID)",
        )
    return stacks[0]


def stacks_of_phase(study: Study, phase: str) -> list[SpectralStack]:
    """All stacks of a phase, as the series have it: several where kernels, extents or studies differ.

    Raises AmbiguousStack where two series are alike but for their pixels, and the problem of a series in doubt.
    """
    return _stacks(
        [
            member
            for member in study.series
            if member.kind is SeriesKind.VMI
            and member.energy_kev is not None
            and member.phase == phase
        ]
    )


def left_aside(study: Study, stack: SpectralStack) -> list[Caution]:
    """Why monoenergetic series that may belong to the stack are not in it: nothing tells their energy."""
    study_uid = stack.series[0].evidence.study_uid
    return [
        Caution("left-out-series", f"left out: {member.problem}")
        for member in study.series
        if member.kind is SeriesKind.VMI
        and member.energy_kev is None
        and member.evidence.study_uid == study_uid
        and member.phase in ("", stack.phase)
    ]


def companions(study: Study, stack: SpectralStack, kind: SeriesKind) -> tuple[Series, ...]:
    """Usable series of another kind (the vendor's iodine, a conventional scan) that lie with a stack.

    Same study, same frame of reference, and the same phase or none.
    """
    first = stack.series[0].evidence
    return tuple(
        member
        for member in study.series
        if member.kind is kind
        and member.problem is None
        and member.evidence.study_uid == first.study_uid
        and member.evidence.frame_of_reference_uid == first.frame_of_reference_uid
        and member.phase in ("", stack.phase)
    )


def _among(usable: Sequence[Series], texts: Sequence[str], study: Study) -> list[Series]:
    """The series that any text names; a text that names none is split at its commas."""
    if not texts:
        return list(usable)
    names = dict(
        zip((member.key for member in study.series), series_names(study.series), strict=True)
    )
    chosen: set[str] = set()
    for text in texts:
        whole = [member.key for member in usable if _is_named(member, names[member.key], text)]
        parts = [text] if whole else [part.strip() for part in text.split(",") if part.strip()]
        for part in parts:
            keys = [member.key for member in usable if _is_named(member, names[member.key], part)]
            if not keys:
                raise NoSpectralStack(
                    f"no monoenergetic series is named by --series {part!r}",
                    where=study.root,
                    remedy="gsigpu scan lists the series: name one by number, UID or words of its description",
                )
            chosen.update(keys)
    return [member for member in usable if member.key in chosen]


def _is_named(series: Series, name: str, text: str) -> bool:
    evidence = series.evidence
    names = (
        name, series.key, evidence.series_uid, evidence.study_uid, str(evidence.series_number),
    )  # fmt: skip
    return text in names or (
        not text.isdigit() and text.lower() in evidence.series_description.lower()
    )


def _stacks(chosen: Sequence[Series]) -> list[SpectralStack]:
    return [stack for group in _groups(chosen) for stack in _stacks_of(group)]


def _groups(chosen: Sequence[Series]) -> list[list[Series]]:
    """By patient, study and phase: never mixed in a stack."""
    groups: dict[tuple[str, str, str], list[Series]] = defaultdict(list)
    for member in chosen:
        groups[member.evidence.patient_id, member.evidence.study_uid, member.phase].append(member)
    return list(groups.values())


def _stacks_of(group: Sequence[Series]) -> list[SpectralStack]:
    """One stack, or one per reconstruction where an energy occurs more than once."""
    energies = Counter(member.energy_kev for member in group)
    if max(energies.values()) == 1:
        return [_stack(group)]
    for member in group:
        # Its energy is in doubt, and taken for another's: say why before choosing anything.
        if isinstance(member.problem, EnergyConflict) and energies[member.energy_kev] > 1:
            raise member.problem
    reconstructions: dict[object, list[Series]] = defaultdict(list)
    for member in group:
        reconstructions[_reconstruction(member)].append(member)
    if len(reconstructions) == 1:
        twice = next(kev for kev, n in energies.items() if n > 1)
        pair = [member for member in group if member.energy_kev == twice][:2]
        raise AmbiguousStack(
            f"two series of {phase_words(group[0].phase)} are {twice:g} keV: {_name(pair[0])} and {_name(pair[1])}",
            remedy="choose with --series, or correct a label with --energy SERIES=KEV",
        )
    return [stack for members in reconstructions.values() for stack in _stacks_of(members)]


def _reconstruction(series: Series) -> tuple[object, ...]:
    grid = series.geometry
    extent = () if grid is None else (grid.shape, tuple(round(size, 3) for size in grid.spacing_mm))
    return (series.evidence.convolution_kernel, series.evidence.frame_of_reference_uid, *extent)


def _stack(group: Sequence[Series]) -> SpectralStack:
    """The series on the grid that most of them share; another grid is that series' problem."""
    ordered = sorted(group, key=lambda member: member.energy_kev or 0.0)
    grids = [member.geometry for member in ordered if member.geometry is not None]
    if not grids:
        problem = ordered[0].problem
        assert problem is not None
        raise problem
    votes = [sum(grid.same_grid(other) for other in grids) for grid in grids]
    geometry = grids[votes.index(max(votes))]
    reference = next(member for member in ordered if member.geometry is geometry)
    checked = tuple(
        member
        if member.problem is not None
        or member.geometry is None
        or member.geometry.same_grid(geometry)
        else replace(member, problem=_mismatch(member, member.geometry, reference, geometry))
        for member in ordered
    )
    return SpectralStack(ordered[0].phase, geometry, checked)


def _mismatch(
    series: Series, grid: VolumeGeometry, reference: Series, expected: VolumeGeometry
) -> GridMismatch:
    if grid.frame_of_reference_uid != expected.frame_of_reference_uid:
        difference = "has another frame of reference"
    elif grid.shape != expected.shape:
        difference = f"has {_by(grid.shape)} voxels instead of {_by(expected.shape)}"
    elif any(abs(a - b) > 1e-4 for a, b in zip(grid.spacing_mm, expected.spacing_mm, strict=True)):
        difference = (
            f"has spacing {_by(grid.spacing_mm)} mm instead of {_by(expected.spacing_mm)} mm"
        )
    else:
        difference = f"begins at {_by(grid.origin_mm)} mm instead of {_by(expected.origin_mm)} mm, or lies askew"
    return GridMismatch(
        f"{difference} as {_name(reference)}",
        where=_name(series),
        remedy="reconstruct all energies of a phase on one grid, or leave it out with --energies",
    )


def _by(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:.6g}" for number in numbers)


def _name(series: Series) -> str:
    number = series.evidence.series_number
    prefix = "" if number is None else f"{number} "
    return f"series {prefix}{series.evidence.series_description!r} ({series.key})"


def _labels(stacks: Sequence[SpectralStack]) -> list[str]:
    """How to tell stacks apart; patients by number, since messages name nobody."""
    of_whom = [stack.series[0].evidence.patient_id for stack in stacks]
    patients = list(dict.fromkeys(of_whom))
    return [
        label_of(stack)
        + (
            f", patient {patients.index(patient) + 1} of {len(patients)}"
            if len(patients) > 1
            else ""
        )
        for stack, patient in zip(stacks, of_whom, strict=True)
    ]


def label_of(stack: SpectralStack) -> str:
    """What tells a stack from others of its study, for a person."""
    first = stack.series[0]
    study = first.evidence.study_uid
    numbers = sorted({member.evidence.series_number or 0 for member in stack.series})
    listed = f"series {numbers[0]}" if len(numbers) == 1 else f"series {numbers[0]}-{numbers[-1]}"
    return (
        f"{phase_words(stack.phase)}, {len(stack.series)} energies, {_by(stack.geometry.shape)} voxels,"
        f" {listed}, study ...{study[-8:]}"
    )


def _no_stack(study: Study) -> NoSpectralStack:
    kinds = Counter(member.kind.value for member in study.series)
    held = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    base_images = any(
        "spectral base image" in line for member in study.series for line in member.evidence_used
    )
    remedy = (
        "spectral base images hold no pixels that can be read: export monoenergetic series from the vendor's workstation"
        if base_images
        else "export the monoenergetic series, or name one with --energy SERIES=70"
    )
    voltages = no_energies(two_voltages(study.series))
    if voltages and not base_images:
        held, remedy = voltages, REMEDY
    damaged = [skipped for skipped in study.skipped if skipped.damaged]
    what = f"no monoenergetic series, but {held}" if held else "no CT series"
    if damaged and not held:
        what += f" that can be read: {len(damaged)} damaged files, the first {damaged[0].path.name}"
        what += f" ({damaged[0].reason})"
        remedy = "export or transfer the study again"
    return NoSpectralStack(what, where=study.root, remedy=remedy)
