"""A table without the lesions that a plan leaves out, and how many they were."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from gsigpu.tables.counting import LESION, count, lesion_rows
from gsigpu.tables.decided_lesions import Decided
from gsigpu.tables.flow_counts import Exclusion
from gsigpu.tables.flow_steps import Loss, loss, members_of
from gsigpu.tables.plan_file import Plan
from gsigpu.tables.raw_table import RawTable

_DIAMETER = "longest_axial_diameter"


def without_planned(raw: RawTable, plan: Plan) -> Decided:
    """Takes lesions out that carry a flag of the plan in any row, or are smaller or larger than it allows.

    A lesion whose diameter is not in the table stays, and a rule that fits no lesion counts none.
    """
    cells = raw.cells
    rows = lesion_rows(cells)
    excluded: dict[str, Exclusion] = {}
    left: list[Loss] = []
    still = cells
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
