"""The cells of a manifest: CSV in whatever dialect, Excel or Parquet."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from zipfile import BadZipFile

from gsigpu.errors import InputError
from gsigpu.optional_packages import named_where_absent

# Column names, and (line, cells) of each row.
Cells = tuple[list[str], list[tuple[int, list[str]]]]


def read_cells(path: Path) -> Cells:
    """Column names, and each row with the line on which it begins; empty lines and an index of pandas are left out.

    Raises InputError if the file is not there, or cannot be read.
    """
    return _without_index(*_read(path))


def _read(path: Path) -> Cells:
    if path.is_dir() or not path.exists():
        raise InputError("no such manifest", where=path, remedy="check the path")
    try:
        if path.suffix.lower() == ".parquet":
            return _read_parquet(path)
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            return _read_excel(path)
        # At once, as a pipe can be read only once.
        with path.open(encoding="utf-8-sig", newline="") as opened:
            text = opened.read()
        with StringIO(text, newline="") as file:
            delimiter = max(",;\t", key=file.readline().count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(reader, [])]
            records, line = [], reader.line_num + 1
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    records.append((line, [cell.strip() for cell in cells]))
                line = reader.line_num + 1
            return header, records
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror or error})",
            where=path,
            remedy="check the file, its permissions and its disk",
        ) from error
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"cannot be read ({' '.join(str(error).split())})",
            where=path,
            remedy="save it as CSV in UTF-8, as Excel or as Parquet",
        ) from error


def _read_parquet(path: Path) -> Cells:
    with named_where_absent("a Parquet file"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    values = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return [str(name).strip() for name in table.column_names], [
        (line, [_text(cell) for cell in cells]) for line, cells in enumerate(values, start=2)
    ]


def _read_excel(path: Path) -> Cells:
    """The first sheet."""
    with named_where_absent("an Excel file"):
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    try:
        book = load_workbook(path, read_only=True, data_only=True)
        lines = [[_text(cell) for cell in row] for row in book.worksheets[0].values]
        book.close()
    except (InvalidFileException, BadZipFile, KeyError) as error:
        raise ValueError(f"no Excel file: {error}") from error
    width = max((n for n, name in enumerate(lines[0], start=1) if name), default=0) if lines else 0
    header = lines[0][:width] if lines else []
    return header, [
        (number, cells[:width]) for number, cells in enumerate(lines[1:], start=2) if any(cells)
    ]


def _text(value: object) -> str:
    """A cell of a Parquet or Excel file; numbers that a missing value made decimal are whole again."""
    if value is None or value != value:  # noqa: PLR0124  # NaN
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _without_index(header: list[str], records: list[tuple[int, list[str]]]) -> Cells:
    """Without the first column where it is the index that pandas writes: no name, and numbers that rise."""
    if not header or header[0] not in ("", "Unnamed: 0", "__index_level_0__", "index"):
        return header, records
    numbers = [cells[0] for _, cells in records if cells]
    if not all(number.isdigit() for number in numbers):
        return header, records
    return header[1:], [(line, cells[1:]) for line, cells in records]
