"""Which material a series shows, from the names that maps of materials have.

A pair "Iodine(Water)" shows its first part, in the presence of the second: Water(Iodine) is water,
Calcium(Iodine) is calcium. A name that is negated ("Iodine Removed", "Virtual Non Iodine", "ohne
Jod") says what is not there. "Iodine no Water" shows iodine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gsigpu.dicom.model import SeriesKind
from gsigpu.dicom.study.patterns import Material, whole_words

_NOT_BEFORE_IT = re.compile(
    r"(?:" + whole_words(("no", "non", "without", "w/?o", "ohne", "sans", "sin", "senza", "без"))
    + r"|无|無|除|非)[\s-]*(?:the\s*)?$",
    re.IGNORECASE,
)  # fmt: skip
_REMOVED_AFTER_IT = re.compile(
    r"^[\s_-]*(?:remov\w*|suppress\w*|subtract\w*|unterdr\w*|entfern\w*|free(?![a-z])|frei(?![a-z])|minus"
    r"|supprim\w*|eliminat\w*|抑制|去除|除去|제거)",
    re.IGNORECASE,
)
# Hepatic arterial phase or hydroxyapatite: beside another material only brackets or a joint tell.
_AMBIGUOUS = "hydroxyapatite"
_OTHERS = "another material"


@dataclass(frozen=True, slots=True)
class ShownMaterial:
    """What the name of a map says.

    span : where in the text the name stands; it names no phase
    """

    kind: SeriesKind
    why: str
    span: tuple[int, int]


def pair_in(text: str, materials: Sequence[Material]) -> ShownMaterial | None:
    """The map that a pair of materials names, as "Iodine(Water)" or "Water-Iodine".

    >>> from gsigpu.dicom.study.patterns import load_patterns
    >>> table = load_patterns().material
    >>> [pair_in(name, table).kind.value for name in ("AP Iodine(Water)", "Calcium(Iodine)", "水(碘)")]
    ['iodine', 'other', 'water']
    """
    for first, second, match in _pairs(text, materials):
        joint = match["joint"].strip()
        if _is_negated(text, match.span()):
            return ShownMaterial(SeriesKind.OTHER, f"without {first} and {second}", match.span())
        if _AMBIGUOUS in (first, second) and not joint:
            why = "hydroxyapatite beside another material, or the hepatic arterial phase"
            return ShownMaterial(SeriesKind.OTHER, why, match.span())
        if first == "iodine":
            return ShownMaterial(
                SeriesKind.IODINE, f"iodine in the pair with {second}", match.span()
            )
        if first == "water" and second == "iodine":
            return ShownMaterial(SeriesKind.WATER, "water in the pair with iodine", match.span())
        return ShownMaterial(SeriesKind.OTHER, f"{first} in the pair with {second}", match.span())
    return None


def material_in(text: str, materials: Sequence[Material]) -> ShownMaterial | None:
    """The map that the name of one material names.

    >>> from gsigpu.dicom.study.patterns import load_patterns
    >>> table = load_patterns().material
    >>> [material_in(name, table).kind.value for name in ("Iodine no Water", "Iodine Removed[HU*]")]
    ['iodine', 'other']
    """
    negated: ShownMaterial | None = None
    for material in materials:
        for match in material.word.finditer(text):
            if _is_negated(text, match.span()):
                if material.alone and negated is None:
                    why = f"without {material.name}"
                    negated = ShownMaterial(SeriesKind.OTHER, why, match.span())
            elif material.alone:
                kind = SeriesKind.IODINE if material.name == "iodine" else SeriesKind.OTHER
                return ShownMaterial(kind, f"a map of {material.name}", match.span())
    return negated


def _is_negated(text: str, span: tuple[int, int]) -> bool:
    start, end = span
    return bool(_REMOVED_AFTER_IT.search(text[end:]) or _NOT_BEFORE_IT.search(text[:start]))


def _pairs(text: str, materials: Sequence[Material]) -> Iterator[tuple[str, str, re.Match[str]]]:
    """(first, second, match); brackets before joints, so that "HAP Iodine(Water)" is iodine."""
    for pattern in _pair_patterns(tuple(materials)):
        for match in pattern.finditer(text):
            yield _name(match["first"], materials), _name(match["second"], materials), match


@lru_cache(maxsize=4)
def _pair_patterns(materials: tuple[Material, ...]) -> tuple[re.Pattern[str], ...]:
    names = "|".join(material.in_pair for material in materials)
    # Without brackets, "BONE Iodine" is a kernel and a map.
    words = "|".join(
        f"(?:{material.word.pattern})" for material in materials if material.name != _OTHERS
    )
    brackets = rf"(?<![a-z])(?P<first>{names})(?P<joint>\s*[(\[]\s*)(?P<second>{names})\s*[)\]]"
    joint = rf"(?P<first>{words})(?P<joint>[\s_/-]+)(?P<second>{words})"
    return re.compile(brackets, re.IGNORECASE), re.compile(joint, re.IGNORECASE)


def _name(word: str, materials: Sequence[Material]) -> str:
    for material in materials:
        if re.fullmatch(material.in_pair, word, re.IGNORECASE):
            return material.name
    return _OTHERS
