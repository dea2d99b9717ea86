"""The other tables of the page: models, comparisons of parameters, readers, power."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from gsigpu.report.cohort_results import ALPHA, Results
from gsigpu.report.paper_tables import opposite_note, rows_of
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
    unit_name,
    whole,
)
from gsigpu.tables.observations import Observations


def models_table(results: Results, model: str) -> Table | None:
    """Combined-parameter models of one kind, multinomial or logistic; None where there are none."""
    frame = rows_of(results.frames.models, model=model)
    if frame.empty:
        return None
    rows = []
    last = ""
    for row in frame.to_dict("records"):
        where = place(row["phase"], row["region"])
        who = (
            str(row["group_a"])
            if row["group_b"] == "rest"
            else f"{row['group_a']} v {row['group_b']}"
        )
        if row["group_b"] == "rest":
            who = "all groups, mean" if row["group_a"] == "all" else f"{who} v the rest"
        rows.append(
            [
                text(where if where != last else "", tone="first" if where != last else ""),
                text(who),
                num(row["auc_apparent"], 2),
                num(row["auc"], 2),
                interval_cell(row["auc_low"], row["auc_high"], 2),
                num(row["brier"], 3),
                num(row["calibration_intercept"], 2),
                num(row["calibration_slope"], 2),
                num(row["n_folds"], 0),
            ]
        )
        last = where
    names = "; ".join(dict.fromkeys(_parameter_names(str(name)) for name in frame["parameters"]))
    header = [
        [head("", 2), head("AUC", 3), head(""), head("calibration", 2), head("")],
        [
            head("where"), head("groups"), head("same data"), head("other patients"),
            head(results.interval), head("Brier"), head("intercept"), head("slope"), head("folds"),
        ],
    ]  # fmt: skip
    notes = [
        f"Of {names}. The AUC on the data that the model was fitted to flatters; that on other patients is by cross-validation in whole patients. Calibration is right at intercept 0, slope 1."
    ]
    kind = "pairs of groups" if model == "logistic" else "all groups"
    return Table(
        name=f"models_{model}",
        caption=f"Combined parameters, {model} model of {kind}",
        header=header,
        rows=rows,
        notes=[*notes, *PlanColumn.of(frame).notes],
    )


def _parameter_names(joined: str) -> str:
    """The parameters of a model, as a person calls them.

    >>> _parameter_names("ct_value, lambda_hu")
    'CT value, λHU'
    """
    return re.sub(r"[^,;+\s]+", lambda name: parameter_name(name[0]), joined)


def binormal_table(observations: Observations, results: Results) -> Table | None:
    """Areas from means and SDs; None where lesions were there."""
    frame = results.frames.roc[results.frames.roc["method"] == "binormal"]
    if frame.empty:
        return None
    rows = [
        [
            text(place(row["phase"], row["region"])),
            text(parameter_name(row["parameter"])),
            text(f"{row['group_a']} v {row['group_b']}"),
            text("above" if row["direction"] == "higher" else "below"),
            num(row["auc"], 2),
            interval_cell(row["ci_low"], row["ci_high"], 2),
        ]
        for row in frame.to_dict("records")
    ]
    names = ("where", "parameter", "pair", "first is", "AUC", results.interval)
    note = (
        "Binormal: both groups taken as normal with the published means and SDs, every lesion as independent; "
        "the group with the higher mean is called above."
    )
    k = len(observations.parameters) + 1
    header = [[head(name) for name in names]]
    return Table(
        name=f"table_{k}_binormal",
        caption=f"Table {k}. Areas from n, mean and SD",
        header=header,
        rows=rows,
        notes=[note],
    )


def comparison_table(results: Results) -> Table | None:
    """Paired comparison of two parameters' areas, recommended track; None where there are none."""
    frame = rows_of(results.frames.roc_comparisons, track="recommended")
    if frame.empty:
        return None
    method = "obuchowski" if (frame["method"] == "obuchowski").any() else frame["method"].iloc[0]
    shown = rows_of(frame, method=str(method))
    plan = PlanColumn.of(shown)
    rows = [
        [
            text(place(row["phase"], row["region"])),
            text(f"{row['group_a']} v {row['group_b']}"),
            text(f"{parameter_name(row['parameter_a'])} − {parameter_name(row['parameter_b'])}"),
            num(row["difference"], 3),
            interval_cell(row["ci_low"], row["ci_high"], 3),
            p_cell(row["p"]),
            p_cell(row["p_holm_all"], strong=bool(row["p_holm_all"] < ALPHA)),
            *plan.cells(row),
        ]
        for row in shown.to_dict("records")
    ]
    header = [
        [
            head("where"), head("groups"), head("parameters"), head("difference of AUCs"),
            head(results.interval), head("p"), head("p, Holm over all"), *plan.head,
        ]
    ]  # fmt: skip
    return Table(
        name="parameter_comparisons",
        caption="Does one parameter tell two groups apart better than another?",
        header=header,
        rows=rows,
        notes=[
            "On the same lesions, patients as units.",
            *opposite_note(shown),
            INTERVAL_NOTE,
            *plan.notes,
        ],
    )


