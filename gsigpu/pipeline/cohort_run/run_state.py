"""How far a run is: for the view on a terminal, for status.json, and a line per minute in run.log."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from gsigpu.errors import InputError
from gsigpu.pipeline.cohort_run.cohort_task import DONE, FAILED, LEFT, SKIPPED, RowOutcome
from gsigpu.pipeline.cohort_run.row_files import put_json
from gsigpu.tables.manifest import ManifestRow

STATUS_FILE, LOG_FILE = "status.json", "run.log"
# Intervals, each with its reason.
_STATUS_EVERY_S = 2.0  # a person who watches sees it move; a shared disk does not notice
_LOG_EVERY_S = 60.0  # a night is 500 lines
SILENT_S = 30.0  # 15 missed updates: the run is taken for dead
_SHOWN_RUNNING = 16  # as many rows as a screen has room for
_COUNTERS = {SKIPPED: "n_skipped", DONE: "n_done", FAILED: "n_failed", LEFT: "n_left"}


@dataclass
class RunState:
    """Counts of a run.

    shard : `i-of-n` of a run that does a part of the rows; "" for the whole
    activity : what it does at present

    n_rows : of the manifest, after exclusion
    n_skipped : done before; n_failed : of this run and, where they are not tried again, of earlier ones
    """

    out: Path
    n_rows: int
    shard: str = ""
    pool: str = ""
    activity: str = "measuring"
    n_skipped: int = 0
    n_done: int = 0
    n_failed: int = 0
    n_left: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    begun: float = field(default_factory=monotonic)
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    running: dict[Path, tuple[str, str, float]] = field(default_factory=dict)
    _n_worked: int = 0
    _status_at: float = 0.0
    _log_at: float = field(default_factory=monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, pool: str) -> None:
        """Who will do it is known."""
        self.pool = pool
        self.log(f"begun: {self.n_rows} rows, {pool}")
        self.keep(now=True)

    def tell(self, row: ManifestRow, stage: str) -> None:
        """A worker is at a stage of a row."""
        self.running[row.study] = (row.name, stage, monotonic())

    def add(self, outcome: RowOutcome) -> None:
        """A row is settled."""
        name = _COUNTERS[outcome.status]
        setattr(self, name, getattr(self, name) + 1)
        if outcome.status == "done" or (outcome.status == "failed" and outcome.fresh):
            self._n_worked += 1
        for stage, seconds in outcome.seconds.items():
            self.seconds[stage] += seconds

    def recount(self, outcomes: Sequence[RowOutcome]) -> None:
        """The outcomes of all rows, after a look at them together."""
        for name in _COUNTERS.values():
            setattr(self, name, 0)
        for outcome in outcomes:
            name = _COUNTERS[outcome.status]
            setattr(self, name, getattr(self, name) + 1)

    @property
    def n_settled(self) -> int:
        """Rows about which nothing is left to do."""
        return self.n_skipped + self.n_done + self.n_failed + self.n_left

    @property
    def rate_per_hour(self) -> float:
        """Rows per hour of those worked at in this run."""
        elapsed = monotonic() - self.begun
        return 3600.0 * self._n_worked / elapsed if elapsed > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds to go, at the rate so far."""
        rate = self.rate_per_hour
        return 3600.0 * (self.n_rows - self.n_settled) / rate if rate else None

    @property
    def slowest_stage(self) -> tuple[str, float] | None:
        """The stage that took most of the time, and its part."""
        spent = dict(self.seconds)  # another thread may add to it
        total = sum(spent.values())
        if not total:
            return None
        name = max(spent, key=lambda stage: spent[stage])
        return name, spent[name] / total

    def as_dict(self, state: str) -> dict[str, Any]:
        """For status.json: `state` is running, finished, interrupted or stopped."""
        slowest = self.slowest_stage
        running = sorted(self.running.values(), key=lambda entry: entry[2])[:_SHOWN_RUNNING]
        return {
            "state": state,
            "activity": self.activity,
            "shard": self.shard,
            "started": self.started,
            "updated": _now(),
            "process": os.getpid(),
            "workers": self.pool,
            "n_rows": self.n_rows,
            "n_done": self.n_done,
            "n_skipped": self.n_skipped,
            "n_failed": self.n_failed,
            "n_left": self.n_left,
            "elapsed_s": round(monotonic() - self.begun, 1),
            "rows_per_hour": round(self.rate_per_hour, 1),
            "left_s": None if self.left_s is None else round(self.left_s, 1),
            "slowest_stage": None if slowest is None else slowest[0],
            "seconds": {name: round(seconds, 3) for name, seconds in dict(self.seconds).items()},
            "running": [
                {"row": name, "stage": stage, "seconds": round(monotonic() - since, 1)}
                for name, stage, since in running
            ],
        }

    def keep(self, state: str = "running", *, now: bool = False) -> None:
        """status.json and run.log, when it is time; from any thread."""
        with self._lock:
            self._keep(state, now=now)

    def _keep(self, state: str, *, now: bool) -> None:
        at = monotonic()
        if now or at - self._status_at >= _STATUS_EVERY_S:
            self._status_at = at
            with contextlib.suppress(
                OSError
            ):  # a full disk stops the run elsewhere, with a clear word
                put_json(status_file(self.out, self.shard), self.as_dict(state), is_durable=False)
        if at - self._log_at >= _LOG_EVERY_S:
            self._log_at = at
            self.log(progress_line(self.as_dict(state)))

    def log(self, line: str) -> None:
        """A line of run.log, with the time."""
        part = f" [{self.shard}]" if self.shard else ""
        with (
            contextlib.suppress(OSError),
            (self.out / LOG_FILE).open("a", encoding="utf-8") as file,
        ):
            file.write(f"{_now()} {part} {line}\n")


