"""Versions of installed packages, without reading their metadata as the mail that it is."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from functools import lru_cache

_SUFFIX = ".dist-info"


def installed_version(name: str) -> str | None:
    """A distribution's version by the name of its folder (`NAME-VERSION.dist-info`); None where it is not installed.

    `importlib.metadata` says the same, and takes longer to import than `gsigpu info` for all else. It is asked where no
    folder tells: of an installation in another form.

    >>> installed_version("numpy") == __import__("numpy").__version__, installed_version("no-such-thing")
    (True, None)
    """
    if known := _by_folder(tuple(sys.path)).get(_normalised(name)):
        return known
    from importlib.metadata import PackageNotFoundError, version

    with suppress(PackageNotFoundError):
        return version(name)
    return None


@lru_cache(maxsize=1)
def _by_folder(places: tuple[str, ...]) -> dict[str, str]:
    """Normalised name -> version; of two, the one that an import finds first."""
    versions: dict[str, str] = {}
    for place in places:
        with suppress(OSError):
            for file_name in os.listdir(place or "."):  # noqa: PTH208  # pathlib is slower
                if file_name.endswith(_SUFFIX):
                    name, _, version = file_name.removesuffix(_SUFFIX).partition("-")
                    versions.setdefault(_normalised(name), version)
    return versions


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
