"""From the tables of single rows to the tables of the cohort.

They are made of what is on disk when a run ends, row by row in the order of the manifest, so that they are the
same however often the run was broken off. Only the rows of this manifest, under their present keys, are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gsigpu.output.staging import staged_folder
from gsigpu.pipeline.cohort_run.cohort_task import RowOutcome
from gsigpu.pipeline.cohort_run.flow_diagram import flow_of, save_flow
from gsigpu.pipeline.cohort_run.inclusion_rules import (
    Exclusion,
    InclusionRules,
    after_measuring,
    exclusion_table,
    patients_by_group,
)
from gsigpu.pipeline.cohort_run.row_files import put, put_json, row_files
from gsigpu.pipeline.cohort_run.row_results import FOOTER
from gsigpu.pipeline.cohort_run.table_counts import CohortTables, GroupSize
from gsigpu.tables.manifest import ManifestRow
from gsigpu.tables.measurement_table import COLUMNS, frame
from gsigpu.version import __version__

FAILURE_COLUMNS = ("case_id", "stage", "reason", "phase", "reader", "lesion_id", "line", "log")
RESULTS_FILE = "results.json"
# Rows of a table, before a group of them is written.
_ROW_GROUP = 200_000


@dataclass(frozen=True, slots=True)
class _Footer:
    """What a row's table says of itself."""

    lesions: frozenset[str]
    diameters_mm: dict[str, float]
    failures: list[tuple[str, str]]

    @property
    def measured(self) -> frozenset[str]:
        return self.lesions - {lesion_id for lesion_id, _ in self.failures}


def write_tables(
    out: Path,
    outcomes: Sequence[RowOutcome],
    excluded: Sequence[Exclusion],
    rules: InclusionRules,
    *,
    n_manifest_rows: int,
    progress: Callable[[], None] = lambda: None,
) -> CohortTables:
    """measurements/, measurements.csv, failures.csv, exclusions.csv and the flow diagram.

    outcomes : of all rows, in the order of the manifest
    excluded : before measuring
    progress : called with every row
    Nothing is written where all is there already.
    """
    digest = _digest(outcomes, excluded, rules)
    known = _known(out, digest)
    if known is not None:
        return known
    (out / RESULTS_FILE).unlink(missing_ok=True)
    done = [outcome for outcome in outcomes if outcome.status in ("done", "skipped")]
    footers = {outcome.row: _footer(_table_path(out, outcome)) for outcome in done}
    kept, later = after_measuring(
        [outcome.row for outcome in done],
        {row: footer.lesions for row, footer in footers.items()},
        {row: footer.diameters_mm for row, footer in footers.items()},
        rules,
    )
    exclusions = [*excluded, *later]
    left_out = {
        (exclusion.row.case_id, exclusion.lesion_id)
        for exclusion in exclusions
        if exclusion.lesion_id
    }
    kept_set = set(kept)
    n_values = _write_measurements(
        out, [outcome for outcome in done if outcome.row in kept_set], left_out, progress
    )
    failures = _failures(out, outcomes, footers)
    _put_csv(out / "failures.csv", failures)
    _put_csv(out / "exclusions.csv", exclusion_table(exclusions))
    tables = CohortTables(
        n_rows=len(kept),
        n_values=n_values,
        n_failed=int((failures.lesion_id == "").sum()),
        n_failed_lesions=int((failures.lesion_id != "").sum()),
        exclusions=_by_rule(exclusions),
        groups=tuple(_groups(kept, footers, left_out)),
    )
    save_flow(
        out,
        flow_of(
            outcomes,
            exclusions,
            rules,
            tables,
            n_manifest_rows=n_manifest_rows,
            n_lesions=len(_lesions(footers)),
        ),
    )
    put_json(out / RESULTS_FILE, {"digest": digest, **asdict(tables)})
    return tables


def _digest(
    outcomes: Sequence[RowOutcome], excluded: Sequence[Exclusion], rules: InclusionRules
) -> str:
    digest = hashlib.sha256(json.dumps([__version__, asdict(rules)]).encode())
    for outcome in outcomes:
        what = "done" if outcome.status == "skipped" else outcome.status
        line = (
            outcome.row.line,
            outcome.row.name,
            what,
            outcome.key,
            outcome.stage,
            outcome.reason,
        )
        digest.update(json.dumps(line).encode())
    for other in excluded:
        line = (other.row.line, other.row.name, other.rule, other.reason, "", "")
        digest.update(json.dumps(line).encode())
    return digest.hexdigest()