def progress_line(status: dict[str, Any]) -> str:
    """One line of how far a run is.

    >>> progress_line({"n_rows": 40, "n_done": 5, "n_skipped": 3, "n_failed": 1, "n_left": 0,
    ...     "rows_per_hour": 240.0, "left_s": 465.0, "slowest_stage": "read"})
    '9 of 40 rows: 5 done, 3 before, 1 failed; 240 rows/h, 0:07:45 left, slowest stage read'
    """
    settled = sum(status[name] for name in ("n_done", "n_skipped", "n_failed", "n_left"))
    parts = [f"{status['n_done']} done"]
    if status["n_skipped"]:
        parts.append(f"{status['n_skipped']} before")
    parts.append(f"{status['n_failed']} failed")
    if status["n_left"]:
        parts.append(f"{status['n_left']} not tried")
    line = f"{settled} of {status['n_rows']} rows: {', '.join(parts)}"
    if status["rows_per_hour"]:
        line += f"; {status['rows_per_hour']:.0f} rows/h"
    if status["left_s"] and settled < status["n_rows"]:
        line += f", {clock(status['left_s'])} left"
    if status["slowest_stage"]:
        line += f", slowest stage {status['slowest_stage']}"
    return line


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(3725)
    '1:02:05'
    """
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"


def status_file(out: Path, shard: str = "") -> Path:
    """Where a run, or a shard of one, tells how far it is."""
    return out / (f"status-{shard}.json" if shard else STATUS_FILE)


def read_status(out: Path | str) -> dict[str, Any]:
    """What a run told last, from any process; `state` is "gone" where it ended without a word.

    Where shards are at work or have been since, `shards` holds what each told and the counts are their sums.
    Raises InputError if the folder holds no run.
    """
    out = Path(out)
    told = [
        status
        for path in (status_file(out), *sorted(out.glob("status-*.json")))
        if (status := _read_one(path)) is not None
    ]
    if not told:
        damaged = os.path.lexists(out / STATUS_FILE)
        raise InputError(
            "its status cannot be read" if damaged else "holds no cohort run",
            where=out,
            remedy="run again, which writes it anew"
            if damaged
            else "name the folder that -o named",
        )
    whole = [status for status in told if not status["shard"]]
    shards = [status for status in told if status["shard"]]
    if whole and (not shards or whole[0]["started"] >= max(status["started"] for status in shards)):
        return whole[0]
    return _joined(shards)


def _read_one(path: Path) -> dict[str, Any] | None:
    if not path.is_file():  # a pipe would be waited for
        return None
    try:
        status: dict[str, Any] = json.loads(path.read_text("utf-8"))
        updated = datetime.fromisoformat(status["updated"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    silent_s = (datetime.now(UTC) - updated).total_seconds()
    if status["state"] == "running" and silent_s > SILENT_S:
        status["state"] = "gone"
    status.setdefault("shard", "")
    return status


def _joined(shards: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Shards as one status: the worst state, the sums of the counts."""
    states = [status["state"] for status in shards]
    order = ("running", "gone", "stopped", "interrupted", "finished")
    joined = dict(shards[0])
    joined["state"] = min(states, key=order.index)
    for name in ("n_rows", "n_done", "n_skipped", "n_failed", "n_left", "rows_per_hour"):
        joined[name] = sum(status[name] for status in shards)
    joined["elapsed_s"] = max(status["elapsed_s"] for status in shards)
    joined["left_s"] = max((status["left_s"] or 0.0 for status in shards), default=None)
    joined["updated"] = max(status["updated"] for status in shards)
    joined["seconds"] = dict(sum((Counter(status["seconds"]) for status in shards), Counter()))
    joined["running"] = [row for status in shards for row in status["running"]]
    joined["workers"] = f"{len(shards)} shards"
    joined["shards"] = list(shards)
    return joined


@contextlib.contextmanager
def telling(state: RunState, watch: Callable[[RunState], None]) -> Iterator[None]:
    """Keeps the status to the end, however that comes.

    A thread tells that the run lives: whatever it waits for (a slow disk, a figure), nobody takes it for dead.
    """
    is_over = threading.Event()
    beat = threading.Thread(target=_beat, args=(state, is_over), daemon=True)
    beat.start()
    try:
        try:
            yield
        finally:
            is_over.set()
            beat.join()
    except BaseException as error:
        ended = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped"
        state.running.clear()
        state.keep(ended, now=True)
        state.log(f"{ended}: {progress_line(state.as_dict(ended))}")
        raise
    state.running.clear()
    watch(state)
    state.keep("finished", now=True)
    state.log(f"finished: {progress_line(state.as_dict('finished'))}")


def _beat(state: RunState, is_over: threading.Event) -> None:
    while not is_over.wait(_STATUS_EVERY_S):
        state.keep()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
