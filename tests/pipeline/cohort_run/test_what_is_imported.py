"""What `cohort run` imports to measure plain rows, as a budget: a clock would tell more of the machine than of the code.

A worker imports before its first row, and as many do so side by side as the machine has cores.
"""

import json
import subprocess
import sys

from tests.cli.test_start_up import SLOW

# A worker needs numbers, files and masks. pydicom comes with nibabel, which looks for it.
A_WORKER_MAY = {"imagecodecs", "nibabel", "numpy", "psutil", "pyarrow", "pydicom", "rich", "scipy"}
# Before the first row the program itself needs no DICOM, no mask and no table. Values of options are read with pydantic.
THE_PROGRAM_MAY = {"imagecodecs", "numpy", "psutil", "pyarrow", "pydantic", "rich"}
MOST_MODULES_OF_A_WORKER = 1150
MOST_MODULES_OF_THE_PROGRAM = 780

_WORKER = """
import json, sys
from gsigpu.pipeline.cohort_run import child_main
begin = sorted(sys.modules)
from pathlib import Path
from gsigpu.pipeline.cohort_run.case import run_study
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings, StudyTask, by_study
from gsigpu.tables.manifest import read_manifest
rows = read_manifest(Path(sys.argv[1]))
task = StudyTask(Path(sys.argv[2]), by_study(rows)[0], CohortSettings(), backend="cpu")
child_main._warm_up(task)
outcomes = []
run_study(task, lambda *_: None, outcomes.append)
assert [outcome.status for outcome in outcomes] == ["done"], outcomes[0].reason
print(json.dumps([begin, sorted(sys.modules)]))
"""
_PROGRAM = """
import json, sys
from gsigpu.pipeline.cohort_run import flow_diagram
from gsigpu.pipeline.cohort_run.run_state import RunState
moments = []
def noted(function):
    def call(*arguments, **named):
        moments.append(sorted(sys.modules))
        return function(*arguments, **named)
    return call
RunState.begin = noted(RunState.begin)
flow_diagram.import_ahead = noted(flow_diagram.import_ahead)
flow_diagram.save_flow = noted(flow_diagram.save_flow)
sys.argv = ["gsigpu", "cohort", "run", sys.argv[1], "-o", sys.argv[2], "--workers", "1"]
from gsigpu.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(moments))
"""


def told(code, *words):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def slow(modules):
    return SLOW & {name.partition(".")[0] for name in modules}


def test_a_worker_imports_what_a_plain_row_needs(make_cohort, tmp_path):
    before, after = told(_WORKER, make_cohort(1).manifest, tmp_path / "out")
    assert "pydicom" not in slow(before)
    assert "nibabel" not in slow(before)
    assert slow(after) <= A_WORKER_MAY
    assert len(after) <= MOST_MODULES_OF_A_WORKER


def test_the_program_imports_what_draws_while_its_workers_measure(make_cohort, tmp_path):
    """Neither a data frame nor DICOM at any time; the figure's library beside the first rows, not after the last."""
    begin, ahead, tables = told(_PROGRAM, make_cohort(1).manifest, tmp_path / "out")
    assert slow(begin) <= THE_PROGRAM_MAY
    assert len(begin) <= MOST_MODULES_OF_THE_PROGRAM
    assert slow(ahead) <= THE_PROGRAM_MAY
    assert slow(tables) <= THE_PROGRAM_MAY | {"matplotlib"}


def test_a_run_with_nothing_to_do_imports_nothing_that_draws(make_cohort, tmp_path):
    manifest = make_cohort(1).manifest
    assert len(told(_PROGRAM, manifest, tmp_path / "out")) == 3
    (begin,) = told(_PROGRAM, manifest, tmp_path / "out")
    assert "matplotlib" not in slow(begin)
