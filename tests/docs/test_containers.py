"""The container files say what the page says; no engine is here to build them."""

import re
import tomllib

import pytest

from tests.support.places import ROOT

FILES = sorted((ROOT / "containers").glob("*.Containerfile"))
PAGE = (ROOT / "docs/howto/containers.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def instructions(path):
    """(instruction, arguments), continued lines joined."""
    text = re.sub(r"\\\n", " ", path.read_text("utf-8"))
    lines = [line.strip() for line in text.splitlines()]
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


def test_there_are_two():
    assert [path.name for path in FILES] == ["cpu.Containerfile", "cuda13.Containerfile"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_container_file(path):
    lines = instructions(path)
    known = {"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in lines} == known
    (install,) = [text for word, text in lines if word == "RUN" and "pip install" in text]
    assert "--constraint /source/constraints.txt" in install
    for extra in re.findall(r"/source\[([\w,-]+)\]", install):
        assert set(extra.split(",")) <= set(PROJECT["optional-dependencies"])
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
    version = re.search(r"FROM python:(\d+)\.(\d+)-slim", path.read_text("utf-8"))
    assert (int(version[1]), int(version[2])) >= (3, 11)
    assert f"containers/{path.name}" in PAGE
