"""`gsigpu cohort`: many studies; each command is a module of its own."""

from __future__ import annotations

import typer

from gsigpu.cli import cohort_init, cohort_run, cohort_stats, cohort_status
from gsigpu.cli.once import OnceCommand, QuickGroup

cohort = typer.Typer(
    name="cohort",
    cls=QuickGroup,
    help="Thousands of studies: measure them, watch it, compare the groups.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@cohort.callback()
def common() -> None:
    """Thousands of studies: measure them, watch it, compare the groups."""


cohort.command("init", cls=OnceCommand)(cohort_init.cohort_init)
cohort.command("run", cls=OnceCommand)(cohort_run.cohort_run)
cohort.command("status", cls=OnceCommand)(cohort_status.cohort_status)
cohort.command("stats", cls=OnceCommand)(cohort_stats.cohort_stats)
