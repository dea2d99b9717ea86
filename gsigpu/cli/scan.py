"""`gsigpu scan`: what is in a folder, and why gsigpu thinks so."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from gsigpu.cli import options
from gsigpu.cli.console import TerminalWatcher, table, warn
from gsigpu.dicom.study.read_study import describe


def scan(
    folder: options.StudyFolder,
    *,
    energy: options.Energy = None,
    phase_of: options.PhaseOf = None,
    patterns: options.PatternFile = None,
    why: Annotated[
        bool, typer.Option("--why", help="Show the evidence for every decision.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show what a folder holds: series, kind, energy, phase, slices, and what cannot be used.

    Example: gsigpu scan /data/study-0042 --why
    """
    watcher = TerminalWatcher({"scan": "reading headers"})
    study = options.read_folder(folder, watcher, energy, phase_of, patterns)
    found = describe(study)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    series: Any = found["series"]
    typer.echo(
        table(
            ["series", "kind", "keV", "phase", "slices", "grid", "spacing mm", "description"],
            [
                [
                    one["series_number"],
                    one["kind"],
                    None if one["energy_kev"] is None else f"{one['energy_kev']:g}",
                    one["phase"],
                    one["n_slices"],
                    _by(one["shape"][1:]) if one["shape"] else "-",
                    _by(one["spacing_mm"]) if one["spacing_mm"] else "-",
                    one["description"],
                ]
                for one in series
            ],
        )
    )
    if why:
        for one in series:
            typer.echo(f"\n{one['description'] or '(no description)'}  {one['key']}")
            for line in one["evidence"] or ["no word or value tells more"]:
                typer.echo(f"  {line}")
    skipped: Any = found["skipped"]
    for reason, n_files in skipped.items():
        typer.echo(f"skipped {n_files} {'files' if n_files > 1 else 'file'}: {reason}")
    warn([*study.warnings, *(str(one.problem) for one in study.series if one.problem is not None)])


def _by(numbers: list[float]) -> str:
    return " x ".join(f"{number:g}" for number in (round(value, 4) for value in numbers))
