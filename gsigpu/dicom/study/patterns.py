"""The pattern table: what words in a header mean, as patterns.toml and a user's file say it."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from gsigpu.dicom.model import Evidence, SeriesKind
from gsigpu.errors import SettingsError
from gsigpu.user_toml import read_user_toml, toml_table

FIELD_NAMES = {
    "series_description": "Series Description",
    "image_comments": "Image Comments",
    "protocol": "Protocol Name",
    "derivation": "Derivation Description",
    "image_type": "Image Type",
    "private": "private element",
}
# What an entry of each section may hold; `source` says where a rule was seen.
_MATCH = ("field", "words", "pattern", "manufacturer", "note", "source")
_KEYS = {
    "energy": _MATCH,
    "kind": ("kind", *_MATCH),
    "phase": ("phase", *_MATCH),
    "material": ("name", "words", "symbols", "alone", "source"),
}
_REMEDY = "write it like gsigpu/dicom/study/patterns.toml"
# A word ends where no letter of the Latin or Cyrillic alphabet follows.
_LETTER = "[a-zà-öø-ÿšžœа-яё]"


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the table.

    answer : the kind or phase; "" for an energy rule
    manufacturer : None, or what the Manufacturer must match
    """

    fields: tuple[str, ...]
    pattern: re.Pattern[str]
    answer: str
    note: str
    manufacturer: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """A material that maps are named for.

    word : its names as whole words
    in_pair : its names and symbols, for the two parts of "Iodine(Water)"
    alone : whether its name, without a pair, names a map of it
    """

    name: str
    word: re.Pattern[str]
    in_pair: str
    alone: bool


