"""Figures that another process drew are those that this one draws."""

import shutil

import pytest

from gsigpu.errors import InputError
from gsigpu.pipeline.cohort_stats import processes
from gsigpu.pipeline.cohort_stats.draw_figures import Figures, Sheets, draw
from gsigpu.pipeline.cohort_stats.processes import Processes
from gsigpu.tables.observations import Choice, read_observations
from tests.support.cohort_tables import measurement_table


@pytest.fixture(scope="module")
def sheets(tmp_path_factory):
    table = measurement_table(
        groups=("lung", "breast"), patients=(4, 4), phases=("AP",), curves=False, profiles=False
    )
    folder = tmp_path_factory.mktemp("drawn")
    table[table["parameter"] == "iodine"].to_csv(folder / "t.csv", index=False)
    observations = read_observations(
        folder / "t.csv", Choice(parameters=("iodine",), regions=("core",))
    )
    # Figures of values need no results.
    return Sheets(observations, None, "", folder / "figures")


def test_another_process_draws_the_same_bytes(sheets, monkeypatch):
    here = draw("distributions", sheets)
    files = {path.name: path.read_bytes() for path in sheets.folder.iterdir()}
    assert len(files) == 3 * len(here) == 3
    for name in files:
        (sheets.folder / name).unlink()
    monkeypatch.setattr(processes, "WORTH_A_PROCESS", 0)
    with Processes(2) as workers, Figures(sheets, workers, ["distributions"]) as figures:
        elsewhere = figures.of("distributions")
    assert elsewhere == here
    assert {path.name: path.read_bytes() for path in sheets.folder.iterdir()} == files


def test_a_small_table_is_drawn_when_it_is_called_for(sheets, monkeypatch):
    monkeypatch.setattr(processes, "ProcessPoolExecutor", None)
    with Processes(2) as workers, Figures(sheets, workers, ["distributions"]) as figures:
        assert [drawn.name for drawn in figures.of("distributions")] == ["distribution_iodine"]


def test_after_an_error_no_process_writes_figures(sheets, monkeypatch):
    """The folder of a run that failed is taken away, and nobody may make it anew."""
    monkeypatch.setattr(processes, "WORTH_A_PROCESS", 0)
    shutil.rmtree(sheets.folder, ignore_errors=True)
    with (
        pytest.raises(InputError),
        Processes(2) as workers,
        Figures(sheets, workers, ["distributions"]) as figures,
    ):
        raise InputError("a value is infinite")
    assert all(part.done() for parts in figures._futures.values() for part in parts)
