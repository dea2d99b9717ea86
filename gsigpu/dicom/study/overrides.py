"""What the user says of a series: its kind, energy or phase, which wins over all evidence.

A series is named by its SeriesInstanceUID, by the key that `gsigpu scan --why` prints (the UID with
"#70keV", "#acquisition2" or the like where one DICOM series holds several), or by its number, with
the same addition. A UID names all that its DICOM series holds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from gsigpu.dicom.model import Evidence, Series, SeriesKind
from gsigpu.dicom.study.classify import Classification, no_energy
from gsigpu.errors import EnergyConflict, SettingsError


@dataclass(frozen=True, slots=True)
class Override:
    """What is given for one series; None where nothing is."""

    kind: SeriesKind | None = None
    energy_kev: float | None = None
    phase: str | None = None

    def applied(self, known: Classification, evidence: Evidence) -> Classification:
        """The classification with what is given in place of what the header says."""
        kind, energy, problem = known.kind, known.energy_kev, known.problem
        if self.kind is not None:
            kind = self.kind
            energy = known.energy_kev if kind is SeriesKind.VMI else None
            problem = no_energy(evidence) if kind is SeriesKind.VMI and energy is None else None
        if self.energy_kev is not None:
            kind, energy, problem = SeriesKind.VMI, self.energy_kev, None
        phase = known.phase if self.phase is None else self.phase
        return replace(
            known,
            kind=kind,
            energy_kev=energy,
            phase=phase,
            evidence_used=self._lines(known.evidence_used),
            problem=problem,
        )

    def _lines(self, evidence_used: Iterable[str]) -> tuple[str, ...]:
        lines = []
        if self.kind is not None:
            lines.append(f"kind {self.kind.value} given by --kind")
        if self.energy_kev is not None:
            lines.append(f"{self.energy_kev:g} keV given by --energy")
        kept = [
            line for line in evidence_used if self.phase is None or not line.startswith("phase ")
        ]
        phase = [] if self.phase is None else [f"phase {self.phase} given by --phase-of"]
        return (*lines, *kept, *phase)


def given(series: Series, override: Override) -> Series:
    """The series with what is given for it alone; a problem of its slices stays."""
    known = Classification(
        kind=series.kind,
        energy_kev=series.energy_kev,
        phase=series.phase,
        evidence_used=series.evidence_used,
        problem=series.problem if isinstance(series.problem, EnergyConflict) else None,
    )
    changed = override.applied(known, series.evidence)
    return replace(
        series,
        kind=changed.kind,
        energy_kev=changed.energy_kev,
        phase=changed.phase,
        evidence_used=changed.evidence_used,
        problem=changed.problem
        if series.problem is None or isinstance(series.problem, EnergyConflict)
        else series.problem,
    )


@dataclass(slots=True)
class Overrides:
    """All that is given, by the name of the series."""

    energies: Mapping[str, float]
    phases: Mapping[str, str]
    kinds: Mapping[str, SeriesKind | str]
    _by_key: dict[str, Override] = field(default_factory=dict)
    _named: dict[str, str] = field(default_factory=dict)

    def resolved(self, series: Sequence[Series]) -> Overrides:
        """Looks up the names among the series of a study, as they are without overrides.

        Raises SettingsError for a name that fits no series or several, an unknown kind, and an
        energy for a series that is given as no monoenergetic one.
        """
        names = _keys_by_name(series)
        for name in dict.fromkeys((*self.energies, *self.phases, *self.kinds)):
            keys = names.get(name, set())
            if len(keys) != 1:
                raise SettingsError(
                    f"{len(keys) or 'no'} series {name} in this folder",
                    remedy="gsigpu scan --why lists the series with their names and UIDs",
                )
            key = next(iter(keys))
            override = Override(
                kind=_kind(name, self.kinds[name]) if name in self.kinds else None,
                energy_kev=self.energies.get(name),
                phase=self.phases.get(name),
            )
            self._by_key[key] = _merged(name, self._by_key.get(key), override)
            self._named[key] = name
        return self

    def of(self, key: str) -> Override | None:
        """What is given for a key."""
        return self._by_key.get(key)

    def require_used(self, keys: Set[str]) -> None:
        """Raises SettingsError for a part of a series that is no part any more, for all of it was given one kind."""
        uids = {key.split("#")[0] for key in keys}
        for key, name in self._named.items():
            if key not in keys and key not in uids:
                raise SettingsError(
                    f"series {name} is part of a series that is given as a whole too",
                    remedy="give either the whole series or its parts",
                )


def _merged(name: str, first: Override | None, second: Override) -> Override:
    """One series may be named in two ways; the later value counts where both give one."""
    merged = second
    if first is not None:
        merged = Override(
            kind=second.kind if second.kind is not None else first.kind,
            energy_kev=second.energy_kev if second.energy_kev is not None else first.energy_kev,
            phase=second.phase if second.phase is not None else first.phase,
        )
    if merged.energy_kev is not None and merged.kind not in (None, SeriesKind.VMI):
        raise SettingsError(
            f"series {name} is given an energy and the kind {merged.kind}",
            remedy="only monoenergetic series have an energy: leave out --energy or --kind",
        )
    return merged


def _kind(name: str, kind: SeriesKind | str) -> SeriesKind:
    try:
        return SeriesKind(kind)
    except ValueError as error:
        raise SettingsError(
            f"--kind {name}={kind} names no kind", remedy=f"use {', '.join(SeriesKind)}"
        ) from error


def _keys_by_name(series: Sequence[Series]) -> dict[str, set[str]]:
    """All names of all series; what names a DICOM series as a whole stands for its UID."""
    keys: dict[str, set[str]] = defaultdict(set)
    for member in series:
        uid, number = member.evidence.series_uid, member.evidence.series_number
        keys[uid].add(uid)
        keys[member.key].add(member.key)
        if number is not None:
            keys[str(number)].add(uid)
            keys[f"{number}{member.key.removeprefix(uid)}"].add(member.key)
    return keys


def series_names(series: Sequence[Series]) -> list[str]:
    """A short name for each series that an option takes: its number where that is unique, else its key."""
    short = [
        "" if number is None else f"{number}{member.key.removeprefix(member.evidence.series_uid)}"
        for member in series
        for number in (member.evidence.series_number,)
    ]
    counts = Counter(short)
    return [
        name if name and counts[name] == 1 else member.key
        for name, member in zip(short, series, strict=True)
    ]
