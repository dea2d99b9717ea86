"""What computes each kind of statistic of one member of the family, and the columns of its frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from gsigpu.cohort_statistics.frames import (
    ADJUSTED_COLUMNS,
    ADJUSTED_ROC_COLUMNS,
    BLAND_ALTMAN_COLUMNS,
    BLAND_ALTMAN_POINT_COLUMNS,
    CALIBRATION_COLUMNS,
    COMBAT_COLUMNS,
    COMPARISON_COLUMNS,
    CURVE_COLUMNS,
    DECISION_COLUMNS,
    DECISION_CURVE_COLUMNS,
    DESCRIPTIVE_COLUMNS,
    ICC_COLUMNS,
    KAPPA_COLUMNS,
    MODEL_COLUMNS,
    MULTICLASS_COLUMNS,
    OMNIBUS_COLUMNS,
    PAIRWISE_COLUMNS,
    POWER_COLUMNS,
    READER_COMPARISON_COLUMNS,
    REPEATABILITY_COLUMNS,
    ROC_COLUMNS,
    SAME_LESIONS,
    SAMPLE_SIZE_COLUMNS,
    SENSITIVITY_COLUMNS,
    SITE_COLUMNS,
    SUBGROUP_COLUMNS,
    WITHIN_COLUMNS,
    labelled,
)
from gsigpu.cohort_statistics.groups import group_frames, power
from gsigpu.cohort_statistics.readers import agreement, sample_size
from gsigpu.cohort_statistics.roc import combined_models, comparisons, roc_frames
from gsigpu.cohort_statistics.roc.decision_curve import decision_curve
from gsigpu.cohort_statistics.roc.decisions import decisions
from gsigpu.cohort_statistics.roc.multiclass import multiclass_frame, one_against_rest
from gsigpu.cohort_statistics.roc.roc_settings import OutOfFold
from gsigpu.cohort_statistics.sample import clean_sample, clustering_of
from gsigpu.cohort_statistics.within import within_frames
from gsigpu.pipeline.cohort_stats import further_tasks
from gsigpu.pipeline.cohort_stats.statistics_task import NamedFrames, Task
from gsigpu.report.cohort_results import StatisticsSettings

COLUMNS: dict[str, Sequence[str]] = {
    "descriptives": DESCRIPTIVE_COLUMNS,
    "omnibus": OMNIBUS_COLUMNS,
    "pairwise": PAIRWISE_COLUMNS,
    "roc": ROC_COLUMNS,
    "roc_comparisons": COMPARISON_COLUMNS,
    "roc_curves": CURVE_COLUMNS,
    "models": MODEL_COLUMNS,
    "calibration": CALIBRATION_COLUMNS,
    "icc": ICC_COLUMNS,
    "bland_altman": BLAND_ALTMAN_COLUMNS,
    "bland_altman_points": BLAND_ALTMAN_POINT_COLUMNS,
    "power": POWER_COLUMNS,
    "within": WITHIN_COLUMNS,
    "decisions": DECISION_COLUMNS,
    "against_rest": ROC_COLUMNS,
    "multiclass": MULTICLASS_COLUMNS,
    "decision_curve": DECISION_CURVE_COLUMNS,
    "sensitivity": SENSITIVITY_COLUMNS,
    "adjusted": ADJUSTED_COLUMNS,
    "adjusted_roc": ADJUSTED_ROC_COLUMNS,
    "subgroups": SUBGROUP_COLUMNS,
    "repeatability": REPEATABILITY_COLUMNS,
    "kappa": KAPPA_COLUMNS,
    "reader_comparisons": READER_COMPARISON_COLUMNS,
    "sample_size": SAMPLE_SIZE_COLUMNS,
    "sites": SITE_COLUMNS,
    "combat": COMBAT_COLUMNS,
}

WITHOUT_PARAMETER = {
    "roc_comparisons", "models", "calibration", "decision_curve", "reader_comparisons",
}  # fmt: skip


def run_task(task: Task) -> NamedFrames:
    """Frames by name, the member of the family named in them."""
    frames = KINDS[task.kind](task)
    return {name: _labelled(name, frame, task) for name, frame in frames.items()}


def _groups(task: Task) -> NamedFrames:
    frames = group_frames.group_tests(
        task.values,
        task.groups,
        task.patients,
        order=task.order,
        confidence=task.settings.confidence,
    )
    return {
        "descriptives": frames.descriptives,
        "omnibus": frames.omnibus,
        "pairwise": frames.pairwise,
    }


def _power(task: Task) -> NamedFrames:
    data = (task.values, task.groups, task.patients)
    return {
        "power": power.power_table(*data, order=task.order),
        "sample_size": sample_size.area_sample_sizes(
            *data, order=task.order, confidence=task.settings.confidence
        ),
    }


def _roc(task: Task) -> NamedFrames:
    tables = roc_frames.roc_tables(
        task.values,
        task.groups,
        task.patients,
        order=task.order,
        seed=task.seed,
        settings=task.settings.roc(task.parameters[0]),
    )
    return {
        "roc": tables.roc,
        "roc_curves": tables.curves,
        "decisions": _decisions(task, tables.roc),
    }


def _decisions(task: Task, roc: pd.DataFrame) -> pd.DataFrame:
    """What cut-offs do, one row per pair and track: those chosen on these lesions, then another study's."""
    known = roc[roc["cutoff"].notna()].drop_duplicates(["track", "group_a", "group_b"])
    cutoffs = {SAME_LESIONS: known}
    applied = task.tables.get("applied")
    if applied is not None and len(applied):
        cutoffs[str(applied["source"].iloc[0])] = applied
    judged = [
        decisions(
            task.values,
            task.groups,
            task.patients,
            of_source,
            order=task.order,
            source=source,
            prevalence=task.settings.prevalence,
            confidence=task.settings.confidence,
        )
        for source, of_source in cutoffs.items()
    ]
    return pd.concat([frame for frame in judged if len(frame)] or judged[:1], ignore_index=True)


