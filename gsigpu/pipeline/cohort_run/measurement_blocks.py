"""The measurement table of a cohort, in blocks of rows: what did not change is not made again.

A block is a run of rows of the manifest. It ends where a hash of the row's name says so, so that a row more or less
changes one block and leaves the borders of the others. Each block is a part of `measurements/phase=…/` per phase, and
a range of bytes of measurements.csv.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Any

import pyarrow as pa

from gsigpu.output.staging import staged_folder
from gsigpu.output.to_disk import sync
from gsigpu.pipeline.cohort_run.block_of_rows import (
    SCHEMA,
    DamagedTables,
    MadeBlock,
    TableRow,
    make_block,
)
from gsigpu.pipeline.cohort_run.row_files import put, size_and_time
from gsigpu.pipeline.workers import default_workers
from gsigpu.tables.manifest import ManifestRow
from gsigpu.version import __version__

MEASUREMENTS, MEASUREMENTS_CSV = "measurements", "measurements.csv"
# Rows of the manifest in a block: twenty megabytes of memory in each thread, and some hundred files; on average half of
# the most.
_MOST_ROWS = 128
_MEAN_ROWS = 64
# Limits, each with its reason.
_COPY_BYTES = 2**26  # a second of a slow disk
_SYNC_BYTES = (
    2**27
)  # written between two waits for the disk, so that the last is not one of many seconds
_LOOK_S = 0.5  # between two looks at whether a block is made: a view that follows
_copy_file_range = getattr(os, "copy_file_range", None)
_Old = Mapping[str, Any]  # the record of a block that is there


def write_measurements(
    out: Path,
    rows: Sequence[TableRow],
    extra_columns: Sequence[str],
    old_blocks: Sequence[_Old],
    progress: Callable[[], None],
) -> list[dict[str, Any]]:
    """measurements/ and measurements.csv; returns a record of each block, for the next time.

    old_blocks : such records of what is there
    Raises DamagedTables if tables of rows cannot be read.
    """
    schema = pa.schema([*SCHEMA, *((name, pa.string()) for name in extra_columns)])
    old = _reusable(out, old_blocks)
    records: list[dict[str, Any]] = []

    def write_csv(partial: Path) -> None:
        with (
            staged_folder(out / MEASUREMENTS, overwrite=True) as folder,
            partial.open("wb", buffering=0) as file,
        ):
            csv = _SyncedFile(file, progress)
            csv.write((",".join(map(_quoted, schema.names)) + "\n").encode())
            damaged: list[ManifestRow] = []
            for number, (digest, block) in enumerate(
                _blocks_made(rows, old, schema, folder, progress)
            ):
                progress()
                if isinstance(block, DamagedTables):
                    damaged += block.rows
                elif not damaged:
                    records.append(
                        _written(block, digest, csv)
                        if isinstance(block, MadeBlock)
                        else _reused(out, block, number, folder, csv)
                    )
            if damaged:
                raise DamagedTables(damaged)

    put(out / MEASUREMENTS_CSV, write_csv)
    pa.default_memory_pool().release_unused()  # what comes next would need memory beside it
    for record in records:
        record["parts"] = {
            name: size_and_time(out / MEASUREMENTS / name) for name in record["parts"]
        }
    return records


def _blocks_made(
    rows: Sequence[TableRow],
    old: Mapping[str, _Old],
    schema: pa.Schema,
    folder: Path,
    progress: Callable[[], None],
) -> Iterator[tuple[str, MadeBlock | DamagedTables | _Old]]:
    """Digest and content of each block in the order of the rows: made, not readable, or as it was.

    A few are made ahead in threads; what they hold in memory is bounded by the number of threads.
    """
    n_threads = default_workers()
    ahead: deque[tuple[str, Future[MadeBlock] | _Old]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            for number, members in enumerate(_blocks(rows)):
                digest = _digest(members, schema)
                ahead.append(
                    (digest, old[digest])
                    if digest in old
                    else (digest, pool.submit(make_block, members, schema, folder, _part(number)))
                )
                if len(ahead) > n_threads:
                    yield _settled(*ahead.popleft(), progress)
            while ahead:
                yield _settled(*ahead.popleft(), progress)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _settled(
    digest: str, block: Future[MadeBlock] | _Old, progress: Callable[[], None]
) -> tuple[str, MadeBlock | DamagedTables | _Old]:
    while isinstance(block, Future):
        try:
            return digest, block.result(_LOOK_S)
        except DamagedTables as error:
            return digest, error
        except TimeoutError:
            progress()
    return digest, block


class _SyncedFile:
    """A file that is forced to the disk as it grows, so that its end does not wait for all of it.

    progress : called with every piece
    """

    def __init__(self, file: FileIO, progress: Callable[[], None]) -> None:
        self._file, self._progress = file, progress
        self._unsynced = 0

    def tell(self) -> int:
        return self._file.tell()

    def write(self, content: bytes | memoryview) -> None:
        left = memoryview(content)
        while left:
            n_bytes = self._file.write(left[:_COPY_BYTES])
            left = left[n_bytes:]
            self._count(n_bytes)

    def copy(self, source: Path, offset: int, length: int) -> None:
        """Bytes of another file. Raises OSError if it has not so many."""
        with source.open("rb", buffering=0) as file:
            while length:
                n_bytes = self._copied(file, offset, min(length, _COPY_BYTES))
                if not n_bytes:
                    raise OSError(0, "is shorter than it was", str(source))
                offset, length = offset + n_bytes, length - n_bytes
                self._count(n_bytes)

    def _copied(self, source: FileIO, offset: int, n_bytes: int) -> int:
        if (
            _copy_file_range is not None
        ):  # or on the server, or by reference, where the file system can
            target = self._file.fileno()
            with contextlib.suppress(OSError):  # it cannot; a disk that is full tells below
                n_copied: int = _copy_file_range(
                    source.fileno(), target, n_bytes, offset_src=offset
                )
                if n_copied:
                    return n_copied
        source.seek(offset)
        return self._file.write(source.read(n_bytes) or b"")

    def _count(self, n_bytes: int) -> None:
        self._progress()
        self._unsynced += n_bytes
        if self._unsynced >= _SYNC_BYTES:
            self._unsynced = 0
            sync(self._file.fileno())


def is_whole(out: Path, blocks: Sequence[_Old]) -> bool:
    """Whether the parts of a table are there as they were written, and no others."""
    parts = {name: state for block in blocks for name, state in block["parts"].items()}
    folder = out / MEASUREMENTS
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return (
        folder.is_dir()
        and there == set(parts)
        and all(size_and_time(folder / name) == state for name, state in parts.items())
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


def _reusable(out: Path, blocks: Sequence[_Old]) -> dict[str, _Old]:
    """Blocks whose parts are as they were written, where the CSV is too."""
    if not blocks or blocks[0].get("csv") != size_and_time(out / MEASUREMENTS_CSV):
        return {}
    folder = out / MEASUREMENTS
    return {
        block["digest"]: block
        for block in blocks
        if all(size_and_time(folder / name) == state for name, state in block["parts"].items())
    }


def _reused(out: Path, block: _Old, number: int, folder: Path, csv: _SyncedFile) -> dict[str, Any]:
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
    csv.copy(out / MEASUREMENTS_CSV, block["offset"], block["length"])
    return {**block, "offset": offset, "parts": dict.fromkeys(parts)}


def _written(block: MadeBlock, digest: str, csv: _SyncedFile) -> dict[str, Any]:
    """The record of a new block, whose lines go into the CSV."""
    offset = csv.tell()
    for piece in block.csv:
        csv.write(piece)
    return {
        "digest": digest,
        "offset": offset,
        "length": csv.tell() - offset,
        "n_values": block.n_values,
        "parts": dict.fromkeys(block.parts),
    }


def _part(number: int) -> str:
    return f"part-{number:05d}.parquet"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(c in name for c in '",\r\n') else name
