"""From the tables of single rows to the tables of the cohort.

They are made of what is on disk when a run ends, row by row in the order of the manifest, so that they are the
same however often the run was broken off. Only the rows of this manifest, under their present keys, are read. What is
there already and unchanged is not made again; what somebody edited or removed is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gsigpu.pipeline.cohort_run.block_of_rows import DamagedTables, TableRow, extra_name
from gsigpu.pipeline.cohort_run.cohort_task import DONE, FAILED, SKIPPED, RowOutcome
from gsigpu.pipeline.cohort_run.failure_kinds import PASSING
from gsigpu.pipeline.cohort_run.flow_diagram import flow_of, save_flow
from gsigpu.pipeline.cohort_run.inclusion_rules import COLUMNS as EXCLUSION_COLUMNS
from gsigpu.pipeline.cohort_run.inclusion_rules import (
    Exclusion,
    InclusionRules,
    after_measuring,
    exclusion_rows,
)
from gsigpu.pipeline.cohort_run.measurement_blocks import (
    MEASUREMENTS_CSV,
    is_whole,
    write_measurements,
)
from gsigpu.pipeline.cohort_run.row_files import (
    RECORD_FORM,
    put,
    put_json,
    row_files,
    size_and_time,
)
from gsigpu.pipeline.cohort_run.row_footers import Footer, MeasuredRow, read_footers
from gsigpu.pipeline.cohort_run.row_warnings import AS_NUMBER, as_number
from gsigpu.pipeline.cohort_run.row_warnings import COLUMNS as WARNING_COLUMNS
from gsigpu.pipeline.cohort_run.table_counts import CohortTables, GroupSize
from gsigpu.tables.counting import Count
from gsigpu.tables.flow_steps import COLUMNS as FLOW_COLUMNS
from gsigpu.tables.flow_steps import rows_of_steps
from gsigpu.tables.manifest import ManifestRow
from gsigpu.tables.measurement_table import changes_in_csv
from gsigpu.tables.plain_csv import write_rows
from gsigpu.version import __version__

FAILURE_COLUMNS = (
    "case_id", "stage", "reason", "phase", "reader", "lesion_id", "line", "log", "kind",
)  # fmt: skip
RESULTS_FILE = "results.json"
LISTS = ("failures.csv", "exclusions.csv", "warnings.csv", "flow.csv", "flow.svg", "flow.png")


_Footers = Mapping[ManifestRow, Footer]
_Line = Mapping[str, object]  # of a list, by column


def write_tables(
    out: Path,
    outcomes: Sequence[RowOutcome],
    excluded: Sequence[Exclusion],
    rules: InclusionRules,
    *,
    progress: Callable[[], None] = lambda: None,
) -> CohortTables:
    """measurements/, measurements.csv, failures.csv, exclusions.csv, warnings.csv and the flow diagram.

    outcomes : of all rows, in the order of the manifest
    excluded : before measuring
    progress : called with every row
    Nothing is written where all is there already. Raises DamagedTables if tables of rows cannot be read back.
    """
    done = _measured_rows(out, outcomes, progress)
    digest = _digest(outcomes, done, excluded, rules)
    record = _read_results(out)
    known = _known(out, digest, record)
    if known is not None:
        return known
    (out / RESULTS_FILE).unlink(missing_ok=True)
    footers = read_footers(out, list(done.values()), progress)
    kept, later = after_measuring(
        list(done),
        {row: footer.lesions for row, footer in footers.items()},
        {row: footer.diameters_mm for row, footer in footers.items()},
        rules,
    )
    exclusions = [*excluded, *later]
    left_out: dict[ManifestRow, set[str]] = {}
    for exclusion in exclusions:
        if exclusion.lesion_id:
            left_out.setdefault(exclusion.row, set()).add(exclusion.lesion_id)
    kept_set = set(kept)
    table_rows = [
        TableRow(
            row=row,
            table=measured.table,
            state=measured.state,
            left_out=frozenset(left_out.get(row, ())),
        )
        for row, measured in done.items()
        if row in kept_set
    ]
    blocks = write_measurements(
        out, table_rows, _extra_columns(outcomes), record.get("blocks", ()), progress
    )
    failures = list(_failures(out, outcomes, footers))
    warnings = list(_warnings(outcomes, footers))
    _put_csv(out / "failures.csv", FAILURE_COLUMNS, failures)
    _put_csv(out / "exclusions.csv", EXCLUSION_COLUMNS, exclusion_rows(exclusions))
    _put_csv(out / "warnings.csv", WARNING_COLUMNS, warnings)
    tables = CohortTables(
        n_rows=len(kept),
        n_values=sum(block["n_values"] for block in blocks),
        n_failed=sum(not failure["lesion_id"] for failure in failures),
        n_failed_lesions=sum(bool(failure["lesion_id"]) for failure in failures),
        exclusions=_counts(exclusion.rule for exclusion in exclusions),
        groups=tuple(_groups(kept, footers, left_out)),
        warnings=_counts(warning["kind"] for warning in warnings),
    )
    steps = flow_of(
        outcomes,
        exclusions,
        rules,
        {row: footer.lesions for row, footer in footers.items()},
        {row: footer.lesions - footer.measured for row, footer in footers.items()},
    )
    _put_csv(out / "flow.csv", FLOW_COLUMNS, rows_of_steps(steps))
    save_flow(
        out,
        steps,
        {
            group.group: Count(patients=group.n_patients, lesions=group.n_lesions)
            for group in tables.groups
        },
    )
    csv_state = size_and_time(out / MEASUREMENTS_CSV)
    put_json(
        out / RESULTS_FILE,
        {
            "form": RECORD_FORM,
            "digest": digest,
            "tables": asdict(tables),
            "files": {name: size_and_time(out / name) for name in (MEASUREMENTS_CSV, *LISTS)},
            "blocks": [{**block, "csv": csv_state} for block in blocks],
        },
    )
    return tables


def _measured_rows(
    out: Path, outcomes: Sequence[RowOutcome], progress: Callable[[], None]
) -> dict[ManifestRow, MeasuredRow]:
    """The rows that have a table, in the order of the manifest."""
    measured = {}
    for outcome in outcomes:
        progress()
        if outcome.status in (DONE, SKIPPED):
            table = row_files(out, outcome.row, outcome.key).table
            measured[outcome.row] = MeasuredRow(outcome.row, table, size_and_time(table))
    return measured


def _digest(
    outcomes: Sequence[RowOutcome],
    done: Mapping[ManifestRow, MeasuredRow],
    excluded: Sequence[Exclusion],
    rules: InclusionRules,
) -> str:
    """Changes when something that the tables are made of does."""
    digest = hashlib.sha256(json.dumps([__version__, RECORD_FORM, asdict(rules)]).encode())
    for outcome in outcomes:
        row = outcome.row
        what, state = ("done", done[row].state) if row in done else (outcome.status, [])
        labels = (row.line, row.name, row.patient_id, row.group, row.extra)
        content = (*labels, what, outcome.key, outcome.stage, outcome.reason, outcome.kind, state)
        digest.update(json.dumps(content).encode("utf-8", "surrogateescape"))
    for exclusion in excluded:
        row = exclusion.row
        why = (exclusion.rule, exclusion.reason)
        left_out = (row.line, row.name, row.patient_id, row.group, *why)
        digest.update(json.dumps(left_out).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _read_results(out: Path) -> dict[str, Any]:
    """What was written last; nothing where that cannot be understood."""
    try:
        record = json.loads((out / RESULTS_FILE).read_text("utf-8"))
        is_known = record["form"] == RECORD_FORM
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return record if is_known else {}


def _known(out: Path, digest: str, record: Mapping[str, Any]) -> CohortTables | None:
    """The tables that are there, if they are those of this digest and nobody touched them."""
    if record.get("digest") != digest:
        return None
    files = record["files"]
    if not set(files) >= {MEASUREMENTS_CSV, *LISTS}:  # of a version that wrote fewer
        return None
    if any(size_and_time(out / name) != state for name, state in files.items()):
        return None
    if not is_whole(out, record["blocks"]):
        return None
    tables = dict(record["tables"])
    groups = tuple(GroupSize(**group) for group in tables.pop("groups"))
    return CohortTables(**{**tables, "groups": groups, "is_new": False})


def _extra_columns(outcomes: Sequence[RowOutcome]) -> list[str]:
    names = (extra_name(name) for outcome in outcomes for name, _ in outcome.row.extra)
    return list(dict.fromkeys(names))


def _failures(out: Path, outcomes: Sequence[RowOutcome], footers: _Footers) -> Iterator[_Line]:
    """Rows that failed, and lesions of rows that did not."""
    for outcome in outcomes:
        row = outcome.row
        entry: dict[str, object] = {
            "case_id": row.case_id,
            "phase": row.phase,
            "reader": row.reader,
        }
        entry |= {"line": row.line, "lesion_id": "", "log": ""}
        if outcome.status == FAILED:
            log = row_files(out, row, outcome.key).log
            yield {
                **entry,
                "stage": outcome.stage,
                "reason": outcome.reason,
                "kind": outcome.kind,
                "log": log.relative_to(out).as_posix() if log.exists() else "",
            }
        for failure in footers[row].failures if row in footers else ():
            yield {**entry, "stage": "measure", **failure}


def _warnings(outcomes: Sequence[RowOutcome], footers: _Footers) -> Iterator[_Line]:
    """What `gsigpu measure` would have said of each row."""
    for outcome in outcomes:
        row = outcome.row
        labels = {"case_id": row.case_id, "phase": row.phase, "reader": row.reader}
        for lesion_id, kind, text in footers[row].warnings if row in footers else ():
            yield {**labels, "lesion_id": lesion_id, "kind": kind, "text": text}
        changed = [name for name in (row.case_id, row.patient_id) if changes_in_csv(name)]
        if changed and row in footers:
            yield {**labels, "lesion_id": "", "kind": AS_NUMBER, "text": as_number(changed)}
        for failure in footers[row].failures if row in footers else ():
            if failure["kind"] == PASSING:
                text = f"not measured: {failure['reason']}; the next run tries again"
                yield {
                    **labels,
                    "lesion_id": failure["lesion_id"],
                    "kind": PASSING,
                    "text": text,
                }


def _lesions(
    rows: Sequence[ManifestRow],
    footers: _Footers,
    left_out: Mapping[ManifestRow, set[str]],
) -> set[tuple[str, str]]:
    """Lesions that were measured and not excluded, of whatever case, phase and reader, by patient."""
    return {
        (row.patient_id, lesion_id)
        for row in rows
        for lesion_id in footers[row].measured - left_out.get(row, set())
    }


def _counts(words: Any) -> dict[str, int]:
    """Words and how often each is there, in order of first appearance."""
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts


def _groups(
    kept: Sequence[ManifestRow],
    footers: _Footers,
    left_out: Mapping[ManifestRow, set[str]],
) -> Iterator[GroupSize]:
    """Groups in order of first appearance."""
    rows_of: dict[str, list[ManifestRow]] = {}
    for row in kept:
        rows_of.setdefault(row.group, []).append(row)
    for group, rows in rows_of.items():
        lesions = _lesions(rows, footers, left_out)
        yield GroupSize(
            group=group,
            n_patients=len(
                {patient for patient, _ in lesions}
                | {row.patient_id for row in rows if row.regions}
            ),
            n_cases=len({row.case_id for row in rows}),
            n_lesions=len(lesions),
        )


def _put_csv(path: Path, columns: Sequence[str], rows: Iterable[_Line]) -> None:
    put(path, lambda partial: write_rows(partial, columns, rows))


__all__ = ["FAILURE_COLUMNS", "RESULTS_FILE", "DamagedTables", "write_tables"]
