"""What a series is, from its header values: kind, energy and phase, each with its evidence.

Order of evidence for the energy: Monoenergetic Energy Equivalent (0018,937C); private elements and
Image Comments; Series Description; KVP, only where something else says that the series is
monoenergetic. Two that disagree are a conflict, not a choice. The words are in patterns.toml.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from gsigpu.dicom.model import Evidence, SeriesKind
from gsigpu.errors import EnergyConflict, SettingsError

LOWEST_KEV, HIGHEST_KEV = 35.0, 200.0

_FIELDS = ("series_description", "image_comments", "protocol", "derivation", "private")
_LABELS = {
    "series_description": "Series Description",
    "image_comments": "Image Comments",
    "protocol": "Protocol Name",
    "derivation": "Derivation Description",
    "private": "private element",
}

# ImageType value 4 of multi-energy images: PS3.3 C.8.15.2.1.1.5 (Supplement 188).
_IMAGE_TYPE_KINDS = {
    "VMI": SeriesKind.VMI,
    "MAT_REMOVED": SeriesKind.VNC,
    "EFF_ATOMIC_NUM": SeriesKind.ZEFF,
    "ELECTRON_DENSITY": SeriesKind.ELECTRON_DENSITY,
    "MAT_FRACTIONAL": SeriesKind.OTHER,
    "MAT_MODIFIED": SeriesKind.OTHER,
    "MAT_VALUE_BASED": SeriesKind.OTHER,
}
# RescaleType: PS3.3 C.11.1.1.2.
_RESCALE_KINDS = {
    "Z_EFF": SeriesKind.ZEFF,
    "ED": SeriesKind.ELECTRON_DENSITY,
    "EDW": SeriesKind.ELECTRON_DENSITY,
}
_MATERIALS = (SeriesKind.IODINE, SeriesKind.WATER)


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the pattern table; `answer` is the kind or phase, "" for an energy rule."""

    fields: tuple[str, ...]
    pattern: re.Pattern[str]
    answer: str
    note: str


@dataclass(frozen=True, slots=True)
class Patterns:
    """The pattern table."""

    energy: tuple[Rule, ...]
    kind: tuple[Rule, ...]
    phase: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Classification:
    """What a series is, and why; `phase` is "" where no words tell."""

    kind: SeriesKind
    energy_kev: float | None
    phase: str
    evidence_used: tuple[str, ...]
    problem: EnergyConflict | None = None