def readings_table(observations: Observations) -> Table | None:
    """What each reader measured in each group; None with one reader.

    Where readers measured different lesions, a difference between them can pass for one between groups.
    """
    readings = observations.readings
    if readings.empty or readings["reader"].nunique() < 2:
        return None
    counts = {(str(row["reader"]), str(row["group"])): row for row in readings.to_dict("records")}
    rows = []
    for reader in dict.fromkeys(readings["reader"].astype(str)):
        cells = [text(reader or "(no name)")]
        for group in observations.groups:
            row = counts.get((reader, group))
            cells.append(
                Cell("–")
                if row is None
                else whole(
                    int(row["n_patients"]), int(row["n_lesions"]), parts=("patients", "lesions")
                )
            )
        rows.append(cells)
    return Table(
        name="readings",
        caption="What each reader measured: patients, lesions",
        header=[[head("reader"), *(head(group) for group in observations.groups)]],
        rows=rows,
        notes=["Only what all readers in a test measured is averaged over them."],
    )


def reader_table(observations: Observations, results: Results) -> Table | None:
    """ICC(2,1) and ICC(3,1) and limits of agreement; None with one reader."""
    icc, limits = results.frames.icc, results.frames.bland_altman
    if icc.empty:
        return None
    rows = []
    last = ""
    tracks = [track for track in ("recommended", "paper") if (icc["track"] == track).any()]
    keys = icc[["phase", "region", "parameter"]].drop_duplicates()
    for phase, region, parameter in keys.itertuples(index=False):
        forms = rows_of(icc, track=tracks[0], phase=phase, region=region, parameter=parameter)
        pair = rows_of(limits, phase=phase, region=region, parameter=parameter)
        pair = rows_of(pair, track=tracks[0]) if (pair["track"] == tracks[0]).any() else pair
        decimals = decimals_of(parameter)
        where = place(phase, region)
        cells = [
            text(where if where != last else "", tone="first" if where != last else ""),
            text(parameter_name(parameter)),
            text(unit_name(observations.units.get(parameter, ""))),
            _of_forms(forms),
        ]
        for form in ("ICC2", "ICC3"):
            row = rows_of(forms, form=form)
            low, high, value = (
                (row["ci_low"].iloc[0], row["ci_high"].iloc[0], row["icc"].iloc[0])
                if len(row)
                else (np.nan,) * 3
            )
            cells += [num(value, 3), interval_cell(low, high, 3)]
        cells += (
            [
                num(pair["bias"].iloc[0], decimals),
                interval_cell(pair["loa_low"].iloc[0], pair["loa_high"].iloc[0], decimals),
            ]
            if len(pair)
            else [Cell("–"), Cell("–")]
        )
        rows.append(cells)
        last = where
    header = [
        [head("", 4), head("ICC, absolute", 2), head("ICC, consistency", 2), head("first two readers", 2)],
        [
            head("where"), head("parameter"), head("unit"), head("patients, lesions"), head("ICC(2,1)"), head(results.interval),
            head("ICC(3,1)"), head(results.interval), head("bias"), head("limits of agreement"),
        ],
    ]  # fmt: skip
    return Table(
        name="readers",
        caption=f"Agreement of {len(observations.readers)} readers",
        header=header,
        rows=rows,
        notes=[
            "Patients and lesions that every reader measured.",
            "All forms of the ICC and all pairs of readers: icc.csv, bland_altman.csv.",
            *PlanColumn.of(icc).notes,
        ],
    )


def _of_forms(forms: pd.DataFrame) -> Cell:
    """On how many patients and lesions the coefficients rest."""
    row = rows_of(forms, form="ICC2")
    if row.empty:
        return Cell("–")
    n_patients, n_lesions = row["n_patients"].iloc[0], row["n_lesions"].iloc[0]
    if pd.isna(n_lesions):
        return Cell("–")
    if pd.isna(n_patients):
        return whole(int(n_lesions))
    return whole(int(n_patients), int(n_lesions), parts=("patients", "lesions"))


def power_table(results: Results) -> Table | None:
    """Power of the omnibus test at given effects; None where it was not computed."""
    frame = results.frames.power
    if frame.empty:
        return None
    given = frame[(frame["effect_source"] == "given") & (frame["group_a"].fillna("") == "")]
    given = given.drop_duplicates(["phase", "region", "parameter", "test", "effect"])
    if given.empty:
        return None
    effects = sorted(set(given["effect"]))
    name = str(given["effect_name"].iloc[0])
    rows = []
    last = ""
    for (phase, region, parameter), of_one in given.groupby(
        ["phase", "region", "parameter"], sort=False
    ):
        where = place(phase, region)
        by_effect = of_one.set_index("effect")
        first = of_one.iloc[0]
        cells = [
            text(where if where != last else "", tone="first" if where != last else ""),
            text(parameter_name(str(parameter))),
            num(first["n_lesions"], 0),
            num(first["n_effective"], 0),
        ]
        cells += [num(float(by_effect["power"].get(effect, np.nan)), 2) for effect in effects]
        cells.append(num(first["detectable_effect"], 2))
        rows.append(cells)
        last = where
    header = [
        [head("", 2), head("lesions", 2), head(f"power at {name}", len(effects)), head(f"{name} at")],
        [
            head("where"), head("parameter"), head("all"), head("effective"),
            *(head(f"{effect:g}") for effect in effects), head("power .80"),
        ],
    ]  # fmt: skip
    notes = [
        "Test over all groups at p = .05. Effective lesions are those of a cohort of the same information without clustering, n / design effect."
    ]
    return Table(
        name="power",
        caption="Power",
        header=header,
        rows=rows,
        notes=[*notes, *PlanColumn.of(frame).notes],
    )
