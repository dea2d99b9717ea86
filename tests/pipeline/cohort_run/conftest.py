"""One tiny study, of which all cases are copies."""

import pytest

from tests.support.cohort import Cohort, Faults, write_template


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return write_template(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def make_cohort(template, tmp_path_factory):
    return lambda n_cases: Cohort(tmp_path_factory.mktemp("cases"), template, n_cases)


@pytest.fixture
def faults(tmp_path, monkeypatch):
    return Faults(tmp_path, monkeypatch)


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
