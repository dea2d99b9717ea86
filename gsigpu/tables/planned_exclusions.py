"""A table without the lesions that a plan leaves out, and how many they were."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from gsigpu.errors import InputError
from gsigpu.tables.counting import LESION, count, lesion_rows
from gsigpu.tables.decided_lesions import Decided
from gsigpu.tables.flow_counts import Exclusion
from gsigpu.tables.flow_steps import Loss, loss, members_of
from gsigpu.tables.plan_file import Plan
from gsigpu.tables.raw_table import RawTable

_DIAMETER = "longest_axial_diameter"
_SHOWN = 3


def without_planned(raw: RawTable, plan: Plan) -> Decided:
    """Takes lesions out that carry a flag of the plan in any row, or are smaller or larger than it allows.

    A lesion whose diameter is not in the table stays, which is told, and a rule that fits no lesion counts none.
    Raises InputError where the table cannot say of any lesion whether a rule fits.
    """
    cells = raw.cells
    rows = lesion_rows(cells)
    excluded: dict[str, Exclusion] = {}
    left: list[Loss] = []
    still = cells
    unknown = _without_diameter(rows, plan)
    _require_what_rules_ask(raw, plan, len(unknown) == len(rows[list(LESION)].drop_duplicates()))
    out = pd.MultiIndex.from_tuples([], names=list(LESION))
    for rule, mine in _rules(rows, plan).items():
        named = pd.MultiIndex.from_frame(rows.loc[mine, list(LESION)].drop_duplicates())
        out = out.union(named)
        if len(named):
            n = count(rows.loc[mine])
            excluded[rule] = Exclusion(n.patients, n.lesions, f"planned in {plan.name}")
            there, still = members_of(still), _without(still, out)
            left.append(loss(rule, there, members_of(still)))
    return Decided(
        table=replace(raw, cells=still),
        whole=members_of(cells).count,
        excluded=excluded,
        left=tuple(left),
        warnings=_stayed(unknown, plan),
    )


def _require_what_rules_ask(raw: RawTable, plan: Plan, no_diameter: bool) -> None:
    by_size = plan.min_diameter_mm is not None or plan.max_diameter_mm is not None
    lacks = "flags" if plan.flags and "flags" not in raw.columns else ""
    if by_size and no_diameter:
        lacks = _DIAMETER
    if lacks:
        raise InputError(
            f"the plan leaves lesions out by {lacks}, which the table does not have",
            where=raw.source,
            remedy="give the table of `gsigpu measure` or `gsigpu cohort run`, or a plan without this rule",
        )


def _without_diameter(rows: pd.DataFrame, plan: Plan) -> list[tuple[str, ...]]:
    """Lesions whose size the plan asks for and the table does not have."""
    if plan.min_diameter_mm is None and plan.max_diameter_mm is None:
        return []
    measured = rows[(rows["parameter"] == _DIAMETER) & (rows["value"] != "")]
    known = set(measured[list(LESION)].itertuples(index=False, name=None))
    every = rows[list(LESION)].drop_duplicates().itertuples(index=False, name=None)
    return [lesion for lesion in every if lesion not in known]


def _stayed(unknown: list[tuple[str, ...]], plan: Plan) -> tuple[str, ...]:
    if not unknown:
        return ()
    shown = ", ".join(" ".join(lesion) for lesion in unknown[:_SHOWN])
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    return (
        f"{plan.name} leaves lesions out by diameter, which {shown}{more} lack: they stay in the tests",
    )


def _without(cells: pd.DataFrame, lesions: pd.MultiIndex) -> pd.DataFrame:
    keys = pd.MultiIndex.from_frame(cells[list(LESION)])
    return cells[~(keys.isin(lesions) & (cells["lesion_id"] != ""))]


def _rules(rows: pd.DataFrame, plan: Plan) -> dict[str, pd.Series]:
    """Rule -> the rows that it names."""
    rules = {}
    if plan.flags and "flags" in rows:
        listed = rows["flags"].str.split(";")
        for flag in plan.flags:
            rules[f"plan: {flag}"] = pd.Series([flag in cell for cell in listed], index=rows.index)
    diameter = pd.to_numeric(rows["value"], errors="coerce").where(rows["parameter"] == _DIAMETER)
    if plan.min_diameter_mm is not None:
        rules[f"plan: below {plan.min_diameter_mm:g} mm"] = diameter < plan.min_diameter_mm
    if plan.max_diameter_mm is not None:
        rules[f"plan: above {plan.max_diameter_mm:g} mm"] = diameter > plan.max_diameter_mm
    return rules
