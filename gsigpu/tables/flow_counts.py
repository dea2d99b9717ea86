"""What became of patients and lesions on the way to the tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from gsigpu.errors import InputError
from gsigpu.tables.counting import LESION, count, lesions
from gsigpu.tables.raw_table import RawTable, read_raw

_FAILED = "failed:"


class Exclusion(NamedTuple):
    """Patients with an entry, their lesions that are named, and the reason of the first entry."""

    patients: int
    lesions: int
    reason: str


@dataclass(frozen=True, slots=True)
class Flow:
    """Counts from the table and, where a cohort run left them, from its lists.

    n_patients, n_lesions : in the table, all groups
    other_groups : group -> lesions, of groups that are not compared
    failed : reason -> lesions that could not be measured
    without_value : lesions of the compared groups without any value in the tests
    flagged : flag -> lesions that carry it in a row of the tests
    excluded : rule -> what it took out, of exclusions.csv; None where there is no such file
    cases_failed : stage -> cases, of failures.csv; None where there is no such file
    row_warnings : kind -> how many, of warnings.csv; empty where there is no such file
    planned : rule of a plan -> what it took out of the table, before the tests
    decided : decision of a reader -> what it took out of the table, before the tests
    analysed : group -> (patients, lesions) with a value
    """

    n_patients: int
    n_lesions: int
    other_groups: dict[str, int]
    failed: dict[str, int]
    without_value: int
    flagged: dict[str, int]
    excluded: dict[str, Exclusion] | None
    cases_failed: dict[str, int] | None
    analysed: Mapping[str, tuple[int, int]]
    warnings: tuple[str, ...] = ()
    row_warnings: dict[str, int] = field(default_factory=dict)
    decided: dict[str, Exclusion] = field(default_factory=dict)
    planned: dict[str, Exclusion] = field(default_factory=dict)


def read_flow(
    raw: RawTable,
    cells: pd.DataFrame,
    chosen: pd.DataFrame,
    table: pd.DataFrame,
    groups: Sequence[str],
) -> Flow:
    """Counts of a table that was checked.

    cells : all its rows; chosen : the rows of the tests, of every reader; table : those of one reader or
        the mean over readers, with numbers
    """
    compared = cells["group"].isin(groups)
    with_value = table[np.isfinite(table["value"])]
    measured = lesions(with_value)
    analysed = {group: count(with_value[with_value["group"] == group]) for group in groups}
    left = set(map(tuple, lesions(cells[compared])[list(LESION)].to_numpy()))
    left -= set(map(tuple, measured[list(LESION)].to_numpy()))
    tested = chosen.merge(measured[list(LESION)], on=list(LESION))
    warnings = []
    excluded, why_not = _excluded(raw)
    cases_failed, why_not_either = _failed_cases(raw)
    row_warnings, why_no_warnings = _row_warnings(raw)
    warnings += [text for text in (why_not, why_not_either, why_no_warnings) if text]
    whole = count(cells)
    return Flow(
        n_patients=whole.patients,
        n_lesions=whole.lesions,
        other_groups=dict(Counter(lesions(cells[~compared])["group"])),
        failed=_flags(cells[compared], failures=True),
        without_value=len(left),
        flagged=_flags(tested, failures=False),
        excluded=excluded,
        cases_failed=cases_failed,
        analysed=analysed,
        warnings=tuple(warnings),
        row_warnings=row_warnings,
    )


def _flags(cells: pd.DataFrame, *, failures: bool) -> dict[str, int]:
    """Flag -> lesions that carry it."""
    flagged = cells.loc[
        (cells["flags"] != "") & (cells["lesion_id"] != ""), ["patient_id", "lesion_id", "flags"]
    ].drop_duplicates()
    if flagged.empty:
        return {}
    each = (
        flagged.assign(flag=flagged["flags"].str.split(";")).explode("flag").drop(columns="flags")
    )
    each = each.drop_duplicates()
    is_failure = each["flag"].str.startswith(_FAILED)
    counts = Counter(each.loc[is_failure if failures else ~is_failure, "flag"])
    return {
        str(flag).removeprefix(_FAILED): n
        for flag, n in sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
    }


def _excluded(raw: RawTable) -> tuple[dict[str, Exclusion] | None, str]:
    """Patients and lesions that each rule took out, and why the list cannot be used.

    A row without lesion excludes what the patient has in that phase; the lesions in it are not known.
    """
    listed, why_not = _list_beside(raw, "exclusions.csv", "rule")
    if listed is None:
        return None, why_not
    excluded = {}
    for rule, rows in listed.groupby("rule", sort=False):
        n = count(rows)
        excluded[str(rule)] = Exclusion(n.patients, n.lesions, str(rows["reason"].iloc[0]))
    return excluded, ""


def _failed_cases(raw: RawTable) -> tuple[dict[str, int] | None, str]:
    """Cases that failed at each stage, and why the list cannot be used."""
    listed, why_not = _list_beside(raw, "failures.csv", "stage")
    if listed is None:
        return None, why_not
    return {str(stage): len(rows) for stage, rows in listed.groupby("stage", sort=False)}, ""


def _row_warnings(raw: RawTable) -> tuple[dict[str, int], str]:
    """Warnings of each kind, the most frequent first, and why the list cannot be used."""
    listed, why_not = _list_beside(raw, "warnings.csv", "kind")
    if listed is None:
        return {}, why_not
    return {str(kind): int(n) for kind, n in listed["kind"].value_counts().items()}, ""


def _list_beside(raw: RawTable, name: str, column: str) -> tuple[pd.DataFrame | None, str]:
    path = raw.beside.get(name)
    if path is None:
        return None, ""
    columns = (column, "reason", "case_id", "patient_id", "lesion_id")
    try:
        listed = read_raw(path, columns, lambda _: None).cells
    except InputError as error:
        return None, str(error)
    if column not in listed.columns:
        return None, f"{path}: no column {column}; left out of the flow"
    listed = listed.reindex(columns=list(columns), fill_value="")
    # A list of an older run names the case alone.
    unnamed = listed["patient_id"] == ""
    return listed.assign(patient_id=listed["patient_id"].mask(unnamed, listed["case_id"])), ""
