"""Errors that only a command line has: words that the parser cannot understand, and results that are not complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from gsigpu.errors import GsigpuError

# What the parser raises for words that it cannot understand: a name of typer's own that is public.
ParserError: Any = typer.BadParameter.__mro__[1]
NOT_DONE, NOT_UNDERSTOOD = 1, 2
_EXTRA = re.compile(r"Got unexpected extra argument(?:\(s\)|s)? \((.+)\)")


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
    command = "gsigpu" if error.ctx is None else error.ctx.command_path
    asks_help = f"{command} --help tells what it takes"
    what, remedy = _of_value(error) or (_what(error), _remedy(error, command) or asks_help)
    if (file := _file_of(error)) is not None:
        return UsageError(what, where=f"{file}, {command}", remedy=f"correct the file: {remedy}")
    return UsageError(what, where=command, remedy=remedy)


def _what(error: Any) -> str:
    what: str = error.format_message().replace("Value error, ", "").partition(" (Possible")[0]
    what = what.partition(" Did you mean")[0].strip().rstrip(".")
    if extra := _EXTRA.fullmatch(what):
        return f"{extra[1]!r} is more than it takes"
    return what[:1].lower() + what[1:]


def _remedy(error: Any, command: str) -> str:
    """What to write in place of an option that is missing, or is none; "" for what --help must tell."""
    parameter = getattr(error, "param", None)
    kind, option = type(error).__name__, getattr(error, "option_name", None)
    if kind == "MissingParameter" and parameter is not None:
        metavar = _metavar(parameter)
        is_option = parameter.param_type_name == "option"
        return f"add {parameter.opts[0]} {metavar}" if is_option else f"name {metavar}"
    if kind == "BadOptionUsage" and error.ctx is not None:
        takes = next((p for p in error.ctx.command.params if option in p.opts), None)
        value = "" if takes is None or takes.is_flag else _metavar(takes)
        return f"write {option} {value}" if value else f"write {option} alone"
    if near := getattr(error, "possibilities", None):
        return f"use {' or '.join(sorted(near))}; {command} --help names all"
    if others := _others_with(error):
        return f"it is an option of {', '.join(others)}"
    return ""


def _metavar(parameter: Any) -> str:
    return (parameter.metavar or parameter.name.upper()).rstrip(".")  # type: ignore[no-any-return]


def _of_value(error: Any) -> tuple[str, str] | None:
    """What is wrong with an option's value, and the remedy, in our words; None where the error is of another kind.

    The parser checks with pydantic, whose errors tell a type and its bounds; its words are those of a programmer.
    """
    problems = getattr(error.__cause__, "errors", None)
    parameter = getattr(error, "param", None)
    if problems is None or parameter is None:
        return None
    problem = problems()[0]
    name = _name_of(parameter)
    what, kind, limits = f"{name} {problem['input']!r}", problem["type"], problem.get("ctx", {})
    for bound, words, remedy in (
        ("ge", "is below", "or more"),
        ("gt", "is not above", "or anything above"),
        ("le", "is above", "or less"),
        ("lt", "is not below", "or anything below"),
    ):
        if bound in limits:
            limit = f"{limits[bound]:g}"
            return f"{what} {words} {limit}", f"write {name} {limit}, {remedy}"
    if kind.startswith("int_"):
        return f"{what} is no whole number", f"write {name} {_example(parameter, '2')}"
    if kind.startswith(("float_", "finite_")):
        return f"{what} is no number", f"write {name} {_example(parameter, '0.5')}"
    if choices := _choices(parameter):
        return f"{what} is none of its values", f"use {', '.join(choices[:-1])} or {choices[-1]}"
    return None


def _name_of(parameter: Any) -> str:
    """As a person calls it: the long name of an option, what the help shows for an argument."""
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len))
    return str(parameter.metavar or parameter.name)


def _example(parameter: Any, otherwise: str) -> str:
    default = parameter.default
    return otherwise if default is None or callable(default) else f"{default:g}"


def _choices(parameter: Any) -> list[str]:
    """The values of an option that takes one of few."""
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    members = getattr(annotation, "__members__", {})
    return [str(member.value) for member in members.values()]


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
