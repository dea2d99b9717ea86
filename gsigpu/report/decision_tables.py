"""Tables of what a cut-off does, of each group against all others, and of regions and phases within lesions."""

from __future__ import annotations

from collections.abc import Sequence

from gsigpu.cohort_statistics.frames import SAME_LESIONS
from gsigpu.report.cohort_results import ALPHA, Results
from gsigpu.report.paper_tables import Row, areas_of, number_in, rows_of
from gsigpu.report.plan_words import PlanColumn
from gsigpu.report.table_cells import (
    INTERVAL_NOTE,
    Cell,
    Table,
    decimals_of,
    head,
    interval_cell,
    num,
    p_cell,
    parameter_name,
    place,
    text,
    whole,
)

# The test of two conditions that decides on the recommended track, and the source study's.
_WITHIN_TESTS = (("paper", "paired-t"), ("recommended", "mixed"))


def decisions_table(results: Results) -> Table | None:
    """Cross table, sensitivity, specificity, accuracy and likelihood ratios of the recommended cut-offs."""
    frame = rows_of(results.frames.decisions, track="recommended")
    if frame.empty:
        return None
    plan = PlanColumn.of(frame)
    has_values = bool(frame["ppv"].notna().any())
    is_applied = frame["source"] != SAME_LESIONS
    rows = []
    for row in frame.to_dict("records"):
        sign = ">" if row["direction"] == "higher" else "<"
        cells = [
            text(f"{row['group_a']} v {row['group_b']}"),
            text(parameter_name(str(row["parameter"]))),
            text(place(row["phase"], row["region"])),
            text(sign),
            num(number_in(row, "cutoff"), decimals_of(str(row["parameter"]))),
            whole(
                int(row["true_positive"]),
                int(row["false_negative"]),
                parts=("positive", "negative"),
            ),
            whole(
                int(row["false_positive"]),
                int(row["true_negative"]),
                parts=("positive", "negative"),
            ),
            *_share(row, "sensitivity"),
            *_share(row, "specificity"),
            *_share(row, "accuracy"),
            num(number_in(row, "lr_positive"), 1),
            num(number_in(row, "lr_negative"), 2),
        ]
        if has_values:
            cells += [num(number_in(row, "ppv"), 2), num(number_in(row, "npv"), 2)]
        if is_applied.any():
            cells.append(text(str(row["source"])))
        rows.append([*cells, *plan.cells(row)])
    header = [
        head("pair"), head("parameter"), head("where"), head("first if", 2), head("first: +, −"), head("second: +, −"),
        head("sensitivity"), head(results.interval), head("specificity"), head(results.interval), head("accuracy"),
        head(results.interval), head("LR+"), head("LR−"),
    ]  # fmt: skip
    prevalence = results.settings.prevalence
    notes = [
        "Cut-offs of the recommended track."
        if is_applied.all()
        else "Cut-offs of the recommended track, on the lesions that they were chosen on: these shares are better than they will be elsewhere.",
        "Intervals with patients as units. LR: likelihood ratios of a positive and of a negative result.",
    ]
    if has_values and prevalence is not None:
        header += [head("PPV"), head("NPV")]
        notes.append(
            f"Predictive values where {100 * prevalence:g} % of the two groups belong to the first."
        )
    if is_applied.any():
        header.append(head("chosen on"))
        notes.append(
            "Cut-offs that were chosen on other lesions are judged on these: that is how they do elsewhere."
        )
    return Table(
        name="decisions",
        caption="What each cut-off does",
        header=[[*header, *plan.head]],
        rows=rows,
        notes=[*notes, *plan.notes],
    )


