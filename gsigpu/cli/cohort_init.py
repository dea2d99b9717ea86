"""`gsigpu cohort init`: a manifest proposed from a folder tree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gsigpu.cli import options
from gsigpu.cli.console import TerminalWatcher, entry
from gsigpu.cli.messages import warn


def cohort_init(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder above the studies; zip and tar archives in it are read as folders.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="MANIFEST.csv", help="Manifest to write."),
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace MANIFEST.csv.")] = False,
    groups_from_folders: Annotated[
        bool,
        typer.Option(
            "--groups-from-folders", help="Fill in the groups by a level of folders, if one fits."
        ),
    ] = False,
    region: Annotated[
        list[str],
        options.list_option(
            "--region",
            metavar="NAME",
            text="Also a column region:NAME with the masks that are called so, to be measured as they are",
        ),
    ],
    patterns: options.PatternFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Propose a manifest: studies, phases, masks beside them; the groups are for you to fill in.

    Patients and cases are called by the Patient IDs of the headers; `cohort run --pseudonymise` hides them.

    Example: gsigpu cohort init /data/export -o manifest.csv
    """
    from gsigpu.dicom.study.patterns import load_patterns
    from gsigpu.output.staging import staged_files
    from gsigpu.pipeline.cohort_init.propose import is_manifest, propose_manifest

    watcher = TerminalWatcher({"init": "reading headers"})
    with watcher.stage("init") as progress:
        proposal = propose_manifest(
            folder,
            groups_from_folders=groups_from_folders,
            regions=region,
            patterns=load_patterns(patterns),
            progress=progress,
        )
    with staged_files([out], overwrite=overwrite, is_replaceable=is_manifest) as staged:
        (staged / out.name).write_text(proposal.as_csv(out.parent), "utf-8")
    warn(proposal.notes)
    if as_json:
        answer = {
            "manifest": str(out),
            "n_rows": len(proposal.rows),
            "n_studies": proposal.n_studies,
            "n_patients": proposal.n_patients,
            "notes": proposal.notes,
        }
        typer.echo(json.dumps(answer, indent=2))
        return
    counts = (
        counted(n, what)
        for n, what in (
            (len(proposal.rows), "row"),
            (proposal.n_studies, "study"),
            (proposal.n_patients, "patient"),
        )
    )
    lines = [
        entry("wrote", [out]),
        entry("holds", "{}, {} of {}".format(*counts)),
        entry("next", f"fill in `group`, then: gsigpu cohort run {out} -o OUT"),
    ]
    typer.echo("\n".join(lines))


def counted(number: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "study"), counted(2, "study"), counted(3, "row")
    ('1 study', '2 studies', '3 rows')
    """
    if number == 1:
        return f"1 {what}"
    return f"{number} {what[:-1]}ies" if what.endswith("y") else f"{number} {what}s"
