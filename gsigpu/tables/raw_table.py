"""Tables as they lie on the disk, every cell as text: CSV, Parquet, a folder of Parquet, a cohort run's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds

from gsigpu.errors import InputError

_READ_BYTES = 2**22


@dataclass(frozen=True, slots=True)
class RawTable:
    """A table whose cells are text, with what lies beside it.

    cells : str columns, "" where there is nothing; the index is the row's number in the file, the
        header of a CSV being row 1, and counts from 1 over all parts of a folder
    columns : all that the file has, of which `cells` holds those that were asked for
    source : what was read
    beside : failures.csv, exclusions.csv, warnings.csv, flow.csv, run.json of a cohort run, those that are there
    sha256 : of the files' bytes
    rejected : patient, lesion, phase and reader of each reading that was taken out of the cells at review
    """

    cells: pd.DataFrame
    columns: tuple[str, ...]
    source: Path
    sha256: str
    beside: dict[str, Path] = field(default_factory=dict)
    rejected: tuple[tuple[str, ...], ...] = ()


def read_list(path: Path, columns: Sequence[str], *, remedy: str) -> pd.DataFrame:
    """Columns of one file that is no table of measurements: cut-offs, decisions, a list of patients.

    remedy : which file to name, where a folder was
    Returns `cells` of `read_raw`, with the columns that are there. Raises InputError as `read_raw`, and for a folder.
    """
    if path.is_dir():
        raise InputError("is a folder, and a file is needed", where=path, remedy=remedy)
    return read_raw(path, columns, lambda _: None).cells


def read_raw(
    path: Path, requested: Sequence[str], keep: Callable[[pa.Table], pa.Array | None]
) -> RawTable:
    """Reads the requested columns of a table.

    path : a .csv or .parquet file, a folder of Parquet, or the folder of a cohort run
    keep : which rows, as a Boolean array, or None for all
    Raises InputError if there is no table, or none that can be read.
    """
    source, beside = _locate(path)
    try:
        columns, batches = _batches(source, requested)
        parts = []
        row = 1 if _is_parquet(source) else 2
        for batch in batches:
            table = pa.Table.from_batches([batch])
            numbers = pa.array(range(row, row + table.num_rows), pa.int64())
            row += table.num_rows
            chosen = keep(table)
            table = table.append_column("", numbers)
            parts.append(_as_text(table if chosen is None else table.filter(chosen)))
        names = [name for name in columns if name in requested]
        whole = pa.concat_tables(parts) if parts else pa.table({name: [] for name in [*names, ""]})
        cells = whole.to_pandas().set_index("")
        sha256 = _sha256(source)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError, UnicodeDecodeError) as error:
        raise _unreadable(source, error) from error
    cells.index = pd.to_numeric(cells.index)
    cells.index.name = None
    for name in cells.columns:
        cells[name] = cells[name].astype("str").fillna("").str.strip()
    return RawTable(cells=cells, columns=columns, source=source, sha256=sha256, beside=beside)


def column_names(path: Path) -> tuple[str, ...]:
    """The columns of a table that `read_raw` would read.

    Raises InputError if there is no table, or none that can be read.
    """
    source, _ = _locate(path)
    try:
        if _is_parquet(source):
            return tuple(ds.dataset(source, format="parquet").schema.names)
        return _header(source)[1]
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise _unreadable(source, error) from error


def _locate(path: Path) -> tuple[Path, dict[str, Path]]:
    """The table itself, and what lies beside it."""
    if not path.exists():
        raise InputError("no such table", where=path, remedy="check the path")
    if path.is_file():
        # measurements.csv of a run has the run's records beside it.
        is_of_run = path.stem == "measurements"
        return path, _beside(path.parent) if is_of_run else {}
    if (path / "measurements").is_dir() and any((path / "measurements").rglob("*.parquet")):
        return path / "measurements", _beside(path)
    if (path / "measurements.csv").is_file():
        return path / "measurements.csv", _beside(path)
    if any(path.rglob("*.parquet")):
        return path, _beside(path.parent) if path.name == "measurements" else {}
    raise InputError(
        "holds no measurements",
        where=path,
        remedy="name a .csv or .parquet table, or the folder that `gsigpu cohort run` wrote",
    )


def _beside(folder: Path) -> dict[str, Path]:
    names = ("failures.csv", "exclusions.csv", "warnings.csv", "flow.csv", "run.json")
    return {name: folder / name for name in names if (folder / name).is_file()}


def _is_parquet(source: Path) -> bool:
    return source.is_dir() or source.suffix.lower() == ".parquet"


def _batches(
    source: Path, requested: Sequence[str]
) -> tuple[tuple[str, ...], Iterable[pa.RecordBatch]]:
    """All column names, and the requested columns piece by piece: a cohort's table need not fit in memory."""
    if _is_parquet(source):
        data = ds.dataset(source, format="parquet")
        if "phase" not in data.schema.names:  # then the folders are named phase=PVP
            by_name = ds.HivePartitioning(pa.schema([("phase", pa.string())]))
            data = ds.dataset(source, format="parquet", partitioning=by_name)
        columns = tuple(data.schema.names)
        return columns, data.to_batches(columns=[name for name in columns if name in requested])
    delimiter, columns = _header(source)
    names = [name for name in columns if name in requested]
    if not names:
        return columns, []
    options = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()),
        include_columns=names,
        strings_can_be_null=False,
    )
    read = pyarrow.csv.ReadOptions(column_names=list(columns), skip_rows=1, block_size=_READ_BYTES)
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    try:
        return columns, pyarrow.csv.open_csv(source, read, parse, options)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):  # a header and no row
            return columns, []
        raise


def _as_text(table: pa.Table) -> pa.Table:
    arrays = []
    for column in table.columns:
        plain = (
            column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        )
        arrays.append(pc.fill_null(plain.cast(pa.string()), ""))
    return pa.table(dict(zip(table.column_names, arrays, strict=True)))


def _header(source: Path) -> tuple[str, tuple[str, ...]]:
    """Delimiter and column names of a CSV file."""
    with source.open(encoding="utf-8-sig") as file:
        line = file.readline().rstrip("\r\n")
    if not line:
        raise InputError("is empty", where=source, remedy="give a table with a header")
    delimiter = max(",;\t", key=line.count)
    columns = tuple(cell.strip().strip('"') for cell in line.split(delimiter))
    twice = [name for name in dict.fromkeys(columns) if columns.count(name) > 1]
    if twice:
        raise InputError(
            f"has column {', '.join(twice)} twice", where=source, remedy="keep one of them"
        )
    return delimiter, columns


def _unreadable(source: Path, error: Exception) -> InputError:
    cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InputError(
        f"cannot be read ({' '.join(cause.split())})",
        where=source,
        remedy="save it as CSV in UTF-8, or as Parquet",
    )


def _sha256(source: Path) -> str:
    """Of a file, or of all Parquet files of a folder with their names."""
    digest = hashlib.sha256()
    files = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    for path in files:
        if source.is_dir():
            digest.update(path.relative_to(source).as_posix().encode())
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
    return digest.hexdigest()
