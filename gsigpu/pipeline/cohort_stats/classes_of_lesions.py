"""Columns that put lesions into classes: `--subgroups` and `--site`. Numbers are no classes until they are cut."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gsigpu.cohort_statistics.groups.subgroups import MOST_LEVELS, cut_at
from gsigpu.errors import InputError, SettingsError
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.tables.lesion_columns import as_text

# Two numbers that code yes and no, or one class and the other. Any other numbers may be a measurement.
_CODES = ({0.0, 1.0}, {1.0, 2.0})


def parse_subgroups(text: str) -> tuple[str, tuple[float, ...]]:
    """The column of `--subgroups`, and where its numbers are cut.

    >>> parse_subgroups("sex"), parse_subgroups("age=50,65")
    (('sex', ()), ('age', (50.0, 65.0)))
    """
    column, equals, cuts = (part.strip() for part in text.partition("="))
    if not equals:
        return column, ()
    try:
        at = tuple(float(cut) for cut in cuts.split(","))
        cut_at([], at)
    except (ValueError, InputError) as error:
        raise SettingsError(
            f"--subgroups {text!r}: {cuts!r} are no cut points",
            remedy="write numbers, each above the one before: --subgroups age=50,65",
        ) from error
    return column, at


def require_classes(columns: pd.DataFrame, settings: StatisticsSettings) -> None:
    """Raises SettingsError where a site or a subgroup is no column of a few classes.

    columns : one row per lesion and phase (`Observations.columns`)
    """
    if settings.site:
        n_sites = len(set(as_text(columns[settings.site])) - {""})
        _require_number("--site", settings.site, n_sites)
    if not settings.subgroups:
        return
    values = columns[settings.subgroups]
    if settings.subgroup_cuts:
        _require_cuts(values, settings)
    elif values.dtype == np.float64 and set(values.dropna()) not in _CODES:
        _require_number("--subgroups", settings.subgroups, values.nunique())
        raise SettingsError(
            f"--subgroups: {settings.subgroups} is a column of numbers, from {values.min():g} to {values.max():g}: "
            "each would be a class",
            remedy=f"say where to cut, as --subgroups {settings.subgroups}=CUT,CUT; "
            "if the numbers are codes, write the classes' names into the column",
        )
    else:
        n_levels = len(set(as_text(values)) - {""})
        _require_number("--subgroups", settings.subgroups, n_levels, most=MOST_LEVELS)


def _require_cuts(values: pd.Series, settings: StatisticsSettings) -> None:
    """Every class between the cut points has a lesion."""
    column = settings.subgroups
    if values.dtype != np.float64:
        raise SettingsError(
            f"--subgroups: {column} is no column of numbers, and cannot be cut",
            remedy=f"write --subgroups {column}",
        )
    levels, names = cut_at(values, settings.subgroup_cuts)
    _require_number("--subgroups", column, len(names), most=MOST_LEVELS)
    empty = [name for name in names if name not in levels]
    if empty:
        raise SettingsError(
            f"--subgroups: no {column} is {', '.join(empty)}; they go from {values.min():g} to {values.max():g}",
            remedy="cut between values that occur",
        )


def _require_number(option: str, column: str, n: int, *, most: int | None = None) -> None:
    if n < 2 or (most is not None and n > most):
        raise SettingsError(
            f"{option}: {column} has {n or 'no'} different value{'' if n == 1 else 's'}: "
            f"too {'few' if n < 2 else 'many'} to compare",
            remedy="name a column with a few classes, or leave it out",
        )
