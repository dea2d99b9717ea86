"""`gsigpu cohort`: many studies; each command is a module of its own."""

from __future__ import annotations

from typing import ClassVar

import typer

from gsigpu.cli.lazy_commands import Entry, LazyGroup


class _Cohort(LazyGroup):
    entries: ClassVar = {
        "init": Entry(
            "gsigpu.cli.cohort_init",
            "cohort_init",
            "Propose a manifest: studies, phases, masks beside them; the groups are for you to fill in.",
        ),
        "run": Entry(
            "gsigpu.cli.cohort_run",
            "cohort_run",
            "Measure every study of a manifest; go on where an earlier run ended.",
        ),
        "status": Entry(
            "gsigpu.cli.cohort_status", "cohort_status", "Tell how far a cohort run is."
        ),
        "stats": Entry(
            "gsigpu.cli.cohort_stats",
            "cohort_stats",
            "Compare the groups of a cohort: tests on two tracks, ROC, tables, figures, one HTML report.",
        ),
    }


cohort = typer.Typer(
    name="cohort",
    cls=_Cohort,
    help="Thousands of studies: measure them, watch it, compare the groups.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@cohort.callback()
def common() -> None:
    """Thousands of studies: measure them, watch it, compare the groups."""
