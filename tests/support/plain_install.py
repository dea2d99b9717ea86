"""The environment of a user who installed gsigpu with some extras, or none: what the tests alone need is hidden.

The checkout's environment holds the oracles, the tools and CuPy as well. A command that needs one of them works here
and fails for everybody else. `environment` gives a child process, and the processes that it starts, a Python in which
only what pyproject.toml brings for them can be imported or asked for its version.
"""

import json
import os
import re
import sys
import tomllib
from importlib.metadata import (
    PackageNotFoundError,
    distribution,
    distributions,
    packages_distributions,
)
from pathlib import Path

from packaging.requirements import Requirement

from tests.support.places import ROOT

# Installed with every environment, or the package itself.
ALWAYS = {"gsigpu", "pip"}
HIDING = """
import importlib.metadata, json, re, sys
from pathlib import Path

_hidden = json.loads(Path(__file__).with_name("hidden.json").read_text("utf-8"))
_modules, _names = set(_hidden["modules"]), set(_hidden["distributions"])


class _Shown:
    def __init__(self, finder):
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in _modules
        return None if hidden else self._finder.find_spec(name, path, target)


sys.meta_path[:] = [_Shown(finder) for finder in sys.meta_path]
_from_name = importlib.metadata.Distribution.from_name.__func__


def _shown(cls, name):
    if re.sub(r"[-_.]+", "-", name).lower() in _names:
        raise importlib.metadata.PackageNotFoundError(name)
    return _from_name(cls, name)


importlib.metadata.Distribution.from_name = classmethod(_shown)
"""


def normalised(name):
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(*extras):
    """Lines of pyproject.toml that an installation with these extras takes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        for line in project["optional-dependencies"][extra]:
            requirement = Requirement(line)
            if requirement.name == "gsigpu":
                lines += requirements(*requirement.extras)
            else:
                lines.append(line)
    return lines


def brought_by_an_installation(*extras):
    """Names of the distributions that `pip install 'gsigpu[EXTRA]'` brings, with all that they need."""
    waiting = [Requirement(line) for line in requirements(*extras)]
    brought = set(ALWAYS)
    while waiting:
        requirement = waiting.pop()
        name = normalised(requirement.name)
        extras = {"", *requirement.extras}
        if name in brought and extras == {""}:
            continue
        brought.add(name)
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:  # for another platform
            continue
        for line in needs:
            need = Requirement(line)
            if need.marker is None or any(
                need.marker.evaluate({"extra": extra}) for extra in extras
            ):
                waiting.append(need)
    return brought


def hidden(*extras):
    """Top-level modules and distributions that an installation with these extras has not."""
    brought = brought_by_an_installation(*extras)
    modules = {
        module
        for module, names in packages_distributions().items()
        if not brought & {normalised(name) for name in names}
    } - sys.stdlib_module_names  # backports
    names = {normalised(package.metadata["Name"]) for package in distributions()} - brought
    return {"modules": sorted(modules), "distributions": sorted(names)}


def environment(folder: Path, *extras):
    """Variables for a child process of an installation with these extras; folder is where its start-up file is written."""
    (folder / "sitecustomize.py").write_text(HIDING, "utf-8")
    (folder / "hidden.json").write_text(json.dumps(hidden(*extras)), "utf-8")
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
