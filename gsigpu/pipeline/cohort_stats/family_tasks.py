"""One member of the family, one kind of statistic: what is computed in one process, and by what."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gsigpu.cohort_statistics.frames import (
    BLAND_ALTMAN_COLUMNS,
    BLAND_ALTMAN_POINT_COLUMNS,
    CALIBRATION_COLUMNS,
    COMPARISON_COLUMNS,
    CURVE_COLUMNS,
    DECISION_COLUMNS,
    DESCRIPTIVE_COLUMNS,
    ICC_COLUMNS,
    MODEL_COLUMNS,
    OMNIBUS_COLUMNS,
    PAIRWISE_COLUMNS,
    POWER_COLUMNS,
    ROC_COLUMNS,
    WITHIN_COLUMNS,
    labelled,
)
from gsigpu.cohort_statistics.groups import group_frames, power
from gsigpu.cohort_statistics.readers import agreement
from gsigpu.cohort_statistics.roc import combined_models, comparisons, roc_frames
from gsigpu.cohort_statistics.roc.decisions import decisions
from gsigpu.cohort_statistics.roc.multiclass import one_against_rest
from gsigpu.cohort_statistics.within import within_frames
from gsigpu.report.cohort_results import StatisticsSettings

Found = dict[str, pd.DataFrame]

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
}

_WITHOUT_PARAMETER = {"roc_comparisons", "models", "calibration"}


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to compute.

    kind : of KINDS
    parameters : one, or those that are compared and combined
    values : (n,) of one parameter, (n, K) of several
    lesions, readers : of agreement and of comparisons within lesions, else empty; the latter have their
        conditions in place of readers
    conditions : regions or phases that are compared within lesions, in order
    applied : cut-offs of another study for this member, with `source` (`tables.cutoff_table`)
    """

    kind: str
    phase: str
    region: str
    parameters: tuple[str, ...]
    values: NDArray[Any]
    groups: NDArray[Any]
    patients: NDArray[Any]
    lesions: NDArray[Any]
    readers: NDArray[Any]
    order: tuple[str, ...]
    settings: StatisticsSettings
    conditions: tuple[str, ...] = ()
    applied: pd.DataFrame | None = None

    @property
    def seed(self) -> np.random.SeedSequence:
        """Of the run's seed and the task's name."""
        name = "\0".join((self.kind, self.phase, self.region, *self.parameters))
        digest = hashlib.sha256(name.encode()).digest()
        return np.random.SeedSequence(
            [self.settings.seed, *(int(number) for number in np.frombuffer(digest, np.uint32))]
        )

    def run(self) -> Found:
        """Frames by name, the member of the family named in them."""
        frames = KINDS[self.kind](self)
        return {name: _labelled(name, frame, self) for name, frame in frames.items()}


def _groups(task: Task) -> Found:
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


def _power(task: Task) -> Found:
    return {"power": power.power_table(task.values, task.groups, task.patients, order=task.order)}


def _roc(task: Task) -> Found:
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
    cutoffs = {"same lesions": known}
    if task.applied is not None and len(task.applied):
        cutoffs[str(task.applied["source"].iloc[0])] = task.applied
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


def _against_rest(task: Task) -> Found:
    result = one_against_rest(
        task.values,
        task.groups,
        task.patients,
        order=task.order,
        seed=task.seed,
        settings=task.settings.roc(task.parameters[0]),
    )
    return {"against_rest": result.roc}


def _comparisons(task: Task) -> Found:
    frame = comparisons.roc_comparisons(
        task.values,
        task.parameters,
        task.groups,
        task.patients,
        order=task.order,
        settings=[task.settings.roc(parameter) for parameter in task.parameters],
    )
    return {"roc_comparisons": frame}


def _models(task: Task) -> Found:
    models = combined_models.combined_models(
        task.values,
        task.parameters,
        task.groups,
        task.patients,
        order=task.order,
        seed=task.seed,
        settings=task.settings.roc(""),
    )
    return {"models": models.models, "calibration": models.calibration}


def _agreement(task: Task) -> Found:
    agreed = agreement.reader_agreement(
        task.values,
        task.lesions,
        task.patients,
        task.readers,
        confidence=task.settings.confidence,
    )
    return {
        "icc": agreed.icc,
        "bland_altman": agreed.bland_altman,
        "bland_altman_points": agreed.points,
    }


def _within(task: Task) -> Found:
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
KINDS: Mapping[str, Callable[[Task], Found]] = {
    "roc": _roc,
    "models": _models,
    "groups": _groups,
    "comparisons": _comparisons,
    "agreement": _agreement,
    "power": _power,
    "within": _within,
    "against_rest": _against_rest,
}


def _labelled(name: str, frame: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The frame with `track` and the member of the family in front."""
    parameter = None if name in _WITHOUT_PARAMETER else task.parameters[0]
    return labelled(
        frame.reset_index(drop=True), phase=task.phase, region=task.region, parameter=parameter
    )
