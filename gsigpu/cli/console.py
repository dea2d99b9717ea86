"""What the commands print with: progress on a terminal, aligned tables, lists of options."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from time import perf_counter

from gsigpu.cli import messages
from gsigpu.errors import SettingsError


class TerminalWatcher:
    """Progress bars on stderr where that is a terminal, silence elsewhere; with --verbose a line per stage."""

    def __init__(self, names: dict[str, str]) -> None:
        """Names : stage -> the title of its bar"""
        self._names = names

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """A bar for one stage."""
        title = self._names.get(name, name)
        begun = perf_counter()
        if messages.tone().quiet or not sys.stderr.isatty():
            yield lambda _done, _total: None
            messages.step(f"{title}: {perf_counter() - begun:.1f} s")
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
            task = bars.add_task(title, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)
        messages.step(f"{title}: {perf_counter() - begun:.1f} s")


# A column of text is never narrower than this, whatever the terminal.
_NARROWEST = 12


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Text in aligned columns; numbers to the right. On a terminal, the longest texts wrap until a line fits.

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
    if sys.stdout.isatty():
        widths = _narrowed(widths, right, shutil.get_terminal_size().columns)
    return "\n".join(
        "  ".join(
            part.rjust(width) if to_right else part.ljust(width)
            for part, width, to_right in zip(parts, widths, right, strict=True)
        ).rstrip()
        for row in cells
        for parts in _wrapped(row, widths)
    )


def _narrowed(widths: list[int], right: list[bool], columns: int) -> list[int]:
    """Widths with which a line fits, taken from the widest column of text each time."""
    widths = list(widths)
    while sum(widths) + 2 * (len(widths) - 1) > columns:
        texts = [c for c, to_right in enumerate(right) if not to_right and widths[c] > _NARROWEST]
        if not texts:
            break
        widths[max(texts, key=lambda column: widths[column])] -= 1
    return widths


def _wrapped(row: Sequence[str], widths: Sequence[int]) -> Iterator[tuple[str, ...]]:
    """The lines of a row."""
    parts = [
        textwrap.wrap(cell, width) if len(cell) > width else [cell]
        for cell, width in zip(row, widths, strict=True)
    ]
    yield from zip_longest(*parts, fillvalue="")


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
