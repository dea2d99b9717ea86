"""What a measured row leaves on disk: its table, with a footer for the run, and its provenance."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gsigpu.pipeline.cohort_run.redaction import Redactor
from gsigpu.pipeline.cohort_run.row_files import (
    RowFiles,
    put,
    put_json,
)
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.measure.study_masks import MaskFiles
from gsigpu.pipeline.measure.write_measurement import provenance

# In the metadata of a row's table: what the run needs to know of it without reading it.
FOOTER = b"gsigpu"

# Identifiers of DICOM objects lead to the patient for who has the archive.
_UIDS = ("study_uid", "frame_of_reference_uid", "uid", "sop_instance_uids")


def write_row(
    files: RowFiles,
    measurement: Measurement,
    masks: MaskFiles,
    redact: Redactor,
    *,
    pseudonymous: bool,
) -> None:
    """Provenance, then the table: where the table is, all is."""
    record = redact.record(provenance(measurement, masks))
    put_json(files.provenance, without_uids(record) if pseudonymous else record)
    table = measurement.table
    table["lesion_id"] = _each(table["lesion_id"], lambda text: _label(text, redact))
    # The only definitions with words of a header: those that name a series.
    named_mask = table.parameter.str.startswith("iodine[vendor") | table.definition.str.startswith(
        "conventional series"
    )
    table.loc[named_mask, "definition"] = _each(table.loc[named_mask, "definition"], redact)
    footer = {
        "lesions": [lesion_id for lesion_id in table["lesion_id"].unique().tolist() if lesion_id],
        "diameters_mm": {
            row.lesion_id: row.value
            for row in table[table.parameter == "longest_axial_diameter"].itertuples()
        },
        "failures": [
            (_label(failure.lesion_id, redact), redact(str(failure.error)))
            for failure in measurement.failures
        ],
    }
    content = pa.Table.from_pandas(table, preserve_index=False)
    content = content.replace_schema_metadata(
        {**(content.schema.metadata or {}), FOOTER: json.dumps(footer).encode()}
    )
    put(files.table, lambda partial: pq.write_table(content, partial, compression="zstd"))


def _each(column: pd.Series[str], change: Callable[[str], str]) -> pd.Series[str]:
    """A column with each of its values changed."""
    return column.map({text: change(text) for text in column.unique()}).astype(column.dtype)


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
