"""Work in a child process that may crash, hang or be killed without taking anything else along.

A child is `python -m gsigpu.pipeline.cohort_run.child_main`, kept for the next study when it has done well. It takes
pickled tasks on its standard input and answers with pickled messages, so that it may be started from
anywhere: a thread of a local run, or a worker of a Dask cluster, which may not use multiprocessing itself.
All that looks at inputs happens in such a child: a file on a dead mount hangs the child, and nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gsigpu.errors import BackendError, GsigpuError
from gsigpu.pipeline.cohort_run.child_process import (
    CHILDREN,
    Death,
    Progress,
    bury,
    call_isolated,
    idle_or_new,
)
from gsigpu.pipeline.cohort_run.cohort_task import DONE, STOPPED, RowOutcome, StudyTask
from gsigpu.pipeline.cohort_run.redaction import redactor_for
from gsigpu.pipeline.cohort_run.row_failure import record_failure
from gsigpu.pipeline.cohort_run.row_files import NO_KEY, RowFiles, row_files
from gsigpu.pipeline.cohort_run.run_token import NotOwner, require_owner
from gsigpu.tables.manifest import ManifestRow
from gsigpu.version import __version__

if TYPE_CHECKING:
    from gsigpu.pipeline.cohort_run.child_process import TellRow

_REDACTION_S = (
    30.0  # for the headers of a study whose child has died, so that its last words can be kept
)


def run_isolated(task: StudyTask, tell: TellRow = lambda _row, _stage: None) -> list[RowOutcome]:
    """Measures the rows of a study that are not done yet, in a child process.

    A child that dies fails the row it was at, and the rest of the study is taken up by another. One that is
    ended from outside gets a second try: it may have been a neighbour that used up the memory.
    Raises BackendError where this gsigpu is another than that of the run, on a cluster's worker that came late.
    """
    if task.version != __version__:
        raise BackendError(
            f"a worker has gsigpu {__version__}, the run has {task.version}",
            remedy="install the same in both, and run again to go on",
        )
    outcomes: list[RowOutcome] = []
    second_try = False
    while task.rows and not _is_stopping():
        child = idle_or_new()
        try:
            done, death = child.run(task, tell)
        except BaseException:
            bury(child)
            raise
        outcomes += done
        if not death.reason:
            CHILDREN.idle.put(child)
            break
        outside, at, words = child.was_ended_from_outside(), child.at, child.last_words()
        bury(child)
        if _is_stopping():  # killed with the run, not by its work
            break
        task = replace(task, rows=task.rows[len(done) :])
        if outside and not second_try:
            second_try = True
            continue
        second_try = False
        if task.rows:
            outcomes.append(_died(task, at, death, words))
            task = replace(task, rows=task.rows[1:])
    return outcomes


def _is_stopping() -> bool:
    return CHILDREN.stopping


def _died(task: StudyTask, at: Progress, death: Death, words: str) -> RowOutcome:
    """The outcome of the first row, at which a child died."""
    row = task.rows[0]
    files = row_files(task.out, row, at.inputs.get("key", NO_KEY))
    try:
        require_owner(task.out, task.token, task.shard)
    except NotOwner:
        return RowOutcome(row=row, status=STOPPED, reason="a later run owns the results")
    if at.stage == "write" and _is_measured(files, at):  # between its last act and telling of it
        return RowOutcome(row=row, status=DONE, key=files.key, inputs=at.inputs["record"]["inputs"])
    return record_failure(
        files,
        row,
        stage=at.stage,
        reason=death.reason,
        kind=death.kind,
        details=_last_words(task, words),
        record=at.inputs.get("record"),
    )


def _is_measured(files: RowFiles, at: Progress) -> bool:
    """Whether the table is there that was being written; an older one is removed before it."""
    return files.table.exists() and not files.failure.exists() and "record" in at.inputs


def _last_words(task: StudyTask, words: str) -> str:
    """What a dead child wrote, without identity; nothing where the headers that tell it cannot be read either."""
    if not words.strip():
        return ""
    try:
        return str(
            call_isolated(
                _redacted, task.rows[0], words, task.settings.pseudonymous, timeout_s=_REDACTION_S
            )
        )
    except (GsigpuError, OSError, ValueError):
        return "(what the worker wrote is left out: the headers that tell whom it may name cannot be read)\n"


def _redacted(row: ManifestRow, words: str, pseudonymous: bool) -> str:  # called in a child
    return redactor_for(row, pseudonymous=pseudonymous).trace(words)
