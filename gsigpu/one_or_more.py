"""One text, or several: what a Python call may give where an option of the command line may be repeated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def one_or_more(given: str | Iterable[str]) -> tuple[str, ...]:
    """The texts that were given; one alone is no sequence of letters.

    >>> one_or_more("iodine"), one_or_more(["iodine", "vnc"])
    (('iodine',), ('iodine', 'vnc'))
    """
    return (given,) if isinstance(given, str) else tuple(given)


def set_one_or_more(settings: Any, *names: str) -> None:
    """Makes tuples of fields of a frozen dataclass that may be given as one text."""
    for name in names:
        object.__setattr__(settings, name, one_or_more(getattr(settings, name)))
