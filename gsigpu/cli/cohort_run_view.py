"""What `gsigpu cohort run` shows on a terminal while it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from gsigpu.cli.console import TerminalWatcher
from gsigpu.cli.messages import tone
from gsigpu.cli.waiting import LINE

if TYPE_CHECKING:
    from gsigpu.pipeline.cohort_run.run_state import RunState

_SHOWN_RUNNING = 8  # rows
_CHECKING = {"check": "checking the manifest and its files"}


@contextmanager
def live_view() -> Iterator[Callable[[RunState], None]]:
    """A live view on stderr where that is a terminal, silence elsewhere."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.text import Text

    from gsigpu.pipeline.cohort_run.run_state import clock, progress_line

    if tone().quiet or not sys.stderr.isatty():
        yield lambda _state: None
        return
    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn())
    bars = Progress(*columns)
    bar = bars.add_task("rows", total=None)
    with ExitStack() as shown:
        # Until the first row begins: a look at every file takes its time, and moves no row.
        shown.enter_context(TerminalWatcher(_CHECKING).stage("check"))
        live: Live | None = None

        def show(state: RunState) -> None:
            nonlocal live
            if live is None:
                shown.close()
                live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
                shown.enter_context(LINE.held())
                shown.enter_context(live)
            bars.update(bar, completed=state.n_settled, total=state.n_rows)
            status = state.as_dict("running")
            running = [
                Text(f"  {entry['row']}  {entry['stage']}  {clock(entry['seconds'])}", style="dim")
                for entry in status["running"][:_SHOWN_RUNNING]
            ]
            live.update(Group(bars, Text(progress_line(status)), *running), refresh=True)

        yield show
