"""The measurement table of a cohort, in blocks of rows: what did not change is not made again.

A block is a run of rows of the manifest. It ends where a hash of the row's name says so, so that a row more or less
changes one block and leaves the borders of the others. Each block is a part of `measurements/phase=…/` per phase, and
a range of bytes of measurements.csv.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from gsigpu.output.staging import staged_folder
from gsigpu.pipeline.cohort_run.row_files import put
from gsigpu.pipeline.workers import default_workers
from gsigpu.tables.manifest import ManifestRow
from gsigpu.tables.measurement_table import COLUMNS
from gsigpu.version import __version__

MEASUREMENTS, MEASUREMENTS_CSV = "measurements", "measurements.csv"
_LABELS = ("case_id", "patient_id", "group", "reader", "phase")
_NUMBERS = {
    "value": pa.float64(),
    "distance_mm": pa.float64(),
    "n_voxels": pa.int64(),
    "n_valid": pa.int64(),
}
# Rows of the manifest in a block: some tens of megabytes of memory, and few files; on average half of the most.
_MOST_ROWS = 256
_MEAN_ROWS = 128
_COPY_BYTES = 2**24

SCHEMA = pa.schema([(name, _NUMBERS.get(name, pa.string())) for name in COLUMNS])


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of the manifest that goes into the table.

    table : its measurements on disk
    left_out : lesions that are excluded
    """

    row: ManifestRow
    table: Path
    left_out: frozenset[str]

    def digest(self) -> str:
        """Changes when what it gives to the table does."""
        row = self.row
        labels = [getattr(row, name) for name in _LABELS]
        content = [
            labels,
            row.extra,
            file_state(self.table),
            sorted(self.left_out),
        ]
        return hashlib.sha256(json.dumps(content).encode("utf-8", "surrogateescape")).hexdigest()


class DamagedTables(Exception):
    """Tables of rows that cannot be read back; `rows` are theirs."""

    def __init__(self, rows: Sequence[ManifestRow]) -> None:
        """The message counts them."""
        super().__init__(f"{len(rows)} tables cannot be read back")
        self.rows = list(rows)


def file_state(path: Path) -> list[int]:
    """Size and time of change: an edit changes one of them, a copy of the whole folder neither. Empty without a file."""
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def write_measurements(
    out: Path,
    rows: Sequence[TableRow],
    extra_columns: Sequence[str],
    old_blocks: Sequence[Mapping[str, Any]],
    progress: Callable[[], None],
) -> list[dict[str, Any]]:
    """measurements/ and measurements.csv; returns a record of each block, for the next time.

    old_blocks : such records of what is there
    Raises DamagedTables if tables of rows cannot be read.
    """
    schema = pa.schema([*SCHEMA, *((name, pa.string()) for name in extra_columns)])
    old = _reusable(out, old_blocks)
    records: list[dict[str, Any]] = []
    damaged: list[ManifestRow] = []

    def write_csv(partial: Path) -> None:
        with (
            staged_folder(out / MEASUREMENTS, overwrite=True) as folder,
            partial.open("wb") as csv,
        ):
            csv.write((",".join(map(_quoted, schema.names)) + "\n").encode())
            for number, members in enumerate(_blocks(rows)):
                progress()
                digest = _digest(members, schema)
                try:
                    records.append(
                        _reused(out, old[digest], number, folder, csv)
                        if digest in old
                        else _made(members, digest, number, folder, csv, schema, progress)
                    )
                except DamagedTables as error:
                    damaged.extend(error.rows)
            if damaged:
                raise DamagedTables(damaged)

    put(out / MEASUREMENTS_CSV, write_csv)
    for record in records:
        record["parts"] = {name: file_state(out / MEASUREMENTS / name) for name in record["parts"]}
    return records


