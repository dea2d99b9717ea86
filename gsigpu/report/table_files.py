"""Tables into files: CSV in full precision, and one workbook; the same tables give the same bytes."""

from __future__ import annotations

import csv
import io
import math
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
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
_LONGEST_SHEET_NAME = 31
_WIDEST = 60
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FIXED_TIME = b"1980-01-01T00:00:00Z"


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


def write_workbook(
    path: Path, frames: Mapping[str, pd.DataFrame], tables: Iterable[Table] = ()
) -> None:
    """One sheet per table; numbers are numbers, in full precision."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    book = Workbook(write_only=True)
    bold = Font(bold=True)
    sheets: list[tuple[str, int, list[list[object]]]] = [
        (
            table.name,
            len(table.header),
            [[*line] for line in [*table.as_text(), *([n] for n in table.notes)]],
        )
        for table in tables
    ]
    sheets += [
        (name, 1, [list(frame.columns), *map(_plain_row, frame.itertuples(index=False))])
        for name, frame in frames.items()
    ]
    titles = sheet_names([name for name, _, _ in sheets])
    for title, (_, n_header, lines) in zip(titles, sheets, strict=True):
        sheet = book.create_sheet(title)
        sheet.freeze_panes = f"A{n_header + 1}"
        for k, width in enumerate(_widths(lines), start=1):
            sheet.column_dimensions[get_column_letter(k)].width = width
        for i, line in enumerate(lines):
            cells = []
            for value in line:
                cell = WriteOnlyCell(sheet, value=value)
                # A text that opens with = is a text.
                if isinstance(value, str):
                    cell.data_type = "s"
                if i < n_header:
                    cell.font = bold
                cells.append(cell)
            sheet.append(cells)
    buffer = io.BytesIO()
    book.save(buffer)
    _rezip(buffer, path)


def sheet_names(names: Iterable[str]) -> list[str]:
    """Names that a workbook accepts, each once.

    >>> sheet_names(["short", "x" * 40, "x" * 41])
    ['short', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxx~2']
    """
    titles: list[str] = []
    for name in names:
        title, k = name[:_LONGEST_SHEET_NAME], 1
        while title.casefold() in {taken.casefold() for taken in titles}:
            k += 1
            suffix = f"~{k}"
            title = name[: _LONGEST_SHEET_NAME - 1 - len(suffix)] + suffix
        titles.append(title)
    return titles


def _plain_row(row: Iterable[object]) -> list[object]:
    return [_plain(value) for value in row]


def _plain(value: object) -> object:
    """What a spreadsheet can hold: no NaN, no infinity, no NumPy scalars."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            return "inf" if value > 0 else "-inf"
    if isinstance(value, str):
        # Control characters are not allowed in a workbook.
        return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", value)
    return value


def _widths(lines: list[list[object]]) -> list[int]:
    n = max((len(line) for line in lines), default=0)
    widths = [8] * n
    for line in lines[:200]:
        if len(line) < n:
            continue
        for k, value in enumerate(line):
            shown = f"{value:.6g}" if isinstance(value, float) else str(value or "")
            widths[k] = min(_WIDEST, max(widths[k], len(shown) + 2))
    return widths


def _rezip(source: io.BytesIO, path: Path) -> None:
    """The workbook without the time it was written."""
    with (
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", _FIXED_TIME, content)
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            new.writestr(entry, content)
