"""Threads of a run: how many, how long each stage takes, and how they end together."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from time import perf_counter
from typing import Any, TypeVar

T = TypeVar("T")


class Stopwatch:
    """Seconds per stage, added up over threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time of the block to a stage."""
        start = perf_counter()
        try:
            yield
        finally:
            self.add(name, perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Adds time that was taken elsewhere."""
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def default_workers() -> int:
    """Threads for one run: the processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def beside(call: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Runs a call in a thread of its own while the block goes on; what the block is given waits for its result.

    An error of the call is raised there. The block does not end before the call has.
    """
    with ThreadPoolExecutor(1, "gsigpu-beside") as pool:
        yield pool.submit(call).result


def finish_all(futures: Sequence[Future[Any]]) -> None:
    """Waits for all; at the first exception, or Ctrl-C, cancels what has not begun and raises it."""
    try:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    except BaseException:
        for future in futures:
            future.cancel()
        raise
