"""What other packages add to gsigpu, by entry points.

A package names in its pyproject.toml what it adds:

    [project.entry-points."gsigpu.maps"]
    half-iodine = "my_package:HALF_IODINE"

    gsigpu.maps : a MapDefinition, or a function without arguments that gives one; `--maps half-iodine` takes it
    gsigpu.statistics : a RegionStatistic; `--statistics NAME` measures it
    gsigpu.mask_readers : named by the end of a file's name without its dot (npz), a function of its path that gives a
        LabelImage; every option that takes a mask takes such a file

Nothing is imported until its name is asked for, or such a file is read. gsigpu's own names and formats go first. What was
taken of a package stands in the provenance with the package's version.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from gsigpu.errors import GsigpuError, MissingDependency, PlugInError, SettingsError

T = TypeVar("T")

MAPS = "gsigpu.maps"
STATISTICS = "gsigpu.statistics"
MASK_READERS = "gsigpu.mask_readers"


@cache
def _entries(group: str, _places: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Read once for the places where packages are looked for: every file of a folder of masks asks."""
    return tuple(entry_points(group=group))


def plug_in_names(group: str) -> list[str]:
    """What is there, by name."""
    return sorted({entry.name for entry in _entries(group, tuple(sys.path))})


def plug_in(group: str, name: str) -> object | None:
    """What a package adds under a name; None where none does.

    Raises SettingsError where two packages add it, MissingDependency where it cannot be imported.
    """
    entries = [entry for entry in _entries(group, tuple(sys.path)) if entry.name == name]
    if not entries:
        return None
    packages = sorted({entry.dist.name if entry.dist is not None else "?" for entry in entries})
    if len(packages) > 1:
        raise SettingsError(
            f"{name!r} is added by {' and '.join(packages)}",
            remedy=f"remove one: pip uninstall {packages[-1]}",
        )
    try:
        added: object = entries[0].load()
    except Exception as error:
        raise MissingDependency(
            f"{name!r} of {packages[0]} cannot be imported ({error})",
            remedy=f"repair the package, or remove it: pip uninstall {packages[0]}",
        ) from error
    return added


def guarded(function: Callable[..., T], group: str, name: str) -> Callable[..., T]:
    """A function of a package, whose exceptions name it.

    The function raises PlugInError in the place of what gsigpu does not know.
    """

    def call(*arguments: object) -> T:
        try:
            return function(*arguments)
        except GsigpuError:
            raise
        except Exception as error:
            raise PlugInError.of(group, name, error) from error

    return call


def plug_in_record(group: str, names: Iterable[str]) -> list[dict[str, str]]:
    """For the provenance: which packages added what was used, with their versions; nothing for what nobody added."""
    return [
        {
            "group": group,
            "name": name,
            "package": "?" if entry.dist is None else entry.dist.name,
            "version": "?" if entry.dist is None else entry.dist.version,
        }
        for name in dict.fromkeys(names)
        for entry in _entries(group, tuple(sys.path))
        if entry.name == name
    ]
