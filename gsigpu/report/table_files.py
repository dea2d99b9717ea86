"""Tables into files: CSV in full precision, and one workbook; the same tables give the same bytes."""

from __future__ import annotations

import csv
import io
import math
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from gsigpu.report.table_cells import Cell, Table

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
_MOST_ROWS = 2**20
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
        (table.name, len(table.header), sheet_lines(table)) for table in tables
    ]
    sheets += [(name, 1, _frame_lines(name, frame)) for name, frame in frames.items()]
    titles = sheet_names([name for name, _, _ in sheets])
    for title, (_, n_header, lines) in zip(titles, sheets, strict=True):
        sheet = book.create_sheet(title)
        sheet.freeze_panes = f"A{n_header + 1}"
        for k, width in enumerate(_widths(lines), start=1):
            sheet.column_dimensions[get_column_letter(k)].width = width
        for i, line in enumerate(lines):
            cells = []
            for content in line:
                value = content.value if isinstance(content, SheetNumber) else content
                cell = WriteOnlyCell(sheet, value=value)
                if isinstance(content, SheetNumber):
                    cell.number_format = content.number_format
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


class SheetNumber(NamedTuple):
    """A number, and how a sheet shows it."""

    value: float
    number_format: str


def sheet_lines(table: Table) -> list[list[object]]:
    """A table's header, rows and notes for a sheet: every number is one, in full precision.

    A column of intervals becomes two, of means with SDs two, of values with letters one more. What could not be
    computed is an empty cell.
    """
    layout = _Layout.of(table)
    lines: list[list[object]] = []
    for i, row in enumerate(table.header):
        line: list[object] = []
        at = 0
        for cell in row:
            n = sum(layout.widths[at : at + cell.span])
            is_last = i == len(table.header) - 1
            names = layout.names(at, cell.text) if is_last and cell.span == 1 else [cell.text] * n
            line += names
            at += cell.span
        lines.append(line)
    for row in table.rows:
        line = []
        at = 0
        for cell in row:
            n = sum(layout.widths[at : at + cell.span])
            line += _contents(cell, n, has_marks=cell.span == 1 and layout.has_marks[at])
            at += cell.span
        lines.append(line)
    notes: list[list[object]] = [[note] for note in table.notes]
    return [*lines, *notes]


class _Layout(NamedTuple):
    """Of each column of a table: how many a sheet needs, what they are called, whether letters stand in the last."""

    widths: list[int]
    parts: list[tuple[str, ...]]
    has_marks: list[bool]

    @classmethod
    def of(cls, table: Table) -> _Layout:
        n = sum(cell.span for cell in table.header[-1])
        parts: list[tuple[str, ...]] = [()] * n
        has_marks = [False] * n
        for row in table.rows:
            at = 0
            for cell in row:
                if cell.span == 1:
                    parts[at] = max(parts[at], cell.parts, key=len)
                    has_marks[at] = has_marks[at] or bool(cell.mark)
                at += cell.span
        widths = [max(1, len(p)) + m for p, m in zip(parts, has_marks, strict=True)]
        return cls(widths, parts, has_marks)

    def names(self, at: int, name: str) -> list[object]:
        parts = [f"{name}, {part}" for part in self.parts[at]] or [name]
        return [*parts, f"{name}, differs from"] if self.has_marks[at] else [*parts]


def _contents(cell: Cell, n: int, *, has_marks: bool) -> list[object]:
    if not cell.values:
        return [cell.text, *([None] * (n - 1))]
    shown: list[object] = [
        SheetNumber(value, cell.number_format) if math.isfinite(value) else None
        for value in cell.values
    ]
    shown += [None] * (n - len(shown))
    if has_marks:
        shown[-1] = cell.mark
    return shown


def _frame_lines(name: str, frame: pd.DataFrame) -> list[list[object]]:
    if len(frame) >= _MOST_ROWS:
        return [[f"{len(frame):,} rows are more than a sheet holds: see {name}.csv"]]
    return [list(frame.columns), *map(_plain_row, frame.itertuples(index=False))]


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
        for k, content in enumerate(line):
            value = round(content.value, 3) if isinstance(content, SheetNumber) else content
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
