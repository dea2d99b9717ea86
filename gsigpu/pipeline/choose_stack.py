"""The start of `map` and `measure`: scan the folder, choose the stack, restrict its energies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from gsigpu.caution import Caution
from gsigpu.dicom.model import SeriesKind, SpectralStack, Study
from gsigpu.dicom.study.overrides import series_names
from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import left_aside, select_stack
from gsigpu.errors import AmbiguousStack, SettingsError, TooFewEnergies
from gsigpu.maps.definitions import nearest
from gsigpu.output.portable_names import portable_name
from gsigpu.phase_words import NO_NAME, phase_words
from gsigpu.pipeline.progress import SILENT, Watcher


@dataclass(frozen=True, slots=True, repr=False)
class ChosenStack:
    """The stack that a command works on.

    study : everything in the folder
    stack : of one phase and one grid, restricted to the energies that were chosen
    left_aside : warnings about monoenergetic series that do not fit the stack; none where the energies
        were chosen by hand
    scan_seconds : 0 where the study was scanned before
    """

    study: Study
    stack: SpectralStack
    left_aside: tuple[Caution, ...]
    scan_seconds: float

    def __repr__(self) -> str:
        """The stack, in a line."""
        kevs = ", ".join(f"{kev:g}" for kev in self.stack.energies_kev)
        return f"ChosenStack({kevs} keV, {phase_words(self.stack.phase)})"


def choose_stack(
    study: Path | str | Study,
    *,
    phase: str | None = None,
    series: Sequence[str] = (),
    energies_kev: Sequence[float] = (),
    energy_overrides: Mapping[str, float] | None = None,
    phase_overrides: Mapping[str, str] | None = None,
    kind_overrides: Mapping[str, str] | None = None,
    watcher: Watcher = SILENT,
) -> ChosenStack:
    """Scans a study, unless that is done, and chooses one stack of it.

    study : a folder, or what `read_study` gave; the overrides count for a folder alone
    phase, series : which stack, where the study holds several
    energies_kev : only these of its energies; all if empty

    Raises InputError and its kinds.
    """
    begun = perf_counter()
    if not isinstance(study, Study):
        with watcher.stage("scan") as progress:
            study = read_study(
                study,
                energy_overrides=energy_overrides,
                phase_overrides=phase_overrides,
                kind_overrides=kind_overrides,
                progress=progress,
            )
    scan_seconds = perf_counter() - begun
    stack = only_energies(select_stack(study, phase=phase, series=series), energies_kev)
    return ChosenStack(
        study=study,
        stack=stack,
        left_aside=() if energies_kev else tuple(left_aside(study, stack)),
        scan_seconds=scan_seconds,
    )


def require_dicom(stack: SpectralStack, what: str, remedy: str) -> None:
    """Raises SettingsError where `what` needs DICOM headers, and the images come from other files."""
    evidence = stack.series[0].evidence
    if not evidence.sop_class_uid:
        raise SettingsError(
            f"{what} needs the study's DICOM files, and the images were read from {evidence.series_description}",
            remedy=remedy,
        )


def phases_of(study: Study) -> list[str | None]:
    """Every phase that has monoenergetic series, in the order of the study; None for the only one, if nothing names it.

    Raises AmbiguousStack if one has no name beside others that have: nothing could tell its values from theirs.
    """
    images = [
        (series, name)
        for series, name in zip(study.series, series_names(study.series), strict=True)
        if series.kind is SeriesKind.VMI and series.energy_kev is not None
    ]
    known = list(dict.fromkeys(series.phase for series, _ in images))
    if not any(known):
        return [None]
    nameless = [name for series, name in images if not series.phase]
    if nameless:
        others = ", ".join(filter(None, known))
        raise AmbiguousStack(
            f"{len(nameless)} series are of the {NO_NAME}, beside {others}",
            where=study.root,
            remedy=f"name it with --phase-of {','.join(f'{name}=AP' for name in nameless)}, or choose one with --phase",
        )
    return list(known)


def phase_word(phase: str | None) -> str:
    """A phase as a part of a file's or a folder's name.

    >>> phase_word("PVP"), phase_word("late/venous"), phase_word(None)
    ('PVP', 'late-venous', 'phase')
    """
    return portable_name(re.sub(r"[^\w-]+", "-", phase or "") or "phase")


def only_energies(stack: SpectralStack, energies_kev: Sequence[float]) -> SpectralStack:
    """The stack with these energies alone.

    Raises TooFewEnergies if one of them is missing.
    """
    if not energies_kev:
        return stack
    kept = []
    for kev in sorted(set(energies_kev)):
        available_kev = nearest(stack.energies_kev, kev)
        if available_kev is None:
            available = ", ".join(f"{energy:g}" for energy in stack.energies_kev)
            raise TooFewEnergies(
                f"no monoenergetic series at {kev:g} keV; available are {available} keV",
                remedy="choose among these with --energies",
            )
        series = stack.series[stack.energies_kev.index(available_kev)]
        if series not in kept:  # 60 and 60.01 are one image
            kept.append(series)
    return replace(stack, series=tuple(kept))
