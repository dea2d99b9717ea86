"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsigpu.cli.console import split_pairs
from gsigpu.dicom.classify import Patterns, load_patterns
from gsigpu.errors import SettingsError

StudyFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of a DICOM export.", show_default=False)
]
Energy = Annotated[
    list[str] | None,
    typer.Option("--energy", metavar="SERIES_UID=KEV", help="Say a series' energy; repeatable."),
]
PhaseOf = Annotated[
    list[str] | None,
    typer.Option("--phase-of", metavar="SERIES_UID=PHASE", help="Say a series' phase; repeatable."),
]
PatternFile = Annotated[
    Path | None,
    typer.Option(
        "--patterns",
        metavar="FILE",
        help="More patterns for series descriptions, in front of the own ones (TOML).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def energies_said(pairs: list[str] | None) -> dict[str, float]:
    """--energy options as SeriesInstanceUID -> keV.

    Raises SettingsError if one is not a number.
    """
    found = {}
    for uid, value in split_pairs(pairs or [], "--energy").items():
        try:
            found[uid] = float(value)
        except ValueError as error:
            raise SettingsError(
                f"--energy {uid}={value} names no keV", remedy="write --energy 1.2.3=70"
            ) from error
    return found


def phases_said(pairs: list[str] | None) -> dict[str, str]:
    """--phase-of options as SeriesInstanceUID -> phase."""
    return split_pairs(pairs or [], "--phase-of")


def patterns_said(path: Path | None) -> Patterns:
    """The pattern table, with a user's file in front."""
    return load_patterns(path)
