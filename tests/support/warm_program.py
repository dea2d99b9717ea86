"""`python -m gsigpu` without the second of imports before it: a fork of a process that has imported already.

What runs is a process of its own, as a user's is: arguments, folder, environment, exit code, what it prints, how it
ends. Only imports are done before, by a server that a test process starts once and that has done nothing else: no
pytest, no patches, no threads of its own. Each command is run anew somewhere too (`fresh`), and whatever is about
starting or interrupting is.
"""

import atexit
import functools
import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

from tests.support.places import ROOT

# What the commands import when they begin to work.
_IMPORTED = (
    "gsigpu.cli.app",
    "typer._adapters",
    "gsigpu.dicom.study.read_study",
    "gsigpu.phantom",
    "gsigpu.pipeline.map.map_study",
    "gsigpu.pipeline.measure.measure_study",
    "gsigpu.pipeline.cohort_run.run_cohort",
    "gsigpu.pipeline.cohort_stats.write_statistics",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
)


def fresh(*words, **options):
    """A new interpreter: `python -m gsigpu`, its exit code and what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "gsigpu", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def warm(*words, cwd=None, env=None):
    """As `fresh`, from a process that has imported already."""
    return _server().run([str(word) for word in words], cwd=cwd, env=env)


@functools.cache
def _server():
    return _Server()


class _Server:
    """The process that has imported, and forks for every command; one command at a time."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm_program"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        atexit.register(self._end)

    def _end(self):
        self._process.stdin.close()  # which ends it
        self._process.stdout.close()
        self._process.wait()

    def run(self, words, cwd, env):
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            request = {
                "words": words,
                "cwd": str(cwd or Path.cwd()),
                "env": dict(os.environ if env is None else env),
                "out": str(out),
                "err": str(err),
            }
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            code = json.loads(self._process.stdout.readline())
            return subprocess.CompletedProcess(
                ["gsigpu", *words], code, out.read_text("utf-8"), err.read_text("utf-8")
            )


def _serve():
    """Requests in, exit codes out; in a fork, the command."""
    for name in _IMPORTED:
        import_module(name)
    gc.freeze()  # a collection in the fork would touch, and so copy, all that was imported
    answers = os.fdopen(os.dup(1), "w")  # what a library prints must not fall into them
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        if (pid := os.fork()) == 0:
            answers.close()
            return request
        _, status = os.waitpid(pid, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()
    return None


def _become(request):
    """This process is the command from here on."""
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["out"], os.O_WRONLY | os.O_CREAT),
        (2, request["err"], os.O_WRONLY | os.O_CREAT),
    ):
        os.dup2(os.open(path, flags), number)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[0] = request["cwd"]  # as `python -m` has it
    sys.argv[:] = ["gsigpu", *request["words"]]
    code = 1
    try:
        runpy.run_module("gsigpu", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:  # noqa: BLE001  # as the interpreter does
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    # The interpreter would put away every module, and so copy what the fork shares: longer than most commands take.
    os._exit(code)


if __name__ == "__main__":
    if (request := _serve()) is not None:
        _become(request)
