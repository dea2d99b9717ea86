"""Parts of a run on many machines, and the call that joins them; what a lost run still does elsewhere."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from gsigpu.errors import BackendError, OutputError, SettingsError
from gsigpu.pipeline.cohort_run.case import run_study
from gsigpu.pipeline.cohort_run.checks import CohortOptions
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings, StudyTask
from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
from gsigpu.pipeline.cohort_run.isolation import run_isolated
from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
from gsigpu.pipeline.cohort_run.run_lock import locked
from gsigpu.pipeline.cohort_run.run_state import read_status
from gsigpu.pipeline.cohort_run.run_token import take_over
from gsigpu.tables.manifest import read_manifest

RULES = InclusionRules(max_diameter_mm=26.0)


@pytest.fixture(scope="module")
def cohort(make_cohort):
    return make_cohort(5)


def test_shards_and_a_joining_call_are_one_run(cohort, inline, tmp_path):
    out, whole = tmp_path / "out", tmp_path / "whole"
    run_cohort(cohort.manifest, whole, rules=RULES)

    def shard(number):
        options = CohortOptions(workers=1, shard=(number, 3))
        return run_cohort(cohort.manifest, out, rules=RULES, options=options)

    with ThreadPoolExecutor(3) as pool:  # side by side
        results = list(pool.map(shard, (1, 2, 3)))
    assert [result.n_done for result in results] == [2, 2, 1]
    assert all(result.tables is None for result in results)
    assert not (out / "measurements.csv").exists()
    status = read_status(out)
    assert (status["state"], status["n_rows"], status["n_done"]) == ("finished", 5, 5)
    assert len(status["shards"]) == 3
    joined = run_cohort(cohort.manifest, out, options=CohortOptions(join=True))
    assert (joined.n_done, joined.n_skipped) == (0, 5)
    assert joined.is_complete
    for name in ("measurements.csv", "exclusions.csv", "failures.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    calls = json.loads((out / "run.json").read_text())["calls"]
    assert sorted(call["call"] for call in calls) == [
        "join", "shard 1-of-3", "shard 2-of-3", "shard 3-of-3",
    ]  # fmt: skip
    assert all(call["how"] == "finished" for call in calls)


def test_a_join_measures_nothing(cohort, inline, tmp_path):
    out = tmp_path / "out"
    run_cohort(cohort.manifest, out, options=CohortOptions(shard=(1, 5)))
    joined = run_cohort(cohort.manifest, out, options=CohortOptions(join=True))
    assert (joined.n_done, joined.n_skipped, joined.n_left) == (0, 1, 4)
    assert not joined.is_complete
    rest = run_cohort(cohort.manifest, out)
    assert (rest.n_done, rest.n_skipped) == (4, 1)


def test_a_limit(cohort, inline, tmp_path):
    out = tmp_path / "out"
    for expected in ((2, 0, 3), (2, 2, 1), (1, 4, 0)):
        result = run_cohort(cohort.manifest, out, options=CohortOptions(limit=2))
        assert (result.n_done, result.n_skipped, result.n_left) == expected


def test_what_goes_together(cohort, tmp_path):
    with pytest.raises(SettingsError, match="shard 4/3"):
        CohortOptions(shard=(4, 3))
    with pytest.raises(SettingsError, match="leave out --join"):
        CohortOptions(shard=(1, 3), join=True)
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out", "1-of-2"), locked(tmp_path / "out", "2-of-2"):
        for shard in ("", "1-of-2"):
            with pytest.raises(OutputError, match="another run"), locked(tmp_path / "out", shard):
                pass


def task_of(cohort, out, token, **more):
    (out / "cases").mkdir(parents=True, exist_ok=True)
    rows = tuple(read_manifest(cohort.manifest)[:1])
    return StudyTask(out=out, rows=rows, settings=CohortSettings(), token=token, **more)


@pytest.mark.parametrize("shard", ["", "1-of-2"])
def test_a_task_of_a_lost_run_leaves_the_results_alone(cohort, tmp_path, shard):
    out = tmp_path / "out"
    out.mkdir()
    task = task_of(cohort, out, take_over(out, shard), shard=shard)
    later = take_over(out)  # a later run, whole
    outcomes = []
    run_study(task, lambda *_: None, outcomes.append)
    assert [outcome.status for outcome in outcomes] == ["stopped"]
    assert not list(out.glob("cases/*/*.parquet"))
    assert not list(out.glob("cases/*/*.json"))
    outcomes.clear()
    run_study(task_of(cohort, out, later), lambda *_: None, outcomes.append)
    assert [outcome.status for outcome in outcomes] == ["done"]


def test_a_worker_with_another_version_measures_nothing(cohort, tmp_path):
    """One that joins a cluster late was not asked at the start."""
    task = task_of(cohort, tmp_path / "out", "", version="0.0.1")
    with pytest.raises(BackendError, match="a worker has gsigpu"):
        run_isolated(task)
    assert not list((tmp_path / "out/cases").iterdir())