@dataclass(frozen=True, slots=True)
class Patterns:
    """The pattern table."""

    energy: tuple[Rule, ...]
    kind: tuple[Rule, ...]
    phase: tuple[Rule, ...]
    material: tuple[Material, ...]

    @property
    def phase_patterns(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        """(phase, pattern) of each phase rule, for `phase_meant`."""
        return tuple((rule.answer, rule.pattern) for rule in self.phase)


@dataclass(frozen=True, slots=True)
class Match:
    """Words of a header that fit a rule.

    text : the whole value; span : where in it the words are
    """

    rule: Rule
    text: str
    field: str
    label: str
    occurrence: re.Match[str]


def load_patterns(extra: Path | None = None) -> Patterns:
    """The table of this package, with the rules of a user's file in front.

    Raises InputError if the file is missing or no TOML, SettingsError if it is not of the form of patterns.toml: a rule under
    a misspelt name would otherwise be no rule, without a word.
    """
    if extra is None:
        return _patterns(None, None)
    return _patterns(extra, read_user_toml(extra, what="a pattern table", remedy=_REMEDY).content)


@lru_cache(maxsize=4)
def _patterns(extra: Path | None, content: bytes | None) -> Patterns:
    """Kept by content, since a file that is edited between two calls has new rules."""
    tables = [
        tomllib.loads(files("gsigpu.dicom.study").joinpath("patterns.toml").read_text("utf-8"))
    ]
    if content is not None:
        tables.insert(0, toml_table(content))
    try:
        for table in tables:
            _only(table, tuple(_KEYS), "the table")
        return Patterns(
            energy=tuple(_rule(entry, "") for entry in _entries(tables, "energy")),
            kind=tuple(
                _rule(entry, SeriesKind(entry["kind"])) for entry in _entries(tables, "kind")
            ),
            phase=tuple(_rule(entry, entry["phase"]) for entry in _entries(tables, "phase")),
            material=tuple(_material(entry) for entry in _entries(tables, "material")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, re.error) as error:
        raise SettingsError(
            f"has a bad rule ({error!r})",
            where=extra,
            remedy=_REMEDY,
        ) from error


def _entries(tables: Iterable[dict[str, Any]], section: str) -> Iterator[dict[str, Any]]:
    for table in tables:
        for entry in table.get(section, ()):
            _only(entry, _KEYS[section], f"a rule of [[{section}]]")
            yield entry


def _only(table: dict[str, Any], known: tuple[str, ...], part: str) -> None:
    unknown = [name for name in table if name not in known]
    if unknown:
        raise ValueError(f"{part} has unknown {', '.join(unknown)}; it may have {', '.join(known)}")


def _rule(entry: dict[str, Any], answer: str) -> Rule:
    named = entry["field"]
    fields = (named,) if isinstance(named, str) else tuple(named)
    unknown = set(fields) - set(FIELD_NAMES)
    if unknown:
        raise ValueError(f"unknown field {', '.join(sorted(unknown))}")
    if "words" in entry and "pattern" in entry:
        raise ValueError("a rule has both words and pattern")
    pattern = whole_words(entry["words"]) if "words" in entry else entry["pattern"]
    compiled = re.compile(pattern, re.IGNORECASE)
    if not answer and "kev" not in compiled.groupindex:
        raise ValueError("an energy rule without the group (?P<kev>...)")
    by = entry.get("manufacturer")
    return Rule(
        fields=fields,
        pattern=compiled,
        answer=str(answer),
        note=entry.get("note", ""),
        manufacturer=None if by is None else re.compile(by, re.IGNORECASE),
    )


def _material(entry: dict[str, Any]) -> Material:
    words, symbols = list(entry["words"]), list(entry.get("symbols", ()))
    return Material(
        name=entry["name"],
        word=re.compile(whole_words(words), re.IGNORECASE),
        in_pair=f"(?:{'|'.join((*words, *symbols))})",
        alone=bool(entry.get("alone", False)),
    )


def whole_words(words: Sequence[str]) -> str:
    r"""A pattern for any of `words`, each a regular expression, not within a longer word.

    In them \w is a letter: "Monoenergetic_AP" are two words.
    """
    letters = [word.replace(r"\w", r"[^\W\d_]") for word in words]
    return f"(?<!{_LETTER})(?:{'|'.join(letters)})(?!{_LETTER})"


@lru_cache(maxsize=4096)
def normalised(text: str) -> str:
    """Full-width letters, digits and brackets as plain ones, accents composed, one space between words.

    >>> normalised("碘（水）  ７０ｋｅＶ")
    '碘(水) 70keV'
    """
    return " ".join(unicodedata.normalize("NFKC", text).split())


def texts(evidence: Evidence, field: str) -> list[tuple[str, str]]:
    """(normalised value, where it stands) of a field."""
    if field == "private":
        return [(normalised(value), f"private element {name}") for name, value in evidence.private]
    if field == "image_type":
        return [
            (value, f"Image Type value {n}") for n, value in enumerate(evidence.image_type, start=1)
        ]
    text = getattr(evidence, field)
    return [(normalised(text), FIELD_NAMES[field])] if text else []


def matches(
    rules: Iterable[Rule], evidence: Evidence, fields: Iterable[str] = tuple(FIELD_NAMES)
) -> Iterator[Match]:
    """What fits, in the order of the rules."""
    searched_fields = frozenset(fields)
    for rule in rules:
        if rule.manufacturer is not None and not rule.manufacturer.search(evidence.manufacturer):
            continue
        for field in rule.fields:
            if field in searched_fields:
                for text, label in texts(evidence, field):
                    for match in rule.pattern.finditer(text):
                        yield Match(
                            rule=rule, text=text, field=field, label=label, occurrence=match
                        )


def phase_meant(text: str, phase_patterns: Iterable[tuple[str, re.Pattern[str]]]) -> str:
    """The phase that a person's word for it means; "" where it fits none or several.

    >>> table = load_patterns().phase_patterns
    >>> [phase_meant(word, table) for word in ("portal", "NC", "静脉期", "spätarteriell", "70 keV")]
    ['PVP', 'non-contrast', 'PVP', 'AP', '']
    """
    plain = normalised(text)
    phases = {phase for phase, pattern in phase_patterns if pattern.search(plain)}
    return phases.pop() if len(phases) == 1 else ""
