"""Table 4 of the source study: every pair and parameter, the phases side by side, on each track."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from gsigpu.report.cohort_results import ALPHA, Results
from gsigpu.report.paper_tables import TRACK_NAMES, TRACKS, Row, areas_of, rows_of
from gsigpu.report.plan_words import PlanColumn
from gsigpu.report.table_cells import (
    INTERVAL_NOTE,
    Cell,
    Table,
    decimals_of,
    file_stem,
    head,
    interval_cell,
    num,
    p_cell,
    text,
    with_unit,
)
from gsigpu.tables.observations import Observations

_NOTES = {
    "paper": (
        (
            "DeLong, every lesion by itself; curves turned over to lie above .5; sensitivity and specificity at the cut-off that "
            "was chosen on the same lesions."
        ),
    ),
    "recommended": (
        (
            "Areas and intervals with patients as units, in the declared direction: an area below .5 lies the other way. "
            "Sensitivity and specificity are corrected for the choice of the cut-off (bootstrap optimism)."
        ),
        INTERVAL_NOTE,
    ),
}
# Its name follows the confidence: `Results.interval`.
_INTERVAL = "interval"
_COLUMNS = {
    "paper": ("AUC", _INTERVAL, "p", "cut-off", "sens.", "spec."),
    "recommended": (
        "AUC", _INTERVAL, "p, Holm over all", "cut-off", _INTERVAL, "sens.", "spec.",
    ),
}  # fmt: skip


def roc_tables(observations: Observations, results: Results) -> list[Table]:
    """One table per region and track; none where there is no area of the recommended track."""
    number_of = len(observations.parameters) + 1
    if areas_of(results.frames.roc, "recommended").empty:
        return []
    return [
        table
        for region in observations.regions
        for track in TRACKS
        for table in [_table(observations, results, region, track, number_of)]
        if table.rows
    ]


def _table(
    observations: Observations, results: Results, region: str, track: str, number_of: int
) -> Table:
    areas = rows_of(areas_of(results.frames.roc, track), region=region)
    phases = [phase for phase in observations.phases if (areas["phase"] == phase).any()]
    columns = [name.replace(_INTERVAL, results.interval) for name in _COLUMNS[track]]
    plan = PlanColumn.of(areas)
    is_marked = len(plan.head)
    left = ["pair", "parameter", *(["first is"] if track == "recommended" else [])]
    return Table(
        name=file_stem(f"table_{number_of}_roc", region, track),
        caption=f"Table {number_of}. ROC curves, {region}, {TRACK_NAMES[track]}",
        header=[
            [
                head("", len(left)),
                *(head(phase or "–", len(columns)) for phase in phases),
                *([head("")] * is_marked),
            ],
            [*map(head, left), *(head(name) for _ in phases for name in columns), *plan.head],
        ],
        rows=list(_rows(observations, areas, phases, track, plan)),
        notes=[*_NOTES[track], *plan.notes],
    )


def _rows(
    observations: Observations,
    areas: pd.DataFrame,
    phases: Sequence[str],
    track: str,
    plan: PlanColumn,
) -> Iterator[list[Cell]]:
    key = ["group_a", "group_b", "parameter", "phase"]
    records = areas.to_dict("records")
    by_key = {tuple(str(row[name]) for name in key): row for row in records}
    for group_a, group_b in dict.fromkeys((a, b) for a, b, *_ in by_key):
        shown_pair = f"{group_a} v {group_b}"
        for parameter in observations.parameters:
            rows = [by_key.get((group_a, group_b, parameter, phase)) for phase in phases]
            first = next((row for row in rows if row is not None), None)
            if first is None:
                continue
            unit = with_unit(parameter, observations.units.get(parameter, ""))
            cells = [text(shown_pair, tone="first" if shown_pair else ""), text(unit)]
            if track == "recommended":
                cells.append(text("above" if first["direction"] == "higher" else "below"))
            for row in rows:
                cells += _area(row or {}, parameter, track)
            yield [*cells, *plan.cells(*(row for row in rows if row is not None))]
            shown_pair = ""


def _area(row: Row | Mapping[str, object], parameter: str, track: str) -> Iterator[Cell]:
    def value(name: str) -> float:
        return float(str(row.get(name, "nan")))

    decimals = decimals_of(parameter)
    is_paper = track == "paper"
    holds = not is_paper and value("p_holm_all") < ALPHA
    yield num(value("auc"), 2, strong=holds)
    yield interval_cell(value("ci_low"), value("ci_high"), 2)
    yield p_cell(value("p" if is_paper else "p_holm_all"), strong=holds)
    yield num(value("cutoff"), decimals)
    if not is_paper:
        yield interval_cell(value("cutoff_low"), value("cutoff_high"), decimals)
    suffix = "" if is_paper else "_corrected"
    yield num(value(f"sensitivity{suffix}"), 2)
    yield num(value(f"specificity{suffix}"), 2)
