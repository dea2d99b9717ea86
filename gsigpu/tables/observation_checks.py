"""What can be wrong with a table of observations; all of it is told, each kind in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from gsigpu.errors import InputError

_SHOWN = 3
_MUST_BE_SAID = ("patient_id", "group", "region")
# Spellings of "no value" that a table may use.
MISSING_TEXT = {"", "nan", "na", "n/a", "null", "none"}
# Numbers that stand for "no value" in many tables, and that no mean of a lesion's voxels comes to exactly.
_SENTINELS = (-999.0, -9999.0, -99999.0, 9999.0, 99999.0, 999999.0)
# Columns whose labels are compared as text: two spellings of a label would be two groups, readers, patients.
_LABELS = ("group", "phase", "reader", "patient_id", "lesion_id", "region", "parameter")


class Problem(NamedTuple):
    """One kind of problem, and what mends it."""

    text: str
    remedy: str = "correct the table"

    def __str__(self) -> str:
        """The text; where another remedy than to correct the table helps, with it."""
        is_other = self.remedy != Problem._field_defaults["remedy"]
        return f"{self.text}: {self.remedy}" if is_other else self.text


class TableProblems(InputError):
    """Everything that is wrong with a table of observations.

    problems : one line each
    """

    def __init__(self, path: Path | str, problems: Sequence[Problem | str]) -> None:
        """The message is one line; the list is in `problems`."""
        self._all = [Problem(told) if isinstance(told, str) else told for told in problems]
        self.problems = [str(problem) for problem in self._all]
        first = "; ".join(self.problems[:3]) + ("; ..." if len(self.problems) > 3 else "")
        several = len(self._all) > 1
        super().__init__(
            f"{len(self._all)} problems: {first}" if several else self._all[0].text,
            where=path,
            remedy="correct the table" if several else self._all[0].remedy,
        )

    def each(self) -> list[TableProblems]:
        """An error for each problem."""
        return [TableProblems(self.where or "", [problem]) for problem in self._all]

    def __reduce__(self) -> tuple[object, ...]:
        """Across processes."""
        return type(self), (self.where or "", self._all)


def find_problems(
    cells: pd.DataFrame,
    *,
    chosen: pd.DataFrame,
    used: pd.DataFrame,
    numbers: pd.Series,
    key: Sequence[str],
    requested: Mapping[str, Sequence[str]],
) -> list[Problem | str]:
    """What is wrong, one of each kind, with the first rows that have it.

    cells : all rows, as text; the index is the row's number
    chosen, used : rows of what is compared, and of that or the spectral curves
    numbers : their values, NaN where the text is no number
    key : columns that identify a value
    requested : column -> values that must be in the table
    """
    problems: list[Problem | str] = [
        *_empty_cells(cells),
        *_no_numbers(cells, numbers),
        *_sentinels(used, numbers),
        *_spellings(cells),
        *_unknown(cells, chosen, requested),
        *_several_groups(cells),
        *_duplicates(used, key),
        *_mixed(used),
    ]
    if not problems and chosen.empty:
        problems.append("no row of the phases, regions and parameters requested")
    if not problems and not np.isfinite(numbers.loc[chosen.index]).any():
        problems.append("no value at all in the phases, regions and parameters requested")
    return problems


def _rows(index: pd.Index) -> str:
    """`row 4`, `rows 4, 9, 12 and 8 more`."""
    shown = ", ".join(str(row) for row in index[:_SHOWN])
    more = f" and {len(index) - _SHOWN} more" if len(index) > _SHOWN else ""
    return f"row{'s' if len(index) > 1 else ''} {shown}{more}"


def _empty_cells(cells: pd.DataFrame) -> Iterator[str]:
    for name in _MUST_BE_SAID:
        empty = cells.index[cells[name] == ""]
        if len(empty):
            yield f"{name} is empty in {_rows(empty)}"
    without_phase = cells.index[cells["phase"] == ""]
    if 0 < len(without_phase) < len(cells):
        yield f"phase is empty in {_rows(without_phase)}, and named in others"


def _no_numbers(cells: pd.DataFrame, numbers: pd.Series) -> Iterator[str]:
    text = cells["value"]
    values = numbers.loc[cells.index]
    wrong = values.isna() & ~text.str.lower().isin(MISSING_TEXT)
    if wrong.any():
        example = text[wrong].iloc[0]
        comma = ", which has a decimal comma" if "," in example else ""
        yield f"value {example!r} is no number{comma}, {_rows(cells.index[wrong])}"
    infinite = np.isinf(values)
    if infinite.any():
        yield f"value is infinite in {_rows(cells.index[infinite])}"


def _sentinels(used: pd.DataFrame, numbers: pd.Series) -> Iterator[Problem]:
    """Numbers that mean "missing" and would be averaged."""
    values = numbers.loc[used.index]
    for sentinel in _SENTINELS:
        rows = used.index[values == sentinel]
        if len(rows):
            text = f"value {sentinel:g} in {_rows(rows)} stands for a missing value"
            yield Problem(text, "leave the cell empty")


def _spellings(cells: pd.DataFrame) -> Iterator[str]:
    """Labels that differ by case or blanks alone."""
    for name in _LABELS:
        for spellings in several_spellings(cells[name]):
            where = ", ".join(f"{label!r} (row {row})" for row, label in spellings.items())
            yield f"{name} is spelled in several ways: {where}"


def several_spellings(labels: pd.Series) -> Iterator[pd.Series]:
    """The spellings of each label that is written in several ways, with the index of the first row of each.

    >>> [list(spellings) for spellings in several_spellings(pd.Series(["North", "South", "north "]))]
    [['North', 'north ']]
    """
    first = labels.drop_duplicates()
    plain = first.str.casefold().str.split().str.join(" ")
    several = plain.duplicated(keep=False)
    for _, spellings in first[several].groupby(plain[several], sort=False):
        yield spellings


def not_there(name: str, requested: Sequence[str], there: Sequence[str]) -> Iterator[Problem]:
    """The problem that some of the labels that are asked for are not in a column of the table."""
    there = [label for label in there if label]
    absent = [label for label in requested if label not in there]
    if absent:
        known = ", ".join(sorted(there)[:20]) or "none"
        named = ", ".join(map(repr, absent))
        yield Problem(f"no {name} {named} in the table", f"it has {known}")


def unknown_groups(
    groups: Sequence[str], there: Sequence[str], *, can_drop: bool
) -> Iterator[Problem]:
    """The problem that --groups leaves out groups of the table.

    can_drop : whether --drop-other-groups works on this table
    """
    others = [group for group in there if group not in ("", *groups)]
    if groups and others:
        drop = ", or add --drop-other-groups" if can_drop else ", or take its rows out"
        yield Problem(f"unknown group {', '.join(map(repr, others))}", f"name it in --groups{drop}")


def _unknown(
    cells: pd.DataFrame, chosen: pd.DataFrame, requested: Mapping[str, Sequence[str]]
) -> Iterator[Problem | str]:
    """What was requested and is not there, and groups that are there and were not named."""
    for name, values in requested.items():
        yield from not_there(name, values, cells[name].unique().tolist())
    groups = requested.get("group", ())
    yield from unknown_groups(groups, cells["group"].unique().tolist(), can_drop=True)
    if len(set(groups)) < len(groups):
        yield Problem(f"--groups names a group twice, {', '.join(groups)}", "name each once")
    present = {group for group in chosen["group"].unique().tolist() if group}
    if len(present) == 1:
        yield f"one group only ({present.pop()}), two are needed for a comparison"


def _several_groups(cells: pd.DataFrame) -> Iterator[str]:
    """A patient or a lesion that is in two groups: tests would count it twice."""
    known = cells[(cells["group"] != "") & (cells["patient_id"] != "")]
    for what, key in (("lesion", ["patient_id", "lesion_id"]), ("patient", ["patient_id"])):
        named = known[known["lesion_id"] != ""] if what == "lesion" else known
        pairs = named.drop_duplicates([*key, "group"])
        twice = pairs[pairs.duplicated(key, keep=False)]
        for count, (name, of_one) in enumerate(twice.groupby(key, sort=False)):
            if count == _SHOWN:
                yield f"and {twice.groupby(key).ngroups - _SHOWN} more {what}s in several groups"
                break
            where = ", ".join(f"{group} (row {row})" for row, group in of_one["group"].items())
            yield f"{what} {' '.join(str(part) for part in name)} is in several groups: {where}"


def _duplicates(used: pd.DataFrame, key: Sequence[str]) -> Iterator[str]:
    twice = used[used.duplicated(list(key), keep=False)]
    n = int(used.duplicated(list(key), keep="first").sum())
    if not n:
        return
    for count, (name, of_one) in enumerate(twice.groupby(list(key), sort=False)):
        if count == _SHOWN:
            break
        cases = sorted(set(of_one["case_id"]) - {""})
        hint = f", of cases {', '.join(cases)}" if len(cases) > 1 else ""
        what = " ".join(str(part) for part in name if part != "")
        yield f"{what} is there {len(of_one)} times, {_rows(of_one.index)}{hint}"
    kinds = twice.drop_duplicates(list(key))
    if len(kinds) > _SHOWN:
        yield f"{n} duplicate rows in all"


def _mixed(used: pd.DataFrame) -> Iterator[str]:
    """Units or definitions that differ within one parameter."""
    for name, called in (("unit", "units"), ("definition", "definitions")):
        stated = used[(used[name] != "") & ~used["parameter"].str.contains("[vendor", regex=False)]
        # Which series of the study it was does not make it another quantity.
        text = stated[name].str.replace(r"^conventional series.*", "conventional", regex=True)
        pairs = stated.assign(text=text)[["parameter", "text"]].drop_duplicates()
        for parameter, of_one in pairs.groupby("parameter", sort=False):
            if len(of_one) > 1:
                where = "; ".join(f"{text!r} (row {row})" for row, text in of_one["text"].items())
                yield f"{parameter} has several {called}: {where}"
