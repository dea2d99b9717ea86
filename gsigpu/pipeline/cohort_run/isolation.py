"""Work in a child process that may crash, hang or be killed without taking anything else along.

A child is `python -m gsigpu.pipeline.cohort_run.isolation`, kept for the next study when it has done well. It takes
pickled tasks on its standard input and answers with pickled messages, so that it may be started from
anywhere: a thread of a local run, or a worker of a Dask cluster, which may not use multiprocessing itself.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import queue
import re
import select
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

import psutil

from gsigpu.physics import iodine_water_hu
from gsigpu.pipeline.cohort_run.case import record_failure, run_study, survey
from gsigpu.pipeline.cohort_run.cohort_task import RowOutcome, StudyTask
from gsigpu.pipeline.cohort_run.redaction import redactor_for
from gsigpu.pipeline.cohort_run.row_files import row_files
from gsigpu.tables.manifest import ManifestRow

TellRow = Callable[[ManifestRow, str], None]

_HEADER = struct.Struct("<Q")
# faulthandler lists every compiled module; the list says nothing about a crash.
_EXTENSIONS = re.compile(r"^Extension modules:.*$", re.MULTILINE)
# Limits, each with its reason.
_LOG_TAIL = 16_000  # characters of a child's standard error: a traceback and what a library printed before it
_LOOK_S = 0.25  # between two looks at a silent child: soon enough to stop one that fills the memory
_BURIAL_S = 20.0  # for a killed process to disappear: one in a dead disk's queue may never
_GRACE_S = 60.0  # for imports on a cold disk, before a row's own time begins
_LOW_MEMORY = 0.02  # of the machine's memory: below it, the system would choose a process to kill
# Signals that come from outside, with the end of the run or a shortage that may be over.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class _Children:
    """The children of this process: all that live, and those that wait for a task."""

    def __init__(self) -> None:
        self.idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        self.alive: set[_Child] = set()
        self.lock = threading.Lock()
        self.devices: tuple[str, ...] = ()
        self.stopping = False


_CHILDREN = _Children()


class _Child:
    """One process, and the row and stage that it told last."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the child
        # Threads of a BLAS in every child would stand in each other's way.
        environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        if device:
            environment["CUDA_VISIBLE_DEVICES"] = device
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gsigpu.pipeline.cohort_run.isolation"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={**os.environ, **environment},
            bufsize=0,  # a message that waits in a buffer would not wake the selector
            start_new_session=True,  # Ctrl-C is for the parent, which then ends its children
        )
        self.row, self.stage = 0, "start"
        self._errors_from = 0

    def run(self, task: StudyTask, tell: TellRow) -> tuple[list[RowOutcome], str]:
        """Outcomes of rows, in order, and what it died of, if it did; `row` and `stage` tell where."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        outcomes: list[RowOutcome] = []
        self.row, self.stage = 0, "start"
        self._errors_from = os.fstat(self.errors.fileno()).st_size
        begun = monotonic() + _GRACE_S  # a new child imports first, which is not its work
        try:
            _send(self.process.stdin, task)
            with selectors.DefaultSelector() as selector:
                selector.register(self.process.stdout, selectors.EVENT_READ)
                while True:
                    if not selector.select(_LOOK_S):
                        if used_up := self._used_up(task.memory_limit):
                            return outcomes, used_up
                        limit_s = task.timeout_s
                        if limit_s is not None and monotonic() - begun > limit_s:
                            return outcomes, f"took longer than {limit_s:g} s and was stopped"
                        continue
                    message = _receive(self.process.stdout)
                    if message is None:
                        return outcomes, ""
                    if isinstance(message, RowOutcome):
                        outcomes.append(message)
                        begun = monotonic()
                        self.row, self.stage = len(outcomes), "start"
                    else:
                        begun = min(begun, monotonic())
                        self.row, self.stage = message
                        tell(task.rows[self.row], self.stage)
        except (EOFError, BrokenPipeError):
            return outcomes, self._epitaph()

    def _used_up(self, limit: int) -> str:
        """Why its use of memory ends it."""
        used = self.memory()
        if limit and used > limit:
            return f"out of memory: used more than {limit / 2**30:.1f} GiB and was stopped; raise --memory-limit"
        system = psutil.virtual_memory()
        if system.available < _LOW_MEMORY * system.total:
            with _CHILDREN.lock:
                largest = max(child.memory() for child in _CHILDREN.alive)
            if used >= largest:
                return f"out of memory: the machine had {system.available / 2**20:.0f} MiB left; give fewer --workers"
        return ""

    def memory(self) -> int:
        """Bytes in use."""
        try:
            return int(psutil.Process(self.process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _epitaph(self) -> str:
        code = self.process.wait(_BURIAL_S)
        if code == -signal.SIGKILL:
            return "the worker was killed (SIGKILL), mostly because memory ran out; give fewer --workers"
        if code < 0:
            return f"the worker crashed ({signal.Signals(-code).name})"
        return f"the worker ended with exit code {code}"

    def was_ended_from_outside(self) -> bool:
        """Whether a signal from elsewhere ended it, and nothing that it did itself."""
        code = self.process.poll()
        return code is not None and -code in _FROM_OUTSIDE

    def last_words(self) -> str:
        """The end of what it wrote to its standard error about this task."""
        n_bytes = os.fstat(self.errors.fileno()).st_size
        begin = max(self._errors_from, n_bytes - _LOG_TAIL)
        text = os.pread(self.errors.fileno(), n_bytes - begin, begin).decode("utf-8", "replace")
        return _EXTENSIONS.sub("", text)

    def end(self) -> None:
        """Kills it, and closes what led to it."""
        self.process.kill()
        with contextlib.suppress(
            subprocess.TimeoutExpired
        ):  # one that waits for a dead disk cannot die
            self.process.wait(_BURIAL_S)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self.errors.close()


def run_isolated(task: StudyTask, tell: TellRow = lambda _row, _stage: None) -> list[RowOutcome]:
    """Measures the rows of a study that are not done yet, in a child process.

    A child that dies fails the row it was at, and the rest of the study is taken up by another. One that is
    ended from outside gets a second try: it may have been a neighbour that used up the memory.
    """
    outcomes, task = survey(task)
    second_try = False
    while task.rows and not _is_stopping():
        child = _child()
        try:
            done, died_of = child.run(task, tell)
        except BaseException:
            _bury(child)
            raise
        outcomes += done
        if not died_of:
            _CHILDREN.idle.put(child)
            break
        outside, stage, words = child.was_ended_from_outside(), child.stage, child.last_words()
        _bury(child)
        if _is_stopping():  # killed with the run, not by its work
            break
        task = _rest(task, len(done))
        if outside and not second_try:
            second_try = True
            continue
        second_try = False
        if task.rows:
            outcomes.append(_died(task, stage, died_of, words))
            task = _rest(task, 1)
    return outcomes


def _is_stopping() -> bool:
    return _CHILDREN.stopping


def _rest(task: StudyTask, n_done: int) -> StudyTask:
    return replace(task, rows=task.rows[n_done:], keys=task.keys[n_done:])


def _died(task: StudyTask, stage: str, died_of: str, words: str) -> RowOutcome:
    """The outcome of the first row, at which a child died."""
    row, files = task.rows[0], row_files(task.out, task.rows[0], task.keys[0])
    if files.table.exists():  # between its last act and telling of it
        return RowOutcome(row, "done", files.key)
    redact = redactor_for(row)
    return record_failure(files, row, stage, redact(died_of), redact(words), {})


def _child() -> _Child:
    """One that waits, or a new one, on the GPU that the fewest others have."""
    with contextlib.suppress(queue.Empty):
        return _CHILDREN.idle.get_nowait()
    with _CHILDREN.lock:
        used = [child.device for child in _CHILDREN.alive]
        device = min(_CHILDREN.devices, key=used.count, default="")
        child = _Child(device)
        _CHILDREN.alive.add(child)
    return child


def _bury(child: _Child) -> None:
    child.end()
    with _CHILDREN.lock:
        _CHILDREN.alive.discard(child)


def begin_children(devices: tuple[str, ...] = ()) -> None:
    """Before the first task of a run in this process.

    devices : of CUDA, each child sees one of them; whatever there is if empty
    """
    with _CHILDREN.lock:
        _CHILDREN.devices, _CHILDREN.stopping = devices, False


def end_children() -> None:
    """Kills all children, at once; what they were at is neither done nor failed."""
    with _CHILDREN.lock:
        _CHILDREN.stopping = True
        for child in _CHILDREN.alive:
            child.process.kill()


def release_idle() -> None:
    """Ends the children that wait for a task; also what is left on a cluster's workers after a run."""
    while True:
        try:
            _bury(_CHILDREN.idle.get_nowait())
        except queue.Empty:
            return


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
    poll = select.poll()
    poll.register(0, 0)  # nothing is asked for but the hang-up, which is always told
    poll.poll()
    os._exit(1)


def _warm_up() -> None:
    """What is imported at its first use, so that it counts as no case's time."""
    import SimpleITK  # noqa: F401

    iodine_water_hu((70.0,), water_mg_per_ml=1000.0, iodine_mg_per_ml=1.0)


def serve() -> None:
    """The child: tasks in, messages out, until its parent is gone."""
    faulthandler.enable()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    requests = sys.stdin.buffer
    # What a library prints must not fall into the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _warm_up()
    while True:
        try:
            task: StudyTask = _receive(requests)
        except EOFError:
            return
        if task.timeout_s is not None:
            clock_s = task.timeout_s * len(task.rows) + _GRACE_S
            faulthandler.dump_traceback_later(clock_s, exit=True)
        run_study(
            task,
            lambda row, stage: _send(answers, (row, stage)),
            lambda outcome: _send(answers, outcome),
        )
        faulthandler.cancel_dump_traceback_later()
        _send(answers, None)


if __name__ == "__main__":
    serve()
