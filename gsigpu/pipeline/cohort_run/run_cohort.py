"""`gsigpu cohort run`: a manifest in, the tables of the cohort out."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic

from gsigpu.errors import BackendError, InputError, OutputError
from gsigpu.pipeline.cohort_run.case import record_failure, survey
from gsigpu.pipeline.cohort_run.checks import CohortOptions, check_settings
from gsigpu.pipeline.cohort_run.cohort_tables import write_tables
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings, RowOutcome, StudyTask, by_study
from gsigpu.pipeline.cohort_run.disk_room import (
    SPARE_BYTES,
    free_bytes,
    predicted_bytes,
    require_room,
    written_bytes,
)
from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules, before_measuring
from gsigpu.pipeline.cohort_run.isolation import run_isolated
from gsigpu.pipeline.cohort_run.pool import (
    Pool,
    dask_pool,
    gpu_devices,
    local_pool,
    pool_size,
    require_outside,
)
from gsigpu.pipeline.cohort_run.row_files import put_json, row_files, row_name, sweep
from gsigpu.pipeline.cohort_run.run_state import RunState, telling
from gsigpu.pipeline.cohort_run.table_counts import CohortTables
from gsigpu.tables.manifest import ManifestRow, read_manifest
from gsigpu.tables.pseudonyms import Pseudonyms, read_key
from gsigpu.version import __version__

Watch = Callable[[RunState], None]
RUN_FILE, _LOCK_FILE = "run.json", ".lock"
# Intervals, each with its reason.
_LOOK_S = 0.5  # between two looks at the tasks: a view that follows
_ROOM_EVERY_S = (
    10.0  # between two looks at the disk: what is written meanwhile fits into the spare room
)


@dataclass(frozen=True, slots=True)
class CohortResult:
    """What a run did.

    n_done : now; n_skipped : done before; n_failed : whose failures are in failures.csv; n_left : not tried
    predicted_bytes, written_bytes : what it would add to the disk, and what it did
    """

    out: Path
    n_rows: int
    n_done: int
    n_skipped: int
    n_failed: int
    n_left: int
    tables: CohortTables
    seconds: float
    rows_per_hour: float
    stage_seconds: dict[str, float] = field(default_factory=dict)
    predicted_bytes: int = 0
    written_bytes: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether nothing failed and nothing is left."""
        return not (self.n_failed or self.n_left or self.tables.n_failed_lesions)

    def as_dict(self) -> dict[str, object]:
        """Plain data for `--json`."""
        return {**asdict(self), "out": str(self.out)}


def run_cohort(
    manifest: Path | str,
    out: Path | str,
    *,
    settings: CohortSettings | None = None,
    rules: InclusionRules | None = None,
    options: CohortOptions | None = None,
    pseudonymise: Path | None = None,
    watch: Watch = lambda _state: None,
) -> CohortResult:
    """Measures every row of a manifest that is not done yet, and makes the tables of the cohort.

    manifest : see gsigpu.tables.manifest
    out : a folder; what an earlier run left in it is taken up
    pseudonymise : a file with a key; patients are then called by keyed hashes
    watch : called about twice a second with the state

    A row that fails is in failures.csv, and stops nothing else. Raises InputError (ManifestProblems with all
    that is wrong), SettingsError, OutputError and BackendError before anything starts, and OutputError when
    the disk runs full.
    """
    manifest, out = Path(manifest), Path(out).absolute()
    settings, rules = settings or CohortSettings(), rules or InclusionRules()
    if settings.patterns is not None:
        settings = replace(settings, patterns=settings.patterns.absolute())
    options = options or CohortOptions()
    pseudonyms = None if pseudonymise is None else read_key(pseudonymise)
    check_settings(settings, options, rules, is_pseudonymous=pseudonyms is not None)
    settings = replace(settings, pseudonymous=pseudonyms is not None)
    rows = read_manifest(manifest)
    require_outside(out, {row.study for row in rows})
    if pseudonymise is not None and pseudonymise.resolve().is_relative_to(out.resolve()):
        raise InputError(
            "the key lies in the output", where=pseudonymise, remedy="move it elsewhere"
        )
    if pseudonyms is not None:
        rows = pseudonyms.rows(rows)
    n_manifest_rows = len(rows)
    rows, excluded = before_measuring(rows, rules)
    was_bytes = written_bytes(out)
    n_bytes = predicted_bytes([row for row in rows if not _was_begun(out, row)], settings)
    require_room(out, n_bytes)
    record = _record(settings, rules, pseudonyms, n_bytes)
    with _own(out, record):
        tasks = [
            StudyTask(
                out=out,
                rows=members,
                settings=settings,
                retry_only=options.retry_failed,
                by_content=options.by_content,
                backend=options.backend,
                timeout_s=options.timeout_s,
                memory_limit=options.memory_limit,
            )
            for members in by_study(rows)
        ]
        state = RunState(out, len(rows))
        with telling(state, watch):
            with _pool(options, settings, len(tasks), out) as pool:
                state.begin(pool.name)
                outcomes = _work(pool, tasks, state, watch)
            order = {row: number for number, row in enumerate(rows)}
            outcomes.sort(key=lambda outcome: order[outcome.row])
            tables = write_tables(
                out, outcomes, excluded, rules,
                n_manifest_rows=n_manifest_rows, progress=state.keep,
            )  # fmt: skip
            n_written = written_bytes(out) - was_bytes
            state.log(f"disk: {n_written / 1e6:.1f} MB more, {n_bytes / 1e6:.1f} MB predicted")
    return CohortResult(
        out=out,
        n_rows=len(rows),
        n_done=state.n_done,
        n_skipped=state.n_skipped,
        n_failed=state.n_failed,
        n_left=state.n_left,
        tables=tables,
        seconds=monotonic() - state.begun,
        rows_per_hour=state.rate_per_hour,
        stage_seconds=dict(state.seconds),
        predicted_bytes=n_bytes,
        written_bytes=n_written,
    )


