"""A plan of the analysis, written before the data were seen: which tests are confirmatory. All else is exploratory.

    date = 2026-03-01
    groups = ["colorectal", "gastric", "lung"]

    [directions]
    iodine = "higher"
    lambda_hu = "lung>gastric>colorectal"

    [exclusions]
    flags = ["few-voxels"]
    max_diameter_mm = 30

    [[family]]
    name = "primary"
    files = ["omnibus", "roc"]
    tests = ["mixed", "obuchowski"]
    phases = ["PVP"]
    regions = ["rim"]
    parameters = ["iodine", "lambda_hu"]
    pairs = [["colorectal", "gastric"]]

A family lists what it tests; a list that is left out means all. TOML (https://toml.io). The file's hash and the stated
date stand in the results: who wants proof of the date deposits the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from gsigpu.errors import InputError
from gsigpu.user_toml import read_user_toml

# What a result is that no family of a plan tests.
EXPLORATORY = "exploratory"
FILES = ("omnibus", "pairwise", "roc", "roc_comparisons", "within", "against_rest")
_TOP = ("date", "groups", "directions", "exclusions", "family")
_LISTS = ("files", "tests", "phases", "regions", "parameters")
_FAMILY = ("name", *_LISTS, "pairs")
_EXCLUSIONS = ("flags", "min_diameter_mm", "max_diameter_mm")
_REMEDY = "see 'A plan' in docs/howto/report.md"


@dataclass(frozen=True, slots=True)
class PlannedFamily:
    """Tests that are adjusted together; an empty list means all.

    pairs : of groups, in any order; tests of all groups then do not belong to the family
    """

    name: str
    files: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    pairs: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What was declared.

    date : as stated in the file; sha256 : of its bytes
    directions : PARAM=WAY, as --direction takes them
    flags, min_diameter_mm, max_diameter_mm : lesions that are left out
    """

    name: str
    sha256: str
    date: str
    groups: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    min_diameter_mm: float | None = None
    max_diameter_mm: float | None = None
    families: tuple[PlannedFamily, ...] = field(default=())

    def all_of(self, name: str) -> tuple[str, ...]:
        """Everything that the families list under `phases`, `regions` or `parameters`."""
        return tuple(
            dict.fromkeys(value for family in self.families for value in getattr(family, name))
        )

    def as_dict(self) -> dict[str, object]:
        """Plain data, for provenance."""
        return {
            "file": self.name,
            "sha256": self.sha256,
            "date": self.date,
            "families": [family.name for family in self.families],
            "flags": list(self.flags),
            "min_diameter_mm": self.min_diameter_mm,
            "max_diameter_mm": self.max_diameter_mm,
        }


def read_plan(path: Path) -> Plan:
    """The plan of a TOML file.

    Raises InputError where it cannot be read, holds an unknown key or file, a value of another kind, no date, no
    family, or a family's name twice.
    """
    file = read_user_toml(path, what="a plan in TOML", remedy=_REMEDY)
    try:
        return _plan(path, file.content, file.table)
    except _Wrong as error:
        raise InputError(str(error), where=path, remedy=_REMEDY) from error


class _Wrong(Exception):
    """What is wrong with a plan."""


def _plan(path: Path, content: bytes, table: Mapping[str, Any]) -> Plan:
    _only(table, _TOP, "the plan")
    stated = table.get("date")
    if not isinstance(stated, date | datetime):
        raise _Wrong("the plan states no date: write date = 2026-03-01")
    families = table.get("family", [])
    if not isinstance(families, list) or not families:
        raise _Wrong("the plan has no [[family]]")
    read = tuple(_family(family) for family in families)
    names = [family.name for family in read]
    if len(set(names)) < len(names):
        raise _Wrong("two families have one name")
    exclusions = _table(table, "exclusions")
    _only(exclusions, _EXCLUSIONS, "[exclusions]")
    directions = _table(table, "directions")
    return Plan(
        name=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        date=stated.isoformat(),
        groups=_texts(table, "groups"),
        directions=tuple(f"{name}={way}" for name, way in directions.items()),
        flags=_texts(exclusions, "flags"),
        min_diameter_mm=_number(exclusions, "min_diameter_mm"),
        max_diameter_mm=_number(exclusions, "max_diameter_mm"),
        families=read,
    )


def _family(table: Any) -> PlannedFamily:
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise _Wrong("a family has no name")
    _only(table, _FAMILY, f"family {table['name']!r}")
    lists = {name: _texts(table, name) for name in _LISTS}
    unknown = [name for name in lists["files"] if name not in FILES]
    if unknown:
        raise _Wrong(f"files {', '.join(unknown)} are none of {', '.join(FILES)}")
    pairs = table.get("pairs", [])
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(set(map(str, pair))) == 2 for pair in pairs
    ):
        raise _Wrong(f"family {table['name']!r}: pairs is not a list of two groups each")
    return PlannedFamily(
        name=table["name"],
        pairs=tuple(frozenset(str(group) for group in pair) for pair in pairs),
        **lists,
    )


def _only(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    unknown = [name for name in table if name not in known]
    if unknown:
        raise _Wrong(f"{where} has unknown {', '.join(unknown)}; it may have {', '.join(known)}")


def _table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = table.get(name, {})
    if not isinstance(inner, dict):
        raise _Wrong(f"{name} is no table: write [{name}]")
    return inner


def _texts(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = table.get(name, [])
    if not isinstance(values, list) or not all(
        isinstance(value, str) and value for value in values
    ):
        raise _Wrong(f"{name} is not a list of names")
    return tuple(values)


def _number(table: Mapping[str, Any], name: str) -> float | None:
    value = table.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _Wrong(f"{name} is no number")
    return None if value is None else float(value)
