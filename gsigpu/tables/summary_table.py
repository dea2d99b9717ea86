"""A published table as input: n, mean and SD of each group.

group, n, mean, sd              required
phase, region, parameter, unit, definition   optional
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gsigpu.tables.observation_checks import (
    Problem,
    TableProblems,
    not_there,
    unknown_groups,
)
from gsigpu.tables.raw_table import RawTable, column_names, read_raw

REQUIRED = ("group", "n", "mean", "sd")
LABELS = ("phase", "region", "parameter")
_WANTED = (*REQUIRED, *LABELS, "unit", "definition")


@dataclass(frozen=True, slots=True)
class Summary:
    """A checked table of n, mean and SD.

    table : group, n, mean, sd, phase, region, parameter, unit, definition
    groups : in order of first appearance, or as asked for
    """

    source: Path
    sha256: str
    groups: tuple[str, ...]
    table: pd.DataFrame


def is_summary(path: Path) -> bool:
    """Whether a table holds n, mean and SD of groups instead of measurements.

    Raises InputError if it cannot be read.
    """
    names = column_names(path)
    return set(REQUIRED) <= set(names) and "value" not in names


def read_summary(path: Path, groups: tuple[str, ...] = ()) -> Summary:
    """Reads and checks a table.

    groups : in this order; all that the table has if empty
    Raises TableProblems with everything that is wrong, InputError if the file cannot be read.
    """
    raw = read_raw(path, _WANTED, lambda _: None)
    problems = list(_problems(raw, groups))
    if problems:
        raise TableProblems(raw.source, problems)
    cells = raw.cells.copy()
    for name in ("n", "mean", "sd"):
        cells[name] = pd.to_numeric(cells[name].where(cells[name] != "")).astype(np.float64)
    for name in (*LABELS, "unit", "definition"):
        if name not in cells.columns:
            cells[name] = ""
    if not (cells["parameter"] != "").any():
        cells["parameter"] = "value"
    return Summary(
        raw.source,
        raw.sha256,
        groups or tuple(dict.fromkeys(cells["group"])),
        cells[list(_WANTED)].reset_index(drop=True),
    )


def _problems(raw: RawTable, groups: tuple[str, ...]) -> Iterator[Problem | str]:
    cells = raw.cells
    if cells.empty:
        yield "no row"
        return
    labels = [name for name in LABELS if name in cells.columns]
    for name in ("group", *labels):
        empty = cells.index[cells[name] == ""]
        if len(empty) and (name == "group" or len(empty) < len(cells)):
            yield f"{name} is empty in row {', '.join(str(row) for row in empty[:3])}"
    numbers = {
        name: pd.to_numeric(cells[name].where(cells[name] != ""), errors="coerce")
        for name in ("n", "mean", "sd")
    }
    for row in cells.index:
        n, mean, sd = (float(numbers[name][row]) for name in ("n", "mean", "sd"))
        if not (np.isfinite(n) and n >= 1 and n == int(n)):
            yield f"row {row}: n {cells['n'][row]!r} is no number of lesions"
        if not np.isfinite(mean):
            yield f"row {row}: mean {cells['mean'][row]!r} is no number"
        if not (sd >= 0 or (n == 1 and np.isnan(sd))) or np.isinf(sd):
            yield f"row {row}: sd {cells['sd'][row]!r} is no standard deviation"
    twice = cells[cells.duplicated([*labels, "group"])]
    for row in twice.index:
        what = " ".join(str(twice[name][row]) for name in (*labels, "group"))
        yield f"row {row}: {what} is there already"
    there = list(dict.fromkeys(cells["group"]))
    yield from not_there("group", groups, there)
    yield from unknown_groups(groups, there, can_drop=False)
    if len(there) < 2:
        yield "one group only, two are needed for a comparison"
