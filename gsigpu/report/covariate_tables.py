"""Tables of tests and areas with covariates held equal, in subgroups, and of sites judged by the others."""

from __future__ import annotations

import numpy as np

from gsigpu.report.cohort_results import Results
from gsigpu.report.paper_tables import Row, number_in, rows_of
from gsigpu.report.row_tables import (
    LESIONS_OF_BOTH,
    PAIR,
    PARAMETER,
    PATIENTS_AND_LESIONS,
    PATIENTS_OF_BOTH,
    WHERE,
    Column,
    counts,
    interval_of,
    mean_sd_of,
    measured,
    p_of,
    row_table,
    share,
    side,
    unit_of,
    words,
)
from gsigpu.report.table_cells import INTERVAL_NOTE, Cell, Table, text, whole

_MEMBER = ["phase", "region", "parameter"]


def adjusted_table(results: Results, units: dict[str, str]) -> Table | None:
    """All groups, every pair, and every covariate, by the mixed model with the covariates in it."""
    frame = results.frames.adjusted
    in_all = {
        tuple(row[name] for name in _MEMBER): row
        for row in rows_of(frame, test="adjusted-overall").to_dict("records")
    }

    def compared(row: Row) -> Cell:
        test = str(row["test"])
        if test == "adjusted-overall":
            return text("all groups")
        if test == "covariate":
            name = str(row["group_a"]).replace("_", " ")
            return text(f"{name}, {row['group_b'] or 'per unit'}")
        gaps = ", gaps imputed" if test.endswith("imputed") else ""
        return text(f"{row['group_a']} − {row['group_b']}{gaps}")

    def n_of(row: Row) -> Cell:
        n_a, n_b = (f"n_patients_{each}" for each in "ab")
        if row["test"] == "covariate":
            row = in_all.get(tuple(row[name] for name in _MEMBER), {})
        n = [number_in(row, n_a), number_in(row, n_b)]
        lesions = [number_in(row, "n_a"), number_in(row, "n_b")]
        if np.isnan(n[0]):
            return Cell("–")
        return whole(_sum(n), _sum(lesions), parts=("patients", "lesions"))

    return row_table(
        frame,
        [
            PARAMETER,
            WHERE,
            Column("compared", compared),
            Column("unit", unit_of(units)),
            Column("difference or slope", measured("difference")),
            Column(results.interval, interval_of("ci_low", "ci_high", None)),
            Column("p", p_of("p")),
            Column("p, Holm", p_of("p_holm")),
            Column("patients, lesions", n_of),
            Column("left out", counts("n_incomplete", parts=())),
        ],
        name="adjusted",
        caption="Groups compared with covariates held equal",
        notes=[
            "Mixed model with a random intercept per patient and cluster-robust variances (CR2). Left out: lesions with a value of which a covariate is not known. A slope is in the parameter’s unit per unit of the covariate.",
            "Gaps imputed: missing numbers of patients drawn twenty times from the others, pooled by Rubin’s rules, under the assumption that they are missing at random.",
            INTERVAL_NOTE,
        ],
        answer="p",
    )


def adjusted_areas_table(results: Results) -> Table | None:
    """Areas with the covariates taken out of the values, the plain ones beside them."""
    return row_table(
        results.frames.adjusted_roc,
        [
            PAIR,
            PARAMETER,
            WHERE,
            Column("first is", side),
            Column("AUC, plain", share("auc_plain")),
            Column("AUC, adjusted", share("auc")),
            Column(results.interval, interval_of("ci_low", "ci_high")),
            Column("p", p_of("p")),
            Column("p, Holm over all", p_of("p_holm_all")),
            PATIENTS_OF_BOTH,
            LESIONS_OF_BOTH,
        ],
        name="adjusted_areas",
        caption="Areas with covariates held equal",
        notes=[
            "The covariates are taken out by their regression among the second group; intervals by a jackknife over patients.",
            INTERVAL_NOTE,
        ],
        answer="auc",
    )


def subgroups_table(results: Results, units: dict[str, str]) -> Table | None:
    """The interaction, then all groups and every pair inside each level."""

    def compared(row: Row) -> Cell:
        names = {"mixed-interaction": "interaction", "mixed-overall": "all groups"}
        return text(names.get(str(row["test"]), f"{row['group_a']} − {row['group_b']}"))

    return row_table(
        results.frames.subgroups,
        [
            PARAMETER,
            WHERE,
            Column("subgroup", lambda row: text(str(row["level"]) or "all")),
            Column("compared", compared),
            Column("unit", unit_of(units)),
            Column("difference", measured("difference")),
            Column(results.interval, interval_of("ci_low", "ci_high", None)),
            Column("p", p_of("p")),
            Column("p, Holm", p_of("p_holm")),
            PATIENTS_AND_LESIONS,
        ],
        name="subgroups",
        caption="Groups compared in subgroups",
        notes=[
            "Holm over the pairs of one subgroup. Counts are of the whole subgroup.",
            INTERVAL_NOTE,
        ],
        answer="p",
    )


def sites_table(results: Results) -> Table | None:
    """Every site and pair by the cut-off of the other sites."""
    return row_table(
        results.frames.sites,
        [
            Column("site", words("site")),
            PAIR,
            PARAMETER,
            WHERE,
            Column("first is", side),
            Column("AUC elsewhere", share("auc_elsewhere")),
            Column("AUC here", share("auc")),
            Column(results.interval, interval_of("ci_low", "ci_high")),
            Column("cut-off elsewhere", measured("cutoff")),
            Column("sens.", share("sensitivity")),
            Column(results.interval, interval_of("sensitivity_low", "sensitivity_high")),
            Column("spec.", share("specificity")),
            Column(results.interval, interval_of("specificity_low", "specificity_high")),
            PATIENTS_OF_BOTH,
            LESIONS_OF_BOTH,
        ],
        name="sites",
        caption="Sites judged by the cut-offs of the others",
        notes=["Intervals with patients as units."],
        answer="sensitivity",
    )


def combat_table(results: Results, units: dict[str, str]) -> Table | None:
    """Every site's mean and SD of every parameter, before and after ComBat."""
    return row_table(
        results.frames.combat,
        [
            Column("site", words("site")),
            PARAMETER,
            WHERE,
            Column("unit", unit_of(units)),
            Column("mean ± SD before", mean_sd_of("mean_before", "sd_before")),
            Column("mean ± SD after", mean_sd_of("mean_after", "sd_after")),
            PATIENTS_AND_LESIONS,
        ],
        name="combat",
        caption="Sites before and after their effects were taken out",
        notes=[
            "ComBat (Johnson, Li and Rabinovic), the parameters and regions of a phase together, of lesions that have all of them. Differences that go with groups and covariates are kept, so the sites’ means need not become equal.",
            "It assumes that lesions are independent, that a site shifts and stretches all parameters alike, and that sites and groups are not confounded. The tests below on these values do not know that sites were estimated: p may be too small, most where groups and sites are unbalanced.",
        ],
        answer="mean_after",
    )


def _sum(values: list[float]) -> int:
    return int(np.nansum(values))
