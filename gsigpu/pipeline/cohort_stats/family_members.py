"""The statistics as tasks: each member of the family by itself, on as many processors as there are.

A member is one phase, region and parameter. Its random numbers follow from the seed and its name, so
that neither the order of the tasks nor the number of processes changes a result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gsigpu.cohort_statistics import multiplicity
from gsigpu.cohort_statistics.frames import (
    BLAND_ALTMAN_COLUMNS,
    BLAND_ALTMAN_POINT_COLUMNS,
    CALIBRATION_COLUMNS,
    COMPARISON_COLUMNS,
    CURVE_COLUMNS,
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
from gsigpu.cohort_statistics.groups.disagreements import disagreements
from gsigpu.cohort_statistics.readers import agreement
from gsigpu.cohort_statistics.roc import combined_models, comparisons, roc_frames
from gsigpu.cohort_statistics.within import within_frames
from gsigpu.report.cohort_results import Disagreement, Frames, Results, StatisticsSettings
from gsigpu.tables.counting import WITHIN_REGIONS
from gsigpu.tables.observations import Observations

Found = dict[str, pd.DataFrame]
# Fewer values than this are done before another process has started.
_WORTH_A_PROCESS = 20_000
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
}
_WITHOUT_PARAMETER = {"roc_comparisons", "models", "calibration"}
_ADJUSTED = ("omnibus", "pairwise", "roc", "roc_comparisons", "within")


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to compute.

    kind : of _KINDS
    parameters : one, or those that are compared and combined
    values : (n,) of one parameter, (n, K) of several
    lesions, readers : of agreement and of comparisons within lesions, else empty; the latter have their
        conditions in place of readers
    conditions : regions or phases that are compared within lesions, in order
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
        frames = _KINDS[self.kind](self)
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
    return {"roc": tables.roc, "roc_curves": tables.curves}


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
_KINDS: Mapping[str, Callable[[Task], Found]] = {
    "roc": _roc,
    "models": _models,
    "groups": _groups,
    "comparisons": _comparisons,
    "agreement": _agreement,
    "power": _power,
    "within": _within,
}


def _labelled(name: str, frame: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The frame with `track` and the member of the family in front."""
    parameter = None if name in _WITHOUT_PARAMETER else task.parameters[0]
    return labelled(
        frame.reset_index(drop=True), phase=task.phase, region=task.region, parameter=parameter
    )


def tasks_of(observations: Observations, settings: StatisticsSettings) -> list[Task]:
    """Everything to compute, in the order of the tables."""
    tasks: list[Task] = []
    for phase in observations.phases:
        for region in observations.regions:
            where = {"phase": phase, "region": region}
            cell = _rows(observations.table, where)
            present = tuple(
                parameter
                for parameter in observations.parameters
                if (cell["parameter"] == parameter).any()
            )
            make = partial(_task, observations.groups, settings, phase, region)
            for parameter in present:
                names = (parameter,)
                of_parameter = _rows(cell, {"parameter": parameter})
                values = of_parameter["value"].to_numpy(np.float64)
                tasks += [
                    make(kind, names, of_parameter, values) for kind in ("groups", "roc", "power")
                ]
                read = _rows(observations.by_reader, where | {"parameter": parameter})
                if read["reader"].nunique() > 1:
                    tasks.append(make("agreement", names, read, read["value"].to_numpy(np.float64)))
            if len(present) > 1:
                key = ["group", "patient_id", "lesion_id"]
                wide = cell.set_index([*key, "parameter"])["value"].unstack("parameter")
                table = wide.reindex(columns=list(present)).reset_index()
                columns = table[list(present)].to_numpy(np.float64)
                tasks += [make(kind, present, table, columns) for kind in ("comparisons", "models")]
    return [*tasks, *_within_tasks(observations, settings)]


