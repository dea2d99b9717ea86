"""Tables into CSV files: in full precision, and as a person reads them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from gsigpu.report.table_cells import Table

# The contract's columns come first in each file; what else there is follows.
FIRST_COLUMNS: dict[str, tuple[str, ...]] = {
    "omnibus": (
        "track", "phase", "region", "parameter", "test", "statistic", "df1", "df2", "p", "effect",
        "effect_name", "n_lesions", "n_patients",
    ),
    "pairwise": (
        "track", "phase", "region", "parameter", "test", "group_a", "group_b", "difference",
        "ci_low", "ci_high", "p", "p_bonferroni", "p_holm", "p_holm_all",
    ),
    "roc": (
        "track", "phase", "region", "parameter", "method", "group_a", "group_b", "direction", "auc",
        "se", "ci_low", "ci_high", "p", "cutoff", "sensitivity", "specificity",
    ),
    "roc_comparisons": (
        "track", "phase", "region", "group_a", "group_b", "parameter_a", "parameter_b", "method",
        "difference", "se", "z", "p",
    ),
    "within": (
        "track", "phase", "region", "parameter", "comparison", "test", "group", "condition_a",
        "condition_b", "difference", "ci_low", "ci_high", "ratio", "ratio_low", "ratio_high", "p",
        "p_bonferroni", "p_holm", "p_holm_all", "n_lesions", "n_patients",
    ),
    "icc": ("track", "phase", "region", "parameter", "form", "icc", "ci_low", "ci_high"),
    "descriptives": (
        "track", "phase", "region", "parameter", "group", "n_lesions", "n_patients", "n_missing",
        "mean", "sd", "median", "q1", "q3", "icc", "design_effect",
    ),
}  # fmt: skip


def in_file_order(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the contract's columns first; those that it lacks are added, empty."""
    first = list(FIRST_COLUMNS.get(name, ()))
    rest = [column for column in frame.columns if column not in first]
    return frame.reindex(columns=[*first, *rest])


def write_frames(folder: Path, frames: Mapping[str, pd.DataFrame]) -> list[Path]:
    """NAME.csv each, in full precision."""
    written = []
    for name, frame in frames.items():
        path = folder / f"{name}.csv"
        frame.to_csv(path, index=False, lineterminator="\n")
        written.append(path)
    return written


def write_tables(folder: Path, tables: Iterable[Table]) -> list[Path]:
    """Tables as a person reads them, one CSV each."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        path = folder / f"{table.name}.csv"
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([table.caption])
            writer.writerows(table.as_text())
            writer.writerows([note] for note in table.notes)
        written.append(path)
    return written
