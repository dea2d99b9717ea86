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
from gsigpu.report.table_cells import (
    Cell,
    Table,
    head,
    interval,
    number,
    p_value,
    parameter_name,
    text,
    with_p,
)
from gsigpu.tables.observations import Observations

NAME = "pairs_told_apart"


def pairs_told_apart(observations: Observations, results: Results) -> Table | None:
    """One row per pair of groups: the area that is farthest from .5 among those that hold, or why there is none.

    Returns None where no areas were computed.
    """
    areas = areas_of(results.frames.roc, "recommended")
    if areas.empty or "p_holm_all" not in areas.columns:
        return None
    rows = []
    for pair in combinations(observations.groups, 2):
        of_pair = _of_pair(areas, pair)
        held = of_pair[of_pair["p_holm_all"] < ALPHA]
        rows.append(_told_apart(held) if len(held) else _not_shown(of_pair, pair))
    return Table(
        name=NAME,
        caption="Which pairs can be told apart, and by what",
        header=[
            [
                head("pair"), head("best parameter"), head("where"), head("first is"), head("AUC"),
                head("95% interval"), head("p, Holm over all"), head("patients"),
            ]
        ],
        rows=rows,
        notes=[
            "For each pair the area farthest from .5 among those that hold after Holm's correction over all parameters, regions, phases and pairs. The best of many looks better than it will be in the next cohort.",
            "“Not shown” is not “no difference”: it says that these patients do not prove one.",
        ],
    )  # fmt: skip


def n_told_apart(observations: Observations, results: Results) -> tuple[int, int]:
    """Pairs that can be told apart, of how many."""
    areas = areas_of(results.frames.roc, "recommended")
    pairs = list(combinations(observations.groups, 2))
    if areas.empty or "p_holm_all" not in areas.columns:
        return 0, len(pairs)
    return sum(bool((_of_pair(areas, pair)["p_holm_all"] < ALPHA).any()) for pair in pairs), len(
        pairs
    )


def _of_pair(areas: pd.DataFrame, pair: tuple[str, str]) -> pd.DataFrame:
    a, b = pair
    same = (areas["group_a"] == a) & (areas["group_b"] == b)
    turned = (areas["group_a"] == b) & (areas["group_b"] == a)
    return areas[same | turned]


def _told_apart(held: pd.DataFrame) -> list[Cell]:
    best = held.iloc[int((held["auc"].astype(float) - 0.5).abs().to_numpy().argmax())]
    is_turned = float(best["auc"]) < 0.5
    low, high = float(best["ci_low"]), float(best["ci_high"])
    auc = float(best["auc"])
    if is_turned:
        auc, low, high = 1.0 - auc, 1.0 - high, 1.0 - low
    is_above = (best["direction"] == "higher") != is_turned
    return [
        text(f"{best['group_a']} v {best['group_b']}"),
        text(parameter_name(str(best["parameter"]))),
        text(place_of(best)),
        text("above" if is_above else "below"),
        Cell(number(auc, 2), strong=True),
        Cell(interval(low, high, 2)),
        Cell(p_value(float(best["p_holm_all"])), strong=True),
        Cell(f"{int(best['n_patients_a'])} v {int(best['n_patients_b'])}"),
    ]


def _not_shown(of_pair: pd.DataFrame, pair: tuple[str, str]) -> list[Cell]:
    return [text(f"{pair[0]} v {pair[1]}"), Cell(why_not_shown(of_pair), "text", 7)]


def why_not_shown(of_pair: pd.DataFrame) -> str:
    """In words: the smallest p, or why there is none, or that none could have been small enough."""
    p = of_pair["p"].astype(float)
    if not np.isfinite(p).any():
        return next(_clauses(of_pair["note"], "cannot be tested"), "cannot be tested")
    least = of_pair.iloc[int(np.nanargmin(p.to_numpy()))]
    unreachable = next(_clauses([least["note"]], "with so few units"), "").partition(": not shown")[
        0
    ]
    words = f"not shown: smallest {with_p(float(least['p']))}, after Holm over all {with_p(float(least['p_holm_all']))}"
    return f"{words}; {unreachable}" if unreachable else words


def _clauses(notes: Iterable[object], opening: str) -> Iterator[str]:
    """The parts of notes that open with some words."""
    for note in notes:
        yield from (clause for clause in str(note).split("; ") if clause.startswith(opening))


def place_of(row: Any) -> str:
    """Phase and region of a row of results."""
    return " ".join(str(part) for part in (row["phase"], row["region"]) if part)
