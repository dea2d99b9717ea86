"""Options that several commands share."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsigpu.cli.console import TerminalWatcher, split_list, split_pairs
from gsigpu.cli.messages import warn
from gsigpu.errors import SettingsError

if TYPE_CHECKING:
    from gsigpu.dicom.model import Study
    from gsigpu.pipeline.dry_run import WouldDo


def list_option(
    *names: str, text: str, metavar: str = "A,B", default: str = ""
) -> Any:  # as typer.Option, which mypy must take for the metadata of any type
    """An option that takes several values: `--maps a,b` and `--maps a --maps b` are the same.

    default : comma-separated; what the command gets, split, where the option is not given
    The parameter is a `list[str]` without a default of its own, already split:

        maps: Annotated[list[str], list_option("--maps", text="…", default="lambda-hu,iodine")]

    Numbers are then read by `console.split_numbers(energies, "--energies")`.
    """
    return typer.Option(
        *names,
        metavar=metavar,
        help=f"{text.rstrip('.')}; by comma, or repeated."
        + (f"  [default: {', '.join(split_list(default))}]" if default else ""),
        default_factory=lambda: split_list(default),
        show_default=False,
        callback=lambda texts: _split(names[0], texts),
    )


def given_options(context: typer.Context) -> list[str]:
    """The parameters of a command that were given on the command line, by name; the others have their defaults."""
    return [
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) is not None
        and source.name not in ("DEFAULT", "DEFAULT_MAP")
    ]


def _split(option: str, texts: list[str] | None) -> list[str]:
    """The values of a list option; Raises SettingsError where it is given and names none."""
    values = split_list(texts or ())
    if texts and not values:
        raise SettingsError(
            f"{option} {','.join(texts)!r} names nothing", remedy="leave it out, or give a value"
        )
    return values


StudyFolder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR",
        help="Folder of a DICOM export, its DICOMDIR, or a zip or tar of it.",
        show_default=False,
    ),
]
Energy = Annotated[
    list[str],
    list_option("--energy", metavar="SERIES=KEV", text="Give a series' energy."),
]
PhaseOf = Annotated[
    list[str],
    list_option("--phase-of", metavar="SERIES=PHASE", text="Give a series' phase."),
]
KindOf = Annotated[
    list[str],
    list_option(
        "--kind",
        metavar="SERIES=KIND",
        text="Give a series' kind: vmi, iodine, water, vnc, zeff, electron-density, conventional or other",
    ),
]
PatternFile = Annotated[
    Path | None,
    typer.Option(
        "--patterns",
        metavar="FILE",
        help="More patterns for series descriptions, in front of the built-in ones (TOML).",
    ),
]
Phase = Annotated[
    str | None, typer.Option("--phase", help="Which phase, where the folder holds several.")
]
PhaseOrAll = Annotated[
    str | None,
    typer.Option("--phase", help="Which phase, where the folder holds several; all for every one."),
]
ALL_PHASES = "all"
SeriesChoice = Annotated[
    list[str],
    list_option("--series", text="Only series with this number, UID or words in the description"),
]
Energies = Annotated[
    list[str], list_option("--energies", metavar="KEV,KEV", text="Use only these energies")
]


class Outside(StrEnum):
    """--outside."""

    blank = "blank"
    keep = "keep"


class Format(StrEnum):
    """--format and --map-format."""

    ct = "ct"
    pm = "pm"
    nifti = "nifti"
    nii_gz = "nii.gz"
    nrrd = "nrrd"
    rgb = "rgb"


class Backend(StrEnum):
    """--backend."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


BackendChoice = Annotated[
    Backend, typer.Option("--backend", help="auto takes the GPU where one is usable.")
]
Threads = Annotated[
    int | None, typer.Option("--workers", min=1, help="Threads; all processors if not given.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything, tell what would be read and written, stop."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def tell_plan(planned: Sequence[WouldDo], *, as_json: bool) -> None:
    """What a call with --dry-run would do, and its warnings."""
    record, text = told_plan(planned)
    typer.echo(json.dumps(record, indent=2) if as_json else text)


def told_plan(
    planned: Sequence[WouldDo], *, told: Sequence[str] = ()
) -> tuple[dict[str, Any], str]:
    """The same for `--json`, and for a person; warnings are printed, but those that are told already."""
    warnings = dict.fromkeys(line for phase in planned for line in phase.warnings)
    warn(line for line in warnings if line not in told)
    lines = [str(phase) for phase in planned]
    record = {"phases": [phase.as_dict() for phase in planned]}
    return record, "\n".join([*lines, "nothing was done (--dry-run)"])


def read_folder(
    folder: Path,
    watcher: TerminalWatcher,
    *,
    energy: list[str],
    phase_of: list[str],
    kind: list[str],
    patterns: Path | None,
) -> Study:
    """The study of a folder, with what the user told about its series.

    Raises SettingsError for an option that makes no sense, InputError for the folder.
    """
    from gsigpu.dicom.study.patterns import load_patterns
    from gsigpu.dicom.study.read_study import read_study

    table = load_patterns(patterns)
    with watcher.stage("scan") as progress:
        return read_study(
            folder,
            energy_overrides=_energies_given(energy),
            phase_overrides=_phases_given(phase_of, table.phase_patterns),
            kind_overrides=split_pairs(kind, "--kind", "300=conventional"),
            patterns=table,
            progress=progress,
        )


def _phases_given(
    pairs: list[str], phase_patterns: tuple[tuple[str, re.Pattern[str]], ...]
) -> dict[str, str]:
    """Series -> phase; a word that means one of the known phases is that phase, any other stays as it is."""
    from gsigpu.dicom.study.patterns import phase_meant

    return {
        series: phase_meant(word, phase_patterns) or word
        for series, word in split_pairs(pairs, "--phase-of", "300=AP").items()
    }


def _energies_given(pairs: list[str]) -> dict[str, float]:
    """Series -> keV."""
    from gsigpu.dicom.study.classify import HIGHEST_KEV, LOWEST_KEV

    energies = {}
    for series, value in split_pairs(pairs, "--energy", "300=70").items():
        energies[series] = number_in(value)
        if not LOWEST_KEV <= energies[series] <= HIGHEST_KEV:
            raise SettingsError(
                f"--energy {series}={value} names no energy in {LOWEST_KEV:g}-{HIGHEST_KEV:g} keV",
                remedy=f"write --energy {series}=70",
            )
    return energies


def number_in(text: str) -> float:
    """The number that a text is; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
