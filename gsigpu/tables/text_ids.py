"""Identifiers that stay the text they are in every program that reads a table.

pandas, R and DuckDB look at a CSV file's values to tell a column's type. `2.10` becomes 2.1, `007` becomes 7, and
`NA` a missing value; then two lesions are one, or one is none. Whole numbers as programs write them (`12`)
lose nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection

# What pandas, R, DuckDB or a spreadsheet takes for something else than text.
_MISSING = {
    "", "na", "n/a", "#n/a", "#n/a n/a", "#na", "nan", "-nan", "null", "none", "<na>", "1.#ind", "-1.#ind", "1.#qnan",
    "-1.#qnan", "true", "false", "t", "f", "inf", "-inf", "infinity", "-infinity",
}  # fmt: skip
_NUMBER = re.compile(
    r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([ed][+-]?\d+)?|0x[0-9a-f.]+(p[+-]?\d+)?[l]?|\d+l|\d+i",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"0|[1-9]\d{0,14}")  # up to what a double holds exactly
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*|\d{1,2}:\d{2}(:\d{2})?")


def text_id(name: str) -> str:
    """An identifier that no reader of tables takes for a number, a date or a missing value.

    >>> [text_id(name) for name in ("12", "S4a", "2-01", "2.10", "007", "NA", "1e5")]
    ['12', 'S4a', '2-01', 'lesion 2.10', 'lesion 007', 'lesion NA', 'lesion 1e5']
    """
    plain = name.strip()
    if _WHOLE.fullmatch(plain):
        return plain
    is_other = plain.lower() in _MISSING or _NUMBER.fullmatch(plain) or _DATE.fullmatch(plain)
    return f"lesion {plain}".strip() if is_other else plain


def free_id(lesion_id: str, taken: Collection[str]) -> str:
    """An identifier, with a number behind it where it is taken.

    >>> free_id("cyst", {"cyst", "cyst (2)"})
    'cyst (3)'
    """
    number, free = 1, lesion_id
    while free in taken:
        number += 1
        free = f"{lesion_id} ({number})"
    return free
