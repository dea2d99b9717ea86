"""`gsigpu cohort status`: how far a run is, told from anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gsigpu.cli import options
from gsigpu.cli.console import entry, table

_WORDS = {
    "running": "running",
    "finished": "finished",
    "interrupted": "interrupted; run again to go on",
    "stopped": "stopped by an error; run again to go on",
    "gone": "ended without a word (killed?); run again to go on",
}


def cohort_status(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of a cohort run.", show_default=False)
    ],
    *,
    as_json: options.AsJson = False,
) -> None:
    """Tell how far a cohort run is.

    Example: gsigpu cohort status cohort
    """
    from gsigpu.pipeline.cohort_run.run_state import clock, progress_line, read_status

    status = read_status(out)
    if as_json:
        typer.echo(json.dumps(status, indent=2))
        return
    total = sum(status["seconds"].values())
    lines = [
        entry(
            "state",
            f"{_WORDS[status['state']]} (since {status['started']}, told {status['updated']})",
        ),
        entry("workers", status["workers"]),
        entry("rows", progress_line(status)),
    ]
    if total:
        parts = (
            f"{name} {seconds / total:.0%}"
            for name, seconds in sorted(status["seconds"].items(), key=lambda item: -item[1])
        )
        lines.append(entry("stages", list(parts)))
    if status["state"] == "running" and status["running"]:
        rows = [
            (entry["row"], entry["stage"], clock(entry["seconds"])) for entry in status["running"]
        ]
        lines += ["", table(["row", "stage", "since"], rows)]
    typer.echo("\n".join(lines))
