"""How a long job tells how far it is: stages, and functions to report (done, total) to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Progress = Callable[[int, int], None]


class Watcher(Protocol):
    """Hears of progress: `stage` opens a stage and gives the function to report (done, total) to."""

    def stage(self, name: str) -> AbstractContextManager[Progress]:
        """A stage of the job."""


class _Silent:
    def stage(self, name: str) -> AbstractContextManager[Progress]:  # noqa: ARG002  # nobody listens
        return nullcontext(lambda _done, _total: None)


SILENT: Watcher = _Silent()
