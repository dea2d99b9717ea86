"""A call of `gsigpu cohort run` enters itself into the run's record, unless another was faster."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from gsigpu.pipeline.cohort_run.cohort_plan import CohortPlan
from gsigpu.pipeline.cohort_run.run_lock import record_locked
from gsigpu.pipeline.cohort_run.run_record import (
    RunRecord,
    new_call,
    read_record,
    write_record,
)


class RecordedMeanwhile(Exception):
    """Another call recorded settings after this one was planned: it is to be planned again, by these."""


def record_call(plan: CohortPlan) -> tuple[CohortPlan, dict[str, Any]]:
    """Writes run.json with this call; the plan with the settings as they are kept, and the call's entry in the history.

    Shards and calls for cases begin side by side, and each may have planned before the first of them wrote the record.
    The first record is made by a name that only one process can take, also where the file system has no locks.
    Raises RecordedMeanwhile.
    """
    options = plan.options
    with record_locked(plan.out):
        recorded, _ = read_record(plan.out)
        if _without_calls(recorded) != _without_calls(plan.recorded):
            raise RecordedMeanwhile
        if options.case and recorded is not None and not plan.changes:
            # Ten thousand calls for a case each are no history that anybody reads, and writing it would take longest.
            return plan, {}
        call = new_call(_called(plan), _options_told(plan), plan.changes)
        record = RunRecord(
            settings=plan.settings,
            rules=plan.rules,
            pseudonyms=plan.pseudonyms,
            calls=(*(recorded.calls if recorded is not None else ()), call),
        )
        try:
            written = write_record(
                plan.out,
                record,
                predicted_bytes=plan.predicted_bytes,
                is_first=recorded is None,
            )
        except FileExistsError as error:
            raise RecordedMeanwhile from error
    return replace(plan, settings=written.settings), call


def _without_calls(record: RunRecord | None) -> RunRecord | None:
    return None if record is None else replace(record, calls=())


def _called(plan: CohortPlan) -> str:
    parts = {"shard": plan.options.shard_name, "case": plan.part if plan.options.case else ""}
    return " ".join([*(f"{kind} {name}" for kind, name in parts.items() if name)]) or (
        "join" if plan.options.join else "run"
    )


def _options_told(plan: CohortPlan) -> dict[str, Any]:
    return {
        name: value
        for name, value in asdict(plan.options).items()
        if value and name not in ("shard", "case", "join")
    }
