"""The tables and the methods as a Word document, whose tables are tables: to edit, not to look at.

The text stands on an upright page, the tables on lying ones, where up to seventeen columns fit (`word_widths`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from gsigpu.report.table_cells import Cell, Table
from gsigpu.report.word_widths import FONT, PADDING, Widths, widths_of

# The same tables give the same bytes: no clock goes into the file.
_NO_CLOCK = datetime(2000, 1, 1)  # the library wants it without a zone
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_TABLE_STYLE = "Light Shading"
# A4 and its margins, mm.
_SHORT_MM, _LONG_MM, _MARGIN_MM = 210.0, 297.0, 15.0
_POINTS_PER_MM = 72.0 / 25.4
_TEXT_POINTS, _NOTE_POINTS = 10, 8
# Longer tables are for a sheet: two lying pages hold about as many rows.
MOST_ROWS = 100


def write_word_file(
    path: Path, *, title: str, paragraphs: Sequence[str], tables: Sequence[Table]
) -> None:
    """Writes title, paragraphs and tables; a table's marks are superscripts, its notes stand below.

    Of a table of more than MOST_ROWS rows the caption, and the file that holds it.
    """
    from docx import Document
    from docx.enum.section import WD_ORIENT, WD_SECTION

    document: Any = Document()
    _set_font(document)
    properties = document.core_properties
    properties.title, properties.author = title, "gsigpu"
    properties.created = properties.modified = _NO_CLOCK
    _set_page(document.sections[0], _SHORT_MM, _LONG_MM)
    document.add_heading(title, level=1)
    document.add_heading("Methods", level=2)
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    lying = document.add_section(WD_SECTION.NEW_PAGE)
    lying.orientation = WD_ORIENT.LANDSCAPE
    _set_page(lying, _LONG_MM, _SHORT_MM)
    for table in tables:
        _add_table(document, table)
    buffer = BytesIO()
    document.save(buffer)
    _write_without_clock(path, buffer)


def _set_font(document: Any) -> None:
    """One font that every program has, or has in the same widths; the template's Cambria and Calibri are replaced by wider ones."""
    from docx.oxml.ns import qn
    from docx.shared import Pt

    for name in ("Normal", "Heading 1", "Heading 2", "Heading 3"):
        style = document.styles[name]
        fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
        for theme in ("asciiTheme", "hAnsiTheme", "eastAsiaTheme", "cstheme"):
            fonts.attrib.pop(qn(f"w:{theme}"), None)
        style.font.name = FONT
    document.styles["Normal"].font.size = Pt(_TEXT_POINTS)


def _set_page(section: Any, width_mm: float, height_mm: float) -> None:
    from docx.shared import Mm

    section.page_width, section.page_height = Mm(width_mm), Mm(height_mm)
    section.left_margin = section.right_margin = Mm(_MARGIN_MM)
    section.top_margin = section.bottom_margin = Mm(_MARGIN_MM)


def _add_table(document: Any, table: Table) -> None:
    from docx.enum.table import WD_TABLE_ALIGNMENT
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Pt

    document.add_heading(table.caption, level=3)
    if len(table.rows) > MOST_ROWS:
        document.add_paragraph(f"{len(table.rows):,} rows: see tables/{table.name}.csv.")
        return
    lines = [*table.header, *table.rows]
    widths = widths_of(table, (_LONG_MM - 2 * _MARGIN_MM) * _POINTS_PER_MM)
    grid = document.add_table(rows=len(lines), cols=len(widths.columns))
    grid.style, grid.autofit, grid.alignment = _TABLE_STYLE, False, WD_TABLE_ALIGNMENT.LEFT
    _set_padding(grid)
    _set_columns(grid, widths)
    for number, (row, line) in enumerate(zip(grid.rows, lines, strict=True)):
        _keep_together(row, repeated=number < len(table.header))
        _fill(row.cells, line, widths)
        for column, cell in enumerate(line):
            if cell.kind == "head" and cell.span == 1 and not table.stands_over_words(column, line):
                row.cells[column].paragraphs[0].alignment = WD_ALIGN_PARAGRAPH.RIGHT
    for note in table.notes:
        document.add_paragraph(note).runs[0].font.size = Pt(_NOTE_POINTS)


def _set_columns(grid: Any, widths: Widths) -> None:
    """Of the grid, which LibreOffice reads; Word reads the cells' own."""
    from docx.shared import Pt

    for column, width in zip(grid.columns, widths.columns, strict=True):
        column.width = Pt(width)


def _set_padding(grid: Any) -> None:
    from docx.oxml.ns import qn

    margins = _element("w:tblCellMar")
    for side in ("left", "right"):
        margins.append(_element(f"w:{side}", w=str(round(PADDING / 2 * 20)), type="dxa"))
    # The order of the schema: margins come before the look.
    grid._tbl.tblPr.find(qn("w:tblLook")).addprevious(margins)


def _keep_together(row: Any, *, repeated: bool) -> None:
    """No row is cut by the end of a page; the header stands on each."""
    properties = row._tr.get_or_add_trPr()
    properties.append(_element("w:cantSplit"))
    if repeated:
        properties.append(_element("w:tblHeader"))


def _element(name: str, **attributes: str) -> Any:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    element: Any = OxmlElement(name)
    for key, value in attributes.items():
        element.set(qn(f"w:{key}"), value)
    return element


def _fill(places: Sequence[Any], line: Sequence[Cell], widths: Widths) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Pt

    at = 0
    for cell in line:
        place = places[at]
        if cell.span > 1:
            place = place.merge(places[at + cell.span - 1])
        place.width = Pt(sum(widths.columns[at : at + cell.span]))
        at += cell.span
        paragraph = place.paragraphs[0]
        paragraph.paragraph_format.space_after = Pt(0)
        if cell.kind == "number":
            paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
        elif cell.kind == "head" and cell.span > 1:
            paragraph.alignment = WD_ALIGN_PARAGRAPH.CENTER
        _add_run(paragraph, cell.text, is_bold=cell.strong or cell.kind == "head", size=widths.size)
        if cell.mark:
            mark = paragraph.add_run(cell.mark)
            mark.font.superscript, mark.bold, mark.font.size = True, False, Pt(widths.size)


def _add_run(paragraph: Any, text: str, *, is_bold: bool, size: float) -> None:
    """A run of a size in points, bold or not; by a copy of one where the text needs no marks of its own.

    The library looks for the place of each property anew, a millisecond a cell.
    """
    if text != text.strip() or not text or not text.isprintable():
        from docx.shared import Pt

        run = paragraph.add_run(text)
        run.bold, run.font.size = is_bold, Pt(size)
        return
    copied = deepcopy(_run(is_bold, size))
    copied[-1].text = text
    paragraph._p.append(copied)


@cache
def _run(is_bold: bool, size: float) -> Any:
    """A run as the library makes it, to be copied."""
    from docx import Document
    from docx.shared import Pt

    run = Document().add_paragraph().add_run("text")
    run.bold, run.font.size = is_bold, Pt(size)
    return run._r


def _write_without_clock(path: Path, buffer: BytesIO) -> None:
    with (
        zipfile.ZipFile(buffer) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            fixed = zipfile.ZipInfo(entry.filename, _ZIP_EPOCH)
            fixed.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(fixed, source.read(entry))
