"""`gsigpu cohort run`: a manifest in, the tables of the cohort out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic

from gsigpu.errors import BackendError, OutputError
from gsigpu.pipeline.cohort_run.call_record import RecordedMeanwhile, record_call
from gsigpu.pipeline.cohort_run.checks import CohortOptions, backend_of_rows
from gsigpu.pipeline.cohort_run.child_process import release_idle
from gsigpu.pipeline.cohort_run.cohort_plan import CohortPlan, plan_cohort
from gsigpu.pipeline.cohort_run.cohort_result import CohortResult
from gsigpu.pipeline.cohort_run.cohort_tables import DamagedTables, write_tables
from gsigpu.pipeline.cohort_run.cohort_task import (
    LEFT,
    STOPPED,
    CohortSettings,
    RowOutcome,
    StudyTask,
    by_study,
)
from gsigpu.pipeline.cohort_run.disk_room import (
    SPARE_BYTES,
    clear_when_full,
    disk_is_full,
    free_bytes,
    ignored_when_full,
    require_room,
    written_bytes,
)
from gsigpu.pipeline.cohort_run.failure_kinds import PASSING
from gsigpu.pipeline.cohort_run.flow_diagram import import_ahead
from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
from gsigpu.pipeline.cohort_run.isolation import run_isolated
from gsigpu.pipeline.cohort_run.pool import Pool, dask_pool, gpus, local_pool, pool_size
from gsigpu.pipeline.cohort_run.prune import prune
from gsigpu.pipeline.cohort_run.row_conflicts import without_foreign_masks
from gsigpu.pipeline.cohort_run.row_failure import record_failure
from gsigpu.pipeline.cohort_run.row_files import NO_KEY, row_files, set_aside, sweep
from gsigpu.pipeline.cohort_run.row_state import write_strays
from gsigpu.pipeline.cohort_run.run_gallery import write_gallery_of
from gsigpu.pipeline.cohort_run.run_lock import locked
from gsigpu.pipeline.cohort_run.run_record import end_call
from gsigpu.pipeline.cohort_run.run_state import RunState, telling
from gsigpu.pipeline.cohort_run.run_token import forget_cases, take_over
from gsigpu.pipeline.cohort_run.table_counts import CohortTables
from gsigpu.pipeline.cohort_run.wrong_kinds import set_aside_wrong_kinds
from gsigpu.tables.manifest import ManifestRow

Watch = Callable[[RunState], None]
# Intervals, each with its reason.
_LOOK_S = 0.5  # between two looks at the tasks: a view that follows
_ROOM_EVERY_S = (
    10.0  # between two looks at the disk: what is written meanwhile fits into the spare room
)
# A table that is damaged again right after it was measured anew lies on a disk that is not to be trusted.
_MOST_REPAIRS = 3


def run_cohort(
    manifest: Path | str,
    out: Path | str,
    *,
    settings: CohortSettings | None = None,
    rules: InclusionRules | None = None,
    options: CohortOptions | None = None,
    pseudonymise: Path | str | None = None,
    named: Collection[str] | None = None,
    watch: Watch = lambda _state: None,
) -> CohortResult:
    """Measures every row of a manifest that is not done yet, and makes the tables of the cohort.

    manifest : see gsigpu.tables.manifest
    out : a folder; what an earlier run left in it is taken up
    settings, rules : of the run; what was recorded at its first call if None, and the defaults then
    named : which fields of them are asked for (`measure.parameters.slopes`, `rules.max_diameter_mm`); all if None
    pseudonymise : a file with a key; patients, cases and readers are then called by keyed hashes
    watch : called about twice a second with the state

    A row that fails is in failures.csv, and stops nothing else. Raises InputError (ManifestProblems with all
    that is wrong), SettingsError, OutputError and BackendError before anything starts, and OutputError when
    the disk runs full. SettingsError also where other settings are asked for than those that were recorded,
    without `options.change_settings`.
    """
    try:
        while True:
            plan = plan_cohort(
                manifest,
                out,
                settings=settings,
                rules=rules,
                options=options,
                pseudonymise=pseudonymise,
                named=named,
            )
            try:
                return _run_plan(plan, watch)
            except RecordedMeanwhile:
                continue
    finally:
        release_idle()


def _run_plan(plan: CohortPlan, watch: Watch) -> CohortResult:
    out = plan.out
    kept_in = plan.folders_written
    was_bytes = written_bytes(kept_in)
    require_room(out, plan.predicted_bytes)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror})", where=out, remedy="write elsewhere"
        ) from error
    with locked(out, plan.part) as warnings, clear_when_full(out):
        wrong = set_aside_wrong_kinds(out)
        plan = replace(plan, damaged=[*plan.damaged, *wrong])
        sweep(out)
        plan, call = record_call(plan)
        (out / "cases").mkdir(exist_ok=True)
        run = _Run(plan, RunState(out, len(plan.rows), shard=plan.part), watch)
        try:
            tables = run.all()
        except BaseException as error:
            how = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped"
            with ignored_when_full():
                end_call(out, call, how, run.counts())
            raise
        n_written = written_bytes(kept_in) - was_bytes
        run.state.log(
            f"disk: {n_written / 1e6:.1f} MB more, {plan.predicted_bytes / 1e6:.1f} MB predicted"
        )
        end_call(out, call, "finished", run.counts())
    state = run.state
    return CohortResult(
        out=out,
        n_rows=len(plan.rows),
        n_done=state.n_done,
        n_skipped=state.n_skipped,
        n_failed=state.n_failed,
        n_left=state.n_left,
        tables=tables,
        seconds=monotonic() - state.begun,
        rows_per_hour=state.rate_per_hour,
        stage_seconds=dict(state.seconds),
        predicted_bytes=plan.predicted_bytes,
        written_bytes=n_written,
        changes=tuple(plan.changes),
        damaged=(*plan.damaged, *run.damaged),
        pruned=tuple(run.pruned),
        warnings=tuple(warnings),
    )


class _Run:
    """A call at work: its outcomes so far, and what else there is to tell."""

    def __init__(self, plan: CohortPlan, state: RunState, watch: Watch) -> None:
        self.plan, self.state, self._watch = plan, state, watch
        self.outcomes: list[RowOutcome] = []
        self.damaged: list[str] = []
        self.pruned: list[str] = []
        self._imports_ahead = False
        self._token = take_over(plan.out, plan.part)
        write_strays(plan.out, plan.all_rows)

    def counts(self) -> dict[str, int]:
        """For the history of calls."""
        state = self.state
        return {
            "n_done": state.n_done,
            "n_skipped": state.n_skipped,
            "n_failed": state.n_failed,
            "n_left": state.n_left,
        }

    def all(self) -> CohortTables | None:
        """Measures, and makes the tables; None for a shard."""
        plan, state = self.plan, self.state
        with telling(state, self._watch):
            if plan.changes:
                state.log(f"{len(plan.changes)} settings changed, see run.json")
            self._measure(plan.tasks, with_pool_name=True)
            if plan.options.prune:  # after a row that is called otherwise now took up its results
                self.pruned = prune(plan.out, plan.all_rows)
                state.log(f"pruned: {len(self.pruned)} rows that are not in the manifest any more")
            for row in plan.left:
                outcome = RowOutcome(row=row, status=LEFT)
                state.add(outcome)
                self.outcomes.append(outcome)
            for told in (*plan.damaged, *self.damaged):
                state.log(told)
            if plan.options.is_part:
                return None
            tables = self._tables()
            forget_cases(plan.out)
            if plan.settings.review:
                write_gallery_of(plan.out, plan.settings, without_foreign_masks(self.outcomes))
            return tables

    def _measure(self, rows: Sequence[tuple[ManifestRow, ...]], *, with_pool_name: bool) -> None:
        plan, state = self.plan, self.state
        tasks = [self._task(members) for members in rows]
        with _pool(plan, len(tasks)) as pool:
            if with_pool_name:
                state.begin(pool.name)
            outcomes = _work(pool, tasks, state, self._look)
        self.outcomes += outcomes
        self.damaged += [told for outcome in outcomes for told in outcome.damaged]

    def _look(self, state: RunState) -> None:
        """While the workers are at work: what the tables will need is imported when the first row is measured."""
        if state.n_done and not (self._imports_ahead or self.plan.options.is_part):
            self._imports_ahead = True
            import_ahead()
        self._watch(state)

    def _task(self, rows: tuple[ManifestRow, ...]) -> StudyTask:
        options = self.plan.options
        return StudyTask(
            out=self.plan.out,
            rows=rows,
            settings=self.plan.settings,
            retry_only=options.retry_failed,
            survey_only=options.join,
            by_content=options.by_content,
            backend=backend_of_rows(self.plan.settings, options),
            timeout_s=options.timeout_s,
            memory_limit=options.memory_limit,
            token=self._token,
            shard=self.plan.part,
        )

    def _tables(self) -> CohortTables:
        """The tables; what cannot be read back is set aside and measured again."""
        plan, state = self.plan, self.state
        order = {row: number for number, row in enumerate(plan.rows)}
        for n_repairs in range(_MOST_REPAIRS + 1):
            self.outcomes.sort(key=lambda outcome: order[outcome.row])
            outcomes = without_foreign_masks(self.outcomes)
            state.recount(outcomes)
            state.activity = "making the tables"
            state.keep(now=True)
            try:
                return write_tables(
                    plan.out, outcomes, plan.excluded, plan.rules, progress=self._tick
                )  # fmt: skip
            except DamagedTables as error:
                if n_repairs == _MOST_REPAIRS:
                    raise OutputError(
                        f"{len(error.rows)} results cannot be read back, again and again",
                        where=plan.out,
                        remedy="write to another disk",
                    ) from error
                state.activity = "measuring"
                self._repair(error.rows)
        raise AssertionError  # the last round returns or raises

    def _tick(self) -> None:
        self.state.keep()
        self._watch(self.state)

    def _repair(self, rows: Sequence[ManifestRow]) -> None:
        lost = set(rows)
        for outcome in self.outcomes:
            if outcome.row in lost:
                files = row_files(self.plan.out, outcome.row, outcome.key)
                if files.table.exists():
                    told = set_aside(self.plan.out, files.table)
                    self.damaged.append(told)
                    self.state.log(told)
        self.outcomes = [outcome for outcome in self.outcomes if outcome.row not in lost]
        self._measure(by_study(list(rows)), with_pool_name=False)


@contextmanager
def _pool(plan: CohortPlan, n_tasks: int) -> Iterator[Pool]:
    options, settings = plan.options, plan.settings
    if options.scheduler:
        with dask_pool(options.scheduler, plan.out) as pool:
            yield pool
        return
    devices, n_contexts = ((), 0) if backend_of_rows(settings, options) == "cpu" else gpus()
    n_workers = options.workers or pool_size(
        n_tasks, n_contexts, keeps_planes=settings.register or bool(settings.segment)
    )
    with local_pool(n_workers, devices) as pool:
        yield pool


def _work(
    pool: Pool, tasks: Sequence[StudyTask], state: RunState, watch: Watch
) -> list[RowOutcome]:
    """Runs the tasks; returns the outcomes of all rows as they come.

    Raises OutputError when a worker finds the disk full, or the results taken over by a later run.
    """
    work = partial(run_isolated, tell=state.tell) if pool.is_local else run_isolated
    waiting = iter(tasks)
    running: dict[Future[list[RowOutcome]], StudyTask] = {}
    outcomes: list[RowOutcome] = []
    room_at = monotonic()
    is_more = True
    while is_more or running:
        while is_more and len(running) < pool.n_submitted():
            task = next(waiting, None)
            if task is None:
                is_more = False
            else:
                running[pool.executor.submit(work, task)] = task
        done, _ = wait(running, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
        for future in done:
            task = running.pop(future)
            settled = _settled(future, task)
            state.running.pop(task.rows[0].study, None)
            for outcome in settled:
                if outcome.status == STOPPED:
                    if outcome.reason == "the disk is full":
                        raise disk_is_full(state.out)
                    raise OutputError(
                        outcome.reason, where=state.out, remedy="let the later run finish"
                    )
                state.add(outcome)
            outcomes += settled
        state.keep()
        watch(state)
        if monotonic() - room_at > _ROOM_EVERY_S:
            room_at = monotonic()
            _require_some_room(state.out)
    return outcomes


def _settled(future: Future[list[RowOutcome]], task: StudyTask) -> list[RowOutcome]:
    """The outcomes of a task, also where the cluster's worker that ran it died again and again."""
    try:
        return _with_every_row(future.result(), task)
    except CancelledError as error:
        raise BackendError(
            "the Dask scheduler is gone", remedy="start it, and run again to go on"
        ) from error
    except Exception as error:
        if type(error).__name__ != "KilledWorker":
            raise
        outcomes = run_isolated(replace(task, survey_only=True))
        release_idle()
        reason = "the Dask workers that took it up died one after the other"
        return [
            outcome
            if outcome.status != LEFT
            else _not_done(task, outcome.row, reason, key=outcome.key)
            for outcome in outcomes
        ]


def _with_every_row(outcomes: list[RowOutcome], task: StudyTask) -> list[RowOutcome]:
    """What a worker told, and a failure for each row of which it told nothing: no row is lost without a word."""
    told = {outcome.row.line for outcome in outcomes}
    reason = "its worker was stopped before the row was done"
    return [
        *outcomes,
        *(_not_done(task, row, reason) for row in task.rows if row.line not in told),
    ]


def _not_done(task: StudyTask, row: ManifestRow, reason: str, *, key: str = NO_KEY) -> RowOutcome:
    """The failure of a row that the next run tries again."""
    files = row_files(task.out, row, key)
    return record_failure(files, row, stage="worker", reason=reason, kind=PASSING)


def _require_some_room(out: Path) -> None:
    if free_bytes(out) < SPARE_BYTES // 4:
        raise disk_is_full(out)
