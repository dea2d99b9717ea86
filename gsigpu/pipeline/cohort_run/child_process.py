"""Child processes: how they start, what is said to them and what they answer, and how they end."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import psutil

from gsigpu.backends.device import SHARE_VARIABLE, n_sharing
from gsigpu.errors import GsigpuError, InputError
from gsigpu.pipeline.cohort_run.child_messages import receive_bytes, send
from gsigpu.pipeline.cohort_run.failure_kinds import PASSING, PROGRAM

if TYPE_CHECKING:  # children are begun before this process has imported what it needs of the rest
    from gsigpu.pipeline.cohort_run.cohort_task import RowOutcome, StudyTask
    from gsigpu.tables.manifest import ManifestRow

    TellRow = Callable[[ManifestRow, str], None]

# faulthandler lists every compiled module; the list says nothing about a crash.
_EXTENSIONS = re.compile(r"^Extension modules:.*$", re.MULTILINE)
# Limits, each with its reason.
_LOG_TAIL = 16_000  # characters of a child's standard error: a traceback and what a library printed before it
_LOOK_S = 0.25  # between two looks at a silent child: soon enough to stop one that fills the memory
_BURIAL_S = 20.0  # for a killed process to disappear: one in a dead disk's queue may never
GRACE_S = 60.0  # for imports on a cold disk, before a row's own time begins
_LOW_MEMORY = 0.02  # of the machine's memory: below it, the system would choose a process to kill
# Signals that come from outside, with the end of the run or a shortage that may be over.
_FROM_OUTSIDE = tuple(
    getattr(signal, name)
    for name in ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")
    if hasattr(signal, name)  # Windows has two of them, and ends a process without any
)
_KILLED = getattr(signal, "SIGKILL", None)
# Ctrl-C is for the parent, which then ends its children: they are in another session, or group where there are none.
_OWN_GROUP: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)


@dataclass(frozen=True, slots=True)
class Call:
    """A function to be called in a child."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Death:
    """How a child came to its end; `reason` is "" for one that is well."""

    reason: str = ""
    kind: str = PROGRAM


class _Children:
    """The children of this process: all that live, and those that wait for a task."""

    def __init__(self) -> None:
        self.idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
        self.alive: set[Child] = set()
        self.lock = threading.Lock()
        self.devices: tuple[str, ...] = ()
        self.n_per_device = 1
        self.stopping = False
        # The system takes the thread that started a process for its parent: this one lives as long as the program.
        self.starter = ThreadPoolExecutor(1, thread_name_prefix="starter")


CHILDREN = _Children()


@dataclass
class Progress:
    """The row at which a child is: its number in the task, its stage, and what is known of its inputs."""

    row: int = 0
    stage: str = "start"
    inputs: dict[str, Any] = field(default_factory=dict)


class ErrorFile:
    """Where a child writes its standard error: a file without a name, or one that `close` removes on Windows.

    It is opened twice, because a child shares its position in what it is given.
    """

    def __init__(self) -> None:
        self.written, name = tempfile.mkstemp(prefix="gsigpu-", suffix=".err")
        self._path = Path(name)
        self._read = self._path.open("rb", buffering=0)
        with contextlib.suppress(PermissionError):  # Windows removes no file that is open
            self._path.unlink()

    def size(self) -> int:
        """Bytes written so far."""
        return os.fstat(self._read.fileno()).st_size

    def read(self, begin: int) -> str:
        """The text from a byte to the end."""
        self._read.seek(begin)
        return (self._read.read() or b"").decode("utf-8", "replace")

    def close(self) -> None:
        os.close(self.written)
        self._read.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


