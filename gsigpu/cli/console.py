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
from gsigpu.cli.waiting import LINE
from gsigpu.errors import SettingsError

# Stages that several commands have.
_STAGES = {"scan": "reading headers", "masks": "reading masks", "write": "writing"}


class TerminalWatcher:
    """Progress bars on stderr where that is a terminal, silence elsewhere; with --verbose a line per stage."""

    def __init__(self, names: dict[str, str]) -> None:
        """Names : stage -> the title of its bar; those of `_STAGES` are known"""
        self._names = {**_STAGES, **names}

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
        LINE.stage_ended(title)
        messages.step(f"{title}: {perf_counter() - begun:.1f} s")


# Where no terminal says how wide it is: in a pipe, and in a file that a person reads later.
_WIDTH = 80
# A column of text is not made narrower than this, unless nothing else makes the line fit.
_NARROW = 12
# "read     ", "backend  ": what a line of a summary begins with.
_LABEL = 9


def width() -> int:
    """Columns that a line of results may take."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Text in aligned columns; numbers to the right. The longest texts wrap until a line fits; no word is cut.

    >>> print(table(["map", "n"], [["iodine", 3], ["vnc", 12]]))
    map      n
    iodine   3
    vnc     12
    """
    body = [list(row) for row in rows]
    cells = [list(header), *([("" if cell is None else str(cell)) for cell in row] for row in body)]
    right = [
        bool(body) and all(isinstance(row[column], int | float | None) for row in body)
        for column in range(len(header))
    ]
    widths = _narrowed(cells, width())
    return "\n".join(
        "  ".join(
            part.rjust(room) if to_right else part.ljust(room)
            for part, room, to_right in zip(parts, widths, right, strict=True)
        ).rstrip()
        for row in cells
        for parts in _wrapped(row, widths)
    )


def entry(label: str, what: str | Sequence[object]) -> str:
    """A line of a summary, or several where it is long.

    what : a text, which wraps between words, or parts, which stay whole, as paths must

    >>> print(entry("wrote", ["maps/iodine", "maps/vnc"]))
    wrote    maps/iodine, maps/vnc
    """
    if isinstance(what, str):
        lines = _wrap(what, width() - _LABEL) or [""]
    else:
        lines = [""]
        parts = [str(part) for part in what]
        for part in [*(f"{part}," for part in parts[:-1]), *parts[-1:]]:
            if lines[-1] and len(lines[-1]) + 1 + len(part) > width() - _LABEL:
                lines.append("")
            lines[-1] += f" {part}" if lines[-1] else part
    return "\n".join(f"{label if i == 0 else '':<{_LABEL}}{line}" for i, line in enumerate(lines))


def _narrowed(cells: Sequence[Sequence[str]], columns: int) -> list[int]:
    """Widths with which a line fits, taken from the widest column each time; a word's length is kept."""
    by_column = list(zip(*cells, strict=True))
    widths = [max(map(len, column)) for column in by_column]
    words = [max(len(word) for cell in column for word in (cell.split() or [""])) for column in by_column]  # fmt: skip
    can_fit = sum(words) + 2 * (len(words) - 1) <= columns
    for narrow in (_NARROW, 0) if can_fit else (_NARROW,):
        while sum(widths) + 2 * (len(widths) - 1) > columns:
            above = [c for c, room in enumerate(widths) if room > max(words[c], narrow)]
            if not above:
                break
            widths[max(above, key=widths.__getitem__)] -= 1
    return widths


def _wrap(text: str, room: int) -> list[str]:
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)


def _wrapped(row: Sequence[str], widths: Sequence[int]) -> Iterator[tuple[str, ...]]:
    """The lines of a row."""
    parts = [
        _wrap(cell, room) if len(cell) > room else [cell]
        for cell, room in zip(row, widths, strict=True)
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
