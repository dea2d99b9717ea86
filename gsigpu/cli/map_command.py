"""`gsigpu map`: maps of a study, written as DICOM or as volumes."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gsigpu.choices import DEFAULT_MAPS, DEFAULT_SLOPE
from gsigpu.cli import options
from gsigpu.cli.console import TerminalWatcher, split_numbers, table
from gsigpu.cli.messages import warn

if TYPE_CHECKING:
    from gsigpu.pipeline.map.map_study import MapResult


class Format(StrEnum):
    """--format."""

    ct = "ct"
    pm = "pm"
    nifti = "nifti"
    nrrd = "nrrd"
    rgb = "rgb"


def map_command(
    folder: options.StudyFolder,
    *,
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="OUT", help="Folder to write; complete or absent afterwards."
        ),
    ],
    maps: Annotated[
        list[str],
        options.list_option(
            "--maps",
            text="lambda-hu, lambda-hu[A-B], iodine, water, vnc, mono-E, electron-density, zeff, residual, sigma-lambda-hu, sigma-iodine",
            default=",".join(DEFAULT_MAPS),
        ),
    ],
    slope: Annotated[
        str, typer.Option("--slope", help="What lambda-hu means: paper, A-B, A-B/D or fit:A-B.")
    ] = DEFAULT_SLOPE,
    phase: options.Phase = None,
    series: options.SeriesChoice,
    energies: options.Energies,
    output_format: Annotated[
        Format,
        typer.Option(
            "--format",
            help="ct: CT series; pm: Parametric Map; rgb: colour overlay as secondary capture.",
        ),
    ] = Format.ct,
    backend: options.BackendChoice = options.Backend.auto,
    workers: options.Threads = None,
    energy: options.Energy,
    phase_of: options.PhaseOf,
    kind: options.KindOf,
    patterns: options.PatternFile = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT, once the new is complete.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Compute λHU, iodine and other maps of a spectral study, and write them.

    Example: gsigpu map /data/study-0042 -o maps --phase PVP --slope 40-100
    """
    from gsigpu.pipeline.map.map_study import map_study

    watcher = TerminalWatcher({"scan": "reading headers", "map": "computing maps"})
    study = options.read_folder(
        folder, watcher, energy=energy, phase_of=phase_of, kind=kind, patterns=patterns
    )
    warn(study.warnings)  # now: they may be the reason of what fails below
    result = map_study(
        study,
        out,
        maps=maps,
        slope=slope,
        phase=phase,
        series=series,
        energies_kev=split_numbers(energies, "--energies"),
        output_format=output_format.value,
        backend=backend.value,
        n_workers=workers,
        overwrite=overwrite,
        watcher=watcher,
    )
    warn(result.warnings[len(study.warnings) :])
    if as_json:
        typer.echo(json.dumps(result.as_dict(), indent=2))
    else:
        typer.echo(summary(result))


def summary(result: MapResult) -> str:
    """What a run did, for a person."""
    from gsigpu.backends.device import why_no_gpu

    stack, report = result.stack, result.report
    shape = " x ".join(map(str, stack.geometry.shape))
    kev = ", ".join(f"{kev:g}" for kev in stack.energies_kev)
    used = (
        f"GPU, {report.slab_slices} slices at a time"
        if report.backend == "gpu"
        else f"CPU, {report.n_workers} threads"
    )
    if report.backend == "cpu" and (reason := why_no_gpu()):
        used += f" (no GPU: {reason.split(' (')[0]})"
    lines = [
        f"read     {len(stack.series)} energies ({kev} keV), {shape} voxels"
        + (f", phase {stack.phase}" if stack.phase else ""),
        f"backend  {used}",
        f"took     {report.seconds['elapsed']:.2f} s, {report.n_slices / report.seconds['elapsed']:.0f} slices/s",
        "",
        table(
            ["map", "unit", "definition", "written to"],
            [
                [
                    definition.name,
                    definition.unit.display or "1",
                    definition.formula,
                    result.folders[definition.name],
                ]
                for definition in result.definitions
            ],
        ),
    ]
    return "\n".join(lines)