def _within_tasks(observations: Observations, settings: StatisticsSettings) -> Iterator[Task]:
    """Regions of every phase, then phases of every region, where there are two or more."""
    table = observations.within
    regions = tuple(
        region
        for region in dict.fromkeys((*WITHIN_REGIONS, *observations.regions))
        if (table["region"] == region).any()
    )
    inside = tuple(region for region in regions if region in WITHIN_REGIONS)
    members = [("phase", phase, "region", inside) for phase in observations.phases]
    members += [("region", region, "phase", observations.phases) for region in regions]
    for fixed, value, compared, conditions in members:
        of_value = _rows(table, {fixed: value})
        for parameter in observations.parameters:
            cells = _rows(of_value, {"parameter": parameter})
            cells = cells[cells[compared].isin(conditions)]
            present = tuple(name for name in conditions if (cells[compared] == name).any())
            if len(present) < 2:
                continue
            phase, region = (value, "") if fixed == "phase" else ("", value)
            values = cells["value"].to_numpy(np.float64)
            task = _task(
                observations.groups, settings, phase, region, "within", (parameter,), cells, values
            )
            yield replace(task, readers=cells[compared].to_numpy(object), conditions=present)


def _rows(table: pd.DataFrame, where: Mapping[str, str]) -> pd.DataFrame:
    for name, value in where.items():
        table = table[table[name] == value]
    return table


def _task(
    order: tuple[str, ...],
    settings: StatisticsSettings,
    phase: str,
    region: str,
    kind: str,
    parameters: tuple[str, ...],
    table: pd.DataFrame,
    values: NDArray[Any],
) -> Task:
    none = np.array([], dtype=object)
    reads = kind in ("agreement", "within")
    return Task(
        kind=kind,
        phase=phase,
        region=region,
        parameters=parameters,
        values=values,
        groups=table["group"].to_numpy(object),
        patients=table["patient_id"].to_numpy(object),
        lesions=table["lesion_id"].to_numpy(object) if reads else none,
        readers=table["reader"].to_numpy(object) if reads else none,
        order=order,
        settings=settings,
    )


def analyse(
    observations: Observations,
    settings: StatisticsSettings,
    *,
    n_workers: int,
    progress: Callable[[int, int], None],
) -> Results:
    """All tests of a cohort; the same for any number of workers."""
    tasks = tasks_of(observations, settings)
    results = _run(tasks, n_workers=n_workers, progress=progress)
    frames = {name: _concatenated(name, results) for name in COLUMNS}
    for name in _ADJUSTED:
        frames[name] = multiplicity.adjust_over_all(frames[name])
    return Results(Frames(**frames), tuple(_disagreements(frames)), settings)


def _run(
    tasks: Sequence[Task], *, n_workers: int, progress: Callable[[int, int], None]
) -> list[Found]:
    results: list[Found] = [{} for _ in tasks]
    kinds = list(_KINDS)
    order = sorted(range(len(tasks)), key=lambda i: (kinds.index(tasks[i].kind), i))
    progress(0, len(tasks))
    if n_workers < 2 or sum(task.values.size for task in tasks) < _WORTH_A_PROCESS:
        for done, i in enumerate(order, start=1):
            results[i] = tasks[i].run()
            progress(done, len(tasks))
        return results
    # A fresh interpreter each: a copy of one with threads may wait for a lock that nobody holds.
    pool = ProcessPoolExecutor(n_workers, mp_context=get_context("spawn"), initializer=_one_thread)
    with pool:
        futures = {pool.submit(tasks[i].run): i for i in order}
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                results[futures[future]] = future.result()
                progress(done, len(tasks))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def _one_thread() -> None:
    """Processes already use the processors; threads of BLAS on top would fight for them."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def _concatenated(name: str, results: Sequence[Found]) -> pd.DataFrame:
    parts = [frames[name] for frames in results if name in frames and len(frames[name])]
    return pd.concat(parts, ignore_index=True) if parts else empty_frame(name)


def empty_frame(name: str) -> pd.DataFrame:
    """Of a test that does not apply: its columns and no row."""
    labels = ["phase", "region"] if name in _WITHOUT_PARAMETER else ["phase", "region", "parameter"]
    rest = [column for column in COLUMNS[name] if column != "track"]
    return pd.DataFrame(columns=["track", *labels, *rest])


def _disagreements(frames: Found) -> Iterator[Disagreement]:
    key = ["phase", "region", "parameter"]
    described = frames["descriptives"].groupby(key, sort=False)
    for name, of_parameter in frames["pairwise"].groupby(key, sort=False):
        sentences = disagreements(
            of_parameter[of_parameter["track"] == "paper"],
            of_parameter[of_parameter["track"] == "recommended"],
            described.get_group(name),
        )
        phase, region, parameter = (str(part) for part in name)
        yield Disagreement(phase, region, parameter, tuple(sentences))


assert set(COLUMNS) == {field.name for field in fields(Frames)}
