"""What stands beside the main tests, part by part: all groups at once, other choices, gaps, use, the next study."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from gsigpu.report.cohort_results import ALPHA, Results
from gsigpu.report.covariate_tables import (
    adjusted_areas_table,
    adjusted_table,
    combat_table,
    sites_table,
    subgroups_table,
)
from gsigpu.report.further_reader_tables import (
    kappa_table,
    reader_comparisons_table,
    repeatability_table,
)
from gsigpu.report.paper_tables import Row, number_in, rows_of
from gsigpu.report.plan_words import PlanColumn
from gsigpu.report.row_tables import (
    PARAMETER,
    PATIENTS_AND_LESIONS,
    WHERE,
    Column,
    counts,
    interval_of,
    p_of,
    pair,
    row_table,
    share,
    where,
    words,
)
from gsigpu.report.table_cells import (
    INTERVAL_NOTE,
    Cell,
    Table,
    head,
    listed,
    num,
    parameter_name,
    plural,
    text,
    whole,
)
from gsigpu.tables.observations import Observations

# A curve has 99 thresholds; a table shows those that a reader can place.
_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
_MEMBER = ["phase", "region", "parameter"]


@dataclass(frozen=True, slots=True)
class FurtherPart:
    """A part of the section.

    heading : of the part
    question : which it answers, in one or two sentences
    """

    heading: str
    question: str
    table: Table


def further_parts(observations: Observations, results: Results) -> list[FurtherPart]:
    """Those that have results, in the order of the page."""
    if not results.has_values:
        return []
    settings = results.settings
    column = settings.subgroups.replace("_", " ")
    site = settings.site.replace("_", " ")
    held = listed([name.replace("_", " ") for name in settings.covariates])
    units = dict(observations.units)
    known = (
        (
            "All groups at once",
            "How well does a parameter separate two groups that are drawn at random from all? .5 is chance.",
            multiclass_table(results),
        ),
        (
            f"With {held} held equal",
            f"Do the groups still differ among patients with the same {held}?",
            adjusted_table(results, units),
        ),
        (
            f"Areas with {held} held equal",
            f"How well does a parameter tell two groups apart among patients with the same {held}?",
            adjusted_areas_table(results),
        ),
        (
            f"Subgroups by {column}",
            (
                f"Does what the groups differ by depend on {column}? The interaction answers that; a difference that is shown "
                "in one subgroup and not in another does not."
            ),
            subgroups_table(results, units),
        ),
        (
            f"Each {site} by the cut-offs of the others",
            f"Does a cut-off hold where it was not chosen? Each {site} is judged by the cut-off of all others.",
            sites_table(results),
        ),
        (
            f"{site.capitalize()} effects taken out",
            f"What does each {site} look like before and after ComBat? The primary test on the values after it stands among the other choices below.",
            combat_table(results, units),
        ),
        (
            "Other choices",
            (
                "Does the answer depend on which lesions and values are taken? One hypothesis tested again, so nothing is "
                "adjusted over the rows, and none takes the place of the first."
            ),
            sensitivity_table(results),
        ),
        (
            "Lesions without a value",
            "What is missing, and why: a reader judges whether that depends on the value.",
            missing_table(observations),
        ),
        (
            "Use of a model",
            "Is it better to act on the model than on everybody or on nobody? Nobody has a net benefit of 0.",
            decision_curve_table(results),
        ),
        (
            "A reader who measured again",
            "How far do two readings of one lesion by one reader lie apart?",
            repeatability_table(results, units),
        ),
        (
            "Do readers decide alike",
            "Two readers at the same cut-off: how often do they call a lesion the same, beyond chance?",
            kappa_table(results),
        ),
        (
            "Parameters compared over readers",
            "Is one parameter better than another for other readers and other lesions, too?",
            reader_comparisons_table(results),
        ),
        (
            "Size of a next study",
            "How many patients does a study like this need, so that an interval has the width that is wanted?",
            sample_size_table(results),
        ),
    )
    return [FurtherPart(heading, question, table) for heading, question, table in known if table]


def multiclass_table(results: Results) -> Table | None:
    """Hand and Till's mean area of all pairs of groups."""
    return row_table(
        results.frames.multiclass,
        [
            PARAMETER,
            WHERE,
            Column("groups", counts("n_groups", parts=())),
            Column("mean AUC", share("auc")),
            Column(results.interval, interval_of("ci_low", "ci_high")),
            Column("p", p_of("p")),
            Column("p, Holm over all", p_of("p_holm_all")),
            PATIENTS_AND_LESIONS,
            Column("missing", counts("n_missing", parts=())),
        ],
        name="multiclass",
        caption="Mean area of all pairs of groups",
        notes=[
            "Hand and Till’s area, patients as units. Combined parameters: probabilities of lesions of patients whom the model had not seen.",
            INTERVAL_NOTE,
        ],
        answer="auc",
    )


