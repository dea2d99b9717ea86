"""Removes what is on disk of rows that are not in the manifest any more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gsigpu.pipeline.cohort_run.row_files import DAMAGED_FOLDER, remove, row_name
from gsigpu.pipeline.cohort_run.row_footers import FOOTERS_FILE
from gsigpu.tables.manifest import ManifestRow


def prune(out: Path, rows: Sequence[ManifestRow]) -> list[str]:
    """Removes the results, failures and logs of every row but these, and what was set aside as damaged.

    rows : of the manifest, those that rules exclude too
    Returns the names of the folders that are gone.
    """
    kept = {row_name(row) for row in rows}
    cases = out / "cases"
    gone = (
        [folder for folder in sorted(cases.iterdir()) if folder.name not in kept]
        if cases.is_dir()
        else []
    )
    remove(gone)
    remove([out / DAMAGED_FOLDER, out / FOOTERS_FILE])
    return [folder.name for folder in gone if not folder.exists()]
