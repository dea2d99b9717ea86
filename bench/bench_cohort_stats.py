"""How long do the statistics of a cohort of ten thousand lesions take, and how far is the bootstrap from a loop?

The cohort: five groups, 2 to 3 lesions per patient, two phases, core and rim, CT value, iodine and λHU.
The whole is `gsigpu cohort stats` on the table as a file, from reading to the report. The bootstrap of
one family member is compared with what a script would do: draw patients in a loop, collect their
lesions, call scikit-learn's `roc_auc_score`; the loop is timed on few replicates and scaled.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from common import arguments, interleaved, report, scratch
from machine import N_CORES

from gsigpu.cohort_statistics.roc.roc_frames import roc_tables
from gsigpu.cohort_statistics.roc.roc_settings import RocSettings
from gsigpu.pipeline.cohort_stats.write_statistics import cohort_stats
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.tables.observations import Choice

GROUPS = ("colorectal", "gastric", "pancreatic", "lung", "breast")
LOOPED = 20  # replicates that the loop is timed on


def cohort(n_lesions: int, groups: tuple[str, ...] = GROUPS, seed: int = 0) -> pd.DataFrame:
    """A measurement table of means, n_lesions lesions in all."""
    rng = np.random.default_rng(seed)
    n_patients = n_lesions * 2 // 5
    patient = np.sort(
        np.concatenate([np.arange(n_patients), rng.integers(0, n_patients, n_lesions - n_patients)])
    )
    group = np.array(groups)[patient % len(groups)]
    number = pd.Series(patient).groupby(patient).cumcount().to_numpy() + 1
    patient_effect = rng.normal(0, 0.3, n_patients)[patient]
    level = np.linspace(0.8, 1.4, len(groups))[patient % len(groups)]
    parts = []
    for phase, gain in (("AP", 1.0), ("PVP", 1.4)):
        for region, share in (("core", 1.0), ("rim", 1.5)):
            iodine = gain * share * (level + patient_effect) + rng.normal(0, 0.3, n_lesions)
            for parameter, value in (
                ("iodine", iodine),
                ("lambda_hu", 0.424 * iodine + rng.normal(0, 0.05, n_lesions)),
                ("ct_value", 50 + 26 * iodine + rng.normal(0, 4, n_lesions)),
            ):
                parts.append(
                    pd.DataFrame(
                        {
                            "patient_id": [f"p{number:05d}" for number in patient],
                            "lesion_id": number.astype(str),
                            "group": group,
                            "phase": phase,
                            "region": region,
                            "parameter": parameter,
                            "value": value,
                        }
                    )
                )
    return pd.concat(parts, ignore_index=True)


def looped(member: pd.DataFrame, n_replicates: int) -> np.ndarray:
    """What a script does: patients drawn in a loop, their lesions collected, one area per pair."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    lesions = {
        group: [of_patient["value"].to_numpy() for _, of_patient in of_group.groupby("patient_id")]
        for group, of_group in member.groupby("group")
    }
    areas = []
    for _ in range(n_replicates):
        drawn = {
            group: np.concatenate(
                [of_patient[i] for i in rng.integers(0, len(of_patient), len(of_patient))]
            )
            for group, of_patient in lesions.items()
        }
        for i, a in enumerate(drawn):
            for b in list(drawn)[i + 1 :]:
                values = np.concatenate([drawn[a], drawn[b]])
                labels = np.repeat([1, 0], [drawn[a].size, drawn[b].size])
                areas.append(roc_auc_score(labels, values))
    return np.array(areas)


class Stages:
    """How long each stage took: what `cohort_stats` tells a watcher."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Times the block."""
        begun = perf_counter()
        yield lambda _done, _total: None
        self.seconds[name] = perf_counter() - begun


def processor_seconds() -> float:
    """Of this process, of those it has waited for, and of the one that its workers are copies of (proc(5))."""
    seconds = sum(os.times()[:4])
    imports = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
    stat = Path(f"/proc/{imports}/stat")
    if imports is not None and stat.exists():
        ticks = stat.read_text().rpartition(")")[2].split()[11:15]  # utime, stime, cutime, cstime
        seconds += sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return seconds


def whole(
    path: Path, out: Path, groups: tuple[str, ...], replicates: int, n_workers: int, quick: bool
) -> dict[str, str]:
    """What a run took, from the table as a file to the report."""
    stages, begun, before = Stages(), perf_counter(), processor_seconds()
    cohort_stats(
        path,
        out,
        choice=Choice(groups=groups, regions=("rim",) if quick else ()),
        settings=StatisticsSettings(replicates=replicates),
        n_workers=n_workers,
        watcher=stages,
    )
    taken, used = perf_counter() - begun, processor_seconds() - before
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    n_bytes = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    page = (out / "report.html").stat().st_size
    return {
        "time": f"{taken:.1f} s",
        **{f"of it: {name}": f"{seconds:.1f} s" for name, seconds in stages.seconds.items()},
        "processor time": f"{used:.1f} s",
        "largest process": f"{peak / 2**20:.1f} GiB",
        "written": f"{n_bytes / 2**20:.0f} MiB, the page {page / 2**20:.1f} MiB",
    }


def main() -> None:
    options = arguments(__doc__.splitlines()[0], lesions=10_000, replicates=2000, workers=0)
    n_lesions = 100 if options.quick else options.lesions
    replicates = 100 if options.quick else options.replicates
    groups = GROUPS[:2] if options.quick else GROUPS
    table = cohort(n_lesions, groups)
    lines = [
        f"{n_lesions:,} lesions of {table['patient_id'].nunique():,} patients, {len(table):,} values, {replicates:,} replicates.",
        "",
    ]
    with scratch() as folder:
        path = Path(folder) / "table.csv"
        table.to_csv(path, index=False)
        counts = [options.workers] if options.workers else sorted({1, N_CORES}, reverse=True)
        runs = [
            whole(path, Path(folder) / f"out{n}", groups, replicates, n, options.quick)
            for n in counts
        ]
    lines += [
        "| `gsigpu cohort stats`, all of it | "
        + " | ".join(f"{n} processes" for n in counts)
        + " |",
        "|---|" + "---:|" * len(counts),
        *("| " + " | ".join([name, *(run[name] for run in runs)]) + " |" for name in runs[0]),
        "",
        "The largest process is that of all runs so far. Aim: 15 s on two quiet cores, and two processes faster than one.",
        "",
    ]
    member = table[
        (table["phase"] == "AP") & (table["region"] == "rim") & (table["parameter"] == "iodine")
    ]
    arrays = [member[name].to_numpy() for name in ("value", "group", "patient_id")]
    settings = RocSettings(n_replicates=replicates)
    seconds = interleaved(
        1 if options.quick else min(options.repeats, 3),
        tables=lambda: roc_tables(*arrays, order=groups, seed=0, settings=settings),
        loop=lambda: looped(member, LOOPED),
    )
    timings, loop = np.median(seconds["tables"]), np.median(seconds["loop"]) * replicates / LOOPED
    lines += [
        f"| ROC of one phase, region and parameter, {len(groups) * (len(groups) - 1) // 2} pairs | s | time / gsigpu |",
        "|---|---:|---:|",
        f"| gsigpu: areas, curves, bands, cut-offs, optimism | {timings:.1f} | 1 |",
        f"| a loop with scikit-learn, areas alone (scaled from {LOOPED} replicates) | {loop:.0f} | {loop / timings:.0f} |",
    ]
    report("cohort_stats", lines, save=options.save)


if __name__ == "__main__":
    main()
