"""The kinds of statistics beside the main tests: sensitivity, covariates, subgroups, and what readers do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from gsigpu.cohort_statistics.frames import KAPPA_COLUMNS, labelled
from gsigpu.cohort_statistics.groups.adjusted import adjusted_tests
from gsigpu.cohort_statistics.groups.adjusted_areas import adjusted_areas
from gsigpu.cohort_statistics.groups.combat import ASSUMED, WITHOUT_SITES
from gsigpu.cohort_statistics.groups.imputed import imputed_tests
from gsigpu.cohort_statistics.groups.sensitivity import sensitivity_analyses
from gsigpu.cohort_statistics.groups.subgroups import cut_at, subgroup_tests
from gsigpu.cohort_statistics.inference import joined
from gsigpu.cohort_statistics.readers.reader_frames import (
    by_reader_array,
    decision_agreement,
    reader_comparisons,
)
from gsigpu.cohort_statistics.readers.repeatability import repeatability
from gsigpu.cohort_statistics.roc.leave_one_site_out import leave_one_site_out
from gsigpu.pipeline.cohort_stats.statistics_task import NamedFrames, Task
from gsigpu.tables.counting import LESION
from gsigpu.tables.lesion_columns import KEY as LESION_KEY
from gsigpu.tables.lesion_columns import as_text
from gsigpu.tables.observations import Observations

_MEMBER = ["phase", "region", "parameter"]


def further_of_member(
    task: Task,
    lesions: pd.DataFrame,
    read: pd.DataFrame,
    observations: Observations,
    harmonised: pd.DataFrame | None = None,
) -> Iterator[Task]:
    """The tasks of one member that the settings request.

    task : of the member, without a kind; lesions : its rows; read : the same of every reader; harmonised : its rows with
        the sites' effects taken out
    """
    settings = task.settings
    size = observations.sizes.set_index(list(LESION))["diameter_mm"]
    sized = lesions.assign(diameter_mm=size.reindex(_index(lesions, LESION)).to_numpy())
    tables = {"lesions": sized}
    if read["reader"].nunique() > 1:
        tables["by_reader"] = read
    for name, rows in observations.others.groupby("parameter", sort=True):
        place = (rows["phase"] == task.phase) & (rows["region"] == task.region)
        if str(name).partition("[")[0] == task.parameters[0] and place.any():
            tables[f"other {name}"] = rows[place]
    known = observations.columns.set_index(list(LESION_KEY))
    known = known.reindex(_index(lesions, LESION_KEY)).reset_index(drop=True)
    if settings.site:
        site = as_text(known[settings.site])
        for name in sorted(set(site) - {""}):
            tables[f"other without {settings.site} {name}"] = lesions[(site != name).to_numpy()]
        yield replace(task, kind="sites", tables={"sites": site.to_frame()})
    if harmonised is not None and len(harmonised):
        tables[f"other {WITHOUT_SITES}"] = harmonised
    yield replace(task, kind="sensitivity", tables=tables)
    if settings.columns:
        if settings.covariates:
            covariates = known[list(settings.covariates)]
            yield replace(task, kind="adjusted", tables={"covariates": covariates})
        if settings.subgroups:
            levels = known[[settings.subgroups]]
            yield replace(task, kind="subgroups", tables={"levels": levels})


def _index(table: pd.DataFrame, key: Sequence[str]) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(table[list(key)])


def sensitivity(task: Task) -> NamedFrames:
    """The primary test under other choices; tables `lesions`, `by_reader`, and `other NAME` each."""
    others = {
        name.removeprefix("other "): table
        for name, table in task.tables.items()
        if name.startswith("other ")
    }
    frame = sensitivity_analyses(
        task.tables["lesions"],
        order=task.order,
        by_reader=task.tables.get("by_reader"),
        others=others,
        confidence=task.settings.confidence,
    )
    without = frame["analysis"] == WITHOUT_SITES
    frame.loc[without, "note"] = [joined(ASSUMED, note) for note in frame.loc[without, "note"]]
    return {"sensitivity": frame}


def adjusted(task: Task) -> NamedFrames:
    """Tests and areas with the covariates held equal; table `covariates`, a row per value."""
    data = (task.values, task.groups, task.patients, task.tables["covariates"])
    confidence = task.settings.confidence
    parts = [
        adjusted_tests(*data, order=task.order, confidence=confidence),
        imputed_tests(*data, order=task.order, seed=task.seed, confidence=confidence),
    ]
    return {
        "adjusted": pd.concat([part for part in parts if len(part)], ignore_index=True),
        "adjusted_roc": adjusted_areas(
            *data, order=task.order, settings=task.settings.roc(task.parameters[0])
        ),
    }


def subgroups(task: Task) -> NamedFrames:
    """The primary test inside the levels of a column; table `levels`, a row per value."""
    (column,) = task.tables["levels"].columns
    values, cuts = task.tables["levels"][column], task.settings.subgroup_cuts
    levels, level_order = cut_at(values, cuts) if cuts else (as_text(values), ())
    frame = subgroup_tests(
        task.values,
        task.groups,
        task.patients,
        levels,
        order=task.order,
        column=str(column),
        level_order=level_order,
        confidence=task.settings.confidence,
    )
    return {"subgroups": frame}


def sites(task: Task) -> NamedFrames:
    """Every site judged by the cut-offs of the others; table `sites`, a row per value."""
    (column,) = task.tables["sites"].columns
    frame = leave_one_site_out(
        task.values,
        task.groups,
        task.patients,
        task.tables["sites"][column],
        order=task.order,
        settings=task.settings.roc(task.parameters[0]),
    )
    return {"sites": frame}


def repeats(task: Task) -> NamedFrames:
    """How a reader repeats himself; one value per reading."""
    frame = repeatability(
        task.values,
        task.lesions,
        task.patients,
        task.readers,
        confidence=task.settings.confidence,
    )
    return {"repeatability": frame}


def compared_over_readers(task: Task) -> NamedFrames:
    """Areas of two parameters, readers random; table `by_reader` of all parameters."""
    values, lesions = by_reader_array(task.tables["by_reader"], task.parameters)
    frame = reader_comparisons(
        values,
        task.parameters,
        lesions["group"],
        lesions["patient_id"],
        order=task.order,
        settings=[task.settings.roc(parameter) for parameter in task.parameters],
    )
    return {"reader_comparisons": frame}


def kappa_frame(observations: Observations, roc: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Whether readers decide alike at the recommended track's cut-offs, of all members."""
    frames = [pd.DataFrame(columns=["track", *_MEMBER, *KAPPA_COLUMNS[1:]])]
    chosen = roc[(roc["track"] == "recommended") & roc["cutoff"].notna()]
    cutoffs = chosen.drop_duplicates([*_MEMBER, "group_a", "group_b"])
    by_reader = dict(tuple(observations.by_reader.groupby(_MEMBER, sort=False)))
    for member, of_member in cutoffs.groupby(_MEMBER, sort=False):
        read = by_reader.get(member)
        if read is None or read["reader"].nunique() < 2:
            continue
        frame = decision_agreement(
            read["value"], read["lesion_id"], read["patient_id"], read["reader"], read["group"],
            of_member, confidence=confidence,
        )  # fmt: skip
        phase, region, parameter = (str(part) for part in member)
        frames.append(labelled(frame, phase=phase, region=region, parameter=parameter))
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]
