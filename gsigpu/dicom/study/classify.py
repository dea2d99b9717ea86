"""What a series is, from its header values: kind, energy and phase, each with its evidence.

Order of evidence for the kind: what the standard defines (Image Type, the coded material, Rescale
Type); names of material maps; words for "monoenergetic" and an energy; words and values that tell
an image of the whole spectrum. Where none tells, the kind is `other`.

Order of evidence for the energy: Monoenergetic Energy Equivalent (0018,937C); ME<n>KEV in Image
Type; private elements and Image Comments; Series Description. Two that disagree are a conflict, not
a choice. KVP and Protocol Name are weak: they are settled among the series of one acquisition
(gsigpu.dicom.study.weak_energies). The words are in patterns.toml.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gsigpu.dicom.model import Evidence, SeriesKind
from gsigpu.dicom.study.materials import ShownMaterial, material_in, pair_in
from gsigpu.dicom.study.patterns import Match, Patterns, Rule, matches, texts
from gsigpu.errors import EnergyConflict

# ---- Limits of an energy, keV. ----
# Virtual monoenergetic images are offered from 40 to 200 keV; iodine's K edge is at 33.2 keV.
LOWEST_KEV, HIGHEST_KEV = 35.0, 200.0
# Two values of a header are the same energy within rounding to whole keV.
SAME_ENERGY_KEV = 0.5
# No tube of a clinical CT runs below 70 kV.
LOWEST_TUBE_KV, HIGHEST_TUBE_KV = 70.0, 150.0

# Multi-energy values of Image Type: PS3.3 C.8.15.2.1.1.5 (Supplement 188). It is value 4 of a CT
# image and value 5 of an enhanced one; scanners write them in other places too.
_STANDARD_KINDS = {
    "VMI": SeriesKind.VMI,
    "EFF_ATOMIC_NUM": SeriesKind.ZEFF,
    "ELECTRON_DENSITY": SeriesKind.ELECTRON_DENSITY,
    "MAT_FRACTIONAL": SeriesKind.OTHER,
    "MAT_MODIFIED": SeriesKind.OTHER,
    "MAT_VALUE_BASED": SeriesKind.OTHER,
}
# Rescale Type: PS3.3 C.11.1.1.2; a power of ten may stand before it (PS3.17 JJJJ.5).
_RESCALE_KINDS = {
    "Z_EFF": SeriesKind.ZEFF,
    "ED": SeriesKind.ELECTRON_DENSITY,
    "EDW": SeriesKind.ELECTRON_DENSITY,
    "%EDW": SeriesKind.ELECTRON_DENSITY,
}
_CONCENTRATION_TYPES = ("MGML", "MG/ML", "MG/CC", "MG/CM3")
_POWER_OF_TEN = re.compile(r"^10\^-?\d+\s+")
_MATERIAL_KINDS = (SeriesKind.IODINE, SeriesKind.WATER)
_LAST_KINDS = (SeriesKind.VMI, SeriesKind.CONVENTIONAL)
_WORD_FIELDS = ("series_description", "image_comments")
_TEXT_FIELDS = (*_WORD_FIELDS, "protocol", "derivation", "private")
_ENERGY_FIELDS = ("image_type", "private", "image_comments", "series_description", "derivation")
# A number before or behind that makes a list or range of it: "40-140 keV", "40/70 keV".
_JOINT = r"\s*(?:[-‐-―~〜/+&,;]|to|bis|and|und|à|至|から|\.\.+)\s*"
_LISTED_BEFORE = re.compile(r"(?<![\d.])(\d{2,3})(?:\s*keV)?" + _JOINT + "$", re.IGNORECASE)
_LISTED_AFTER = re.compile(r"^" + _JOINT + r"(\d{2,3})(?![\d.])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Classification:
    """What a series is, and why; `phase` is "" where no words tell.

    protocol_energy, kvp_energy : (keV, evidence) to believe only where the other monoenergetic series of
        the acquisition bear them out
    """

    kind: SeriesKind
    energy_kev: float | None
    phase: str
    evidence_used: tuple[str, ...]
    problem: EnergyConflict | None = None
    protocol_energy: tuple[float, str] | None = None
    kvp_energy: tuple[float, str] | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind, why, and the words that told it by the text they stand in."""

    kind: SeriesKind
    why: str
    spans: tuple[tuple[str, tuple[int, int]], ...] = ()


