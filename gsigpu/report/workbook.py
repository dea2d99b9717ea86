"""Tables into one workbook, a sheet each; the same tables give the same bytes.

openpyxl makes the workbook, its styles and the head of each sheet. The cells are written here as text: a cell as an object
takes twenty times as long, and the results of a large cohort are half a million cells.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd

from gsigpu.report.table_cells import Cell, Table

_LONGEST_SHEET_NAME = 31
_WIDEST = 60
_LINES_FOR_WIDTHS = 200
# A person reads a sheet, and a spreadsheet opens this many rows within seconds; the CSV file holds them all.
MOST_ROWS = 50_000
_LONGEST_TEXT = 32_767  # of the format
_ROWS_AT_ONCE = 4096
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FIXED_TIME = b"1980-01-01T00:00:00Z"
# Characters that XML does not have.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NO_ROWS = re.compile(rb"<sheetData ?/>|<sheetData></sheetData>")

Lines = Sequence[Sequence[object]]


def write_workbook(
    path: Path, frames: Mapping[str, pd.DataFrame], tables: Iterable[Table] = ()
) -> None:
    """One sheet per table; numbers are numbers, in full precision."""
    from openpyxl import Workbook
    from openpyxl.utils import get_column_letter

    book = Workbook(write_only=True)
    contents = [
        _Content(table.name, len(table.header), sheet_lines(table), n_styled=None)
        for table in tables
    ]
    contents += [
        _Content(name, 1, _frame_lines(name, frame), n_styled=1) for name, frame in frames.items()
    ]
    bodies: dict[str, Iterable[bytes]] = {}
    cells = _Cells(book)
    titles = sheet_names([content.name for content in contents])
    for i, (title, content) in enumerate(zip(titles, contents, strict=True), start=1):
        sheet = book.create_sheet(title)
        sheet.freeze_panes = f"A{content.n_header + 1}"
        for k, width in enumerate(_widths(content.lines), start=1):
            sheet.column_dimensions[get_column_letter(k)].width = width
        cells.meet_styles(content)
        bodies[f"xl/worksheets/sheet{i}.xml"] = cells.xml_of(content)
    buffer = io.BytesIO()
    book.save(buffer)
    _rezip(buffer, path, bodies)


class _Content(NamedTuple):
    """What a sheet holds.

    n_header : lines at the top that are bold
    n_styled : lines from the top that may have cells with a style; None for all
    """

    name: str
    n_header: int
    lines: Lines
    n_styled: int | None


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


def _frame_lines(name: str, frame: pd.DataFrame) -> Lines:
    if len(frame) > MOST_ROWS:
        return [[f"{len(frame):,} rows are more than a sheet shows: see {name}.csv"]]
    columns = [frame.iloc[:, k].tolist() for k in range(frame.shape[1])]
    return [list(frame.columns), *zip(*columns, strict=True)]


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


class _Cells:
    """The rows of sheets as XML, and the styles of their cells in the workbook."""

    def __init__(self, book: Any) -> None:
        from openpyxl.styles import Font

        self._book = book
        self._bold = Font(bold=True)
        self._styles: dict[tuple[str, bool], str] = {("", False): ""}

    def meet_styles(self, content: _Content) -> None:
        """Tells the workbook the styles of a sheet; it must know all when it is saved."""
        for i, line in enumerate(content.lines[: content.n_styled]):
            for value in line:
                self._style(value, is_bold=i < content.n_header)

    def _style(self, value: object, *, is_bold: bool) -> str:
        """The attribute of a cell."""
        shown_as = value.number_format if isinstance(value, SheetNumber) else ""
        key = (shown_as, is_bold)
        if key not in self._styles:
            from openpyxl.cell import WriteOnlyCell

            cell = WriteOnlyCell(self._book.worksheets[-1])
            if shown_as:
                cell.number_format = shown_as
            if is_bold:
                cell.font = self._bold
            self._styles[key] = f' s="{cell.style_id}"' if cell.has_style else ""
        return self._styles[key]

    def xml_of(self, content: _Content) -> Iterator[bytes]:
        """The element of the rows, in pieces."""
        yield b"<sheetData>"
        for begin in range(0, len(content.lines), _ROWS_AT_ONCE):
            rows = enumerate(content.lines[begin : begin + _ROWS_AT_ONCE], start=begin + 1)
            yield "".join(
                self._row(number, line, is_bold=number <= content.n_header) for number, line in rows
            ).encode("ascii", "xmlcharrefreplace")
        yield b"</sheetData>"

    def _row(self, number: int, line: Sequence[object], *, is_bold: bool) -> str:
        parts = [f'<row r="{number}">']
        for k, value in enumerate(line):
            # The commonest first: a finite number, no number, or a text, without a style of its own.
            if type(value) is float and not is_bold:
                if value - value == 0.0:
                    parts.append(f'<c r="{_letters(k)}{number}" t="n"><v>{value:.16g}</v></c>')
                    continue
                if math.isnan(value):
                    continue
            elif type(value) is str and not is_bold:
                parts.append(f'<c r="{_letters(k)}{number}" t="inlineStr">{_text(value)[1]}</c>')
                continue
            style = self._style(value, is_bold=is_bold)
            kind, inner = _typed(value.value if isinstance(value, SheetNumber) else value)
            if inner or style or kind != "n":
                parts.append(f'<c r="{_letters(k)}{number}"{style} t="{kind}">{inner}</c>')
        parts.append("</row>")
        return "".join(parts)


@cache
def _letters(k: int) -> str:
    """Of the column after k others.

    >>> [_letters(k) for k in (0, 25, 26, 702)]
    ['A', 'Z', 'AA', 'AAA']
    """
    return (_letters(k // 26 - 1) if k >= 26 else "") + chr(ord("A") + k % 26)


def _typed(value: object) -> tuple[str, str]:
    """Type and content of a cell: no NaN, no infinity and no control characters, which a spreadsheet does not hold."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isinf(value):
        value = "inf" if value > 0 else "-inf"
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "n", ""
    if isinstance(value, bool):
        return "b", f"<v>{int(value)}</v>"
    if isinstance(value, int | float):
        return "n", f"<v>{value:.16g}</v>"
    return _text(str(value))


@lru_cache(maxsize=4096)
def _text(text: str) -> tuple[str, str]:
    """A text, also one that opens with = as a formula does."""
    text = _NOT_XML.sub("", text)[:_LONGEST_TEXT]
    if not text:
        return "inlineStr", ""
    space = ' xml:space="preserve"' if text != text.strip() else ""
    inner = escape(text, {"\r": "&#13;"})
    return "inlineStr", f"<is><t{space}>{inner}</t></is>"


def _widths(lines: Lines) -> list[int]:
    n = max((len(line) for line in lines), default=0)
    widths = [8] * n
    for line in lines[:_LINES_FOR_WIDTHS]:
        if len(line) < n:
            continue
        for k, content in enumerate(line):
            value = round(content.value, 3) if isinstance(content, SheetNumber) else content
            shown = f"{value:.6g}" if isinstance(value, float) else str(value or "")
            widths[k] = min(_WIDEST, max(widths[k], len(shown) + 2))
    return widths


def _rezip(source: io.BytesIO, path: Path, bodies: Mapping[str, Iterable[bytes]]) -> None:
    """The workbook with the rows of its sheets, without the time it was written."""
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
            if name in bodies:
                head, tail = _NO_ROWS.split(content)
                with new.open(entry, "w") as file:
                    file.write(head)
                    for piece in bodies[name]:
                        file.write(piece)
                    file.write(tail)
            else:
                new.writestr(entry, content)
