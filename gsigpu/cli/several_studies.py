"""Several studies in one call, one after the other, whether or not others fail: each into a folder of its own, or all into one."""

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
from gsigpu.cli.waiting import LINE
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
MeasuredOrVolumes = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="DIR...",
        help="Folder of a DICOM export, its DICOMDIR, or a zip or tar of it; several make one table or go to OUT/NAME each,"
        " and - reads their names from standard input, one a line. Or images named with --nifti.",
        show_default=False,
    ),
]
Reviewed = Annotated[
    list[Path],
    typer.Argument(
        metavar="DIR...",
        help="Folder of a DICOM export, its DICOMDIR, or a zip or tar of it; several go to OUT/NAME each, and - reads their"
        " names from standard input, one a line.",
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


@dataclass(frozen=True, slots=True)
class GivenStudies:
    """The studies of a command line.

    are_several : more than one, or a list, even of one: what is left then does not hang on how many it names
    """

    paths: tuple[Path, ...]
    are_several: bool

    @property
    def only(self) -> Path | None:
        """The study of a command line of one; None where there is none."""
        return self.paths[0] if self.paths else None


def given_studies(words: Sequence[Path] | None) -> GivenStudies:
    """The studies of a command line, those of a list on standard input in the place of `-`.

    Raises SettingsError where that is named twice, or lists none.
    """
    studies: list[Path] = []
    is_list = _LIST in [str(path) for path in words or ()]
    if [str(path) for path in words or ()].count(_LIST) > 1:
        raise SettingsError("- is there twice", remedy="name standard input once")
    for path in words or ():
        if str(path) != _LIST:
            studies.append(path)
            continue
        with LINE.held():
            lines = [line.rstrip("\r\n") for line in sys.stdin]
        listed = [Path(line) for line in lines if line.strip()]
        if not listed:
            raise SettingsError(
                "standard input lists no study", remedy="write one name a line, or name a folder"
            )
        studies += listed
    paths = tuple(dict.fromkeys(studies))
    return GivenStudies(paths, are_several=is_list or len(paths) > 1)


def require_one(studies: GivenStudies, options: Mapping[str, object]) -> None:
    """Raises SettingsError for an option of one study where several are given.

    options : name -> what was given
    """
    for option, value in options.items():
        if studies.are_several and value:
            raise SettingsError(
                f"{option} is for one study, and several are given", remedy=f"leave {option} out"
            )


def run_studies(
    studies: GivenStudies,
    out: Path,
    run: Callable[[Path | None, Path], Outcome],
    *,
    as_json: bool,
) -> None:
    """Runs a command for its study, or for each of several into OUT/NAME, and prints what came of it.

    Raises SettingsError where two studies have one name.
    """
    if studies.are_several:
        names = distinct_names(studies.paths, out)
        each_study(
            names, lambda study: run(study, out / names[study]), {"out": str(out)}, as_json=as_json
        )
        return
    tell(run(studies.only, out), as_json=as_json)


def tell(outcome: Outcome, *, as_json: bool) -> None:
    """Prints what came of a study, and ends with what of it failed."""
    typer.echo(json.dumps(outcome.record, indent=2) if as_json else outcome.text)
    if outcome.failures:
        fail(outcome.failures)


def distinct_names(studies: Sequence[Path], out: Path) -> dict[Path, str]:
    """Study -> its name, which no other of the call has, nor in other case.

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
    return names


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
    finish: Callable[[Sequence[FailureOf]], Outcome | None] = lambda _failures: None,
) -> None:
    """Runs a command for each study, and prints what came of them.

    names : study -> what to call it; where two share a name, each is called by its path
    record : what the JSON holds beside the studies
    finish : makes what is of all studies together, once what failed of them is known
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
    of_all = finish(failures)
    if of_all is not None:
        record = {**record, **of_all.record}
        if not as_json:
            typer.echo(of_all.text)
    if as_json:
        lines = list(dict.fromkeys(map(str, failures)))
        typer.echo(json.dumps({**record, "studies": records, "failures": lines}, indent=2))
    if failures:
        fail(failures)