def classify(evidence: Evidence, patterns: Patterns) -> Classification:
    """Kind, energy and phase of a series from its header values alone."""
    if "LOCALIZER" in evidence.image_type:
        return _other("Image Type says localizer")
    if evidence.manufacturer == "gsigpu":  # a map never becomes the input of another
        return _other("Manufacturer says it was made by gsigpu")
    known = _kind(evidence, patterns)
    kind, used = known.kind, [known.why] if known.why else []
    energy: float | None = None
    problem: EnergyConflict | None = None
    protocol_energy, kvp_energy = None, None
    if kind is SeriesKind.VMI:
        energies = _energies(evidence, patterns)
        if energies:
            energy = energies[0][0]
            used.extend(line for _, line in energies)
            problem = _conflict(evidence, energies)
        else:
            protocol_energy, kvp_energy = _weak_energies(evidence, patterns)
            problem = no_energy(evidence)
    phase, why = _phase(evidence, patterns, known)
    if why:
        used.append(why)
    return Classification(
        kind=kind,
        energy_kev=energy,
        phase=phase,
        evidence_used=tuple(dict.fromkeys(used)),
        problem=problem,
        protocol_energy=protocol_energy,
        kvp_energy=kvp_energy,
    )


def no_energy(evidence: Evidence) -> EnergyConflict:
    """The problem of a monoenergetic series without an energy."""
    return EnergyConflict(
        "is monoenergetic, but no header value tells its energy",
        where=_name(evidence),
        remedy=f"give it with --energy {evidence.series_uid}=70, or export series with their energy",
    )


def _other(why: str) -> Classification:
    return Classification(kind=SeriesKind.OTHER, energy_kev=None, phase="", evidence_used=(why,))


def _kind(evidence: Evidence, patterns: Patterns) -> _Kind:
    by_words = _kind_by_words(evidence, patterns)
    by_standard = _kind_by_standard(evidence, by_words)
    if by_standard is not None:
        return by_standard
    if by_words is not None:
        return by_words
    energies = _energies(evidence, patterns)
    if energies:
        return _Kind(SeriesKind.VMI, "")  # the lines about the energy tell why
    return _kind_by_tube(evidence)


def _kind_by_standard(evidence: Evidence, by_words: _Kind | None) -> _Kind | None:
    """From Image Type and Rescale Type as the standard defines them; words only name the material."""
    spans = () if by_words is None else by_words.spans
    for value in evidence.image_type:
        if value == "VMI" and by_words is not None and by_words.kind not in _LAST_KINDS:
            # "PureLumen 70 keV", "VNC 60 keV": monoenergetic, but a material was taken out.
            return by_words
        if value in _STANDARD_KINDS:
            return _Kind(_STANDARD_KINDS[value], f"Image Type is {value}", spans)
        if value in ("MAT_SPECIFIC", "MAT_REMOVED"):
            return _coded_material(evidence, value, by_words)
    unit = rescale_unit(evidence)
    if unit in _RESCALE_KINDS:
        return _Kind(_RESCALE_KINDS[unit], f"Rescale Type is {evidence.rescale_type}", spans)
    if unit in _CONCENTRATION_TYPES and (by_words is None or by_words.kind in _LAST_KINDS):
        why = f"Rescale Type is {evidence.rescale_type}, but no word says of which material"
        return _Kind(SeriesKind.OTHER, why, spans)
    return None


def _coded_material(evidence: Evidence, value: str, by_words: _Kind | None) -> _Kind:
    spans = () if by_words is None else by_words.spans
    if evidence.materials:
        names = ", ".join(evidence.materials)
        is_iodine = any("iod" in name.lower() for name in evidence.materials)
        is_water = any("water" in name.lower() for name in evidence.materials)
        kind = SeriesKind.OTHER
        if value == "MAT_REMOVED":
            kind = SeriesKind.VNC if is_iodine else SeriesKind.OTHER
        elif len(evidence.materials) == 1:
            kind = SeriesKind.IODINE if is_iodine else kind
            kind = SeriesKind.WATER if is_water else kind
        return _Kind(kind, f"Image Type is {value}, and the coded material {names}", spans)
    named = (SeriesKind.VNC,) if value == "MAT_REMOVED" else _MATERIAL_KINDS
    if by_words is not None and by_words.kind in named:
        return by_words
    return _Kind(
        SeriesKind.OTHER, f"Image Type is {value}, but nothing says of which material", spans
    )


