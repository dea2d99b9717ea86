"""The same tasks on a Dask cluster: a real scheduler, workers as processes, one of them killed."""

import psutil
import pytest

from gsigpu.errors import BackendError
from gsigpu.pipeline.cohort_run.run_cohort import CohortOptions, run_cohort


def is_at_work(child):
    """Whether it is the process that measures, and neither gone nor waiting to be collected."""
    try:
        return "child_main" in " ".join(child.cmdline())
    except psutil.Error:
        return False


def test_a_worker_killed_in_mid_run(cluster, make_cohort, faults, tmp_path):
    address, workers = cluster
    cohort, out = make_cohort(6), tmp_path / "out"
    faults.set({row["case_id"]: "slow 0.5" for row in cohort.rows} | {"C03": "codec crash"})
    children = []

    def kill_one(state):
        if state.n_done >= 1 and not children:
            present = psutil.Process(workers[0].pid).children(recursive=True)
            if any(is_at_work(child) for child in present):  # else one crashed just now
                children.extend(present)
                workers[0].kill()

    options = CohortOptions(scheduler=address, timeout_s=60.0)
    result = run_cohort(cohort.manifest, out, options=options, watch=kill_one)
    assert children, "the worker was not killed in mid-run"
    assert workers[0].wait() < 0
    assert workers[1].poll() is None
    assert (result.n_done + result.n_skipped, result.n_failed) == (5, 1)
    assert "SIGSEGV" in (out / "failures.csv").read_text()
    assert not psutil.wait_procs(children, timeout=20)[1], "its child outlives it"
    local = run_cohort(cohort.manifest, out, options=CohortOptions(workers=1))
    assert (local.n_done, local.n_skipped, local.n_failed) == (0, 5, 1)


def test_no_scheduler(make_cohort, tmp_path, monkeypatch):
    monkeypatch.setattr("gsigpu.pipeline.cohort_run.pool._CONNECT_S", 0.5)
    manifest = make_cohort(1).manifest
    options = CohortOptions(scheduler="tcp://127.0.0.1:9")
    with pytest.raises(BackendError, match="no Dask scheduler answers"):
        run_cohort(manifest, tmp_path / "out", options=options)


def test_a_cluster_that_grows_with_the_work_and_shrinks_in_mid_run(make_cohort, faults, tmp_path):
    """Dask's adaptive scaling: no worker at the start, then two, then one, which may be taken from a row."""
    from distributed import LocalCluster

    cohort, out = make_cohort(5), tmp_path / "out"
    faults.set({row["case_id"]: "slow 0.7" for row in cohort.rows})
    n_workers, is_smaller = [], []
    with LocalCluster(
        n_workers=0, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        often = {"minimum": 0, "interval": "50ms", "wait_count": 1, "target_duration": "500ms"}
        cluster.adapt(maximum=2, **often)
        assert not cluster.workers

        def watch(state):
            n_workers.append(len(cluster.scheduler.workers))
            if max(n_workers) == 2 and state.n_done >= 1 and not is_smaller:
                is_smaller.append(state.n_done)
                cluster.adapt(maximum=1, **often)

        options = CohortOptions(scheduler=cluster.scheduler_address, timeout_s=60.0)
        result = run_cohort(cohort.manifest, out, options=options, watch=watch)
    assert (result.n_done + result.n_skipped, result.n_failed) == (5, 0)
    assert is_smaller[0] < 5
    assert n_workers[-1] <= 1
    local = run_cohort(cohort.manifest, out, options=CohortOptions(workers=1))
    assert (local.n_done, local.n_skipped) == (0, 5)
