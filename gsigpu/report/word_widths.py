"""How wide the columns of a table in a document are, and how large its letters: no word is broken where a page can hold it.

Word breaks words in columns that are too narrow, and gives all columns one width unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gsigpu.report.table_cells import Cell, Table

# Points, from the usual size of a journal's tables to the smallest that can be read on paper.
SIZES = (9.0, 8.5, 8.0, 7.5, 7.0, 6.5, 6.0)
FONT = "Arial"
# Widths in Arial, in em: its own tables say 0.22 to 0.33, 0.67 to 0.94 and 0.50 to 0.56; bold is up to a tenth wider.
_NARROW, _WIDE, _USUAL, _BOLD = 0.30, 0.80, 0.57, 1.08
_NARROW_LETTERS = frozenset(" .,;:|'!()[]-ijlt")
_WIDE_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ%mwλ")
# A column of words may break into lines of so many em before the letters shrink; headers stand above short numbers.
_LINE, _HEAD_LINE = 12.0, 6.0
# Points on both sides of a column's text together.
PADDING = 6.0


@dataclass(frozen=True, slots=True)
class Widths:
    """size : of the letters, points; columns : widths, points."""

    size: float
    columns: tuple[float, ...]


def widths_of(table: Table, page: float) -> Widths:
    """The largest letters with which the table is no wider than the page.

    page : points between the margins
    Where even the smallest letters are too wide, columns shrink in proportion and words break.

    >>> from gsigpu.report.table_cells import head, text
    >>> small = Table(name="t", caption="c", header=[[head("group"), head("n")]], rows=[[text("lung"), text("8")]], notes=[])
    >>> widths_of(small, 700.0).size
    9.0
    """
    needs = _needs(table)
    sizes = (size for size in SIZES if sum(needs) * size + PADDING * len(needs) <= page)
    size = next(sizes, SIZES[-1])
    columns = [em * size + PADDING for em in needs]
    shrunk = min(1.0, page / sum(columns))
    return Widths(size, tuple(width * shrunk for width in columns))


def _needs(table: Table) -> list[float]:
    """What each column needs, em: numbers stay whole, lines may break between words."""
    lines = [*table.header, *table.rows]
    needs = [1.0] * max(sum(cell.span for cell in line) for line in lines)
    for line in lines:
        for at, cell in _placed(line):
            if cell.span == 1:
                needs[at] = max(needs[at], _least(cell))
    for line in lines:
        for at, cell in _placed(line):
            lacking = _least(cell) - sum(needs[at : at + cell.span])
            if cell.span > 1 and lacking > 0:
                needs[at + cell.span - 1] += lacking
    return needs


def _placed(line: Sequence[Cell]) -> Iterator[tuple[int, Cell]]:
    at = 0
    for cell in line:
        yield at, cell
        at += cell.span


def _least(cell: Cell) -> float:
    # Marks are set small.
    whole = _em(cell.text) + 0.6 * _em(cell.mark)
    if cell.kind == "number":
        return whole * (_BOLD if cell.strong else 1.0)
    words = max((_em(word) for word in cell.text.split()), default=0.0)
    if cell.kind == "head":
        return _BOLD * max(min(whole, _HEAD_LINE), words)
    return max(min(whole, _LINE), words) * (_BOLD if cell.strong else 1.0)


def _em(text: str) -> float:
    return sum(
        _NARROW if letter in _NARROW_LETTERS else _WIDE if letter in _WIDE_LETTERS else _USUAL
        for letter in text
    )
