"""What every command has: its options in groups, and a word against an option given twice where it takes one value,
of which the parser would keep the last.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from gsigpu.cli.failures import ParserError
from gsigpu.cli.option_groups import grouped
from gsigpu.errors import SettingsError

_ParsersFormatter: Any = (
    typer.Context.formatter_class
)  # a class of typer's own that is public by this name alone


def decided(switch: Any) -> Any:
    """A switch that is off where it is neither on nor off.

    Typer reads a switch without a state, as its own for help and completion are, with pydantic, whose import takes
    longer than all else that a command needs to begin.
    """
    if switch is not None and switch.default is None:
        switch.default = False
    return switch


class _Formatter(_ParsersFormatter):  # type: ignore[misc]  # of any type, as all of the parser is
    """Wraps between words alone: an option, a name and an example can be copied out of a help."""

    _KEPT = str.maketrans("-", "\u2011")  # where the parser's wrapping does not break a line
    _HYPHEN = str.maketrans("\u2011", "-")

    def write(self, string: str) -> None:
        """Into the help."""
        super().write(string.translate(self._HYPHEN))

    def write_text(self, text: str) -> None:
        """Paragraphs."""
        super().write_text(text.translate(self._KEPT))

    def write_dl(self, rows: Any, *limits: int, **named: int) -> None:
        """Options and what they do."""
        kept = [(name, text.translate(self._KEPT)) for name, text in rows]
        super().write_dl(kept, *limits, **named)


def _help(command: Any, ctx: Any) -> str:
    formatter = _Formatter(width=ctx.terminal_width, max_width=ctx.max_content_width)
    command.format_help(ctx, formatter)
    text: str = formatter.getvalue()
    return text.rstrip("\n")


class QuickGroup(TyperGroup):
    """A group of commands whose `--help` is a switch that is off."""

    def get_help(self, ctx: Any) -> str:
        """Its text."""
        return _help(self, ctx)

    def get_help_option(self, ctx: Any) -> Any:
        """Of the group."""
        return decided(super().get_help_option(ctx))


class OnceCommand(TyperCommand):
    """A command whose options of a single value can be given once, and stand in groups in its help."""

    def get_help_option(self, ctx: Any) -> Any:
        """Of the command."""
        return decided(super().get_help_option(ctx))

    def get_help(self, ctx: Any) -> str:
        """Its text."""
        return _help(self, ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line: an argument that is repeated says so once."""
        pieces = super().collect_usage_pieces(ctx)
        return [piece.strip("{}").replace("...]...", "...]") for piece in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the options into the help."""
        for group, records in grouped(self.get_params(ctx), ctx).items():
            with formatter.section(group):
                formatter.write_dl(records)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raises SettingsError for an option of a single value that is given twice."""
        if not ctx.resilient_parsing:
            try:
                _, _, in_order = self.make_parser(ctx).parse_args(args=list(args))
            except ParserError as error:
                error.ctx = error.ctx or ctx  # so that the message names the command
                raise
            for parameter, n_times in Counter(in_order).items():
                if n_times > 1 and takes_one_value(parameter):
                    raise SettingsError(
                        f"{parameter.opts[-1]} is given {n_times} times and takes one value",
                        remedy="give it once",
                    )
        rest: list[str] = super().parse_args(ctx, args)
        return rest


def takes_one_value(parameter: Any) -> bool:
    """Whether a parameter is an option that takes one value: no list, no switch."""
    return isinstance(parameter, TyperOption) and not (
        parameter.multiple or parameter.is_flag or parameter.count
    )
