"""A group whose commands are imported when they are called: `gsigpu --help` needs one line of each.

The lines stand beside the names, and tests hold them to the docstrings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand

from gsigpu.cli.once import OnceCommand, QuickGroup


class Entry(NamedTuple):
    """Where a command is, and what it does.

    name : of the function in the module that is the command, or of the Typer that is a group
    help : the first sentence of its docstring
    """

    module: str
    name: str
    help: str


class LazyGroup(QuickGroup):
    """A group of commands by name, in the order of its help."""

    entries: ClassVar[Mapping[str, Entry]]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"commands": _Commands(self.entries)})

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        del ctx
        return list(self.entries)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes a line for each into the help, as the parser would."""
        del ctx
        limit = formatter.width - 6 - max(map(len, self.entries))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, TyperCommand(name, help=entry.help).get_short_help_str(limit))
                    for name, entry in self.entries.items()
                ]
            )


class _Commands(Mapping[str, Any]):
    """The commands of a group, each imported when it is taken."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            entry = self._entries[name]
            self._loaded[name] = _parser(name, getattr(import_module(entry.module), entry.name))
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _parser(name: str, command: Any) -> Any:
    """The parser of a command's function, or of a group's Typer."""
    if isinstance(command, typer.Typer):
        return typer.main.get_command(command)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=OnceCommand)(command)
    return typer.main.get_command(alone)
