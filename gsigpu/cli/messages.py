"""What the commands say on stderr: warnings, notes and errors, as lines for people or as JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import typer

from gsigpu.cli.failures import NOT_DONE, FailureOf
from gsigpu.errors import GsigpuError


@dataclass(frozen=True, slots=True)
class Tone:
    """How a command speaks.

    quiet : errors alone, no warnings and no progress
    verbose : each step with its time, in a pipe too
    as_json : each message on stderr is one JSON object in a line
    """

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False


_tone = Tone()


def tone() -> Tone:
    """How this program speaks."""
    return _tone


def speak(new: Tone) -> None:
    """From here on, speak so."""
    global _tone  # noqa: PLW0603  # one program has one stderr
    _tone = new


def warn(lines: Iterable[str]) -> None:
    """Warnings, a line each."""
    if not _tone.quiet:
        for line in lines:
            _say("warning", {"message": line})


def note(line: str) -> None:
    """What a user should know, though nothing is wrong."""
    if not _tone.quiet:
        _say("note", {"message": line})


def step(line: str) -> None:
    """What is done just now; with --verbose alone."""
    if _tone.verbose:
        _say("step", {"message": line})


def fail(errors: Iterable[GsigpuError | FailureOf], *, exit_code: int = NOT_DONE) -> None:
    """Ends with errors, a line each, and no line twice."""
    for error in {str(error): error for error in errors}.values():
        _say("error", _described(error))
    sys.exit(exit_code)


def _described(error: GsigpuError | FailureOf) -> dict[str, str | None]:
    if isinstance(error, FailureOf):
        return {**_described(error.error), "message": str(error), "study": error.study}
    return {
        "message": str(error),
        "code": error.code,
        "what": error.what,
        "where": error.where,
        "remedy": error.remedy or None,
    }


def _say(kind: str, fields: dict[str, str | None]) -> None:
    if _tone.as_json:
        typer.echo(json.dumps({kind: fields}, ensure_ascii=False), err=True)
    else:
        typer.echo(f"gsigpu: {kind}: {fields['message']}", err=True)
