"""Every benchmark runs. How fast is not for a test."""

import os
import subprocess
import sys

import pytest

from tests.support.places import ROOT

BENCH = ROOT / "bench"
# Together two minutes of a suite that has twenty: they run where CI is not set, and before a release.
LONG = {
    "bench_cohort.py",
    "bench_map_study.py",
    "bench_measure.py",
    "bench_measure_shapes.py",
    "bench_writing.py",
    "bench_gallery.py",
    "bench_registration.py",
    "bench_review.py",
    "bench_cohort_stats.py",
    "bench_cohort_tables.py",
    "bench_honesty.py",
    "bench_honesty_extended.py",
    "bench_measure_accuracy.py",
}


@pytest.mark.parametrize("script", sorted(path.name for path in BENCH.glob("bench_*.py")))
def test_quick_run(script):
    if script in LONG and os.environ.get("CI"):
        pytest.skip("long; it runs where CI is not set")
    done = subprocess.run(
        [sys.executable, script, "--quick"], cwd=BENCH, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "|" in done.stdout


def test_the_command_that_runs_all():
    command = [sys.executable, "run_all.py", "--quick", "--repeats", "1", "--only", "maps"]
    done = subprocess.run(command, cwd=BENCH, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "(worst)" in done.stdout
    assert "maps: after" in done.stdout
