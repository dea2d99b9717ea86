"""Which command wrote a folder: a file in it says so, and `--overwrite` replaces nothing else.

`.gsigpu.json` holds the command, and what the folder held when it was complete: the names at its top, and how
many files there are in all. What was added later makes the folder one that nobody replaces.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gsigpu.version import __version__

MARK_FILE = ".gsigpu.json"
# What file managers leave in folders that a person looked at.
_OF_FILE_MANAGERS = {".DS_Store", "Thumbs.db", "desktop.ini", ".directory"}


def write_mark(folder: Path, command: str) -> None:
    """Marks a folder that is complete as the output of a command."""
    mark = {
        "command": command,
        "software": f"gsigpu {__version__}",
        "names": sorted(path.name for path in folder.iterdir()),
        "n_files": sum(1 for _ in _files(folder)),
    }
    (folder / MARK_FILE).write_text(json.dumps(mark, indent=2) + "\n", "utf-8")


def why_not_replaceable(folder: Path, command: str) -> str | None:
    """Why a folder may not be replaced by the output of a command; None where it may.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> why_not_replaceable(folder, "map")  # an empty folder is no loss
    >>> _ = (folder / "thesis.tex").write_text("")
    >>> why_not_replaceable(folder, "map")
    'was not written by gsigpu map'
    """
    if folder.is_symlink() or not folder.is_dir():
        return "is a file, and gsigpu writes a folder here"
    names = {path.name for path in folder.iterdir()} - _OF_FILE_MANAGERS
    if not names:
        return None
    mark = _read_mark(folder)
    if mark is None:
        return f"was not written by gsigpu {command}"
    if mark["command"] != command:
        return f"was written by gsigpu {mark['command']}, not by gsigpu {command}"
    if added := sorted(names - {*mark["names"], MARK_FILE}):
        return f"holds {added[0]}, which gsigpu {command} did not write"
    if sum(1 for _ in _files(folder)) > mark["n_files"]:
        return f"holds more files than gsigpu {command} wrote"
    return None


def _read_mark(folder: Path) -> dict[str, Any] | None:
    """The mark of a folder, or None where there is none that can be read."""
    try:
        mark = json.loads((folder / MARK_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    types = {"command": str, "names": list, "n_files": int}
    is_whole = isinstance(mark, dict) and all(
        isinstance(mark.get(key), kind) for key, kind in types.items()
    )
    return mark if is_whole else None


def _files(folder: Path) -> Iterator[str]:
    """Every file below a folder that counts, the mark excepted."""
    for _, _, names in os.walk(folder):
        yield from (name for name in names if name not in {*_OF_FILE_MANAGERS, MARK_FILE})
