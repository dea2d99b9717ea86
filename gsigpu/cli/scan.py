"""`gsigpu scan`: what is in a folder, and why gsigpu thinks so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsigpu.cli import options, several_studies, volume_options
from gsigpu.cli.console import TerminalWatcher, table
from gsigpu.cli.messages import warn
from gsigpu.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from gsigpu.dicom.model import Study


def scan(
    folders: several_studies.ScannedOrVolumes = None,
    *,
    nifti: volume_options.Volumes = None,
    energy: options.Energy,
    phase_of: options.PhaseOf,
    kind: options.KindOf,
    patterns: options.PatternFile = None,
    why: Annotated[
        bool, typer.Option("--why", help="Show the evidence for every decision.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Write an anonymous summary of the headers to send in: no names, numbers of records, dates or UIDs.",
        ),
    ] = None,
    reveal: Annotated[
        list[str],
        options.list_option(
            "--reveal",
            metavar="WORD,WORD",
            text="Words that --report may show though it does not know them",
        ),
    ],
    as_json: options.AsJson = False,
) -> None:
    """Show what a folder holds: series, kind, energy, phase, slices, and what cannot be used.

    Example: gsigpu scan /data/study-0042 --why
    """
    if reveal and report is None:
        raise SettingsError("--reveal without --report shows nothing", remedy="add --report FILE")
    watcher = TerminalWatcher({"scan": "reading headers"})

    def scanned(folder: Path | None) -> several_studies.Outcome:
        from gsigpu.dicom.study.read_study import describe

        study = volume_options.read_images(
            folder,
            nifti,
            watcher,
            phase=None,
            energy=energy,
            phase_of=phase_of,
            kind=kind,
            patterns=patterns,
        )
        if report is not None:
            _write_report(study, report, reveal)
        description = describe(study)
        if not as_json:
            of_series = (
                str(member.problem) for member in study.series if member.problem is not None
            )
            of_study: Any = description["warnings"]
            warn([*of_study, *of_series])
        return several_studies.Outcome(description, _shown(description, why=why))

    studies = several_studies.given_studies(folders)
    several_studies.require_one(studies, {"--nifti": nifti, "--report": report})
    if studies.are_several:
        names = several_studies.study_names(studies.paths)
        several_studies.each_study(names, scanned, {}, as_json=as_json)
        return
    several_studies.tell(scanned(studies.only), as_json=as_json)


def _shown(description: dict[str, Any], *, why: bool) -> str:
    """What a study holds, for a person."""
    series = description["series"]
    lines = [
        table(
            ["series", "kind", "keV", "phase", "slices", "grid", "spacing mm", "description"],
            [
                [
                    int(row["name"]) if row["name"].isdigit() else row["name"],
                    row["kind"],
                    None if row["energy_kev"] is None else f"{row['energy_kev']:g}",
                    row["phase"],
                    row["n_slices"],
                    _by(row["shape"][1:]) if row["shape"] else "-",
                    _by(row["spacing_mm"]) if row["spacing_mm"] else "-",
                    row["description"],
                ]
                for row in series
            ],
        )
    ]
    for row in series if why else ():
        lines.append(f"\n{row['description'] or '(no description)'}  {row['key']}")
        lines += [f"  {line}" for line in row["evidence"] or ["no word or value tells more"]]
    lines += [
        f"skipped {n_files} {'files' if n_files > 1 else 'file'}: {reason}"
        for reason, n_files in description["skipped"].items()
    ]
    return "\n".join(lines)


def _write_report(study: Study, path: Path, reveal: list[str]) -> None:
    """An anonymous summary beside what is printed; nothing that is there already is replaced."""
    from gsigpu.dicom.study.header_report import header_report

    text = json.dumps(header_report(study, shown=reveal), indent=2, ensure_ascii=False) + "\n"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror})", where=path, remedy="name another file"
        ) from error


def _by(numbers: list[float]) -> str:
    return "x".join(f"{number:g}" for number in (round(value, 4) for value in numbers))
