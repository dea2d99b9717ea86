"""What a measured row leaves on disk: its table, with a footer for the run, and its provenance."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gsigpu.caution import Caution
from gsigpu.pipeline.cohort_run.block_of_rows import SCHEMA
from gsigpu.pipeline.cohort_run.failure_kinds import kind_of
from gsigpu.pipeline.cohort_run.redaction import Redactor
from gsigpu.pipeline.cohort_run.row_files import RECORD_FORM, RowFiles, put, put_json, put_record
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.measure.write_measurement import provenance
from gsigpu.tables.arrow_columns import float_column, integer_column, text_column
from gsigpu.tables.measurement_table import MeasurementRow

# In the metadata of a row's table: what the run needs to know of it without reading it.
FOOTER = b"gsigpu"

# Thousands of these are read at the end of a run, each of some kB: with zstd and statistics that takes twice as long,
# and they are no smaller.
_QUICK_TO_READ = MappingProxyType(
    {
        "compression": "snappy",
        "write_statistics": False,
        "write_page_checksum": True,
    }
)

# Identifiers of DICOM objects lead to the patient for who has the archive.
_UIDS = ("study_uid", "frame_of_reference_uid", "uid", "sop_instance_uids")


def write_row(
    files: RowFiles,
    measurement: Measurement,
    masks: MaskFiles,
    redact: Redactor,
    *,
    warnings: Sequence[Caution],
    study: dict[str, Any],
    pseudonymous: bool,
) -> None:
    """Provenance, the state of the study, then the table: where the table is, all is.

    warnings : of the row, as they were raised
    study : its state and the inputs of the row, see gsigpu.pipeline.cohort_run.row_state
    """
    record = redact.record(provenance(measurement, masks))
    # What the row is called is the manifest's affair, and may change without a new measurement.
    record["case"] = {"phase": measurement.labels.phase}
    record["form"] = RECORD_FORM
    put_json(files.provenance, without_uids(record) if pseudonymous else record)
    rows = measurement.rows
    called = {row.lesion_id: _label(row.lesion_id, redact) for row in rows}
    failures = [
        {
            "lesion_id": _label(failure.lesion_id, redact),
            "reason": redact(str(failure.error)),
            "kind": kind_of(failure.error),
        }
        for failure in measurement.failures
    ]
    # Also those that are left out of the table, as two masks of one lesion: who counts lesions misses none.
    placed = [_label(part.lesion.lesion_id, redact) for part in measurement.layout.lesions]
    footer = {
        "form": RECORD_FORM,
        "lesions": list(dict.fromkeys([*filter(None, called.values()), *placed])),
        "diameters_mm": {
            called[row.lesion_id]: float(row.value)
            for row in rows
            if row.parameter == "longest_axial_diameter"
        },
        "failures": failures,
        "warnings": _warnings(warnings, redact),
    }
    content = _table(rows, called, redact).replace_schema_metadata(
        {FOOTER: json.dumps(footer).encode()}
    )
    files.table.unlink(missing_ok=True)  # an older one would pass for that of the new state
    put_record(files.study, study)
    if failures:
        put_record(files.lesions, {"failures": failures})
    else:
        files.lesions.unlink(missing_ok=True)
    put(
        files.table,
        lambda partial: pq.write_table(content, partial, **_QUICK_TO_READ),
    )


def _warnings(warnings: Sequence[Caution], redact: Redactor) -> list[tuple[str, str, str]]:
    """(lesion, kind, text) of each."""
    return [
        (_label(told.lesion_id, redact), told.kind, redact(" ".join(told.split())))
        for told in dict.fromkeys(warnings)
    ]


def _table(rows: Sequence[MeasurementRow], called: Mapping[str, str], redact: Redactor) -> pa.Table:
    """The rows as columns, with nobody's name in them.

    called : what is written for a lesion's id
    """
    named = dict.fromkeys(row.definition for row in rows if _names_series(row))
    redacted = {definition: redact(definition) for definition in named}
    texts: dict[str, Callable[[MeasurementRow], str]] = {
        "lesion_id": lambda row: called[row.lesion_id],
        "definition": lambda row: redacted.get(row.definition, row.definition),
    }
    columns = []
    for field in SCHEMA:
        take = texts.get(field.name, attrgetter(field.name))
        cells = [take(row) for row in rows]
        columns.append(_COLUMN_OF[field.type](cells))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


# Of each type of the contract.
_COLUMN_OF: dict[pa.DataType, Callable[[list[Any]], pa.Array]] = {
    pa.string(): text_column,
    pa.float64(): float_column,
    pa.int64(): integer_column,
}


def _names_series(row: MeasurementRow) -> bool:
    """Whether its definition has words of a header: those that name a series are the only ones."""
    return row.parameter.startswith("iodine[vendor") or row.definition.startswith(
        "conventional series"
    )


def _label(text: str, redact: Redactor) -> str:
    """Names that programs give (numbers) and formulas say nothing of a patient; others may."""
    return text if text.isdigit() else redact(text)


def without_uids(content: Any) -> Any:
    """Without what leads to objects of the archive; how many there were is kept."""
    if isinstance(content, dict):
        kept = {}
        for name, value in content.items():
            if name not in _UIDS:
                kept[name] = without_uids(value)
            elif isinstance(value, list):
                kept[f"n_{name}"] = len(value)
        return kept
    return [without_uids(value) for value in content] if isinstance(content, list) else content
