"""What was planned before the data were seen, in words; all else is exploratory."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gsigpu.report.cohort_results import ALPHA, Results
from gsigpu.report.table_cells import Cell, head, listed, plural, text
from gsigpu.tables.plan_file import EXPLORATORY

# Values of `planned` hold the names of families, joined by this.
_BETWEEN = "; "
PLANNED = "planned"
# Behind a number of a table whose rows hold several results.
EXPLORATORY_MARK = "†"
NONE_PLANNED = "Exploratory: the plan has no result of this table."
EXPLORATORY_NOTE = f"{EXPLORATORY_MARK} Exploratory: not in the plan."


def plan_words(results: Results) -> list[str]:
    """Sentences on the plan: its date and hash, its families with what they found, and what is exploratory.

    Empty for a table of means, which no plan can speak of.
    """
    plan = results.settings.plan
    if not results.has_values:
        return []
    if plan is None:
        return ["Exploratory: no plan was given, so nothing on this page counts as planned."]
    lines = [
        (
            f"Planned: by the plan {plan.name}, which states the date {plan.date} "
            f"(SHA-256 {plan.sha256}). The date is what the file says of itself."
        )
    ]
    for family in plan.families:
        p = _planned_p(results, family.name)
        n_below = int((p < ALPHA).sum())
        lines.append(
            f"Family “{family.name}”: {plural(len(p), 'planned test')}, {n_below} of them below .05 after Holm within the family."
        )
    names = listed([f"“{family.name}”" for family in plan.families])
    lines.append(f"Exploratory: everything on this page that is not of {names}.")
    return lines


def _planned_p(results: Results, family: str) -> pd.Series:
    """Adjusted p of a family's rows that could be tested."""
    parts = [
        frame["p_holm_planned"][
            [family in str(names).split(_BETWEEN) for names in frame["planned"]]
        ]
        for frame in results.frames.named().values()
        if len(frame) and "p_holm_planned" in frame
    ]
    return pd.concat(parts).dropna() if parts else pd.Series(dtype=float)


@dataclass(frozen=True, slots=True)
class PlanColumn:
    """The last column of a table with one result in each row: planned in what, or exploratory.

    is_shown : whether a row was planned; where none was, the table's note says it once
    notes : below the table
    """

    is_shown: bool
    notes: tuple[str, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> PlanColumn:
        """Of the rows that a table shows; of nothing without a plan."""
        if PLANNED not in frame.columns:
            return cls(is_shown=False, notes=())
        is_shown = bool((frame[PLANNED] != EXPLORATORY).any())
        return cls(is_shown=is_shown, notes=() if is_shown else (NONE_PLANNED,))

    @property
    def head(self) -> list[Cell]:
        """Its header."""
        return [head("plan")] if self.is_shown else []

    def cells(self, *rows: Mapping[Hashable, Any]) -> list[Cell]:
        """Of one line of the table; of a line with several results, each with the place that tells them apart.

        >>> PlanColumn(is_shown=True, notes=()).cells({"planned": "primary"})[0].text
        'planned: primary'
        """
        if not self.is_shown:
            return []
        words = [_words(row) for row in rows]
        if len(set(words)) > 1:
            words = [f"{row['phase']}: {each}" for row, each in zip(rows, words, strict=True)]
        is_free = all(row[PLANNED] == EXPLORATORY for row in rows)
        return [text("; ".join(dict.fromkeys(words)), tone="below" if is_free else "")]


def _words(row: Mapping[Hashable, Any]) -> str:
    names = str(row[PLANNED])
    return names if names == EXPLORATORY else f"planned: {names}"


def plan_mark(row: Mapping[Hashable, Any]) -> str:
    """The mark of a result that was not planned; nothing without a plan."""
    return EXPLORATORY_MARK if row.get(PLANNED) == EXPLORATORY else ""
