"""Choosing the spectral stack of one phase out of a study."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from gsigpu.dicom.model import Series, SeriesKind, SpectralStack, Study
from gsigpu.dicom.study.classify import load_patterns, phase_meant
from gsigpu.errors import AmbiguousStack, EnergyConflict, GridMismatch, NoSpectralStack
from gsigpu.volume import VolumeGeometry


def select_stack(
    study: Study, *, phase: str | None = None, series: Sequence[str] = ()
) -> SpectralStack:
    """The monoenergetic series of one phase, ascending in energy.

    phase : as `gsigpu scan` shows it, or another word for it (`portal`); None where the study
        holds one stack only
    series : keep only series whose UID, number or part of the description is among these
    Series with a problem stay in the stack; who needs one raises its problem.

    Raises NoSpectralStack, or AmbiguousStack if more than one stack fits.
    """
    usable = [
        one for one in study.series if one.kind is SeriesKind.VMI and one.energy_kev is not None
    ]
    unclear = [one for one in study.series if one.kind is SeriesKind.VMI and one.energy_kev is None]
    chosen = [one for one in usable if _is_asked(one, series)]
    if phase is not None:
        known = sorted({one.phase or "(none)" for one in chosen})
        wanted = {phase.lower(), phase_meant(phase, load_patterns()).lower()} - {""}
        chosen = [one for one in chosen if one.phase.lower() in wanted]
        if not chosen and known:
            raise NoSpectralStack(
                f"no monoenergetic series of phase {phase}; there are {', '.join(known)}",
                where=study.root,
                remedy="choose one of these with --phase, or name a series' phase with --phase-of",
            )
    if not chosen:
        if unclear and unclear[0].problem is not None:
            raise unclear[0].problem
        raise _none_found(study)
    stacks = [stack for group in _groups(chosen) for stack in _stacks_of(group)]
    if len(stacks) > 1:
        raise AmbiguousStack(
            f"{len(stacks)} spectral stacks fit: {'; '.join(_labels(stacks))}",
            where=study.root,
            remedy="choose with --phase or --series (a number, part of the description, or a UID)",
        )
    return stacks[0]


def left_aside(study: Study, stack: SpectralStack) -> list[str]:
    """Why monoenergetic series that may belong to the stack are not in it: nothing tells their energy."""
    study_uid = stack.series[0].evidence.study_uid
    return [
        f"left out: {one.problem}"
        for one in study.series
        if one.kind is SeriesKind.VMI
        and one.energy_kev is None
        and one.evidence.study_uid == study_uid
        and one.phase in ("", stack.phase)
    ]


def companions(study: Study, stack: SpectralStack, kind: SeriesKind) -> tuple[Series, ...]:
    """Usable series of another kind (the vendor's iodine, a conventional scan) that lie with a stack.

    Same study, same frame of reference, and the same phase or none said.
    """
    first = stack.series[0].evidence
    return tuple(
        one
        for one in study.series
        if one.kind is kind
        and one.problem is None
        and one.evidence.study_uid == first.study_uid
        and one.evidence.frame_of_reference_uid == first.frame_of_reference_uid
        and one.phase in ("", stack.phase)
    )


def _is_asked(one: Series, asked: Sequence[str]) -> bool:
    evidence = one.evidence
    return not asked or any(
        text in (one.key, evidence.series_uid, str(evidence.series_number))
        or (not text.isdigit() and text.lower() in evidence.series_description.lower())
        for text in asked
    )


def _groups(chosen: Sequence[Series]) -> list[list[Series]]:
    """By patient, study and phase: never mixed in a stack."""
    groups: dict[tuple[str, str, str], list[Series]] = defaultdict(list)
    for one in chosen:
        groups[one.evidence.patient_id, one.evidence.study_uid, one.phase].append(one)
    return list(groups.values())


def _stacks_of(group: Sequence[Series]) -> list[SpectralStack]:
    """One stack, or one per reconstruction where an energy occurs more than once."""
    energies = Counter(one.energy_kev for one in group)
    if max(energies.values()) == 1:
        return [_stack(group)]
    for one in group:
        # Its energy is in doubt, and taken for another's: say why before choosing anything.
        if isinstance(one.problem, EnergyConflict) and energies[one.energy_kev] > 1:
            raise one.problem
    reconstructions: dict[object, list[Series]] = defaultdict(list)
    for one in group:
        reconstructions[_reconstruction(one)].append(one)
    if len(reconstructions) == 1:
        twice = next(kev for kev, n in energies.items() if n > 1)
        pair = [one for one in group if one.energy_kev == twice][:2]
        raise AmbiguousStack(
            f"two series of phase {group[0].phase or '(none)'} are {twice:g} keV: {_name(pair[0])} and {_name(pair[1])}",
            remedy="choose with --series, or correct a label with --energy SERIES_UID=KEV",
        )
    return [stack for members in reconstructions.values() for stack in _stacks_of(members)]


def _reconstruction(one: Series) -> tuple[object, ...]:
    grid = one.geometry
    where = () if grid is None else (grid.shape, tuple(round(size, 3) for size in grid.spacing_mm))
    return (one.evidence.convolution_kernel, one.evidence.frame_of_reference_uid, *where)


def _stack(group: Sequence[Series]) -> SpectralStack:
    """The series on the grid that most of them share; another grid is that series' problem."""
    ordered = sorted(group, key=lambda one: one.energy_kev or 0.0)
    grids = [one.geometry for one in ordered if one.geometry is not None]
    if not grids:
        problem = ordered[0].problem
        assert problem is not None
        raise problem
    votes = [sum(grid.same_grid(other) for other in grids) for grid in grids]
    geometry = grids[votes.index(max(votes))]
    reference = next(one for one in ordered if one.geometry is geometry)
    checked = tuple(
        one
        if one.problem is not None or one.geometry is None or one.geometry.same_grid(geometry)
        else replace(one, problem=_mismatch(one, one.geometry, reference, geometry))
        for one in ordered
    )
    return SpectralStack(ordered[0].phase, geometry, checked)


def _mismatch(
    one: Series, grid: VolumeGeometry, reference: Series, expected: VolumeGeometry
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
        where=_name(one),
        remedy="reconstruct all energies of a phase on one grid, or leave it out with --energies",
    )


def _by(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:.6g}" for number in numbers)


def _name(one: Series) -> str:
    number = one.evidence.series_number
    prefix = "" if number is None else f"{number} "
    return f"series {prefix}{one.evidence.series_description!r} ({one.key})"


def _labels(stacks: Sequence[SpectralStack]) -> list[str]:
    """How to tell stacks apart; patients by number, since messages name nobody."""
    of_whom = [stack.series[0].evidence.patient_id for stack in stacks]
    patients = list(dict.fromkeys(of_whom))
    return [
        _label(stack)
        + (f", patient {patients.index(one) + 1} of {len(patients)}" if len(patients) > 1 else "")
        for stack, one in zip(stacks, of_whom, strict=True)
    ]


def _label(stack: SpectralStack) -> str:
    first = stack.series[0]
    study = first.evidence.study_uid
    numbers = sorted({one.evidence.series_number or 0 for one in stack.series})
    listed = f"series {numbers[0]}" if len(numbers) == 1 else f"series {numbers[0]}-{numbers[-1]}"
    return (
        f"phase {stack.phase or '(none)'}, {len(stack.series)} energies, {_by(stack.geometry.shape)} voxels,"
        f" {listed}, study ...{study[-8:]}"
    )


def _none_found(study: Study) -> NoSpectralStack:
    kinds = Counter(one.kind.value for one in study.series)
    held = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    base_images = any(
        "spectral base image" in line for one in study.series for line in one.evidence_used
    )
    remedy = (
        "spectral base images hold no pixels that can be read: export monoenergetic series from the vendor's workstation"
        if base_images
        else "export the monoenergetic series, or name one with --energy SERIES_UID=70"
    )
    found = f"no monoenergetic series, but {held}" if held else "no CT series"
    return NoSpectralStack(found, where=study.root, remedy=remedy)
