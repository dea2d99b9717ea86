"""Cohorts compared in memory: results without the files and figures that most tests do not look at."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
import pytest

from gsigpu.pipeline.cohort_stats import draw_figures, write_statistics
from gsigpu.pipeline.cohort_stats.declared_beforehand import require_planned, with_plan
from gsigpu.pipeline.cohort_stats.family_members import analyse
from gsigpu.report.cohort_results import Results, StatisticsSettings
from gsigpu.report.figure_style import save
from gsigpu.report.page import Tables, render, tables_of
from gsigpu.report.table_files import in_file_order
from gsigpu.tables.observations import Choice, Observations, read_observations


@dataclass(frozen=True)
class Compared:
    """What `cohort_stats` computes before it writes."""

    observations: Observations
    results: Results

    def frame(self, name: str) -> pd.DataFrame:
        """One of the results by the name of its file, numbers that a file would hold."""
        return in_file_order(name, self.results.frames.named()[name])

    def tables(self) -> Tables:
        """Those of the page."""
        return tables_of(self.observations, self.results)

    def page(self) -> str:
        """The page without figures."""
        return render(self.observations, self.results, self.tables(), [], [], "0")


def compared(table, folder, *, choice=None, settings=None) -> Compared:
    """The tests of a table, which is read from a file as a user's is."""
    choice, settings = with_plan(choice or Choice(), settings or StatisticsSettings(replicates=100))
    path = folder / "t.csv"
    table.to_csv(path, index=False)
    observations = read_observations(
        path, replace(choice, columns=settings.columns), plan=settings.plan
    )
    if settings.plan is not None:
        require_planned(observations, settings.plan)
    results = analyse(observations, settings, progress=lambda _done, _total: None)
    return Compared(observations, results)


@contextmanager
def figures_of_the_page_alone():
    """`cohort_stats` inside saves SVG alone, which the page holds: pictures and PDF cost more than the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw_figures, "save", partial(save, kinds=("svg",)))
        yield


@contextmanager
def without_figures():
    """`cohort_stats` inside draws nothing: figures are most of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_statistics, "KINDS", {})
        yield
