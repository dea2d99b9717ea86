"""One study of two phases, for whose masks the tests of all verbs use."""

import pytest

from tests.support.mask_places import Place, written_study


@pytest.fixture(scope="session")
def studied(tmp_path_factory):
    return written_study(tmp_path_factory.mktemp("studied") / "study")


@pytest.fixture
def place(studied, tmp_path):
    folder, geometry, datasets = studied
    here = tmp_path / "here"
    here.mkdir()
    return Place(here, folder, geometry, datasets)


@pytest.fixture
def inline(monkeypatch):
    """Rows are measured in this process: for what isolation has no part in."""
    from gsigpu.pipeline.cohort_run.case import run_study

    def run_inline(task, tell):
        outcomes = []
        run_study(task, lambda number, stage, _: tell(task.rows[number], stage), outcomes.append)
        return outcomes

    def call_inline(function, *arguments, **_):
        return function(*arguments)

    monkeypatch.setattr("gsigpu.pipeline.cohort_run.run_cohort.run_isolated", run_inline)
    monkeypatch.setattr("gsigpu.pipeline.cohort_run.cohort_plan.call_isolated", call_inline)
