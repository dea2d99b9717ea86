"""The answer of the page's first screen: which pairs of groups can be told apart, and by what.

A pair is told apart where the p value of an area, after Holm over all tests of the track, is below .05. Where none
is, that is said as "not shown", with what the data could have shown; it is never read as "no difference".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from gsigpu.report.cohort_results import ALPHA, Results
from gsigpu.report.paper_tables import areas_of
from gsigpu.report.plan_words import PlanColumn
from gsigpu.report.table_cells import (
    INTERVAL_NOTE,
    Cell,
    Table,
    head,
    interval_cell,
    num,
    p_cell,
    place,
    text,
    whole,
    with_unit,
)
from gsigpu.tables.observations import Observations

NAME = "pairs_told_apart"


def pairs_told_apart(observations: Observations, results: Results) -> Table | None:
    """One row per pair of groups: its best area, and whether that holds or why not.

    The best area is the one that is farthest from .5 among those that hold; where none holds, that of the smallest p.
    Returns None where no areas were computed.
    """
    areas = areas_of(results.frames.roc, "recommended")
    if areas.empty or "p_holm_all" not in areas.columns:
        return None
    plan = PlanColumn.of(areas)
    return Table(
        name=NAME,
        caption="Which pairs can be told apart, and by what",
        header=[
            [
                head("pair"), head("told apart"), head("best parameter"), head("where"), head("first is"), head("AUC"),
                head(results.interval), head("p, Holm over all"), head("patients"), *plan.head,
            ]
        ],
        rows=[
            _pair_row(_of_pair(areas, pair), pair, observations, plan)
            for pair in combinations(observations.groups, 2)
        ],
        notes=[
            "Of each pair the area farthest from .5 among those that hold after Holm’s correction over all parameters, regions, phases and pairs; where none holds, that of the smallest p. The best of many looks better than it will be in the next cohort.",
            "“Not shown” is not “no difference”: it says that these patients do not prove one.",
            INTERVAL_NOTE,
            *plan.notes,
        ],
    )  # fmt: skip


def n_told_apart(observations: Observations, results: Results) -> tuple[int, int, int]:
    """Pairs of groups that are told apart by an area, those of which any area could be tested, and all."""
    areas = areas_of(results.frames.roc, "recommended")
    pairs = list(combinations(observations.groups, 2))
    if areas.empty or "p_holm_all" not in areas.columns:
        return 0, 0, len(pairs)
    p = [_of_pair(areas, pair)["p_holm_all"].astype(float) for pair in pairs]
    return (
        sum(bool((of_pair < ALPHA).any()) for of_pair in p),
        sum(bool(of_pair.notna().any()) for of_pair in p),
        len(pairs),
    )


def _of_pair(areas: pd.DataFrame, pair: tuple[str, str]) -> pd.DataFrame:
    a, b = pair
    same = (areas["group_a"] == a) & (areas["group_b"] == b)
    turned = (areas["group_a"] == b) & (areas["group_b"] == a)
    return areas[same | turned]


def _pair_row(
    of_pair: pd.DataFrame,
    pair: tuple[str, str],
    observations: Observations,
    plan: PlanColumn,
) -> list[Cell]:
    name = text(f"{pair[0]} v {pair[1]}")
    p = of_pair["p"].astype(float).to_numpy()
    if not np.isfinite(p).any():
        return [name, Cell(_untested(of_pair), "text", 8 + len(plan.head))]
    held = of_pair[of_pair["p_holm_all"] < ALPHA]
    if len(held):
        best = held.iloc[int((held["auc"].astype(float) - 0.5).abs().to_numpy().argmax())]
    else:
        best = of_pair.iloc[int(np.nanargmin(p))]
    holds = bool(len(held))
    is_turned = float(best["auc"]) < 0.5
    low, high, auc = (float(best[column]) for column in ("ci_low", "ci_high", "auc"))
    if is_turned:
        auc, low, high = 1.0 - auc, 1.0 - high, 1.0 - low
    is_above = (best["direction"] == "higher") != is_turned
    parameter = str(best["parameter"])
    verdict = "yes" if holds else _not_shown(best)
    return [
        name,
        text(verdict, strong=holds, tone="" if holds else "below"),
        text(with_unit(parameter, observations.units.get(parameter, ""))),
        text(place_of(best)),
        text("above" if is_above else "below"),
        num(auc, 2, strong=holds),
        interval_cell(low, high, 2),
        p_cell(float(best["p_holm_all"]), strong=holds),
        whole(int(best["n_patients_a"]), int(best["n_patients_b"]), parts=("first", "second"), between=" v "),
        *plan.cells(best.to_dict()),
    ]  # fmt: skip


def _untested(of_pair: pd.DataFrame) -> str:
    return next(_clauses(of_pair["note"], "cannot be tested"), "cannot be tested")


def _not_shown(best: pd.Series) -> str:
    """With what the data could have shown, where that is not enough."""
    unreachable = next(_clauses([best["note"]], "with so few units"), "").partition(": not shown")[
        0
    ]
    return f"not shown; {unreachable}" if unreachable else "not shown"


def _clauses(notes: Iterable[object], opening: str) -> Iterator[str]:
    """The parts of notes that open with some words."""
    for note in notes:
        yield from (clause for clause in str(note).split("; ") if clause.startswith(opening))


def place_of(row: Any) -> str:
    """Phase and region of a row of results."""
    return place(row["phase"], row["region"])
