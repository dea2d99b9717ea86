"""Several studies in one call: each into a folder of its own, one after the other, whether or not others fail."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from gsigpu.cli.failures import FailureOf
from gsigpu.cli.messages import fail, note
from gsigpu.errors import GsigpuError, SettingsError

StudiesOrVolumes = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="DIR...",
        help="Folder of a DICOM export, its DICOMDIR, or a zip or tar of it; several go to OUT/NAME each, and - reads their"
        " names from standard input, one a line. Or images named with --nifti.",
        show_default=False,
    ),
]
ScannedOrVolumes = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="DIR...",
        help="Folder of a DICOM export, its DICOMDIR, or a zip or tar of it; - reads the names of several from standard input,"
        " one a line. Or images named with --nifti.",
        show_default=False,
    ),
]
_LIST = "-"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a study: for `--json`, for a person, and what of it failed."""

    record: dict[str, Any]
    text: str
    failures: Sequence[GsigpuError] = ()


def named_studies(given: Sequence[Path] | None) -> list[Path]:
    """The studies of a command line, those of a list on standard input in the place of `-`.

    Raises SettingsError where that is named twice, or lists none.
    """
    studies: list[Path] = []
    if [str(path) for path in given or ()].count(_LIST) > 1:
        raise SettingsError("- is there twice", remedy="name standard input once")
    for path in given or ():
        if str(path) != _LIST:
            studies.append(path)
            continue
        lines = [line.rstrip("\r\n") for line in sys.stdin]
        listed = [Path(line) for line in lines if line.strip()]
        if not listed:
            raise SettingsError(
                "standard input lists no study", remedy="write one name a line, or name a folder"
            )
        studies += listed
    return studies


def each_into_its_folder(
    studies: Sequence[Path], out: Path, run: Callable[[Path, Path], Outcome], *, as_json: bool
) -> None:
    """Runs a command for each study, into OUT/NAME, and prints what came of them; see `each_study`.

    Raises SettingsError where two studies have one name.
    """
    names = study_names(studies)
    for study, name in names.items():
        other = next(s for s, known in names.items() if known.casefold() == name.casefold())
        if other != study:
            raise SettingsError(
                f"{other} and {study} would both go to {out / name}",
                remedy="compute them in two calls, with another -o",
            )
    each_study(
        names, lambda study: run(study, out / names[study]), {"out": str(out)}, as_json=as_json
    )


def study_names(studies: Sequence[Path]) -> dict[Path, str]:
    """Study -> its name: that of its folder or archive."""
    from gsigpu.dicom.reading.directory_records import study_name

    return {study: study_name(study.resolve()) for study in dict.fromkeys(studies)}


def each_study(
    names: Mapping[Path, str],
    run: Callable[[Path], Outcome],
    record: Mapping[str, object],
    *,
    as_json: bool,
) -> None:
    """Runs a command for each study, and prints what came of them.

    names : study -> what to call it; where two share a name, each is called by its path
    record : what the JSON holds beside the studies
    A study that fails leaves nothing, and the others go on; the exit code is that of a failure then.
    """
    known = Counter(names.values())
    records: dict[str, Any] = {}
    failures: list[FailureOf] = []
    for study, short in names.items():
        name = short if known[short] == 1 else str(study)
        note(f"{name}: {study}")
        try:
            outcome = run(study)
        except GsigpuError as error:
            failures.append(FailureOf(name, error))
            continue
        records[name] = outcome.record
        failures += [FailureOf(name, error) for error in outcome.failures]
        if not as_json:
            typer.echo(f"{name}\n{outcome.text}\n")
    if as_json:
        lines = list(dict.fromkeys(map(str, failures)))
        typer.echo(json.dumps({**record, "studies": records, "failures": lines}, indent=2))
    if failures:
        fail(failures)