def rescale_unit(evidence: Evidence) -> str:
    """Rescale Type without a power of ten, in capitals."""
    return _POWER_OF_TEN.sub("", evidence.rescale_type.strip()).upper()


def _kind_by_words(evidence: Evidence, patterns: Patterns) -> _Kind | None:
    """The first field that names a kind, the description before comments; conventional only where none names another.

    A value of Image Type decides where no text does, and over "monoenergetic" or "conventional" where its rule
    stands above theirs in the table: a machine wrote it.
    """
    rank_of = {id(rule): rank for rank, rule in enumerate(patterns.kind)}
    by_value = next(matches(patterns.kind, evidence, ("image_type",)), None)
    conventional: _Kind | None = None
    for field in _TEXT_FIELDS:
        classification, rule = _kind_of_field(field, evidence, patterns)
        if classification is None:
            continue
        if (
            by_value is not None
            and rule is not None
            and rule.answer in _LAST_KINDS
            and rank_of[id(by_value.rule)] < rank_of[id(rule)]
        ):
            return _matched(by_value)
        if classification.kind is not SeriesKind.CONVENTIONAL:
            return classification
        conventional = conventional or classification
    if conventional is not None:
        return conventional
    return _matched(by_value) if by_value is not None else None


def _kind_of_field(
    field: str, evidence: Evidence, patterns: Patterns
) -> tuple[_Kind | None, Rule | None]:
    """Pairs of materials, then the table's rules, then single materials, then vmi and conventional."""
    word_texts = texts(evidence, field) if field in _WORD_FIELDS else []
    for text, label in word_texts:
        pair = pair_in(text, patterns.material)
        if pair is not None:
            return _material_kind(pair, text, label), None
    matched = list(matches(patterns.kind, evidence, (field,)))
    for match in matched:
        if match.rule.answer not in _LAST_KINDS:
            return _matched(match), match.rule
    for text, label in word_texts:
        material = material_in(text, patterns.material)
        if material is not None:
            return _material_kind(material, text, label), None
    return (_matched(matched[0]), matched[0].rule) if matched else (None, None)


def _matched(match: Match) -> _Kind:
    note = f" ({match.rule.note})" if match.rule.note else ""
    return _Kind(
        SeriesKind(match.rule.answer),
        f"{match.label} {match.text!r}{note}",
        ((match.text, match.occurrence.span()),),
    )


def _material_kind(shown: ShownMaterial, text: str, label: str) -> _Kind:
    return _Kind(shown.kind, f"{label} {text!r} ({shown.why})", ((text, shown.span),))


def _kind_by_tube(evidence: Evidence) -> _Kind:
    """An original image of a tube voltage, with no mark of a spectral map, shows the whole spectrum."""
    kvp = evidence.kvp
    has_voltage = kvp is not None and LOWEST_TUBE_KV <= kvp <= HIGHEST_TUBE_KV
    is_original = evidence.image_type[:2] == ("ORIGINAL", "PRIMARY")
    is_hu = rescale_unit(evidence) in ("", "HU")
    is_spectral = evidence.multienergy == "YES" or any(
        "SPECTRAL" in value or value.startswith("GSI") for value in evidence.image_type
    )
    if has_voltage and is_original and is_hu and not is_spectral:
        return _Kind(
            SeriesKind.CONVENTIONAL, f"original image in HU at a tube voltage of {kvp:g} kV"
        )
    return _Kind(
        SeriesKind.OTHER,
        f"nothing tells what it shows; name it with --kind {evidence.series_uid}=conventional",
    )


