"""Errors that only a command line has: words that the parser cannot understand, and results that are not complete."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from gsigpu.errors import GsigpuError

# What the parser raises for words that it cannot understand: a name of typer's own that is public.
ParserError: Any = typer.BadParameter.__mro__[1]
NOT_DONE, NOT_UNDERSTOOD = 1, 2


class UsageError(GsigpuError):
    """The command line cannot be understood."""


class Incomplete(GsigpuError):
    """Something that was asked for was not done, and the rest was."""


class UnexpectedError(GsigpuError):
    """An error that gsigpu did not foresee."""


@dataclass(frozen=True, slots=True)
class FailureOf:
    """An error of one study of several."""

    study: str
    error: GsigpuError

    def __str__(self) -> str:
        """One line."""
        return f"{self.study}: {self.error}"


def usage_error(error: Any) -> UsageError:
    """A `ParserError` as an error of ours."""
    what = error.format_message().replace("Value error, ", "").strip().rstrip(".")
    command = "gsigpu" if error.ctx is None else error.ctx.command_path
    what = what[:1].lower() + what[1:]
    if (file := _file_of(error)) is not None:
        return UsageError(what, where=f"{file}, {command}", remedy="correct the file")
    if others := _others_with(error):
        return UsageError(
            what,
            where=command,
            remedy=f"it is an option of {', '.join(others)}",
        )
    return UsageError(what, where=command, remedy=f"{command} --help tells what it takes")


def _file_of(error: Any) -> object:
    """The configuration file that the value of an error came from; None where the command line gave it."""
    parameter = getattr(error, "param", None)
    if error.ctx is None or parameter is None or error.ctx.find_root().obj is None:
        return None
    source = error.ctx.get_parameter_source(parameter.name)
    is_from_file = source is not None and source.name == "DEFAULT_MAP"
    return error.ctx.find_root().obj.path if is_from_file else None


def _others_with(error: Any) -> list[str]:
    """The commands that take an option which the one that was called does not have; none where it has a like of it."""
    option = getattr(error, "option_name", None)
    if option is None or error.ctx is None or getattr(error, "possibilities", None):
        return []
    return [
        words
        for words, command in _commands(error.ctx.find_root().command, "gsigpu")
        if words != error.ctx.command_path
        and any(option in parameter.opts for parameter in command.params)
    ]


def _commands(group: Any, above: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{above} {name}")
        else:
            yield f"{above} {name}", command


def is_call_for_help(error: Any) -> bool:
    """Whether a `ParserError` stands for a group of commands without a command, whose help it holds."""
    return type(error).__name__ == "NoArgsIsHelpError"