def sensitivity_table(results: Results) -> Table | None:
    """The primary test under other choices; of the pairs how many differ."""
    frame = results.frames.sensitivity
    key = [*_MEMBER, "analysis"]
    pairs = frame[frame["test"] == "mixed"]
    p = pairs["p_holm"].astype(float)
    n_tested = p.notna().groupby([pairs[name] for name in key]).sum().to_dict()
    n_differ = (p < ALPHA).groupby([pairs[name] for name in key]).sum().to_dict()

    def differ(row: Row) -> Cell:
        member = tuple(row[name] for name in key)
        n = (int(n_differ.get(member, 0)), int(n_tested.get(member, 0)))
        return whole(*n, parts=("differ", "tested"), between=" of ")

    def analysis(row: Row) -> Cell:
        name = str(row["analysis"])
        is_parameter = "[" in name and " " not in name
        return text(parameter_name(name) if is_parameter else name)

    return row_table(
        rows_of(frame, test="mixed-overall"),
        [
            PARAMETER,
            WHERE,
            Column("analysis", analysis),
            Column("F", share("statistic")),
            Column("p", p_of("p")),
            Column("pairs that differ", differ),
            PATIENTS_AND_LESIONS,
            Column("lesions left out", counts("n_left_out", parts=())),
        ],
        name="sensitivity",
        caption="The primary test under other choices",
        notes=[
            "Mixed model, all groups. Pairs: p below .05 after Holm over the pairs of the analysis. Every pair’s difference: sensitivity.csv."
        ],
        answer="p",
    )


def missing_table(observations: Observations) -> Table | None:
    """Lesions without a value, by reason."""
    frame = observations.missing
    if frame.empty:
        return None
    columns = (
        WHERE,
        PARAMETER,
        Column("group", words("group")),
        Column("reason", lambda row: text(str(row["reason"]).replace("-", " "))),
        Column("lesions", counts("n_lesions", "n_lesions_in_all", parts=("missing", "all"), between=" of ")),
        Column("patients", counts("n_patients", parts=())),
    )  # fmt: skip
    return Table(
        name="missing",
        caption="Lesions without a value, by reason",
        header=[[head(column.name) for column in columns]],
        rows=[[column.cell(row) for column in columns] for row in frame.to_dict("records")],
        notes=[
            "The mixed model uses every value that there is; nothing is put in the place of a lesion’s value."
        ],
    )


def decision_curve_table(results: Results) -> Table | None:
    """Net benefit of the models of pairs at a few thresholds; None without a stated prevalence."""
    frame = results.frames.decision_curve
    if frame.empty:
        return None
    key = ["phase", "region", "model", "group_a", "group_b"]
    rows = list(_decision_rows(frame, key))
    thresholds = [head(f"threshold {threshold:g}", 2) for threshold in _THRESHOLDS]
    return Table(
        name="decision_curve",
        caption="Net benefit of the combined parameters",
        header=[
            [head("", 2), *thresholds, head("")],
            [
                head("pair"), head("where"), *(head(name) for _ in _THRESHOLDS for name in ("model", "everybody")),
                head("patients, lesions"),
            ],
        ],
        rows=rows,
        notes=[
            f"True positives less false positives at the odds of the threshold, per lesion, where {100 * float(frame['prevalence'].iloc[0]):g} % of the two groups belong to the first. Probabilities of lesions of patients whom the model had not seen. The whole curves with intervals: decision_curve.csv.",
            *PlanColumn.of(frame).notes,
        ],
    )  # fmt: skip


def _decision_rows(frame: pd.DataFrame, key: list[str]) -> Iterator[list[Cell]]:
    for _, curve in frame.groupby(key, sort=False):
        first = curve.iloc[0].to_dict()
        cells = [pair(first), where(first)]
        for threshold in _THRESHOLDS:
            at = curve.iloc[int((curve["threshold"] - threshold).abs().to_numpy().argmin())]
            cells += [num(float(at["net_benefit"]), 3), num(float(at["net_benefit_all"]), 3)]
        yield [
            *cells,
            PATIENTS_AND_LESIONS.cell(first),
        ]


def sample_size_table(results: Results) -> Table | None:
    """Patients and lesions that a next study needs, for areas and for the agreement of readers."""

    def quantity(row: Row) -> Cell:
        if row["quantity"] == "auc":
            return text(f"AUC, {row['group_a']} v {row['group_b']}")
        return text(f"ICC of {plural(int(number_in(row, 'n_readers')), 'reader')}")

    return row_table(
        results.frames.sample_size,
        [
            Column("quantity", quantity),
            PARAMETER,
            WHERE,
            Column("expected", share("expected")),
            Column("width of the interval", share("width", 1)),
            Column("lesions per patient", share("lesions_per_patient", 1)),
            Column("ICC of lesions in patients", share("icc")),
            Column("design effect", share("design_effect")),
            Column("patients", counts("patients_needed", parts=())),
            Column("lesions", counts("lesions_needed", parts=())),
        ],
        name="sample_size",
        caption="Patients and lesions that a next study needs",
        notes=[
            "For an area in each of the two groups, for an ICC in all. What is expected is what was observed here, clustered as here; an area below .5 counts on its other side."
        ],
        answer="patients_needed",
    )
