"""What is kept of a row that failed, and what is told of it."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import Any

from gsigpu.errors import GsigpuError
from gsigpu.phase_words import phase_words
from gsigpu.pipeline.cohort_run.cohort_task import (
    FAILED,
    STOPPED,
    RowOutcome,
)
from gsigpu.pipeline.cohort_run.failure_kinds import (
    is_disk_full,
)
from gsigpu.pipeline.cohort_run.redaction import Redactor
from gsigpu.pipeline.cohort_run.row_files import (
    FAILURE_SUFFIXES,
    RECORD_FORM,
    RowFiles,
    put_record,
    put_text,
    remove,
)
from gsigpu.tables.manifest import ManifestRow

_OUT_OF_MEMORY = "out of memory; give the run fewer --workers, or the machine more memory"


def failure_told(error: Exception, redact: Redactor) -> tuple[str, str]:
    """The reason of a failure, and its details for the log; both without identity."""
    if isinstance(error, MemoryError):
        return _OUT_OF_MEMORY, ""
    if isinstance(error, GsigpuError):
        return redact(str(error)), ""
    reason = redact.exception(error)
    return reason, redact.trace("".join(traceback.format_exception(error)))


def record_failure(
    files: RowFiles,
    row: ManifestRow,
    *,
    stage: str,
    reason: str,
    kind: str,
    details: str = "",
    seconds: dict[str, float] | None = None,
    record: dict[str, Any] | None = None,
) -> RowOutcome:
    """Keeps a failure and its log, instead of earlier ones; a result of other inputs stays until there is a new one.

    record : of the study and the inputs, without which the row is tried again at the next run
    A folder that cannot be written keeps nothing, and the row is tried again.
    """
    outcome = RowOutcome(
        row=row,
        status=FAILED,
        key=files.key,
        stage=stage,
        reason=reason,
        kind=kind,
        seconds=dict(seconds or {}),
        inputs=dict((record or {}).get("inputs", {})),
    )
    content = {"form": RECORD_FORM, "stat": "", "content": "", "inputs": {}, **(record or {})}
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        remove(path for path in files.under_other_keys() if path.name.endswith(FAILURE_SUFFIXES))
        put_text(
            files.log,
            f"case {row.case_id}, {phase_words(row.phase)}, reader {row.reader or '(none)'}\n"
            f"failed in {stage} ({kind}): {reason}\n{details}",
        )
        put_record(
            files.failure,
            {**content, "case_id": row.case_id, "stage": stage, "reason": reason, "kind": kind},
        )
    except OSError as error:
        if is_disk_full(error):
            return RowOutcome(row=row, status=STOPPED, reason="the disk is full")
        told = f"{reason}; and its folder cannot be written ({error.strerror})"
        return replace(outcome, reason=told)
    return outcome