class Child:
    """One process, and what it told last."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.errors = ErrorFile()
        # Threads of a BLAS in every child would stand in each other's way.
        environment = {
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        }
        if device:
            environment["CUDA_VISIBLE_DEVICES"] = device
            environment[SHARE_VARIABLE] = str(CHILDREN.n_per_device * n_sharing())
        self.process = CHILDREN.starter.submit(
            subprocess.Popen,
            [sys.executable, "-m", "gsigpu.pipeline.cohort_run.child_main", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors.written,
            env={**os.environ, **environment},
            bufsize=0,  # a reader that waits in a buffer would hold its lock
            start_new_session=True,
            creationflags=_OWN_GROUP,
        ).result()
        self.answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # Windows cannot wait for a pipe with a limit, but a queue can be waited for everywhere.
        threading.Thread(target=self._listen, name="answers of a child", daemon=True).start()
        self.at = Progress()
        self._errors_from = 0
        self._has_answered = False

    def run(self, task: StudyTask, tell: TellRow) -> tuple[list[RowOutcome], Death]:
        """Outcomes of rows, in order, and what it died of, if it did; `at` tells where."""
        from gsigpu.pipeline.cohort_run.cohort_task import RowOutcome

        outcomes: list[RowOutcome] = []

        def take(message: Any) -> None:
            if isinstance(message, RowOutcome):
                outcomes.append(message)
                self.at = Progress(row=len(outcomes))
                return
            row, stage, inputs = message
            self.at = Progress(row, stage, inputs or self.at.inputs)
            tell(task.rows[row], stage)

        death = self._talk(task, take, task.timeout_s, task.memory_limit)
        return outcomes, death

    def call(self, call: Call, timeout_s: float | None, wait: Callable[[], None]) -> Any:
        """What a function returns. Raises what it raises, and InputError if the child dies or takes too long."""
        answers: list[Any] = []
        death = self._talk(call, answers.append, timeout_s, 0, wait)
        if death.reason:
            raise InputError(f"the inputs cannot be looked at: {death.reason}")
        is_error, answer = answers[-1]
        if is_error:
            raise answer
        return answer

    def _listen(self) -> None:
        """Puts each answer into the queue as it comes, and None at the end."""
        assert self.process.stdout is not None
        with self.process.stdout as stream, contextlib.suppress(EOFError, OSError):
            while True:
                self.answers.put(receive_bytes(stream))
        self.answers.put(None)

    def _talk(
        self,
        message: object,
        take: Callable[[Any], None],
        timeout_s: float | None,
        memory_limit: int,
        wait: Callable[[], None] = lambda: None,
    ) -> Death:
        """Sends a message and takes the answers up to the last, within limits."""
        from gsigpu.pipeline.cohort_run.cohort_task import RowOutcome

        assert self.process.stdin is not None
        self.at = Progress()
        self._errors_from = self.errors.size()
        # A new child imports first, which is not its work.
        begun = monotonic() + (0.0 if self._has_answered else GRACE_S)
        try:
            send(self.process.stdin, message)
        except OSError:  # a broken pipe; Windows calls it an invalid argument
            return self._epitaph()
        while True:
            try:
                content = self.answers.get(timeout=_LOOK_S)
            except queue.Empty:
                wait()
                if used_up := self._used_up(memory_limit):
                    return used_up
                if timeout_s is not None and monotonic() - begun > timeout_s:
                    return Death(f"took longer than {timeout_s:g} s and was stopped", PASSING)
                continue
            if content is None:
                return self._epitaph()
            self._has_answered = True
            answer = pickle.loads(content)  # noqa: S301  # from our own process
            if answer is None:
                return Death()
            take(answer)
            is_new_row = isinstance(answer, RowOutcome) or self.at.stage == "inputs"
            # The time of a row begins with it, whatever a new child needed to start.
            begun = monotonic() if is_new_row else min(begun, monotonic())
            if self.at.stage == "start" and not isinstance(answer, RowOutcome):
                begun = monotonic() + GRACE_S

    def _used_up(self, limit: int) -> Death | None:
        """Why its use of memory ends it."""
        used = self.memory()
        if limit and used > limit:
            return Death(
                f"out of memory: used more than {limit / 2**30:.1f} GiB and was stopped; raise --memory-limit"
            )
        system = psutil.virtual_memory()
        if system.available < _LOW_MEMORY * system.total:
            with CHILDREN.lock:
                largest = max((child.memory() for child in CHILDREN.alive), default=0)
            if used >= largest:
                return Death(
                    f"out of memory: the machine had {system.available / 2**20:.0f} MiB left; give fewer --workers",
                    PASSING,
                )
        return None

    def memory(self) -> int:
        """Bytes in use."""
        try:
            return int(psutil.Process(self.process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _epitaph(self) -> Death:
        code = self.process.wait(_BURIAL_S)
        if _KILLED is not None and code == -_KILLED:
            return Death(
                "the worker was killed (SIGKILL), mostly because memory ran out; give fewer --workers",
                PASSING,
            )
        if code < 0:
            kind = PASSING if -code in _FROM_OUTSIDE else PROGRAM
            return Death(f"the worker crashed ({signal.Signals(-code).name})", kind)
        return Death(f"the worker ended with exit code {code}")

    def was_ended_from_outside(self) -> bool:
        """Whether a signal from elsewhere ended it, and nothing that it did itself."""
        code = self.process.poll()
        return code is not None and -code in _FROM_OUTSIDE

    def last_words(self) -> str:
        """The end of what it wrote to its standard error about this task."""
        text = self.errors.read(max(self._errors_from, self.errors.size() - _LOG_TAIL))
        return _EXTENSIONS.sub("", text)

    def end(self) -> None:
        """Kills it, and closes what led to it."""
        kill_with_programs(self.process)
        with contextlib.suppress(
            subprocess.TimeoutExpired
        ):  # one that waits for a dead disk cannot die
            self.process.wait(_BURIAL_S)
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        self.errors.close()


def kill_with_programs(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and the programs that it started, which would go on drawing masks for nobody."""
    started: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        started = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for program in started:
        with contextlib.suppress(psutil.Error):
            program.kill()


