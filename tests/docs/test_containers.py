"""The container files say what the page says, and install what is pinned; the page tells when they were built."""

import fnmatch
import importlib.metadata
import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.places import ROOT

FILES = sorted((ROOT / "containers").glob("*.Containerfile"))
PAGE = (ROOT / "docs/howto/containers.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINNED = {
    canonicalize_name(line.partition("==")[0])
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
}


def instructions(path):
    """(instruction, arguments), continued lines joined."""
    text = re.sub(r"\\\n", " ", path.read_text("utf-8"))
    lines = [line.strip() for line in text.splitlines()]
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


def install(path):
    (text,) = [text for word, text in instructions(path) if word == "RUN" and "pip" in text]
    return text


def extras(path):
    return set(re.search(r"/source\[([\w,-]+)\]", install(path))[1].split(","))


def test_there_are_two():
    assert [path.name for path in FILES] == ["cpu.Containerfile", "cuda13.Containerfile"]
    assert [extras(path) for path in FILES] == [{"all"}, {"all", "gpu"}]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_container_file(path):
    lines = instructions(path)
    known = {"ARG", "FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in lines} == known
    assert "PIP_CONSTRAINT=/source/constraints.txt" in install(path)
    assert "PIP_BUILD_CONSTRAINT=/source/constraints.txt" in install(path)
    assert extras(path) <= set(PROJECT["optional-dependencies"])
    # Times in layers are whole seconds: byte code that is checked against its source would be stale.
    assert "--no-compile" in install(path)
    assert "compileall -q -j 0 --invalidation-mode unchecked-hash /opt/gsigpu/lib" in install(path)
    # The last stage is what runs: an ordinary user, by number, so that an engine can check that it is not root.
    last = max(i for i, (word, _) in enumerate(lines) if word == "FROM")
    (user,) = [text for word, text in lines[last:] if word == "USER"]
    assert int(user) > 1000
    assert f"--uid {user}" in " ".join(text for word, text in lines[last:] if word == "RUN")
    assert f"uid {user}" in PAGE
    (entry,) = [text for word, text in lines[last:] if word == "ENTRYPOINT"]
    assert entry == '["gsigpu"]'
    assert "gsigpu" in PROJECT["scripts"]
    # What libraries write goes to /tmp, all that is writable where the root is not.
    (env,) = [text for word, text in lines[last:] if word == "ENV"]
    places = dict(pair.split("=", 1) for pair in env.split())
    for name in ("HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME"):
        assert places[name].startswith("/tmp")
    # One base for both stages, which can be another by --build-arg.
    (argument,) = [text for word, text in lines if word == "ARG"]
    version = re.fullmatch(r"PYTHON_IMAGE=docker\.io/library/python:(\d+)\.(\d+)-slim", argument)
    assert (int(version[1]), int(version[2])) >= (3, 11)
    bases = [text for word, text in lines if word == "FROM"]
    assert bases == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]
    assert f"containers/{path.name}" in PAGE


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_package_that_it_installs_is_pinned(path):
    """As far as packages are installed here: of one that is not, its own name."""
    table = PROJECT["optional-dependencies"]
    required = [
        *PROJECT["dependencies"],
        *(line for extra in extras(path) for line in table[extra]),
    ]
    seen = set()
    while required:
        requirement = Requirement(required.pop())
        name = canonicalize_name(requirement.name)
        if name == "gsigpu":
            required += [line for extra in requirement.extras for line in table[extra]]
            continue
        assert name in PINNED, f"{name} is not in constraints.txt"
        for extra in {"", *requirement.extras} - {
            extra for package, extra in seen if package == name
        }:
            seen.add((name, extra))
            required += needed(name, extra)
    assert {"numpy", "statsmodels", "python-docx"} <= {name for name, _ in seen}


def needed(name, extra):
    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    markers = [(line, Requirement(line).marker) for line in lines]
    return [line for line, marker in markers if not marker or marker.evaluate({"extra": extra})]


def test_the_engine_is_sent_what_the_wheel_is_made_of_and_nothing_else():
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in rules if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    build = {"gsigpu", "kernels", "setup.py", "pyproject.toml", "MANIFEST.in", "constraints.txt"}
    assert sent == {*build, PROJECT["readme"], *PROJECT["license-files"]}
    assert all((ROOT / name).exists() for name in sent)
    left_out = [rule.removeprefix("**/") for rule in rules[1:] if not rule.startswith("!")]
    for made in ("__pycache__", "_loops.so"):
        assert any(fnmatch.fnmatch(made, rule) for rule in left_out)
    done = subprocess.run(
        ["git", "ls-files", *sent], cwd=ROOT, capture_output=True, text=True, check=False
    )
    kept = [name.rpartition("/")[2] for name in done.stdout.splitlines()]
    assert not [name for name in kept for rule in left_out if fnmatch.fnmatch(name, rule)]
