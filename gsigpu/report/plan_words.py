"""What was planned before the data were seen, in words; all else is exploratory."""

from __future__ import annotations

import pandas as pd

from gsigpu.report.cohort_results import ALPHA, Results
from gsigpu.report.table_cells import listed, plural

# Values of `planned` hold the names of families, joined by this.
_BETWEEN = "; "


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
