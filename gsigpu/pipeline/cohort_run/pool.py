"""Who does the work: threads with a child process each on this machine, or the workers of a Dask cluster.

Both are a `concurrent.futures.Executor` to which the same function is submitted.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from gsigpu.errors import BackendError, InputError, OutputError
from gsigpu.optional_packages import named_where_absent
from gsigpu.pipeline.cohort_run.child_process import (
    allow_children,
    begin_children,
    call_isolated,
    end_children,
    release_idle,
)
from gsigpu.pipeline.kept_memory import MOST_KEPT_BYTES
from gsigpu.pipeline.workers import default_workers
from gsigpu.version import __version__

# Limits, each with its reason.
# A child takes this for a study of 512 x 512 x 300 with eleven energies and its masks: measured in
# bench/results/cohort-cpu.md.
_BYTES_PER_WORKER = 1.5 * 2**30
_LEFT_TO_THE_SYSTEM = 2**30  # for the page cache and everything else that runs
_BACKLOG = 64  # tasks that wait at a cluster, so that an adaptive one sees how much there is to do
_GPU_S = 120  # for CUDA to start on a machine of many cards, and to compile a kernel
_CONNECT_S = 20  # a scheduler on a busy login node answers within seconds
_CGROUP, _OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# Files with the allowed and the used bytes: control groups version 2, then version 1.
_LIMITS = (
    ("memory.max", "memory.current"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


@dataclass(frozen=True, slots=True)
class Pool:
    """An executor, and how to use it.

    n_submitted : at a time; a cluster may grow
    is_local : whether a function may be handed over that tells of stages
    """

    executor: Executor
    n_submitted: Callable[[], int]
    is_local: bool
    name: str


def available_bytes() -> int:
    """Memory that is free, within what a container or a batch job allows."""
    free = int(psutil.virtual_memory().available)
    for group in _control_groups():
        for limit, used in _LIMITS:
            with contextlib.suppress(OSError, ValueError):
                allowed = int((group / limit).read_text())
                free = min(free, max(allowed - int((group / used).read_text()), 0))
    return free


def _control_groups() -> Iterator[Path]:
    """Those that this process is in, from the outermost on; a limit of any of them holds."""
    yield _CGROUP
    with contextlib.suppress(OSError):
        for line in _OWN_CGROUP.read_text("utf-8").splitlines():
            _, kind, path = line.split(":", 2)
            root = _CGROUP / "memory" if "memory" in kind.split(",") else _CGROUP
            parts = Path(path.lstrip("/")).parts
            yield from (root.joinpath(*parts[:n]) for n in range(1, len(parts) + 1))


def pool_size(n_tasks: int, n_contexts: int = 0, *, keeps_planes: bool = False) -> int:
    """Workers of a local pool: one per core, as far as memory goes, because all of them read and decode.

    n_contexts : processes that the GPUs have room for; 0 where none is used. Workers share the GPUs evenly.
    keeps_planes : whether phases are registered or masks drawn, whose planes a worker keeps for its measurement
    """
    n_useful = min(default_workers(), n_contexts) if n_contexts else default_workers()
    of_one = _BYTES_PER_WORKER + keeps_planes * MOST_KEPT_BYTES
    fitting = int((available_bytes() - _LEFT_TO_THE_SYSTEM) // of_one)
    return max(min(n_useful, fitting, n_tasks), 1)


def gpu_devices() -> tuple[str, ...]:
    """Of CUDA, as CUDA_VISIBLE_DEVICES would name them; none where no GPU can be used."""
    from gsigpu.backends.device import n_devices

    n = n_devices()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    return tuple(named[:n] if any(named) else map(str, range(n)))


def gpus() -> tuple[tuple[str, ...], int]:
    """(`gpu_devices`, how many processes they have room for), asked in a child.

    A context of this process would take room on every card for the whole run, and all of a card that serves one process.
    Raises BackendError if the cards do not answer.
    """
    try:
        devices, n_contexts = call_isolated(_gpus_here, timeout_s=_GPU_S)
    except InputError as error:
        raise BackendError(
            f"the GPUs do not answer ({error.what})", remedy="use --backend cpu"
        ) from error
    return devices, n_contexts


def _gpus_here() -> tuple[tuple[str, ...], int]:  # called in a child
    from gsigpu.backends.device import n_contexts

    return gpu_devices(), n_contexts()


@contextlib.contextmanager
def local_pool(n_workers: int, devices: tuple[str, ...]) -> Iterator[Pool]:
    """Threads of this process; each runs a child at a time."""
    begin_children(devices, n_children=n_workers)
    executor = ThreadPoolExecutor(n_workers, thread_name_prefix="cohort")
    name = f"{n_workers} worker{'s' if n_workers != 1 else ''}"
    try:
        yield Pool(executor, lambda: 2 * n_workers, is_local=True, name=name)
    finally:  # in this order: the threads that wait for children can end when these have
        end_children()
        executor.shutdown(wait=True, cancel_futures=True)
        release_idle()
        allow_children()


@contextlib.contextmanager
def dask_pool(address: str, out: Path) -> Iterator[Pool]:
    """The workers of a running Dask cluster.

    Raises MissingDependency, BackendError if there is no scheduler or it has workers with another gsigpu,
    OutputError if they do not see the output folder.
    """
    with named_where_absent("--scheduler"):
        distributed: Any = import_module("distributed")  # publishes no types
    for name in ("distributed", "distributed.client"):  # what matters is raised
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise BackendError(
            f"no Dask scheduler answers ({' '.join(str(error).split())})",
            where=address,
            remedy="start one, or check the address",
        ) from error
    try:
        _require_the_same(client, address, out)
        executor = client.get_executor(pure=False)

        def n_threads() -> int:
            return sum(client.nthreads().values())

        yield Pool(
            executor,
            lambda: 2 * n_threads() + _BACKLOG,
            is_local=False,
            name=f"{n_threads()} threads of the Dask cluster at {address}",
        )
        executor.shutdown(wait=True)
        client.run(release_idle)
    finally:
        client.close()  # what has not begun is cancelled with it


def _require_the_same(client: Any, address: str, out: Path) -> None:
    """The same program and the same files on both sides."""
    probe = out / ".probe"
    probe.touch()
    try:
        answers = client.run(_worker_sees, str(probe))
    except Exception as error:
        raise BackendError(
            f"its workers cannot run gsigpu ({' '.join(str(error).split())})",
            where=address,
            remedy="install the same gsigpu in their environment",
        ) from error
    finally:
        probe.unlink(missing_ok=True)
    for worker, (version, sees) in answers.items():
        if version != __version__:
            raise BackendError(
                f"worker {worker} has gsigpu {version}, this is {__version__}",
                where=address,
                remedy="install the same in both",
            )
        if not sees:
            raise OutputError(
                f"cannot be seen by worker {worker}",
                where=out,
                remedy="write to a folder that all machines share",
            )


def _worker_sees(path: str) -> tuple[str, bool]:
    return __version__, Path(path).exists()


def require_outside(out: Path, studies: set[Path]) -> None:
    """Raises InputError if the output would become part of a study."""
    resolved_out = out.resolve()
    for study in studies:
        if resolved_out.is_relative_to(study.resolve()):
            raise InputError(
                f"lies in the study folder {study}", where=out, remedy="choose another output"
            )
