"""A mount that is dead hangs a worker, never the run; a named pipe that nobody writes to stands in for it."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest

from gsigpu.errors import OutputError
from gsigpu.pipeline.cohort_run import run_lock
from gsigpu.pipeline.cohort_run.run_cohort import CohortOptions, run_cohort
from gsigpu.tables.measurement_table import read_table
from tests.support.processes import started_program


def hang(path):
    """Whoever opens it to read waits for ever."""
    path.unlink()
    os.mkfifo(path)


def children_of(process):
    return psutil.Process(process.pid).children(recursive=True)


def wait_for(condition, seconds=60.0):
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds
        time.sleep(0.05)


@pytest.fixture
def cohort(make_cohort):
    cohort = make_cohort(2)
    hang(cohort.folder / "C02/masks/lesions.nii.gz")
    return cohort


@pytest.fixture
def started(cohort, tmp_path):
    """A run without --timeout that hangs at its second row, and its children."""
    out = tmp_path / "out"
    words = [sys.executable, "-m", "gsigpu", "cohort", "run", cohort.manifest, "-o", out]
    with started_program(
        [*words, "--workers", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_for(lambda: list(out.glob("cases/C01*/[!.]*.parquet")))
        wait_for(lambda: "C02" in (out / "status.json").read_text())
        yield process, children_of(process), out


def test_a_time_limit_fails_the_row_alone(cohort, tmp_path):
    out = tmp_path / "out"
    result = run_cohort(cohort.manifest, out, options=CohortOptions(workers=1, timeout_s=4.0))
    assert (result.n_done, result.n_failed) == (1, 1)
    failures = pd.read_csv(out / "failures.csv")
    assert failures.stage.tolist() == ["inputs"]
    assert "took longer than 4 s" in failures.reason[0]
    assert set(read_table(out / "measurements.csv").case_id) == {"C01"}


def test_ctrl_c_ends_it(started):
    process, children, out = started
    assert json.loads((out / "status.json").read_text())["running"][0]["stage"] == "inputs"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_workers_end_with_their_parent(started):
    process, children, _ = started
    assert children
    process.kill()
    assert not psutil.wait_procs(children, timeout=10)[1], "workers outlive their parent"


def test_a_manifest_that_hangs_ends_with_ctrl_c(cohort, tmp_path):
    hang(cohort.manifest)
    words = [sys.executable, "-m", "gsigpu", "cohort", "run", cohort.manifest, "-o", tmp_path / "o"]
    with started_program(words, stderr=subprocess.PIPE) as process:
        wait_for(lambda: children_of(process))
        time.sleep(1.0)
        children = children_of(process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    # Where Python was interrupted in the import of some compiled modules it dies of the signal after all was tidied up,
    # which any shell has for 130 too.
    assert process.returncode in (130, -signal.SIGINT)
    assert not psutil.wait_procs(children, timeout=10)[1]


def without_locks(monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks(make_cohort, inline, monkeypatch, tmp_path, number):
    cohort, out = make_cohort(1), tmp_path / "out"
    without_locks(monkeypatch, number)
    result = run_cohort(cohort.manifest, out)
    assert result.is_complete
    assert "has no locks" in result.warnings[0]
    assert not (out / ".lock-owner").exists()
    with run_lock.locked(out), pytest.raises(OutputError, match="is at work on it"):
        run_cohort(cohort.manifest, out)
    # One that was killed on this machine is taken over, one elsewhere is not.
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    owner = {"host": os.uname().nodename, "process": int(dead.stdout)}
    (out / ".lock-owner").write_text(json.dumps(owner))
    assert run_cohort(cohort.manifest, out).is_complete
    (out / ".lock-owner").write_text(json.dumps({**owner, "host": "elsewhere"}))
    with pytest.raises(OutputError, match=f"rm {out}/.lock-owner"):
        run_cohort(cohort.manifest, out)
