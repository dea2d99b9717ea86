"""The whole flow on a synthetic cohort: studies, maps, measurements, statistics, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from time import perf_counter

import pandas as pd

from gsigpu.choices import PRIMARIES
from gsigpu.cohort_statistics.roc.curve import Direction
from gsigpu.phantom import PhantomCohort, PhantomCohortSettings, write_phantom_cohort
from gsigpu.phantom.write_phantom import Progress
from gsigpu.pipeline.cohort_run.cohort_result import CohortResult
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from gsigpu.pipeline.cohort_run.run_state import RunState
from gsigpu.pipeline.cohort_stats.write_statistics import CohortStatistics, cohort_stats
from gsigpu.pipeline.demo.demo_truth import TruthComparison
from gsigpu.pipeline.progress import Watcher
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.tables.measurement_table import read_table
from gsigpu.tables.observations import Choice

_SETTINGS = PhantomCohortSettings(seed=12)
_MAPS = ("lambda-hu", "iodine")
_LARGEST_MM = 30.0  # as in the source study
_PHASE = "PVP"
_REGION = "rim"
_REGIONS = ("core", "rim")
_PARAMETERS = ("ct_value", "iodine", "lambda_hu")
_MOST_IODINE_FIRST = ("breast", "lung", "gastric", "colorectal", "pancreatic")
_REPLICATES = 1000
# The second reader drew a part of the lesions, to show how far two readers agree.
_READER = "A"


@dataclass(frozen=True, slots=True)
class CohortDemo:
    """What the demo did with a cohort.

    made : what was made, for a person
    groups : of the rim in the portal venous phase
    """

    made: str
    run: CohortResult
    groups: list[TruthComparison]
    statistics: CohortStatistics


def run_cohort_demo(folder: Path, *, watcher: Watcher) -> CohortDemo:
    """Writes `cohort/` (studies and manifest), `run/` and `report/` into an existing folder."""
    begun = perf_counter()
    with watcher.stage("studies") as progress:
        cohort = write_phantom_cohort(folder / "cohort", _SETTINGS, progress=progress)
    n_lesions = sum(len(truth.lesions) for truth in cohort.truths)
    made = (
        f"made     a synthetic cohort in {perf_counter() - begun:.1f} s: {len(cohort.truths)} patients,"
        f" {n_lesions} lesions, {' and '.join(_SETTINGS.study.phases)}"
    )
    with watcher.stage("cohort") as progress:
        run = run_cohort(
            cohort.manifest,
            folder / "run",
            settings=CohortSettings(maps=_MAPS),
            rules=InclusionRules(confirmed_only=True, max_diameter_mm=_LARGEST_MM),
            watch=_watch(progress),
        )
    statistics = cohort_stats(
        folder / "run",
        folder / "report",
        choice=Choice(groups=PRIMARIES, regions=_REGIONS, reader=_READER),
        settings=StatisticsSettings(replicates=_REPLICATES, pair_directions=_directions()),
        patients=cohort.manifest,
        watcher=watcher,
    )
    return CohortDemo(
        made=made, run=run, groups=_compare(cohort, folder / "run"), statistics=statistics
    )


def _directions() -> dict[tuple[str, str, str], Direction]:
    """Which of two primaries is taken to have more iodine: known beforehand, as the phantom's table is."""
    return {
        (parameter, more, less): "higher"
        for parameter in _PARAMETERS
        for more, less in combinations(_MOST_IODINE_FIRST, 2)
    }


def _watch(progress: Progress) -> Callable[[RunState], None]:
    return lambda state: progress(state.n_settled, state.n_rows)


def _compare(cohort: PhantomCohort, run: Path) -> list[TruthComparison]:
    """Group by group, over the lesions that the first reader measured."""
    keys = ["patient_id", "lesion_id", "group", "phase", "region", "parameter"]
    measured = read_table(run / "measurements.csv")
    measured = measured[(measured.statistic == "mean") & (measured.reader == _READER)]
    true = pd.read_csv(cohort.folder / "truth.csv", dtype={"lesion_id": "str"})
    both = measured.merge(true, on=keys, suffixes=("", "_true"))
    both = both[(both.phase == _PHASE) & (both.region == _REGION)]
    comparisons = []
    for primary in PRIMARIES:
        iodine, slope = (
            both[(both.group == primary) & (both.parameter == parameter)]
            for parameter in ("iodine", "lambda_hu")
        )
        comparisons.append(
            TruthComparison(
                name=primary,
                n=len(iodine),
                iodine_mg_per_ml=float(iodine.value.mean()),
                true_iodine_mg_per_ml=float(iodine.value_true.mean()),
                lambda_hu=float(slope.value.mean()),
                true_lambda_hu=float(slope.value_true.mean()),
            )
        )
    return comparisons
