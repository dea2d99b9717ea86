"""What lies in the place of a run's own file and is of another kind: a folder, a pipe, a link to nowhere.

It is set aside before anything opens it: a pipe would be waited for, and nothing can be renamed over a folder.
A link to a file, or to a folder where one belongs, is what it leads to.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gsigpu.pipeline.cohort_run.row_files import RowFiles, set_aside

_FOLDERS = {"cases", "measurements", "review"}
_FOLDERS_OF_ROW = (".maps", ".cards", ".page")
# Names of a run's own files; what else lies in its folder is nobody's.
_SUFFIXES = (".csv", ".json", ".parquet", ".log", ".svg", ".png", ".toml")
_OTHERS = ("token",)


def set_aside_wrong_kinds(out: Path) -> list[str]:
    """Of the files of a run as a whole; returns what to tell a person."""
    with os.scandir(out) as entries:
        wrong = [entry.name for entry in entries if _is_wrong_of_run(entry)]
    return [set_aside(out, out / name) for name in sorted(wrong)]


def _is_wrong_of_run(entry: os.DirEntry[str]) -> bool:
    if entry.name in _FOLDERS:
        return not entry.is_dir()
    is_of_run = entry.name.endswith(_SUFFIXES) or entry.name.startswith(_OTHERS)
    return is_of_run and not entry.is_file()


def set_aside_wrong_kinds_of_row(out: Path, files: RowFiles) -> list[str]:
    """Of the folder of a row, and of the files under its key; returns what to tell a person.

    A folder that cannot be listed has nothing to set aside: the row fails where it is written.
    """
    wrong: list[str] = []
    if not files.folder.is_dir():
        return [set_aside(out, files.folder)] if os.path.lexists(files.folder) else []
    with contextlib.suppress(OSError), os.scandir(files.folder) as entries:
        for entry in entries:
            if entry.name.startswith(f"{files.key}."):
                is_right = entry.is_dir if entry.name.endswith(_FOLDERS_OF_ROW) else entry.is_file
                if not is_right():
                    wrong.append(entry.name)
    return [set_aside(out, files.folder / name) for name in sorted(wrong)]
