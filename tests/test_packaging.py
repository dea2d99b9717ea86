"""What is shipped: the sdist holds what it needs to test itself, the wheel every package and its data."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from gsigpu.version import __version__
from tests.support.places import ROOT

# Tests that run from the unpacked sdist against the installed wheel: physics, a golden file, kernels, a command.
SAMPLE = [
    "tests/test_physics.py",
    "tests/test_api.py",
    "tests/maps/test_maps.py",
    "tests/cohort_statistics/roc/test_delong.py",
    "tests/kernels/test_linear_maps.py::test_every_kernel_has_a_test_here",
]


def tracked_files():
    """What git knows, or what stands here where the checkout has no git."""
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("no git checkout: nothing to compare the sdist with")
    return {name for name in done.stdout.splitlines() if (ROOT / name).exists()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    source = out / "source"
    # Built from a copy: setuptools leaves build/ and *.egg-info in the folder it builds.
    source.mkdir()
    names = tracked_files()
    for name in names:
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out / "dist", source],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (sdist,) = (out / "dist").glob("*.tar.gz")
    (wheel,) = (out / "dist").glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory):
    sdist, wheel = built
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (tree,) = [path for path in folder.iterdir() if path != site]
    return tree, site


def test_the_sdist_holds_every_file_of_the_checkout(built):
    sdist, _ = built
    assert sdist.name == f"gsigpu-{__version__}.tar.gz"
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked_files() - names == set()
    made = {name for name in names if name.startswith(("docs/_build", "docs/project", "build/"))}
    assert made == set()


def test_the_wheel_holds_every_package_and_its_data(built):
    _, wheel = built
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {name for name in tracked_files() if name.startswith("gsigpu/")}
    expected |= {
        f"gsigpu/{name}" for name in tracked_files() if name.startswith("kernels/")
    }  # kernels/ ships as gsigpu.kernels
    assert expected - names == set()
    top = {name.split("/")[0] for name in names}
    assert top == {"gsigpu", f"gsigpu-{__version__}.dist-info"}
    assert wheel.name.startswith(f"gsigpu-{__version__}-py3-none-")
    if shutil.which("g++"):
        assert "gsigpu/backends/_loops.so" in names


def test_without_a_compiler_it_builds_and_numpy_computes(tmp_path):
    """The compiled loop is optional: nothing but a warning where no compiler is."""
    for name in tracked_files():
        if name.startswith(
            ("gsigpu/", "kernels/", "setup.py", "pyproject.toml", "README", "LICENSE")
        ):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    nowhere = str(tmp_path / "no-compiler")
    done = subprocess.run(
        [sys.executable, "setup.py", "build", "--build-base", "made"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "CC": nowhere, "CXX": nowhere},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(tmp_path.rglob("_loops.so")) == []
    (module,) = (tmp_path / "made").rglob("backends/compiled.py")
    code = "from gsigpu.backends.compiled import choose_loop; print(choose_loop()[1])"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(module.parents[2])},
    )  # fmt: skip
    assert told.stdout.startswith("NumPy; no compiled loop (it was not built")


def test_the_version_stands_in_one_place():
    """Nothing but gsigpu/version.py says it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    for name in ("CITATION.cff", "Makefile", "docs/conf.py", "gsigpu/__init__.py"):
        assert __version__ not in (ROOT / name).read_text("utf-8"), name


def test_the_sdist_tests_itself(unpacked):
    """Its tests run against the installed wheel: the package's source is taken out of the way."""
    tree, site = unpacked
    (tree / "gsigpu").rename(tree / "not-gsigpu")
    (tree / "kernels").rename(tree / "not-kernels")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *SAMPLE],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    used = subprocess.run(
        [sys.executable, "-P", "-c", "import gsigpu.version as v; print(v.__file__)"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(site)},
    ).stdout.strip()
    assert Path(used).is_relative_to(site)


def test_the_citation_is_valid():
    """The fields that CFF 1.2.0 requires, and no other than it knows."""
    import yaml

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    known = {
        "abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi", "identifiers",
        "keywords", "license", "license-url", "message", "preferred-citation", "references", "repository",
        "repository-artifact", "repository-code", "title", "type", "url", "version",
    }  # fmt: skip
    assert set(citation) <= known
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert citation["license"] == project["license"]


def test_hooks_before_a_commit_are_what_lint_runs_and_fetch_nothing():
    import yaml

    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert all(hook["language"] == "system" for hook in hooks)
    entries = " ".join(hook["entry"] for hook in hooks)
    for tool in ("ruff check", "ruff format", "mypy"):
        assert tool in entries
