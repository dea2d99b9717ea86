"""Further columns of the table or of a list of patients, one value per lesion and phase: covariates, subgroups, sites.

A value belongs to a patient, to a patient in a phase (a scanner), or to a lesion: whatever the rows say, they must agree
on it. Rows of several readers, regions and parameters repeat it. Numbers where every cell is a number, else text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from gsigpu.tables.observation_checks import MISSING_TEXT, several_spellings

KEY = ("patient_id", "lesion_id", "phase")
# The lesion's longest axial diameter, which no column need repeat.
SIZE = "size"
# Columns that tell values apart, or are the value; none describes a lesion.
_NAMES_THE_VALUE = frozenset(
    (*KEY, "group", "region", "parameter", "reader", "reading", "case_id", "statistic", "value")
)
_SHOWN = 3


def lesion_columns(
    lesions: pd.DataFrame,
    names: Sequence[str],
    *,
    cells: pd.DataFrame,
    patients: pd.DataFrame | None,
    sizes: pd.DataFrame,
) -> tuple[pd.DataFrame, list[str]]:
    """The columns of each lesion in each phase, and what is wrong with them.

    lesions : KEY, one row each
    names : of columns of `cells` (the measurement table, as text) or `patients` (with patient_id, and phase where
        a patient has several); the table comes first, patients fill its gaps. `size` is the lesion's diameter
        where neither has such a column
    sizes : patient_id, lesion_id, diameter_mm
    Returns KEY and names; numbers as float64 (NaN where missing), text as str ("" where missing). Problems: a column
    that nobody has, lesions with two values of one, and classes that differ by case or blanks alone.

    >>> lesion = pd.DataFrame({"patient_id": ["a"], "lesion_id": ["1"], "phase": ["AP"]})
    >>> frame, _ = lesion_columns(lesion, ["age"], cells=lesion.assign(age="61"), patients=None, sizes=lesion)
    >>> frame["age"].tolist()
    [61.0]
    """
    frame = lesions[list(KEY)].reset_index(drop=True)
    problems: list[str] = []
    for name in dict.fromkeys(names):
        if name in _NAMES_THE_VALUE:
            problems.append(
                f"column {name!r} says which value a row is: it is no covariate or class"
            )
            continue
        tables = [table for table in (cells, patients) if table is not None and name in table]
        if not tables and name == SIZE:
            of_lesion = sizes.set_index(["patient_id", "lesion_id"])["diameter_mm"]
            frame[SIZE] = of_lesion.reindex(
                pd.MultiIndex.from_frame(frame[list(KEY[:2])])
            ).to_numpy()
            continue
        if not tables:
            problems.append(f"no column {name!r} in the table or in the list of patients")
            continue
        text = pd.Series("", index=frame.index)
        for table in tables:
            matched, wrong = _looked_up(frame, table, name)
            problems += wrong
            text = text.mask(text == "", matched)
        frame[name] = _typed(text)
        problems += [
            f"{name} is spelled in several ways: {', '.join(map(repr, spellings))}"
            for spellings in several_spellings(text)
        ]
    return frame, problems


def _looked_up(frame: pd.DataFrame, table: pd.DataFrame, name: str) -> tuple[pd.Series, list[str]]:
    """The text of one column for each lesion; rows without a lesion or phase speak for all of theirs."""
    keys = [key for key in KEY if key in table.columns]
    known = table[[*keys, name]].assign(**{name: _cleaned(name, table[name])})
    known = known[known[name] != ""].drop_duplicates()
    text = pd.Series("", index=frame.index)
    problems: list[str] = []
    for by in _levels(keys):
        narrow = [key for key in keys if key not in by]
        of_level = known[(known[narrow] == "").all(axis=1) if narrow else known[name].notna()]
        of_level = of_level[(of_level[by] != "").all(axis=1)][[*by, name]].drop_duplicates()
        twice = of_level[of_level.duplicated(by, keep=False)]
        problems += _contradictions(twice, by, name)
        values = of_level.drop_duplicates(by).set_index(by)[name]
        index = pd.MultiIndex.from_frame(frame[by]) if len(by) > 1 else pd.Index(frame[by[0]])
        matched = pd.Series(values.reindex(index).fillna("").to_numpy(), index=frame.index)
        text = text.mask(text == "", matched)
    return text, problems


def _levels(keys: Sequence[str]) -> Iterator[list[str]]:
    """From the lesion in a phase to the patient: what says more about the lesion comes first."""
    for level in (["patient_id", "lesion_id", "phase"], ["patient_id", "phase"], ["patient_id"]):
        if set(level) <= set(keys):
            yield level


def _contradictions(twice: pd.DataFrame, by: Sequence[str], name: str) -> Iterable[str]:
    for count, (key, rows) in enumerate(twice.groupby(list(by), sort=False)):
        if count == _SHOWN:
            yield f"and more with several values of {name}"
            return
        yield f"{' '.join(map(str, key))} has several values of {name}: {', '.join(rows[name])}"


def _cleaned(name: str, cells: pd.Series) -> pd.Series:
    text = cells.astype(str).str.strip()
    text = text.mask(text.str.lower().isin(MISSING_TEXT), "")
    if name == "sex":
        return text.str.upper().str[:1]
    return text.str.upper().str.removesuffix("Y") if name == "age" else text


def _typed(text: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(text.where(text != ""), errors="coerce").astype(np.float64)
    return numbers if (numbers.notna() == (text != "")).all() and numbers.notna().any() else text


def as_text(levels: pd.Series) -> pd.Series:
    """Levels of a column as text, "" where not known.

    >>> as_text(pd.Series([1.0, 2.5, np.nan])).tolist()
    ['1', '2.5', '']
    """
    if levels.dtype != np.float64:
        return levels.fillna("")
    return levels.map("{:g}".format).replace("nan", "")
