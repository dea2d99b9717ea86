"""One tiny study, of which all cases are copies."""

import contextlib
import json
import subprocess
import sys
import time

import pytest

from gsigpu.pipeline.cohort_run import cohort_tables, flow_diagram
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


@pytest.fixture(autouse=True, scope="session")
def flow_drawn_once():
    """The flow of the same words is the same picture: drawn once, then copied. A run of one row is half drawing."""
    drawn = {}

    def save_flow(out, steps, groups):
        words = repr(flow_diagram.words_of(steps, groups))
        if words not in drawn:
            flow_diagram.save_flow(out, steps, groups)
            drawn[words] = {path: (out / path).read_bytes() for path in ("flow.svg", "flow.png")}
        for path, content in drawn[words].items():
            flow_diagram.put(
                out / path, lambda partial, content=content: partial.write_bytes(content)
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohort_tables, "save_flow", save_flow)
        yield


START_S = 60.0


@pytest.fixture
def cluster(faults, tmp_path):
    """Address, and the two worker processes; faults reach what the workers start."""
    file = tmp_path / "scheduler.json"
    common = ("--scheduler-file", file, "--no-dashboard")
    scheduler = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *common)
    worker = ("distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", *common)
    with contextlib.ExitStack() as stack:

        def start(module, *words):
            log = stack.enter_context((tmp_path / f"{time.monotonic_ns()}.log").open("w"))
            process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, words)],
                stdout=log, stderr=log, cwd=tmp_path,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start(*scheduler)
        begun = time.monotonic()
        while not file.exists() or not file.read_text():
            assert time.monotonic() - begun < START_S
            time.sleep(0.1)
        workers = [start(*worker), start(*worker)]
        address = json.loads(file.read_text())["address"]
        from distributed import Client

        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=START_S)
        yield address, workers
