"""What became of patients and lesions on the way to the tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gsigpu.errors import InputError
from gsigpu.tables.raw_table import RawTable, read_raw

_FAILED = "failed:"
_NO_VALUES = "no-valid-voxels"


@dataclass(frozen=True, slots=True)
class Flow:
    """Counts from the table and, where a cohort run left them, from its lists.

    n_patients, n_lesions : in the table, all groups
    other_groups : group -> lesions, of groups that are not compared
    failed : reason -> lesions that could not be measured
    without_value : lesions of the compared groups without any value in the tests
    flagged : flag -> lesions in the tests that carry it
    excluded : rule -> (entries, reason of the first), of exclusions.csv; None where there is no such file
    cases_failed : stage -> cases, of failures.csv; None where there is no such file
    analysed : group -> (patients, lesions) with a value
    """

    n_patients: int
    n_lesions: int
    other_groups: dict[str, int]
    failed: dict[str, int]
    without_value: int
    flagged: dict[str, int]
    excluded: dict[str, tuple[int, str]] | None
    cases_failed: dict[str, int] | None
    analysed: dict[str, tuple[int, int]]
    warnings: tuple[str, ...] = ()


def read_flow(
    raw: RawTable, cells: pd.DataFrame, table: pd.DataFrame, groups: Sequence[str]
) -> Flow:
    """Counts of a table that was checked.

    cells : all its rows; table : those of the tests, with numbers
    """
    lesions = cells[cells["lesion_id"] != ""].drop_duplicates(["patient_id", "lesion_id"])
    compared = lesions["group"].isin(groups)
    with_value = table[np.isfinite(table["value"])]
    measured = with_value.drop_duplicates(["patient_id", "lesion_id"])
    analysed = {
        group: (of_group["patient_id"].nunique(), len(of_group))
        for group in groups
        for of_group in [measured[measured["group"] == group]]
    }
    failed = _flags(cells[cells["group"].isin(groups)], failures=True)
    key = ["patient_id", "lesion_id"]
    left = set(map(tuple, lesions.loc[compared, key].to_numpy()))
    left -= set(map(tuple, measured[key].to_numpy()))
    carried = cells.merge(measured[key], on=key)
    warnings = []
    excluded, why_not = _counted(raw, "exclusions.csv", "rule")
    cases_failed, why_not_either = _counted(raw, "failures.csv", "stage")
    warnings += [text for text in (why_not, why_not_either) if text]
    return Flow(
        n_patients=cells.loc[cells["patient_id"] != "", "patient_id"].nunique(),
        n_lesions=len(lesions),
        other_groups=dict(Counter(lesions.loc[~compared, "group"])),
        failed=failed,
        without_value=len(left),
        flagged=_flags(carried, failures=False),
        excluded=excluded,
        cases_failed=None
        if cases_failed is None
        else {stage: n for stage, (n, _) in cases_failed.items()},
        analysed=analysed,
        warnings=tuple(warnings),
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


def _counted(
    raw: RawTable, name: str, column: str
) -> tuple[dict[str, tuple[int, str]] | None, str]:
    """Entries of a list per value of a column, with the first reason; and why it cannot be used."""
    path = raw.beside.get(name)
    if path is None:
        return None, ""
    try:
        listed = read_raw(path, (column, "reason"), lambda _: None).cells
    except InputError as error:
        return None, str(error)
    if column not in listed.columns:
        return None, f"{path}: no column {column}; left out of the flow"
    reasons = listed["reason"] if "reason" in listed.columns else pd.Series("", listed.index)
    counts: dict[str, tuple[int, str]] = {}
    for what, reason in zip(listed[column], reasons, strict=True):
        n, first = counts.get(what, (0, reason))
        counts[what] = (n + 1, first)
    return counts, ""
