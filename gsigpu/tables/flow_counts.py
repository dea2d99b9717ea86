"""What became of patients and lesions on the way to the tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from gsigpu.errors import InputError
from gsigpu.tables.counting import LESION, count, lesions
from gsigpu.tables.flow_steps import (
    IN_THE_TABLES,
    Lesion,
    Loss,
    Step,
    losses_by_reason,
    members_of,
    read_steps,
)
from gsigpu.tables.raw_table import RawTable, read_raw

_FAILED = "failed:"
ANALYSED = "Analysed"


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
    steps : from the manifest of a cohort run, where its flow.csv lies beside the table, else from the table, to
        what is analysed; each step is the one before it less what left
    is_whole : whether the steps begin with the manifest
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
    steps: tuple[Step, ...] = ()
    is_whole: bool = False


def read_flow(
    raw: RawTable,
    cells: pd.DataFrame,
    chosen: pd.DataFrame,
    table: pd.DataFrame,
    groups: Sequence[str],
    taken: Sequence[str] = (),
) -> Flow:
    """Counts of a table that was checked.

    cells : all its rows; chosen : the rows of the tests, of every reader; table : those of one reader or
        the mean over readers, with numbers
    taken : the readers whose values are tested; all if empty
    """
    if taken:
        every_reader, chosen = chosen, chosen[chosen["reader"].isin(taken)]
    else:
        every_reader = chosen
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
    steps = _steps(cells, every_reader, with_value, groups, taken)
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
        steps=steps,
    )


def _steps(
    cells: pd.DataFrame,
    chosen: pd.DataFrame,
    with_value: pd.DataFrame,
    groups: Sequence[str],
    taken: Sequence[str],
) -> tuple[Step, Step]:
    """What the table holds, all that leaves on the way to the tests, and what is analysed."""
    # Frames are cut many times here: columns that nobody asks for would be copied each time.
    cells = cells[[*LESION, "group", "region", "parameter", "flags"]]
    last = cells.drop_duplicates("patient_id", keep="last")
    group_of = dict(zip(last["patient_id"].tolist(), last["group"].tolist(), strict=True))
    is_failure = (cells["parameter"] == "") | cells["flags"].str.startswith(_FAILED)
    why_failed = _first_failures(cells[is_failure])
    readers = f"reader {taken[0]}" if len(taken) == 1 else "every reader"
    reached = chosen[np.isfinite(chosen["value"])]
    had_row = members_of(chosen).lesions
    stages: list[tuple[pd.DataFrame, Callable[[Lesion], str], str]] = [
        (
            cells[cells["group"].isin(groups)],
            lambda lesion: f"of group {group_of[lesion[0]]}, which is not compared",
            "of other groups, without a lesion",
        ),
        (
            cells[cells["group"].isin(groups) & ~is_failure],
            lambda lesion: f"could not be measured: {why_failed.get(lesion, 'no reason given')}",
            "could not be measured",
        ),
        (
            reached,
            lambda lesion: (
                "no valid value in what is compared"
                if lesion in had_row
                else "not measured in the phases, regions and parameters that are compared"
            ),
            "no value in what is compared, and no lesion",
        ),
        (with_value, lambda _: f"not measured by {readers}", f"not measured by {readers}"),
    ]
    before = members_of(cells)
    first = before.count
    left: list[Loss] = []
    for frame, reason_of, without_lesion in stages:
        after = members_of(frame)
        left += losses_by_reason(before, after, reason_of, without_lesion)
        before = after
    return Step(IN_THE_TABLES, first, left=tuple(left)), Step(ANALYSED, before.count)


def _first_failures(failures: pd.DataFrame) -> dict[Lesion, str]:
    """Lesion -> why it could not be measured, in words."""
    reasons: dict[Lesion, str] = {}
    for patient, lesion, flags in failures[["patient_id", "lesion_id", "flags"]].to_numpy():
        told = [flag for flag in str(flags).split(";") if flag.startswith(_FAILED)]
        words = told[0].removeprefix(_FAILED).replace("-", " ") if told else "no reason given"
        reasons.setdefault((str(patient), str(lesion)), words)
    return reasons


def with_steps_of_run(flow: Flow, raw: RawTable) -> Flow:
    """The flow from the manifest on, where a cohort run left its steps beside the table; why not is a warning."""
    path = raw.beside.get("flow.csv")
    if path is None:
        return flow
    try:
        steps = read_steps(path)
    except InputError as error:
        return replace(flow, warnings=(*flow.warnings, str(error)))
    names = [step.name for step in steps]
    last = names.index(IN_THE_TABLES) if IN_THE_TABLES in names else -1
    if last < 0 or steps[last].count != flow.steps[0].count:
        why_not = f"{path}: does not fit the table beside it; left out of the flow"
        return replace(flow, warnings=(*flow.warnings, why_not))
    return replace(flow, steps=(*steps[:last], *flow.steps), is_whole=True)


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