def rest_table(results: Results) -> Table | None:
    """Area of each group against all others together, on both tracks; None with two groups."""
    if results.frames.against_rest.empty:
        return None
    paper, recommended = (
        areas_of(results.frames.against_rest, track) for track in ("paper", "recommended")
    )
    plan = PlanColumn.of(recommended)
    key = ["phase", "region", "parameter", "group_a"]
    of_paper = {tuple(row[name] for name in key): row for row in paper.to_dict("records")}
    rows = []
    for row in recommended.to_dict("records"):
        other = of_paper.get(tuple(row[name] for name in key), {})
        rows.append(
            [
                text(f"{row['group_a']} v all others"),
                text(parameter_name(str(row["parameter"]))),
                text(place(row["phase"], row["region"])),
                *_area(other, "p"),
                text("above" if row["direction"] == "higher" else "below"),
                *_area(row, "p_holm_all"),
                whole(
                    int(row["n_patients_a"]),
                    int(row["n_patients_b"]),
                    parts=("first", "others"),
                    between=" v ",
                ),
                *plan.cells(row),
            ]
        )
    return Table(
        name="against_rest",
        caption="One group against all others",
        header=[
            [head("", 3), head("paper-compatible", 3), head("recommended", 5 + len(plan.head))],
            [
                head("group"), head("parameter"), head("where"), head("AUC"), head(results.interval), head("p"),
                head("first is"), head("AUC"), head(results.interval), head("p, Holm over all"), head("patients"), *plan.head,
            ],
        ],
        rows=rows,
        notes=["An area below .5 lies against the direction that was declared.", INTERVAL_NOTE, *plan.notes],
    )  # fmt: skip


def within_table(results: Results) -> Table | None:
    """Differences between regions of a lesion, and between phases, both tracks; None where there is one of each."""
    frame = results.frames.within
    pairs = frame[frame["condition_b"].notna() & (frame["condition_b"] != "")]
    if pairs.empty:
        return None
    key = ["comparison", "phase", "region", "parameter", "condition_a", "condition_b"]
    by_test = {
        track: {
            tuple(str(row[name]) for name in key): row
            for row in rows_of(pairs, track=track, test=test).to_dict("records")
        }
        for track, test in _WITHIN_TESTS
    }
    plan = PlanColumn.of(rows_of(pairs, track="recommended", test="mixed"))
    rows = []
    for member, row in by_test["recommended"].items():
        other = by_test["paper"].get(member, {})
        decimals = decimals_of(str(row["parameter"]))
        rows.append(
            [
                text(f"{row['condition_a']} − {row['condition_b']}"),
                text(parameter_name(str(row["parameter"]))),
                text(place(row["phase"], row["region"])),
                num(number_in(other, "difference"), decimals),
                p_cell(number_in(other, "p_bonferroni")),
                num(number_in(row, "difference"), decimals),
                interval_cell(number_in(row, "ci_low"), number_in(row, "ci_high"), decimals),
                _p(number_in(row, "p_holm_all")),
                num(number_in(row, "ratio"), 2),
                interval_cell(number_in(row, "ratio_low"), number_in(row, "ratio_high"), 2),
                whole(int(row["n_patients"]), int(row["n_lesions"]), parts=("patients", "lesions")),
                *plan.cells(row),
            ]
        )
    return Table(
        name="within",
        caption="Within lesions: regions of the same lesion, phases of the same region",
        header=[
            [head("", 3), head("paired t", 2), head("mixed model, patients as units", 5), head("", 1 + len(plan.head))],
            [
                head("compared"), head("parameter"), head("where"), head("difference"), head("p, Bonferroni"),
                head("difference"), head(results.interval), head("p, Holm over all"), head("ratio"), head(results.interval),
                head("patients, lesions"), *plan.head,
            ],
        ],
        rows=rows,
        notes=["The model takes patients and lesions as random, with cluster-robust variances; lesions with one of the two values count in it, not in the paired t test.", INTERVAL_NOTE, *plan.notes],
    )  # fmt: skip


def _share(row: Row, name: str) -> list[Cell]:
    low, high = number_in(row, f"{name}_low"), number_in(row, f"{name}_high")
    return [num(number_in(row, name), 2), interval_cell(low, high, 2)]


def _area(row: Row, p: str) -> Sequence[Cell]:
    shown = _p(number_in(row, p)) if p == "p_holm_all" else p_cell(number_in(row, p))
    return [
        num(number_in(row, "auc"), 2),
        interval_cell(number_in(row, "ci_low"), number_in(row, "ci_high"), 2),
        shown,
    ]


def _p(value: float) -> Cell:
    return p_cell(value, strong=value < ALPHA)
