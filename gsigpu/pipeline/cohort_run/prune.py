"""Removes what is on disk of rows that are not in the manifest any more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gsigpu.errors import OutputError
from gsigpu.pipeline.cohort_run.row_files import DAMAGED_FOLDER, put_text, remove, row_name
from gsigpu.pipeline.cohort_run.row_footers import FOOTERS_FILE
from gsigpu.pipeline.cohort_run.row_state import STRAYS_FILE
from gsigpu.pipeline.cohort_run.run_state import LOG_FILE
from gsigpu.tables.manifest import ManifestRow

# What else names rows or shows their pictures, and is made anew where the run still wants it.
_MADE_ANEW = (DAMAGED_FOLDER, FOOTERS_FILE, STRAYS_FILE, "review")
# What a part of a run told last: it may name the row that was at work.
_OF_PARTS = "status-*.json"
_ROW_IN_LOG = re.compile(r"\bcases/([^/]+)/")


def strays(out: Path, rows: Sequence[ManifestRow]) -> list[Path]:
    """Folders of results that are of no row of the manifest, by name."""
    kept = {row_name(row) for row in rows}
    cases = out / "cases"
    return (
        sorted(folder for folder in cases.iterdir() if folder.name not in kept)
        if cases.is_dir()
        else []
    )


def prune(out: Path, rows: Sequence[ManifestRow]) -> list[str]:
    """Removes the results, failures and logs of every row but these, and all else that names them or shows pictures.

    rows : of the manifest, those that rules exclude too
    Returns the names of the folders that are gone. The tables are to be made anew after it. Raises OutputError where
    something cannot be removed.
    """
    gone = strays(out, rows)
    remove(gone)
    left = [folder.name for folder in gone if folder.exists() or folder.is_symlink()]
    if left:
        raise OutputError(
            f"results of {len(left)} rows that left the manifest cannot be removed, the first {left[0]}",
            where=out / "cases",
            remedy="correct the permissions of these folders, and run again with --prune",
        )
    remove([out / name for name in _MADE_ANEW])
    remove(out.glob(_OF_PARTS))
    _clear_log(out / LOG_FILE, {row_name(row) for row in rows})
    return [folder.name for folder in gone]


def _clear_log(log: Path, kept: set[str]) -> None:
    """Removes the lines that name other rows than these."""
    try:
        lines = log.read_text("utf-8", "replace").splitlines(keepends=True)
    except FileNotFoundError:
        return
    lines = [line for line in lines if all(name in kept for name in _ROW_IN_LOG.findall(line))]
    put_text(log, "".join(lines))
