"""What the commands print with: progress on a terminal, aligned tables, warnings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import typer

from gsigpu.errors import SettingsError


class TerminalWatcher:
    """Progress bars on stderr where that is a terminal, silence elsewhere."""

    def __init__(self, names: dict[str, str]) -> None:
        """Names : stage -> the title of its bar"""
        self._names = names

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """A bar for one stage."""
        if not sys.stderr.isatty():
            yield lambda _done, _total: None
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description:<20}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(self._names.get(name, name), total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)


def warn(lines: Iterable[str]) -> None:
    """One line each on stderr."""
    for line in lines:
        typer.echo(f"gsigpu: warning: {line}", err=True)


def fail(lines: Sequence[str]) -> None:
    """Errors of parts of a job whose rest went well: a line each on stderr, exit code 1."""
    for line in lines:
        typer.echo(f"gsigpu: error: {line}", err=True)
    sys.exit(1)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Text in aligned columns; numbers to the right.

    >>> print(table(["map", "n"], [["iodine", 3], ["vnc", 12]]))
    map      n
    iodine   3
    vnc     12
    """
    body = [list(row) for row in rows]
    cells = [list(header), *([("" if cell is None else str(cell)) for cell in row] for row in body)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    right = [
        bool(body) and all(isinstance(row[column], int | float | None) for row in body)
        for column in range(len(header))
    ]
    lines = (
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def split_list(texts: str | Sequence[str]) -> list[str]:
    """The parts of a list option: after commas, from repeats, or both; the order is kept, a repeat drops out.

    >>> split_list("lambda-hu, iodine"), split_list(["lambda-hu,iodine", "vnc", "iodine"])
    (['lambda-hu', 'iodine'], ['lambda-hu', 'iodine', 'vnc'])
    """
    given = [texts] if isinstance(texts, str) else texts
    parts = (part.strip() for text in given for part in text.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def split_numbers(texts: str | Sequence[str], option: str) -> list[float]:
    """The numbers of a list option, as they come: after commas, from repeats, or both.

    Raises SettingsError, naming the option.
    """
    given = ",".join([texts] if isinstance(texts, str) else texts)
    try:
        return [float(part) for part in given.split(",") if part.strip()]
    except ValueError as error:
        raise SettingsError(
            f"{option} {given!r} is not a list of numbers", remedy=f"write {option} 50,70,100"
        ) from error


def split_pairs(pairs: Sequence[str], option: str, example: str) -> dict[str, str]:
    """NAME=VALUE options.

    Raises SettingsError, naming the option.
    """
    values = {}
    for pair in pairs:
        uid, equals, value = pair.rpartition("=")
        if not equals or not uid or not value:
            raise SettingsError(
                f"{option} {pair!r} is not NAME=VALUE", remedy=f"write it like {option} {example}"
            )
        values[uid] = value
    return values
