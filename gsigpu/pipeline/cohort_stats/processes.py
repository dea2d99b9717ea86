"""The processes of a run: started when first needed, and kept for the figures when the statistics are done.

A process takes seconds of a processor to import what statistics and figures need, so a run starts each once.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from multiprocessing import get_context

# Fewer values than this are done before another process has started.
WORTH_A_PROCESS = 20_000


class Processes(AbstractContextManager["Processes"]):
    """At most so many processes; leaving ends them, after an error without what has not begun."""

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self._pool: ProcessPoolExecutor | None = None

    def worth(self, n_values: int) -> bool:
        """Whether so many values are more than this process should do by itself."""
        return self.n_workers > 1 and n_values >= WORTH_A_PROCESS

    @property
    def pool(self) -> ProcessPoolExecutor:
        """Started anew each: a copy of a process with threads may wait for a lock that nobody holds."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.n_workers, mp_context=get_context("spawn"), initializer=_one_thread
            )
        return self._pool

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=kind is None, cancel_futures=kind is not None)


def _one_thread() -> None:
    """Processes already use the processors; threads of BLAS on top would fight for them."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
