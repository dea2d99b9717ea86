"""Columns of a manifest that hold masks of regions with a name: `region:spleen`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gsigpu.choices import REGIONS

REGION_COLUMN = "region:"


def is_region_column(name: str) -> bool:
    """Whether a column holds masks of a region with a name.

    >>> is_region_column("region:spleen"), is_region_column("Region: spleen"), is_region_column("region")
    (True, True, False)
    """
    return name.lower().startswith(REGION_COLUMN)


def region_of_column(name: str) -> str:
    """The name of a column's region: that of its rows in the tables."""
    return name[len(REGION_COLUMN) :].strip()


def region_problems(columns: Sequence[str]) -> Iterator[str]:
    """What is wrong with the names of regions."""
    spellings: dict[str, str] = {}
    for column in columns:
        name = region_of_column(column)
        if not name or name in REGIONS:
            yield f"column {column!r}: a region cannot be called {name!r}: the name is taken or empty"
        other = spellings.setdefault(name.casefold(), column)
        if other != column:
            yield f"columns {other!r} and {column!r} name one region"