def is_whole(out: Path, blocks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the parts of a table are there as they were written, and no others."""
    parts = {name: state for block in blocks for name, state in block["parts"].items()}
    folder = out / MEASUREMENTS
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return (
        folder.is_dir()
        and there == set(parts)
        and all(file_state(folder / name) == state for name, state in parts.items())
    )


def _blocks(rows: Sequence[TableRow]) -> Iterator[list[TableRow]]:
    members: list[TableRow] = []
    for row in rows:
        members.append(row)
        name = hashlib.sha256(row.row.name.encode("utf-8", "surrogateescape")).digest()
        if len(members) >= _MOST_ROWS or int.from_bytes(name[:4], "little") % _MEAN_ROWS == 0:
            yield members
            members = []
    if members:
        yield members


def _digest(members: Sequence[TableRow], schema: pa.Schema) -> str:
    content = [__version__, schema.names, *(member.digest() for member in members)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _reusable(out: Path, blocks: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Blocks whose parts are as they were written, where the CSV is too."""
    if not blocks or blocks[0].get("csv") != file_state(out / MEASUREMENTS_CSV):
        return {}
    folder = out / MEASUREMENTS
    return {
        block["digest"]: block
        for block in blocks
        if all(file_state(folder / name) == state for name, state in block["parts"].items())
    }


def _reused(
    out: Path, block: Mapping[str, Any], number: int, folder: Path, csv: BinaryIO
) -> dict[str, Any]:
    """A block as it was: its parts linked, its bytes of the CSV copied."""
    parts = []
    for name in block["parts"]:
        target = folder / Path(name).parent / _part(number)
        target.parent.mkdir(exist_ok=True)
        try:
            os.link(out / MEASUREMENTS / name, target)
        except OSError:  # a file system without links
            shutil.copy2(out / MEASUREMENTS / name, target)
        parts.append(target.relative_to(folder).as_posix())
    offset = csv.tell()
    with (out / MEASUREMENTS_CSV).open("rb") as source:
        source.seek(block["offset"])
        left = block["length"]
        while left:
            piece = source.read(min(left, _COPY_BYTES))
            if not piece:
                raise OSError(0, "is shorter than it was", str(out / MEASUREMENTS_CSV))
            csv.write(piece)
            left -= len(piece)
    return {**block, "offset": offset, "parts": dict.fromkeys(parts)}


def _made(
    members: Sequence[TableRow],
    digest: str,
    number: int,
    folder: Path,
    csv: BinaryIO,
    schema: pa.Schema,
    progress: Callable[[], None],
) -> dict[str, Any]:
    """A block out of the tables of its rows."""
    tables: list[pa.Table] = []
    damaged: list[ManifestRow] = []

    def read(member: TableRow) -> pa.Table | None:
        try:
            return _labelled(member, schema)
        except (OSError, pa.ArrowException, KeyError):
            return None

    with ThreadPoolExecutor(default_workers()) as pool:
        for member, part in zip(members, pool.map(read, members), strict=True):
            progress()
            if part is None:
                damaged.append(member.row)
            else:
                tables.append(part)
    if damaged:
        raise DamagedTables(damaged)
    table = pa.concat_tables(tables)
    offset = csv.tell()
    _write_csv(table, csv)
    parts: dict[str, None] = {}
    phases = list(dict.fromkeys(member.row.phase for member in members))
    for phase in phases:
        path = folder / f"phase={quote(phase, safe='')}" / _part(number)
        path.parent.mkdir(exist_ok=True)
        of_phase = table if len(phases) == 1 else table.filter(pc.equal(table["phase"], phase))
        pq.write_table(of_phase.drop_columns("phase"), path, compression="zstd")
        parts[path.relative_to(folder).as_posix()] = None
    return {
        "digest": digest,
        "offset": offset,
        "length": csv.tell() - offset,
        "n_values": table.num_rows,
        "parts": parts,
    }


def _part(number: int) -> str:
    return f"part-{number:05d}.parquet"


def _labelled(member: TableRow, schema: pa.Schema) -> pa.Table:
    """A row's table, called as the manifest calls it now."""
    with pq.ParquetFile(member.table, page_checksum_verification=True) as file:
        table = file.read(use_threads=False)
    if member.left_out:
        table = table.filter(
            pc.invert(
                pc.is_in(
                    table["lesion_id"], pa.array(sorted(member.left_out), table["lesion_id"].type)
                )
            )
        )
    row, n = member.row, table.num_rows
    constants = {name: getattr(row, name) for name in _LABELS} | row_extras(row)
    columns = [
        pa.repeat(pa.scalar(constants.get(field.name, ""), pa.string()), n)
        if field.name in constants or field.name not in table.column_names
        else table[field.name].cast(field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def row_extras(row: ManifestRow) -> dict[str, str]:
    """Further columns of the manifest, under names that are no others of the table."""
    return {extra_name(name): text for name, text in row.extra}


def extra_name(name: str) -> str:
    """The column of the table for a further column of the manifest.

    >>> extra_name("kernel"), extra_name("value")
    ('kernel', 'manifest_value')
    """
    return f"manifest_{name}" if name in COLUMNS else name


def _write_csv(table: pa.Table, csv: BinaryIO) -> None:
    """Lines without a header; quotes where a text needs them, no text for a value that is not there."""
    for name in ("value", "distance_mm"):
        index = table.schema.get_field_index(name)
        column = table[name]
        table = table.set_column(
            index, name, pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
        )
    # Texts repeat themselves: looking at each once is a tenth of looking at all.
    needs_quotes = any(
        character in text
        for field in table.schema
        if pa.types.is_string(field.type)
        for text in pc.unique(table[field.name]).to_pylist()
        for character in '",\r\n'
    )
    options = pa_csv.WriteOptions(
        include_header=False, quoting_style="needed" if needs_quotes else "none"
    )
    pa_csv.write_csv(table, csv, options)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(c in name for c in '",\r\n') else name