@contextmanager
def _own(out: Path, record: dict[str, object]) -> Iterator[None]:
    """The output folder, for this run alone.

    record : of the run, for run.json
    Raises OutputError if it holds something else, or another run is at work on it.
    """
    remedy = "choose another output"
    if out.exists() and not out.is_dir():
        raise OutputError("is no folder", where=out, remedy=remedy)
    if out.is_dir():
        known = out / RUN_FILE
        # A run that was killed before it wrote its record leaves files with a dot at most.
        if not known.exists() and any(not path.name.startswith(".") for path in out.iterdir()):
            raise OutputError("holds something else", where=out, remedy=remedy)
        if (
            known.exists()
            and json.loads(known.read_text("utf-8")).get("pseudonyms") != record["pseudonyms"]
        ):
            raise OutputError(
                "holds a run with other names for its patients (--pseudonymise)",
                where=out,
                remedy="give the same key as then, or choose another output",
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / _LOCK_FILE).open("w")
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror})", where=out, remedy="write elsewhere"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(
                "another run is at work on it",
                where=out,
                remedy="wait for it: gsigpu cohort status",
            ) from error
        sweep(out)
        put_json(out / RUN_FILE, record)
        yield


def _was_begun(out: Path, row: ManifestRow) -> bool:
    return (out / "cases" / row_name(row)).is_dir()


def _record(
    settings: CohortSettings,
    rules: InclusionRules,
    pseudonyms: Pseudonyms | None,
    n_bytes: int,
) -> dict[str, object]:
    """run.json."""
    settings_record = asdict(settings)
    settings_record["patterns"] = settings.patterns is not None
    return {
        "software": f"gsigpu {__version__}",
        "pseudonyms": pseudonyms and pseudonyms.fingerprint,
        "settings": settings_record,
        "rules": asdict(rules),
        "predicted_bytes": n_bytes,
    }


@contextmanager
def _pool(
    options: CohortOptions, settings: CohortSettings, n_tasks: int, out: Path
) -> Iterator[Pool]:
    if options.scheduler:
        with dask_pool(options.scheduler, out) as pool:
            yield pool
        return
    devices = gpu_devices() if settings.maps and options.backend != "cpu" else ()
    n_workers = options.workers or pool_size(n_tasks, devices)
    with local_pool(n_workers, devices) as pool:
        yield pool


def _work(
    pool: Pool, tasks: Sequence[StudyTask], state: RunState, watch: Watch
) -> list[RowOutcome]:
    """Runs the tasks; returns the outcomes of all rows as they come."""
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
        return future.result()
    except CancelledError as error:
        raise BackendError(
            "the Dask scheduler is gone", remedy="start it, and run again to go on"
        ) from error
    except Exception as error:
        if type(error).__name__ != "KilledWorker":
            raise
        outcomes, rest = survey(task)
        for row, key in zip(rest.rows, rest.keys, strict=True):
            files = row_files(task.out, row, key)
            reason = "the Dask workers that took it up died one after the other"
            outcomes.append(record_failure(files, row, "worker", reason, "", {}))
        return outcomes


def _require_some_room(out: Path) -> None:
    if free_bytes(out) < SPARE_BYTES // 4:
        raise OutputError(
            "the disk is full", where=out, remedy="free space, and run again to go on"
        )
