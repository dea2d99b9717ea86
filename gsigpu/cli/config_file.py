"""`gsigpu.toml`: options that a user would otherwise repeat, a table per command.

    [map]
    slope = "40-100"
    maps = ["lambda-hu", "iodine", "vnc"]

    [cohort.run]
    workers = 8

The file of the working folder is read, or the one that GSIGPU_CONFIG names. What it gives is told at every run: a file
that lies about must not change a number without a word. The command line is stronger.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsigpu.errors import InputError, SettingsError

FILE_NAME = "gsigpu.toml"
VARIABLE = "GSIGPU_CONFIG"


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration file that was read.

    options : command ("map", "cohort run") -> option without dashes ("slope") -> value
    defaults : the same by the names of the parser's parameters, nested as its commands are
    """

    path: Path
    options: dict[str, dict[str, Any]]
    defaults: dict[str, Any]

    def told(self, words: list[str]) -> str | None:
        """One line on what the file gives the command of a command line; None for nothing."""
        for command, options in self.options.items():
            if words[: len(command.split())] == command.split():
                return f"{self.path} gives {command}: {as_words(options)}"
        return None


def as_words(options: Mapping[str, Any]) -> str:
    """Options of a file as on a command line.

    >>> as_words({"slope": "40-100", "maps": ["vnc", "water"], "curve": False})
    '--slope 40-100, --maps vnc,water, --curve off'
    """
    return ", ".join(f"--{name} {_shown(value)}".rstrip() for name, value in options.items())


def config_path() -> Path | None:
    """Which file is read: that of GSIGPU_CONFIG, else gsigpu.toml of the working folder, if there.

    Raises InputError if GSIGPU_CONFIG names a file that is not there.
    """
    if named := os.environ.get(VARIABLE):
        path = Path(named)
        if not path.is_file():
            raise InputError(
                f"{VARIABLE} names a file that is not there",
                where=path,
                remedy=f"correct it, or unset {VARIABLE}",
            )
        return path
    path = Path(FILE_NAME)
    return path if path.is_file() else None


def read_config(path: Path, program: Any) -> ConfigFile:
    """A configuration file against the commands of the program.

    program : the parser's group of commands
    Raises InputError for a file that is no TOML, SettingsError for a command or an option that is not there, or a value of
    another kind than the option takes.
    """
    from gsigpu.user_toml import read_user_toml  # brings a parser that most calls do not need

    tables = read_user_toml(path, what="TOML", remedy="correct it, or rename it").table
    options: dict[str, dict[str, Any]] = {}
    return ConfigFile(path, options, dict(_tables(path, tables, program, (), options)))


def _tables(
    path: Path,
    tables: Mapping[str, Any],
    group: Any,
    above: tuple[str, ...],
    options: dict[str, dict[str, Any]],
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, table in tables.items():
        command = group.commands.get(name)
        if command is None or not isinstance(table, dict):
            known = ", ".join(f"[{'.'.join((*above, word))}]" for word in group.commands)
            raise SettingsError(
                f"{'.'.join((*above, name))!r} is no command",
                where=path,
                remedy=f"use a table of {known}",
            )
        if hasattr(command, "commands"):
            yield name, dict(_tables(path, table, command, (*above, name), options))
        else:
            words = " ".join((*above, name))
            options[words] = dict(table)
            yield name, dict(_values(path, table, command, words))


def _values(
    path: Path, table: Mapping[str, Any], command: Any, words: str
) -> Iterator[tuple[str, Any]]:
    """The parser's name of each option, and its value as the parser takes it."""
    known = {
        name.removeprefix("--"): parameter
        for parameter in command.params
        if parameter.param_type_name == "option"
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }
    for name, value in table.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise SettingsError(
                f"{words} has no option --{name}",
                where=path,
                remedy=f"write {near[0]}"
                if near
                else f"take it out, or use one that the help of gsigpu {words} names",
            )
        yield known[name].name, _value(path, known[name], f"{words}: {name}", value)


def _value(path: Path, parameter: Any, name: str, value: object) -> object:
    if parameter.is_flag:
        right = isinstance(value, bool)
        takes = "true or false"
    elif parameter.multiple:
        value = [value] if isinstance(value, str) else value
        right = isinstance(value, list) and all(_is_scalar(part) for part in value)
        takes = 'a list, ["a", "b"]'
    else:
        right = _is_scalar(value)
        takes = "one text or number"
    if not right:
        raise SettingsError(f"{name} takes {takes}", where=path, remedy="correct the file")
    if isinstance(value, list):
        return [str(part) for part in value]
    return value if isinstance(value, bool) else str(value)


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