def _energies(evidence: Evidence, patterns: Patterns) -> list[tuple[float, str]]:
    """(keV, evidence) of everything that names an energy, strongest first."""
    named: list[tuple[float, str]] = []
    kev = evidence.mono_energy_kev
    if kev is not None and LOWEST_KEV <= kev <= HIGHEST_KEV:
        named.append((kev, f"Monoenergetic Energy Equivalent (0018,937C) is {kev:g} keV"))
    for field in _ENERGY_FIELDS:
        named.extend(_energies_of(field, evidence, patterns))
    return named


def _energies_of(field: str, evidence: Evidence, patterns: Patterns) -> list[tuple[float, str]]:
    """Of one field; in each text the first rule that fits decides, and a list or range names none."""
    named: list[tuple[float, str]] = []
    decided: set[tuple[str, str]] = set()
    for rule in patterns.energy:
        by_text: dict[tuple[str, str], set[float | None]] = {}
        for match in matches((rule,), evidence, (field,)):
            if (match.text, match.label) not in decided:
                by_text.setdefault((match.text, match.label), set()).add(_single_energy(match))
        for (text, label), energies in by_text.items():
            decided.add((text, label))
            kevs = [kev for kev in energies if kev is not None]
            if len(kevs) == 1:
                named.append((kevs[0], f"{label} {text!r}"))
    return named


def _single_energy(match: Match) -> float | None:
    """The energy that a rule found, unless it is out of range or one of a list."""
    start, end = match.occurrence.span("kev")
    kev = float(match.occurrence["kev"].replace(",", "."))
    listed = (
        _LISTED_BEFORE.search(match.text[:start]),
        _LISTED_AFTER.search(match.text[end:]),
    )
    if any(near is not None and LOWEST_KEV <= float(near[1]) <= HIGHEST_KEV for near in listed):
        return None
    return kev if LOWEST_KEV <= kev <= HIGHEST_KEV else None


def _weak_energies(
    evidence: Evidence, patterns: Patterns
) -> tuple[tuple[float, str] | None, tuple[float, str] | None]:
    """What Protocol Name and KVP name; None where other words name an energy that cannot be taken."""
    if any(True for _ in matches(patterns.energy, evidence, _ENERGY_FIELDS)):
        return None, None
    named = _energies_of("protocol", evidence, patterns)
    kvp = evidence.kvp
    in_range = kvp is not None and LOWEST_KEV <= kvp <= HIGHEST_KEV
    return (
        named[0] if named else None,
        (kvp, f"KVP is {kvp:g}") if kvp is not None and in_range else None,
    )


def _conflict(evidence: Evidence, energies: list[tuple[float, str]]) -> EnergyConflict | None:
    first = energies[0][0]
    others = [line for kev, line in energies if abs(kev - first) > SAME_ENERGY_KEV]
    if not others:
        return None
    return EnergyConflict(
        f"evidence for its energy disagrees: {energies[0][1]}, but {others[0]}",
        where=_name(evidence),
        remedy=f"give the right one with --energy {evidence.series_uid}={first:g}, or correct the header",
    )


def _phase(evidence: Evidence, patterns: Patterns, known: _Kind) -> tuple[str, str]:
    """The phase that the words name which tell neither kind nor energy."""
    phases: dict[str, str] = {}
    for field in (*_WORD_FIELDS, "protocol", "derivation"):  # the last two for a user's rules
        taken = [
            (match.text, match.occurrence.span())
            for match in matches(patterns.energy, evidence, (field,))
        ]
        for match in matches(patterns.phase, evidence, (field,)):
            if not _overlaps(match, (*known.spans, *taken)):
                why = f"phase {match.rule.answer} from {match.label} {match.text!r}"
                phases.setdefault(match.rule.answer, why)
        if phases:
            break
    if len(phases) == 1:
        return next(iter(phases.items()))
    if phases:
        return "", f"phase unclear: the words fit {' and '.join(phases)}"
    return "", ""


def _overlaps(match: Match, spans: Iterable[tuple[str, tuple[int, int]]]) -> bool:
    start, end = match.occurrence.span()
    return any(text == match.text and start < last and first < end for text, (first, last) in spans)


def _name(evidence: Evidence) -> str:
    return f"series {evidence.series_uid} {evidence.series_description!r}"