def call_isolated(
    function: Callable[..., Any],
    *arguments: Any,
    timeout_s: float | None = None,
    wait: Callable[[], None] = lambda: None,
) -> Any:
    """What a function of this package returns, called in a child, which Ctrl-C and a time limit end.

    wait : called several times a second meanwhile
    Raises what the function raises, and InputError if the child dies or takes too long.
    """
    child = idle_or_new()
    try:
        answer = child.call(Call(function, arguments), timeout_s, wait)
    except GsigpuError as error:
        if child.process.poll() is None and not str(error).startswith("the inputs cannot"):
            CHILDREN.idle.put(child)
        else:
            bury(child)
        raise
    except BaseException:
        bury(child)
        raise
    CHILDREN.idle.put(child)
    return answer


def idle_or_new() -> Child:
    """One that waits, or a new one, on the GPU that the fewest others have."""
    with contextlib.suppress(queue.Empty):
        return CHILDREN.idle.get_nowait()
    with CHILDREN.lock:
        used = [child.device for child in CHILDREN.alive]
        device = min(CHILDREN.devices, key=used.count, default="")
        child = Child(device)
        CHILDREN.alive.add(child)
    return child


def begin_ahead(n_children: int) -> None:
    """Children that will be needed begin to import, while this process does so itself; `release_idle` ends them."""
    for _ in range(n_children):
        with CHILDREN.lock:
            child = Child("")
            CHILDREN.alive.add(child)
        CHILDREN.idle.put(child)


def bury(child: Child) -> None:
    child.end()
    with CHILDREN.lock:
        CHILDREN.alive.discard(child)


def begin_children(devices: tuple[str, ...] = (), *, n_children: int = 1) -> None:
    """Before the first task of a run in this process.

    devices : of CUDA, each child sees one of them, and knows with how many it shares it; whatever there is if empty
    n_children : that will run at a time
    """
    if devices:  # those that looked at inputs before chose no card
        release_idle()
    with CHILDREN.lock:
        CHILDREN.devices, CHILDREN.stopping = devices, False
        CHILDREN.n_per_device = max(-(-n_children // len(devices)), 1) if devices else 1


def end_children() -> None:
    """Kills all children, at once; what they were at is neither done nor failed."""
    with CHILDREN.lock:
        CHILDREN.stopping = True
        for child in CHILDREN.alive:
            kill_with_programs(child.process)


def allow_children() -> None:
    """After a pool has ended: what else measures in this process, as a Dask worker in it, may have children again."""
    with CHILDREN.lock:
        CHILDREN.stopping = False


def release_idle() -> None:
    """Ends the children that wait for a task; also what is left on a cluster's workers after a run."""
    while True:
        try:
            bury(CHILDREN.idle.get_nowait())
        except queue.Empty:
            return