def _known(out: Path, digest: str) -> CohortTables | None:
    """The tables that are there, if they are those of this digest."""
    try:
        record: dict[str, Any] = json.loads((out / RESULTS_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    there = ("measurements", "measurements.csv", "failures.csv", "exclusions.csv", "flow.svg")
    if record.pop("digest", "") != digest or not all((out / name).exists() for name in there):
        return None
    groups = tuple(GroupSize(**group) for group in record.pop("groups"))
    return CohortTables(**record, groups=groups)


def _table_path(out: Path, outcome: RowOutcome) -> Path:
    return row_files(out, outcome.row, outcome.key).table


def _footer(path: Path) -> _Footer:
    metadata = pq.read_metadata(path)
    record = json.loads((metadata.metadata or {})[FOOTER])
    failures = [(str(lesion_id), str(reason)) for lesion_id, reason in record["failures"]]
    return _Footer(frozenset(record["lesions"]), record["diameters_mm"], failures)


def _write_measurements(
    out: Path,
    done: Sequence[RowOutcome],
    left_out: set[tuple[str, str]],
    progress: Callable[[], None],
) -> int:
    """The table of the cohort, in Parquet by phase and as one CSV; returns how many values it holds.

    One row's table is in memory at a time.
    """
    schema = pa.Schema.from_pandas(frame([]), preserve_index=False).remove_metadata()
    without_phase = pa.schema([field for field in schema if field.name != "phase"])
    n_values = 0
    dropped: dict[str, set[str]] = {}
    for case_id, lesion_id in left_out:
        dropped.setdefault(case_id, set()).add(lesion_id)

    def write_csv(partial: Path) -> None:
        nonlocal n_values
        with (
            staged_folder(out / "measurements", overwrite=True) as folder,
            partial.open("w", encoding="utf-8", newline="") as csv,
            ExitStack() as stack,
        ):
            frame([]).to_csv(csv, index=False, lineterminator="\n")
            writers: dict[str, _PartWriter] = {}
            for outcome in done:
                progress()
                table = pq.read_table(_table_path(out, outcome)).to_pandas()[list(COLUMNS)]
                if outcome.row.case_id in dropped:
                    table = table[~table.lesion_id.isin(dropped[outcome.row.case_id])]
                table.to_csv(csv, index=False, header=False, lineterminator="\n")
                if outcome.row.phase not in writers:
                    path = folder / f"phase={quote(outcome.row.phase, safe='')}" / "part-0.parquet"
                    writers[outcome.row.phase] = stack.enter_context(
                        _PartWriter(path, without_phase)
                    )
                content = pa.Table.from_pandas(table, schema=schema, preserve_index=False)
                writers[outcome.row.phase].add(content.drop_columns("phase"))
                n_values += len(table)

    put(out / "measurements.csv", write_csv)
    return n_values


class _PartWriter:
    """A Parquet file that grows by row groups of a good size."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.parent.mkdir()
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._waiting: list[pa.Table] = []

    def __enter__(self) -> _PartWriter:
        return self

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        if sum(table.num_rows for table in self._waiting) >= _ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
            self._waiting = []

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()


def _failures(
    out: Path, outcomes: Sequence[RowOutcome], footers: dict[ManifestRow, _Footer]
) -> pd.DataFrame:
    """Rows that failed, and lesions of rows that did not."""

    def entries() -> Iterator[tuple[object, ...]]:
        for outcome in outcomes:
            row = outcome.row
            if outcome.status == "failed":
                log = row_files(out, row, outcome.key).log.relative_to(out).as_posix()
                yield (
                    row.case_id,
                    outcome.stage,
                    outcome.reason,
                    row.phase,
                    row.reader,
                    "",
                    row.line,
                    log,
                )
            for lesion_id, reason in footers[row].failures if row in footers else ():
                yield row.case_id, "measure", reason, row.phase, row.reader, lesion_id, row.line, ""

    return pd.DataFrame(entries(), columns=list(FAILURE_COLUMNS))


def _lesions(footers: Mapping[ManifestRow, _Footer]) -> set[tuple[str, str]]:
    """Lesions that were measured, of whatever phase and reader, by case."""
    return {
        (row.case_id, lesion_id) for row, footer in footers.items() for lesion_id in footer.measured
    }


def _by_rule(exclusions: Sequence[Exclusion]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for exclusion in exclusions:
        counts[exclusion.rule] = counts.get(exclusion.rule, 0) + 1
    return counts


def _groups(
    kept: Sequence[ManifestRow],
    footers: dict[ManifestRow, _Footer],
    left_out: set[tuple[str, str]],
) -> Iterator[GroupSize]:
    """Groups in order of first appearance."""
    for group, patients in patients_by_group(kept).items():
        rows = [row for row in kept if row.group == group]
        lesions = _lesions({row: footers[row] for row in rows})
        yield GroupSize(
            group=group,
            n_patients=len(patients),
            n_cases=len({row.case_id for row in rows}),
            n_lesions=len(lesions - left_out),
        )


def _put_csv(path: Path, table: pd.DataFrame) -> None:
    put(path, lambda partial: table.to_csv(partial, index=False, lineterminator="\n"))