@lru_cache(maxsize=4)
def load_patterns(extra: Path | None = None) -> Patterns:
    """The table of this package, with the rules of a user's file in front.

    Raises SettingsError if the file is missing or not of the form of patterns.toml.
    """
    built_in = tomllib.loads(
        files("gsigpu.dicom.study").joinpath("patterns.toml").read_text("utf-8")
    )
    tables = [built_in]
    if extra is not None:
        try:
            tables.insert(0, tomllib.loads(extra.read_text("utf-8")))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"cannot be read as a pattern table ({error})",
                where=extra,
                remedy="write it like gsigpu/dicom/study/patterns.toml",
            ) from error
    try:
        return Patterns(
            energy=tuple(_rule(entry, "") for table in tables for entry in table.get("energy", ())),
            kind=tuple(
                _rule(entry, SeriesKind(entry["kind"]))
                for table in tables
                for entry in table.get("kind", ())
            ),
            phase=tuple(
                _rule(entry, entry["phase"]) for table in tables for entry in table.get("phase", ())
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError, re.error) as error:
        raise SettingsError(
            f"has a bad rule ({error!r})",
            where=extra,
            remedy="write it like gsigpu/dicom/study/patterns.toml",
        ) from error


def _rule(entry: dict[str, Any], answer: str) -> Rule:
    named = entry["field"]
    fields = (named,) if isinstance(named, str) else tuple(named)
    unknown = set(fields) - set(_FIELDS)
    if unknown:
        raise ValueError(f"unknown field {', '.join(sorted(unknown))}")
    return Rule(
        fields, re.compile(entry["pattern"], re.IGNORECASE), str(answer), entry.get("note", "")
    )


def classify(evidence: Evidence, patterns: Patterns) -> Classification:
    """Kind, energy and phase of a series from its header values alone."""
    used: list[str] = []
    if "LOCALIZER" in evidence.image_type:
        return Classification(SeriesKind.OTHER, None, "", ("Image Type says localizer",))
    if evidence.manufacturer == "gsigpu":  # a map never becomes the input of another
        return Classification(
            SeriesKind.OTHER, None, "", ("Manufacturer says it was made by gsigpu",)
        )
    kind, why = _kind(evidence, patterns)
    if why:
        used.append(why)
    energy: float | None = None
    problem: EnergyConflict | None = None
    if kind in (None, SeriesKind.VMI):
        energies = _energies(evidence, patterns)
        if not energies and kind is SeriesKind.VMI and not _names_an_energy(evidence, patterns):
            energies = _energy_from_kvp(evidence)
        if energies:
            kind = SeriesKind.VMI
            energy = energies[0][0]
            used.extend(line for _, line in energies)
            problem = _conflict(evidence, energies)
        elif kind is SeriesKind.VMI:
            used.append("no header value tells the energy")
            problem = EnergyConflict(
                "is monoenergetic, but no header value tells its energy",
                where=_name(evidence),
                remedy=f"say it with --energy {evidence.series_uid}=70",
            )
    phase, why = _phase(evidence, patterns)
    if why:
        used.append(why)
    if kind is None:
        kind = SeriesKind.CONVENTIONAL if evidence.rescale_type in ("", "HU") else SeriesKind.OTHER
    return Classification(kind, energy, phase, tuple(used), problem)


def _kind(evidence: Evidence, patterns: Patterns) -> tuple[SeriesKind | None, str]:
    value_4 = evidence.image_type[3] if len(evidence.image_type) > 3 else ""
    if value_4 in _IMAGE_TYPE_KINDS:
        return _IMAGE_TYPE_KINDS[value_4], f"Image Type value 4 is {value_4}"
    if evidence.rescale_type in _RESCALE_KINDS:
        return _RESCALE_KINDS[evidence.rescale_type], f"Rescale Type is {evidence.rescale_type}"
    for rule, text, label in _matches(patterns.kind, evidence):
        kind = SeriesKind(rule.answer)
        return kind, f"{label} {text!r}" + (f" ({rule.note})" if rule.note else "")
    if value_4 == "MAT_SPECIFIC" or evidence.rescale_type == "MGML":
        return SeriesKind.OTHER, "a material map, but no word says of which material"
    return None, ""


def _energies(evidence: Evidence, patterns: Patterns) -> list[tuple[float, str]]:
    """(keV, evidence) of everything that names an energy, strongest first."""
    named: list[tuple[float, str]] = []
    if (
        evidence.mono_energy_kev is not None
        and LOWEST_KEV <= evidence.mono_energy_kev <= HIGHEST_KEV
    ):
        kev = evidence.mono_energy_kev
        named.append((kev, f"Monoenergetic Energy Equivalent (0018,937C) is {kev:g} keV"))
    fields_told: set[str] = set()
    for field in ("private", "image_comments", "series_description"):
        for rule in patterns.energy:
            if field not in rule.fields or field in fields_told:
                continue
            for text, label in _texts(evidence, field):
                kevs = {float(match["kev"]) for match in rule.pattern.finditer(text)}
                kevs = {kev for kev in kevs if LOWEST_KEV <= kev <= HIGHEST_KEV}
                # "40-140 keV" names a range, not the energy of this image.
                if len(kevs) == 1:
                    named.append((kevs.pop(), f"{label} {text!r}"))
                    fields_told.add(field)
    return named


def _names_an_energy(evidence: Evidence, patterns: Patterns) -> bool:
    """Whether any words name a keV, be it an impossible one."""
    return any(True for _ in _matches(patterns.energy, evidence))


def _energy_from_kvp(evidence: Evidence) -> list[tuple[float, str]]:
    kvp = evidence.kvp
    if kvp is None or not LOWEST_KEV <= kvp <= HIGHEST_KEV:
        return []
    return [(kvp, f"KVP is {kvp:g}, in a series that is monoenergetic by other evidence")]


def _conflict(evidence: Evidence, energies: list[tuple[float, str]]) -> EnergyConflict | None:
    if all(abs(kev - energies[0][0]) <= 0.5 for kev, _ in energies):
        return None
    other = next(line for kev, line in energies if abs(kev - energies[0][0]) > 0.5)
    return EnergyConflict(
        f"evidence for its energy disagrees: {energies[0][1]}, but {other}",
        where=_name(evidence),
        remedy=f"say which is right with --energy {evidence.series_uid}={energies[0][0]:g}",
    )


def _phase(evidence: Evidence, patterns: Patterns) -> tuple[str, str]:
    phases: dict[str, str] = {}
    for field in ("series_description", "image_comments"):
        for rule, text, label in _matches(patterns.phase, evidence, (field,)):
            phases.setdefault(rule.answer, f"phase {rule.answer} from {label} {text!r}")
        if phases:
            break
    if len(phases) == 1:
        return next(iter(phases.items()))
    if phases:
        return "", f"phase unclear: the words fit {' and '.join(phases)}"
    return "", ""


def phase_meant(text: str, patterns: Patterns) -> str:
    """The phase that a person's word for it means; "" where it fits none or several.

    >>> phase_meant("portal", load_patterns()), phase_meant("NC", load_patterns())
    ('PVP', 'non-contrast')
    """
    phases = {rule.answer for rule in patterns.phase if rule.pattern.search(text)}
    return phases.pop() if len(phases) == 1 else ""


def _matches(
    rules: Iterable[Rule], evidence: Evidence, fields: Iterable[str] = _FIELDS
) -> Iterable[tuple[Rule, str, str]]:
    searched_fields = tuple(fields)
    for rule in rules:
        for field in rule.fields:
            if field in searched_fields:
                for text, label in _texts(evidence, field):
                    if rule.pattern.search(text):
                        yield rule, text, label


def _texts(evidence: Evidence, field: str) -> list[tuple[str, str]]:
    if field == "private":
        return [(value, f"private element {name}") for name, value in evidence.private]
    text = getattr(evidence, field)
    return [(text, _LABELS[field])] if text else []


def _name(evidence: Evidence) -> str:
    return f"series {evidence.series_uid} {evidence.series_description!r}"
