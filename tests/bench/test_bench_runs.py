"""Every benchmark runs. How fast is not for a test."""

import subprocess
import sys

import pytest

from tests.support.places import ROOT

BENCH = ROOT / "bench"


@pytest.mark.parametrize("script", sorted(path.name for path in BENCH.glob("bench_*.py")))
def test_quick_run(script):
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
