"""The processes of a run: started when first needed, and kept for the figures when the statistics are done.

A process takes seconds of a processor to import what statistics and figures need. On Linux one process imports it, and
the others are copies of that one, made before it has a thread of its own; it can begin while the table is read.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from multiprocessing import get_context, set_forkserver_preload
from multiprocessing.context import BaseContext

from gsigpu.fewer_collections import settle
from gsigpu.pipeline.kept_memory import keep_memory

# Fewer values than this are done before another process has started.
WORTH_A_PROCESS = 20_000
# Of a table as a file: with fewer bytes it has fewer values than are worth a process, so that none is begun early.
WORTH_BEGINNING_BYTES = 2 * 2**20
_IMPORTED = "gsigpu.pipeline.cohort_stats.imports_of_processes"
# Libraries that start threads when they are imported, which a copy of the process would not have.
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")

_KEPT_BYTES = 2**28  # a member's replicates take some tens of megabytes, a figure's pixels less


class Processes(AbstractContextManager["Processes"]):
    """At most so many processes; leaving ends them, after an error without what has not begun."""

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self._pool: ProcessPoolExecutor | None = None

    def worth(self, n_values: int) -> bool:
        """Whether so many values are more than this process should do by itself."""
        return self.n_workers > 1 and n_values >= WORTH_A_PROCESS

    def begin(self, n_bytes: int) -> None:
        """Lets the imports begin where a table of so many bytes will need processes."""
        if self.n_workers > 1 and n_bytes >= WORTH_BEGINNING_BYTES:
            _context()

    @property
    def pool(self) -> ProcessPoolExecutor:
        """Never copies of this process: one with threads may leave them a lock that nobody holds."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.n_workers, mp_context=_context(), initializer=_prepared
            )
        return self._pool

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=kind is None, cancel_futures=kind is not None)


def _context() -> BaseContext:
    """Linux: the process that imports, begun. Elsewhere each process imports for itself."""
    return _begun_forkserver() if sys.platform == "linux" else get_context("spawn")


def _begun_forkserver() -> BaseContext:
    from multiprocessing import forkserver  # not everywhere

    set_forkserver_preload([_IMPORTED])
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return get_context("forkserver")


def _prepared() -> None:
    """Processes already use the processors; threads of BLAS on top would fight for them."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    keep_memory(_KEPT_BYTES)
    settle()
