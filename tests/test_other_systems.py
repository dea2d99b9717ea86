"""Windows and macOS, which no test runs on: nothing asks for what only Linux has, and it works where that is hidden."""

import ast
import subprocess
import sys

import pandas as pd
import pytest

from tests.support.cohort import Cohort, write_template
from tests.support.places import ROOT
from tests.support.windows_like import environment
from tests.support.windows_names import MODULES, is_absent, lacking

FILES = sorted(path for folder in ("gsigpu", "kernels") for path in (ROOT / folder).rglob("*.py"))
# Used where `sys.platform` was asked before.
ASKED_BEFORE = {"win32": {"child_main.py": ["signal.SIGKILL"]}, "darwin": {}}

_EVERYTHING = """
import importlib, pkgutil, sys
import gsigpu
names = [module.name for module in pkgutil.walk_packages(gsigpu.__path__, "gsigpu.")]
for name in names:
    if not name.endswith(("__main__", "._loops")):  # the library of the compiled loop is no module
        importlib.import_module(name)
print(len(names), file=sys.stderr)
from gsigpu.pipeline.cohort_run.child_process import os, signal
assert os.name == "nt" and not hasattr(os, "pread") and not hasattr(signal, "SIGKILL")
from gsigpu.cli import main
main()
"""


def test_typeshed_tells_what_windows_lacks():
    assert {"fork", "pread", "O_NONBLOCK", "sched_getaffinity"} <= lacking("os", "win32")
    assert {"SIGKILL", "SIGHUP"} <= lacking("signal", "win32")
    assert {"replace", "link", "O_BINARY"}.isdisjoint(lacking("os", "win32"))
    assert "copy_file_range" in lacking("os", "darwin")
    assert [name for name in MODULES if is_absent(name, "win32")][:3] == ["fcntl", "grp", "posix"]


@pytest.fixture(scope="module")
def trees():
    return {path.name: ast.parse(path.read_text("utf-8")) for path in FILES}


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_nothing_asks_for_what_only_linux_has(trees, platform):
    """Without `hasattr` of the name in the same file; a module that is not there is asked for by `find_spec`."""
    names_used = {name: sorted(unguarded(tree, platform)) for name, tree in trees.items()}
    assert {name: names for name, names in names_used.items() if names} == ASKED_BEFORE[platform]


def unguarded(tree, platform):
    guarded, names_used = set(), set()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names_used |= {item.name for item in node.names if absent(item.name, platform)}
            case ast.ImportFrom(module=str(module), level=0):
                names = {f"{module}.{item.name}" for item in node.names}
                names_used |= names if absent(module, platform) else only_linux(names, platform)
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                names_used |= only_linux({f"{module}.{name}"}, platform)
            case ast.Call(
                func=ast.Name(id="hasattr"), args=[ast.Name(id=module), ast.Constant(value=name)]
            ):
                guarded.add(f"{module}.{name}")
    return names_used - guarded


def absent(module, platform):
    return module in MODULES and is_absent(module, platform)


def only_linux(names, platform):
    return {
        name
        for module, _, attribute in (name.partition(".") for name in names)
        if module in MODULES and attribute in lacking(module, platform)
        for name in [f"{module}.{attribute}"]
    }


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_types_hold_there(platform):
    """Strict, and with the standard library of that system. A cache of its own: half a minute once, then a second."""
    mypy = [sys.executable, "-m", "mypy", "--platform", platform]
    done = subprocess.run(
        [*mypy, "--cache-dir", f".mypy_cache/{platform}"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    template = write_template(tmp_path_factory.mktemp("template"))
    return Cohort(tmp_path_factory.mktemp("cases"), template, 2)


def test_a_cohort_is_run_where_only_what_windows_has_can_be_seen(cohort, tmp_path):
    """All modules are imported, and a run with its worker, locks and tables leaves what it leaves elsewhere."""
    (tmp_path / "hook").mkdir()
    out = tmp_path / "out"
    words = ["cohort", "run", str(cohort.manifest), "-o", str(out), "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-c", _EVERYTHING, *words],
        env=environment(tmp_path / "hook"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[0]) > 300
    table = pd.read_csv(out / "measurements.csv")
    assert set(table.case_id) == {"C01", "C02"}
    assert (out / "measurements/phase=PVP/part-00000.parquet").is_file()
    assert (out / ".lock-record").is_file()
    assert not list(out.rglob(".partial-*"))
