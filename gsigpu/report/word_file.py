"""The tables and the methods as a Word document, whose tables are tables: to edit, not to look at."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from gsigpu.report.table_cells import Cell, Table

# The same tables give the same bytes: no clock goes into the file.
_NO_CLOCK = datetime(2000, 1, 1)  # the library wants it without a zone
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_TABLE_STYLE = "Light List"


def write_word_file(
    path: Path, *, title: str, paragraphs: Sequence[str], tables: Sequence[Table]
) -> None:
    """Writes title, paragraphs and tables; a table's marks are superscripts, its notes stand below."""
    from docx import Document

    document: Any = Document()
    properties = document.core_properties
    properties.title, properties.author = title, "gsigpu"
    properties.created = properties.modified = _NO_CLOCK
    document.add_heading(title, level=1)
    document.add_heading("Methods", level=2)
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    for table in tables:
        _add_table(document, table)
    buffer = BytesIO()
    document.save(buffer)
    _write_without_clock(path, buffer)


def _add_table(document: Any, table: Table) -> None:
    document.add_heading(table.caption, level=3)
    lines = [*table.header, *table.rows]
    n_columns = max(sum(cell.span for cell in line) for line in lines)
    grid = document.add_table(rows=len(lines), cols=n_columns)
    grid.style = _TABLE_STYLE
    for row, line in zip(grid.rows, lines, strict=True):
        _fill(row.cells, line)
    for note in table.notes:
        document.add_paragraph(note)


def _fill(places: Sequence[Any], line: Sequence[Cell]) -> None:
    at = 0
    for cell in line:
        place = places[at]
        if cell.span > 1:
            place = place.merge(places[at + cell.span - 1])
        at += cell.span
        run = place.paragraphs[0].add_run(cell.text)
        run.bold = cell.strong or cell.kind == "head"
        if cell.mark:
            place.paragraphs[0].add_run(cell.mark).font.superscript = True


def _write_without_clock(path: Path, buffer: BytesIO) -> None:
    with (
        zipfile.ZipFile(buffer) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            fixed = zipfile.ZipInfo(entry.filename, _ZIP_EPOCH)
            fixed.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(fixed, source.read(entry))