def _against_rest(task: Task) -> NamedFrames:
    result = one_against_rest(
        task.values,
        task.groups,
        task.patients,
        order=task.order,
        seed=task.seed,
        settings=task.settings.roc(task.parameters[0]),
    )
    multiclass = multiclass_frame(
        task.values,
        task.groups,
        task.patients,
        order=task.order,
        settings=task.settings.roc(task.parameters[0]),
    )
    return {"against_rest": result.roc, "multiclass": multiclass}


def _comparisons(task: Task) -> NamedFrames:
    frame = comparisons.roc_comparisons(
        task.values,
        task.parameters,
        task.groups,
        task.patients,
        order=task.order,
        settings=[task.settings.roc(parameter) for parameter in task.parameters],
        margin=task.settings.equivalence_margin,
    )
    return {"roc_comparisons": frame}


def _models(task: Task) -> NamedFrames:
    models = combined_models.combined_models(
        task.values,
        task.parameters,
        task.groups,
        task.patients,
        order=task.order,
        seed=task.seed,
        settings=task.settings.roc(""),
    )
    return {
        "models": models.models,
        "calibration": models.calibration,
        "multiclass": models.multiclass,
        "decision_curve": _decision_curves(models.out_of_fold, task.settings),
    }


def _decision_curves(
    predictions: Sequence[OutOfFold], settings: StatisticsSettings
) -> pd.DataFrame:
    """Of every pair's model, at the stated prevalence; none where nobody states it."""
    if settings.prevalence is None:
        return pd.DataFrame(columns=list(DECISION_CURVE_COLUMNS))
    curves = [
        decision_curve(
            of_pair.probability,
            of_pair.positive,
            of_pair.patients,
            prevalence=settings.prevalence,
            confidence=settings.confidence,
            model={name: getattr(of_pair, name) for name in ("model", "group_a", "group_b")},
        )
        for of_pair in predictions
    ]
    empty = pd.DataFrame(columns=list(DECISION_CURVE_COLUMNS))
    return pd.concat(curves, ignore_index=True) if curves else empty


def _agreement(task: Task) -> NamedFrames:
    agreed = agreement.reader_agreement(
        task.values,
        task.lesions,
        task.patients,
        task.readers,
        confidence=task.settings.confidence,
    )
    return {
        "sample_size": _icc_sample_sizes(task, agreed.icc),
        "icc": agreed.icc,
        "bland_altman": agreed.bland_altman,
        "bland_altman_points": agreed.points,
    }


def _icc_sample_sizes(task: Task, icc: pd.DataFrame) -> pd.DataFrame:
    """For the agreement (ICC2) of as many readers as here, lesions clustered in patients as here."""
    form = icc[(icc["track"] == "recommended") & (icc["form"] == "ICC2")].iloc[0]
    n_patients = max(int(form["n_patients"]), 1)
    read = pd.DataFrame(
        {
            "patient": task.patients,
            "lesion": task.lesions,
            "group": task.groups,
            "value": task.values,
        }
    )
    lesions = read.groupby(["group", "patient", "lesion"], sort=False)["value"].mean().reset_index()
    sample = clean_sample(lesions["value"], lesions["group"], lesions["patient"], task.order)
    _, sizes = np.unique(lesions.loc[lesions["value"].notna(), "patient"], return_counts=True)
    return sample_size.icc_sample_sizes(
        float(form["icc"]),
        int(form["n_readers"]),
        clustering=clustering_of(sample.mixed, sizes),
        lesions_per_patient=int(form["n_lesions"]) / n_patients or 1.0,
        confidence=task.settings.confidence,
    )


def _within(task: Task) -> NamedFrames:
    frame = within_frames.within_tests(
        task.values,
        task.lesions,
        task.patients,
        task.readers,
        order=task.conditions,
        comparison="phase" if task.region else "region",
        groups=task.groups,
        group_order=task.order,
        confidence=task.settings.confidence,
    )
    return {"within": frame}


# The slow ones first, so that the last process to end is not alone for long.
KINDS: Mapping[str, Callable[[Task], NamedFrames]] = {
    "roc": _roc,
    "models": _models,
    "groups": _groups,
    "comparisons": _comparisons,
    "agreement": _agreement,
    "power": _power,
    "within": _within,
    "against_rest": _against_rest,
    "adjusted": further_tasks.adjusted,
    "subgroups": further_tasks.subgroups,
    "sensitivity": further_tasks.sensitivity,
    "repeats": further_tasks.repeats,
    "sites": further_tasks.sites,
    "reader_comparisons": further_tasks.compared_over_readers,
}


def _labelled(name: str, frame: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The frame with `track` and the member of the family in front."""
    parameter = None if name in WITHOUT_PARAMETER else "+".join(task.parameters)
    return labelled(
        frame.reset_index(drop=True), phase=task.phase, region=task.region, parameter=parameter
    )
