"""Work in a child process that may crash, hang or be killed without taking anything else along.

A child is `python -m gsigpu.pipeline.cohort.isolation`, kept for the next study when it has done well. It takes
pickled tasks on its standard input and answers with pickled messages, so that it may be started from
anywhere: a thread of a local run, or a worker of a Dask cluster, which may not use multiprocessing itself.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import queue
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from time import monotonic, sleep
from typing import Any

from gsigpu.pipeline.cohort.case import (
    RowOutcome,
    StudyTask,
    record_failure,
    redactor_of,
    run_study,
)
from gsigpu.pipeline.cohort.files import CohortFolder
from gsigpu.tables.manifest import ManifestRow

_HEADER = struct.Struct("<Q")
_LOG_TAIL = 4000
_PARENT_CHECK_S = 1.0


class _Children:
    """The children of this process: all that live, and those that wait for a task."""

    def __init__(self) -> None:
        self.idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        self.alive: set[_Child] = set()
        self.lock = threading.Lock()
        self.n_started = 0
        self.stopping = False


_CHILDREN = _Children()


class _Child:
    """One process, and what it said last."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the child
        # Threads of a BLAS in every child would stand in each other's way.
        own = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gsigpu.pipeline.cohort.isolation"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **own, **environment},
            bufsize=0,  # a message that waits in a buffer would not wake the selector
            start_new_session=True,  # Ctrl-C is for the parent, which then ends its children
        )

    def run(self, task: StudyTask, timeout_s: float | None) -> tuple[list[RowOutcome], str, _Last]:
        """Outcomes, and why there are none: what the child died of, and where it was then."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        last = _Last(task.rows[0], "start", "")
        begun = monotonic()
        try:
            _send(self._process.stdin, task)
            with selectors.DefaultSelector() as selector:
                selector.register(self._process.stdout, selectors.EVENT_READ)
                while True:
                    left = None if timeout_s is None else max(begun + timeout_s - monotonic(), 0.0)
                    if not selector.select(left):
                        return [], f"took longer than {timeout_s:g} s and was stopped", last
                    message = _receive(self._process.stdout)
                    if isinstance(message, list):
                        return message, "", last
                    if message[0] != last.row:
                        begun = monotonic()
                    last = _Last(*message)
        except (EOFError, BrokenPipeError):
            return [], self._epitaph(), last

    def _epitaph(self) -> str:
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return "the worker was killed (SIGKILL), mostly because memory ran out; give fewer --workers"
        if code < 0:
            return f"the worker crashed ({signal.Signals(-code).name})"
        return f"the worker ended with exit code {code}"

    def last_words(self) -> str:
        """The end of what it wrote to its standard error."""
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(self._errors.tell() - _LOG_TAIL, 0))
        return self._errors.read().decode("utf-8", "replace")

    def kill(self) -> None:
        """Ends the process; who waits for it learns so."""
        self._process.kill()

    def end(self) -> None:
        """Kills it, and closes what led to it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._errors.close()


class _Last:
    """The row, stage and file stem that a child told last."""

    def __init__(self, row: ManifestRow, stage: str, stem: str) -> None:
        self.row, self.stage, self.stem = row, stage, stem


def run_isolated(task: StudyTask, timeout_s: float | None = None) -> list[RowOutcome]:
    """`run_study` in a child process.

    timeout_s : for each row; a child that takes longer is killed
    A child that dies fails the row it was at; the other rows of the study are taken up by another.
    """
    rows = list(task.rows)
    outcomes: list[RowOutcome] = []
    while rows:
        child = _child()
        part = StudyTask(task.out, tuple(rows), task.settings, task.retry, task.backend)
        try:
            done, died_of, last = child.run(part, timeout_s)
        except BaseException:
            _bury(child)
            raise
        if not died_of:
            _CHILDREN.idle.put(child)
            return [*outcomes, *done]
        if _CHILDREN.stopping:  # killed with the run, not by its work
            return outcomes
        words = child.last_words()
        _bury(child)
        outcomes += _before(task, rows, last.row)
        redact = redactor_of(last.row)
        outcomes.append(
            record_failure(
                CohortFolder(task.out),
                last.row,
                last.stem,
                last.stage,
                redact(died_of),
                redact(words),
                {},
            )
        )
        rows = rows[rows.index(last.row) + 1 :]
    return outcomes


def _before(task: StudyTask, rows: Sequence[ManifestRow], at: ManifestRow) -> list[RowOutcome]:
    """Outcomes of the rows that a child had finished before it died: they are on the disk."""
    finished = tuple(rows[: rows.index(at)])
    if not finished:
        return []
    part = StudyTask(task.out, finished, task.settings, False, task.backend)
    return run_study(part, lambda _row, _stage, _stem: None)


def _child() -> _Child:
    """One that waits, or a new one; its GPU is one of several in turn."""
    with contextlib.suppress(queue.Empty):
        return _CHILDREN.idle.get_nowait()
    with _CHILDREN.lock:
        number = _CHILDREN.n_started
        _CHILDREN.n_started += 1
        gpus = [one for one in os.environ.get("GSIGPU_DEVICES", "").split(",") if one]
        child = _Child({"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {})
        _CHILDREN.alive.add(child)
    return child


def _bury(child: _Child) -> None:
    child.end()
    with _CHILDREN.lock:
        _CHILDREN.alive.discard(child)


def end_children() -> None:
    """Ends all children, at once; what they were at is neither done nor failed."""
    with _CHILDREN.lock:
        _CHILDREN.stopping = True
        for child in _CHILDREN.alive:
            child.kill()


def begin_children() -> None:
    """Forgets the children of an earlier run in this process."""
    with _CHILDREN.lock:
        _CHILDREN.alive.clear()
        _CHILDREN.idle = queue.SimpleQueue()
        _CHILDREN.n_started = 0
        _CHILDREN.stopping = False


def _send(stream: Any, message: object) -> None:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    rest = memoryview(_HEADER.pack(len(data)) + data)
    while rest:
        rest = rest[stream.write(rest) :]
    stream.flush()


def _receive(stream: Any) -> Any:
    (size,) = _HEADER.unpack(_exactly(stream, _HEADER.size))
    return pickle.loads(_exactly(stream, size))  # noqa: S301  # from our own process


def _exactly(stream: Any, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = stream.read(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def _leave_with_parent() -> None:
    """An orphan would hang for ever on what hangs, or finish what nobody waits for."""
    parent = os.getppid()
    while os.getppid() == parent:
        sleep(_PARENT_CHECK_S)
    os._exit(1)


def serve() -> None:
    """The child: tasks in, messages out, until its parent is gone."""
    faulthandler.enable()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    requests = sys.stdin.buffer
    # What a library prints must not fall into the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            task = _receive(requests)
        except EOFError:
            return
        _send(answers, run_study(task, lambda row, stage, stem: _send(answers, (row, stage, stem))))


if __name__ == "__main__":
    serve()
