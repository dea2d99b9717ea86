"""What other packages add to gsigpu, by entry points.

A package names in its pyproject.toml what it adds:

    [project.entry-points."gsigpu.maps"]
    half-iodine = "my_package:HALF_IODINE"

    gsigpu.maps : a MapDefinition, or a function without arguments that gives one; `--maps half-iodine` takes it

Nothing is imported until its name is asked for. gsigpu's own names go first.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from gsigpu.errors import MissingDependency, SettingsError

MAPS = "gsigpu.maps"


def plug_in_names(group: str) -> list[str]:
    """What is there, by name."""
    return sorted({entry.name for entry in entry_points(group=group)})


def plug_in(group: str, name: str) -> object | None:
    """What a package adds under a name; None where none does.

    Raises SettingsError where two packages add it, MissingDependency where it cannot be imported.
    """
    entries: list[EntryPoint] = list(entry_points(group=group, name=name))
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
