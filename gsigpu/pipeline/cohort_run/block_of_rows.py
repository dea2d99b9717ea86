"""A run of rows of the manifest, from their tables on disk to a part of the cohort's table.

Blocks are made side by side in threads: reading, compressing and the text of the CSV are done by libraries that let
other threads run meanwhile.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from gsigpu.output.portable_names import portable_name
from gsigpu.tables.arrow_columns import boolean_column, integer_column, text_column
from gsigpu.tables.manifest import ManifestRow
from gsigpu.tables.measurement_table import COLUMNS

_LABELS = ("case_id", "patient_id", "group", "reader", "phase")
_NUMBERS = {
    "value": pa.float64(),
    "distance_mm": pa.float64(),
    "n_voxels": pa.int64(),
    "n_valid": pa.int64(),
}
SCHEMA = pa.schema([(name, _NUMBERS.get(name, pa.string())) for name in COLUMNS])
# Columns by which readers skip parts; of the others the least and the largest of a part say nothing.
_WITH_STATISTICS = ["case_id", "patient_id", "group", "reader", "parameter"]
# Values in a piece of the CSV: in the 1,024 of the default a third of the time goes into calls, and one piece that grows
# takes three times its memory.
_CSV_VALUES = 2**15


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of the manifest that goes into the table.

    table : its measurements on disk
    state : of that file, size and time
    left_out : lesions that are excluded
    """

    row: ManifestRow
    table: Path
    state: Sequence[int]
    left_out: frozenset[str]

    def digest(self) -> str:
        """Changes when what it gives to the table does."""
        row = self.row
        labels = [getattr(row, name) for name in _LABELS]
        content = [labels, row.extra, self.state, sorted(self.left_out)]
        return hashlib.sha256(json.dumps(content).encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class MadeBlock:
    """A block whose parts are written.

    csv : its lines, in pieces
    parts : names of its parts, below the folder of all
    """

    n_values: int
    csv: tuple[pa.Buffer, ...]
    parts: tuple[str, ...]


class DamagedTables(Exception):
    """Tables of rows that cannot be read back; `rows` are theirs."""

    def __init__(self, rows: Sequence[ManifestRow]) -> None:
        """The message counts them."""
        super().__init__(f"{len(rows)} tables cannot be read back")
        self.rows = list(rows)


def make_block(
    members: Sequence[TableRow], schema: pa.Schema, folder: Path, part_name: str
) -> MadeBlock:
    """A block out of the tables of its rows; a part in `folder` for each phase.

    Raises DamagedTables with all whose tables cannot be read.
    """
    tables: list[pa.Table] = []
    damaged: list[ManifestRow] = []
    for member in members:
        try:
            tables.append(_measured(member, schema))
        except (OSError, pa.ArrowException, KeyError):
            damaged.append(member.row)
    if damaged:
        raise DamagedTables(damaged)
    table = _labelled(members, tables, schema)
    parts = []
    phases = list(dict.fromkeys(member.row.phase for member in members))
    for phase in phases:
        path = folder / portable_name(f"phase={quote(phase, safe='')}") / part_name
        path.parent.mkdir(exist_ok=True)
        of_phase = table if len(phases) == 1 else table.filter(_are_of(phase, members, tables))
        pq.write_table(
            of_phase.drop_columns("phase"),
            path,
            compression="zstd",
            write_statistics=_WITH_STATISTICS,
        )
        parts.append(path.relative_to(folder).as_posix())
    return MadeBlock(n_values=table.num_rows, csv=_csv_lines(table), parts=tuple(parts))


def _measured(member: TableRow, schema: pa.Schema) -> pa.Table:
    """What a row's table gives: all but what the manifest says of the row."""
    given = row_constants(member.row)
    with pq.ParquetFile(member.table, page_checksum_verification=True) as file:
        table = file.read([name for name in schema.names if name not in given], use_threads=False)
    if member.left_out:
        ids = text_column(sorted(member.left_out))
        table = table.filter(pc.invert(pc.is_in(table["lesion_id"], ids)))
    return table


def _are_of(phase: str, members: Sequence[TableRow], tables: Sequence[pa.Table]) -> pa.BooleanArray:
    """Which of the values, those of one table after the other, are of a phase."""
    lengths = [table.num_rows for table in tables]
    return boolean_column(np.repeat([member.row.phase == phase for member in members], lengths))


def _labelled(
    members: Sequence[TableRow], tables: Sequence[pa.Table], schema: pa.Schema
) -> pa.Table:
    """The tables as one, called as the manifest calls their rows now."""
    row_of_value = integer_column(
        np.repeat(np.arange(len(tables)), [table.num_rows for table in tables])
    )
    given = [row_constants(member.row) for member in members]
    measured = pa.concat_tables(tables, promote_options="default")
    columns = [
        measured[field.name].cast(field.type)
        if field.name in measured.column_names
        else text_column([texts.get(field.name, "") for texts in given]).take(row_of_value)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def row_constants(row: ManifestRow) -> dict[str, str]:
    """What the manifest says of all values of a row, by the column of the table."""
    labels = {name: getattr(row, name) for name in _LABELS}
    return labels | {extra_name(name): text for name, text in row.extra}


def extra_name(name: str) -> str:
    """The column of the table for a further column of the manifest.

    >>> extra_name("kernel"), extra_name("value")
    ('kernel', 'manifest_value')
    """
    return f"manifest_{name}" if name in COLUMNS else name


def _csv_lines(table: pa.Table) -> tuple[pa.Buffer, ...]:
    """Lines without a header; texts in quotes, nothing for a value that is not there."""
    for name in ("value", "distance_mm"):
        column = table[name]
        if pc.any(pc.is_nan(column)).as_py():
            index = table.schema.get_field_index(name)
            no_value = pa.scalar(None, pa.float64())
            table = table.set_column(index, name, pc.if_else(pc.is_nan(column), no_value, column))
    options = pa_csv.WriteOptions(include_header=False, batch_size=_CSV_VALUES)
    pieces = []
    for begin in range(0, table.num_rows, _CSV_VALUES):
        lines = pa.BufferOutputStream()
        pa_csv.write_csv(table.slice(begin, _CSV_VALUES), lines, options)
        pieces.append(lines.getvalue())
    return tuple(pieces)
