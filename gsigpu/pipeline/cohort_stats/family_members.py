"""The statistics as tasks: each member of the family by itself, on as many processors as there are.

A member is one phase, region and parameter. Its random numbers follow from the seed and its name, so
that neither the order of the tasks nor the number of processes changes a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gsigpu.cohort_statistics import multiplicity
from gsigpu.cohort_statistics.groups.disagreements import disagreements
from gsigpu.pipeline.cohort_stats.declared_beforehand import marked
from gsigpu.pipeline.cohort_stats.family_tasks import COLUMNS, KINDS, WITHOUT_PARAMETER, run_task
from gsigpu.pipeline.cohort_stats.further_tasks import further_of_member, kappa_frame
from gsigpu.pipeline.cohort_stats.harmonise import HarmonisedSites, harmonised_sites
from gsigpu.pipeline.cohort_stats.processes import Processes
from gsigpu.pipeline.cohort_stats.statistics_task import NamedFrames, Task
from gsigpu.report.cohort_results import Disagreement, Frames, Results, StatisticsSettings
from gsigpu.tables.counting import WITHIN_REGIONS
from gsigpu.tables.observations import Observations

_ADJUSTED = (
    "omnibus", "pairwise", "roc", "roc_comparisons", "within", "against_rest", "multiclass",
    "adjusted_roc", "reader_comparisons",
)  # fmt: skip
# With two groups the rest is the other group, and the areas stand in roc already.
_LEAST_GROUPS_WITH_A_REST = 3


def tasks_of(
    observations: Observations,
    settings: StatisticsSettings,
    harmonised: HarmonisedSites | None = None,
) -> list[Task]:
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
                if len(observations.groups) >= _LEAST_GROUPS_WITH_A_REST:
                    tasks.append(make("against_rest", names, of_parameter, values))
                read = _rows(observations.by_reader, where | {"parameter": parameter})
                if read["reader"].nunique() > 1:
                    tasks.append(make("agreement", names, read, read["value"].to_numpy(np.float64)))
                again = _rows(observations.repeats, where | {"parameter": parameter})
                if len(again):
                    tasks.append(make("repeats", names, again, again["value"].to_numpy(np.float64)))
                tasks += further_of_member(
                    make("", names, of_parameter, values),
                    of_parameter,
                    read,
                    observations,
                    None
                    if harmonised is None
                    else _rows(harmonised.table, where | {"parameter": parameter}),
                )
            if len(present) > 1:
                key = ["group", "patient_id", "lesion_id"]
                wide = cell.set_index([*key, "parameter"])["value"].unstack("parameter")
                table = wide.reindex(columns=list(present)).reset_index()
                columns = table[list(present)].to_numpy(np.float64)
                tasks += [make(kind, present, table, columns) for kind in ("comparisons", "models")]
                read = _rows(observations.by_reader, where)
                if read["reader"].nunique() > 1:
                    task = make("reader_comparisons", present, table, columns)
                    tasks.append(replace(task, tables={"by_reader": read}))
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
            yield replace(task, readers=_shared(cells[compared]), conditions=present)


def _rows(table: pd.DataFrame, where: Mapping[str, str]) -> pd.DataFrame:
    for name, value in where.items():
        table = table[table[name] == value]
    return table


def _shared(names: pd.Series) -> NDArray[Any]:
    """As objects, each name one object: small on its way to another process, where it is sent once."""
    codes, distinct = pd.factorize(names, use_na_sentinel=False)
    return np.asarray(distinct, dtype=object)[codes]


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
    reads = kind in ("agreement", "within", "repeats")
    return Task(
        kind=kind,
        phase=phase,
        region=region,
        parameters=parameters,
        values=values,
        groups=_shared(table["group"]),
        patients=_shared(table["patient_id"]),
        lesions=_shared(table["lesion_id"]) if reads else none,
        readers=_shared(table["reader"]) if reads else none,
        order=order,
        settings=settings,
    )


def analyse(
    observations: Observations,
    settings: StatisticsSettings,
    *,
    progress: Callable[[int, int], None],
    processes: Processes | None = None,
    applied: pd.DataFrame | None = None,
) -> Results:
    """All tests of a cohort; the same for any number of workers.

    processes : that may be used; this one alone where none are given
    applied : cut-offs of another study (`tables.cutoff_table`), judged beside those of this one
    """
    harmonised = harmonised_sites(observations, settings)
    tasks = tasks_of(observations, settings, harmonised)
    if applied is not None:
        tasks = [_with_cutoffs(task, applied) if task.kind == "roc" else task for task in tasks]
    results = _run(tasks, processes or Processes(1), progress)
    frames = {name: _concatenated(name, results) for name in COLUMNS}
    if harmonised is not None:
        frames["combat"] = harmonised.frame
    frames["kappa"] = kappa_frame(observations, frames["roc"], settings.confidence)
    for name in _ADJUSTED:
        frames[name] = multiplicity.adjust_over_all(frames[name])
    disagreeing = tuple(_disagreements(frames))
    if settings.plan is not None:
        frames = marked(frames, settings.plan)
    return Results(Frames(**frames), disagreeing, settings)


def _with_cutoffs(task: Task, applied: pd.DataFrame) -> Task:
    member = {"phase": task.phase, "region": task.region, "parameter": task.parameters[0]}
    return replace(task, tables={"applied": _rows(applied, member)})


def _run(
    tasks: Sequence[Task], processes: Processes, progress: Callable[[int, int], None]
) -> list[NamedFrames]:
    results: list[NamedFrames] = [{} for _ in tasks]
    kinds = list(KINDS)
    order = sorted(range(len(tasks)), key=lambda i: (kinds.index(tasks[i].kind), i))
    progress(0, len(tasks))
    if not processes.worth(sum(task.values.size for task in tasks)):
        for done, i in enumerate(order, start=1):
            results[i] = run_task(tasks[i])
            progress(done, len(tasks))
        return results
    futures = {processes.pool.submit(run_task, tasks[i]): i for i in order}
    for done, future in enumerate(as_completed(futures), start=1):
        results[futures[future]] = future.result()
        progress(done, len(tasks))
    return results


def _concatenated(name: str, results: Sequence[NamedFrames]) -> pd.DataFrame:
    parts = [frames[name] for frames in results if name in frames and len(frames[name])]
    return pd.concat(parts, ignore_index=True) if parts else empty_frame(name)


def empty_frame(name: str) -> pd.DataFrame:
    """Of a test that does not apply: its columns and no row."""
    labels = ["phase", "region"] if name in WITHOUT_PARAMETER else ["phase", "region", "parameter"]
    rest = [column for column in COLUMNS[name] if column != "track"]
    return pd.DataFrame(columns=["track", *labels, *rest])


def _disagreements(frames: NamedFrames) -> Iterator[Disagreement]:
    key = ["phase", "region", "parameter"]
    described = frames["descriptives"].groupby(key, sort=False)
    for name, of_parameter in frames["pairwise"].groupby(key, sort=False):
        pairs = disagreements(
            of_parameter[of_parameter["track"] == "paper"],
            of_parameter[of_parameter["track"] == "recommended"],
            described.get_group(name),
            decides="p_holm_all",
        )
        phase, region, parameter = (str(part) for part in name)
        yield Disagreement(phase=phase, region=region, parameter=parameter, pairs=tuple(pairs))


assert set(COLUMNS) == {field.name for field in fields(Frames)}
