"""Short lists as CSV, for which a data frame would be imported first: the same bytes as pandas writes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """A header and a line for each row, in UTF-8; nothing for a cell that is not there, or None.

    columns : of the file, in their order; what else a row has is left out
    Raises OSError, UnicodeEncodeError.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
