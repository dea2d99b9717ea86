"""What the tables of rows say of themselves, remembered so that a row more does not open them all again.

The memory is a table beside the cohort's tables, one line per row. It is believed of a row whose table has the size
and the time of then; what it lacks, or where it cannot be read, is read from the rows' tables.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gsigpu.pipeline.cohort_run.block_of_rows import DamagedTables
from gsigpu.pipeline.cohort_run.row_files import RECORD_FORM, put
from gsigpu.pipeline.cohort_run.row_results import FOOTER
from gsigpu.tables.arrow_columns import integer_column, text_column
from gsigpu.tables.manifest import ManifestRow

FOOTERS_FILE = "row-footers.parquet"
_FORM = b"gsigpu-form"


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """A row of the manifest that has a table.

    table : where it is on disk
    state : its size and time
    """

    row: ManifestRow
    table: Path
    state: list[int]

    @property
    def place(self) -> str:
        """The table's name below the folder of all rows."""
        return f"{self.table.parent.name}/{self.table.name}"


@dataclass(frozen=True, slots=True)
class Footer:
    """What a row's table says of itself.

    failures : lesion, reason, kind; warnings : lesion, kind, text
    """

    lesions: frozenset[str]
    diameters_mm: dict[str, float]
    failures: list[dict[str, str]]
    warnings: list[tuple[str, str, str]]

    @property
    def measured(self) -> frozenset[str]:
        """Lesions with values."""
        return self.lesions - {failure["lesion_id"] for failure in self.failures}


def read_footers(
    out: Path, rows: Sequence[MeasuredRow], progress: Callable[[], None]
) -> dict[ManifestRow, Footer]:
    """Of each row; what had to be read is remembered.

    Raises DamagedTables with all that cannot be read.
    """
    known = _remembered(out)
    texts: list[str] = []
    damaged = []
    n_read = 0
    for measured in rows:
        progress()
        state, text = known.get(measured.place, ((), ""))
        if not text or state != tuple(measured.state):
            n_read += 1
            try:
                text = _footer_text(measured.table)
            except (OSError, KeyError, IndexError, UnicodeDecodeError, pa.ArrowException):
                damaged.append(measured.row)
                continue
        texts.append(text)
    if damaged:
        raise DamagedTables(damaged)
    footers = {}
    for measured, text in zip(rows, texts, strict=True):
        try:
            footers[measured.row] = _footer(json.loads(text))
        except (ValueError, KeyError, TypeError):
            damaged.append(measured.row)
    if damaged:
        (out / FOOTERS_FILE).unlink(missing_ok=True)
        raise DamagedTables(damaged)
    if n_read or len(known) != len(rows):
        _remember(out, rows, texts)
    return footers


def _footer_text(path: Path) -> str:
    text = _footer_in_tail(path)
    return _footer_by_library(path) if text is None else text


# Of the footers that were seen none is larger: columns, and what the row says of itself. A larger one is read otherwise.
_TAIL_BYTES = 2**16
_MARK = b"\x18" + bytes([len(FOOTER)]) + FOOTER + b"\x18"


def _footer_in_tail(path: Path) -> str | None:
    """From the end of the file alone; None where it is not found as expected.

    Parquet's footer is a Thrift struct in its compact protocol. An entry of its metadata is a struct of two strings:
    each is its field's number and type (0x18: the next field, a string), its length as a varint, and its bytes. The library, which
    understands the whole of it, takes several times as long; thousands are read one after the other.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
    at = tail.find(_MARK) + len(_MARK)
    if at < len(_MARK) or tail.find(_MARK, at) >= 0:
        return None
    length = shift = 0
    while True:
        byte = tail[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    text = tail[at : at + length]
    is_whole = len(text) == length and text[:1] == b"{" and text[-1:] == b"}"
    return text.decode() if is_whole else None


def _footer_by_library(path: Path) -> str:
    metadata: dict[bytes, bytes] = pq.read_metadata(path).metadata or {}
    return metadata[FOOTER].decode()


def _footer(record: dict[str, Any]) -> Footer:
    return Footer(
        lesions=frozenset(record["lesions"]),
        diameters_mm=record["diameters_mm"],
        failures=record["failures"],
        warnings=[tuple(warning) for warning in record["warnings"]],
    )


def _remembered(out: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Place of a row's table -> its state then, and its footer; nothing where the memory cannot be read."""
    with contextlib.suppress(OSError, pa.ArrowException, KeyError):
        with pq.ParquetFile(out / FOOTERS_FILE, page_checksum_verification=True) as file:
            if (file.metadata.metadata or {}).get(_FORM) != str(RECORD_FORM).encode():
                return {}
            columns = [
                file.read()[name].to_pylist() for name in ("place", "size", "time", "footer")
            ]
        return {
            place: ((size, time), footer)
            for place, size, time, footer in zip(*columns, strict=True)
        }
    return {}


def _remember(out: Path, rows: Sequence[MeasuredRow], texts: Sequence[str]) -> None:
    table = pa.table(
        {
            "place": text_column([measured.place for measured in rows]),
            "size": integer_column([measured.state[0] for measured in rows]),
            "time": integer_column([measured.state[1] for measured in rows]),
            "footer": text_column(texts),
        }
    ).replace_schema_metadata({_FORM: str(RECORD_FORM)})
    put(
        out / FOOTERS_FILE,
        lambda partial: pq.write_table(
            table, partial, compression="zstd", write_page_checksum=True
        ),
        is_durable=False,
    )
