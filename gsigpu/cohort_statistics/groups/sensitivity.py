"""The primary test again under other choices: does the answer depend on them?

Each analysis is the mixed model of `group_frames` on other lesions or other values of the same parameter. They are not
further tests of the hypothesis: nothing is adjusted over them, and none may take the primary one's place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from gsigpu.cohort_statistics.frames import SENSITIVITY_COLUMNS
from gsigpu.cohort_statistics.groups.group_frames import primary_tests
from gsigpu.errors import InputError

NEEDED = ("patient_id", "lesion_id", "group", "value")
PRIMARY = "all lesions"


def sensitivity_analyses(
    table: pd.DataFrame,
    *,
    order: Sequence[str],
    by_reader: pd.DataFrame | None = None,
    others: Mapping[str, pd.DataFrame] | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """The mixed model's tests of all groups and of every pair, once per analysis.

    table : one row per lesion with `patient_id, lesion_id, group, value`; with `flags` an analysis without flagged
        lesions, with `diameter_mm` one of the largest lesion of each patient
    by_reader : the same with `reader`, a row per lesion and reader: an analysis of each reader alone
    others : name -> table of the same columns, such as other definitions of the slope
    Returns SENSITIVITY_COLUMNS, the primary analysis first; `n_left_out` counts its lesions that this one lacks.
    Raises InputError for missing columns, and what `clean_sample` refuses.

    >>> rows = pd.DataFrame({"patient_id": list("ppqrst"), "lesion_id": ["1", "2", "1", "1", "1", "1"],
    ...     "group": list("aaabbb"), "value": [1.0, 1.4, 2.0, 4.0, 5.0, 4.4], "diameter_mm": [9, 12, 20, 11, 8, 14]})
    >>> frame = sensitivity_analyses(rows, order=["a", "b"])
    >>> frame.loc[frame["test"] == "mixed", ["analysis", "n_lesions", "n_left_out"]].values.tolist()
    [['all lesions', 6, 0], ['largest lesion of each patient', 5, 1]]
    """
    frames = []
    n_primary = int(np.isfinite(_checked(table)["value"].to_numpy(np.float64)).sum())
    for name, lesions in _analyses(table, by_reader, others or {}):
        tests = primary_tests(
            lesions["value"],
            lesions["group"],
            lesions["patient_id"],
            order=order,
            confidence=confidence,
        )
        n_lesions = int(tests["n_lesions"].iloc[0])
        frames.append(
            tests.reindex(columns=list(SENSITIVITY_COLUMNS)).assign(
                analysis=name,
                n_lesions=n_lesions,
                n_patients=int(tests["n_patients"].iloc[0]),
                n_left_out=max(n_primary - n_lesions, 0),
            )
        )
    return pd.concat(frames, ignore_index=True)


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in NEEDED if name not in table.columns]
    if missing:
        raise InputError(f"the lesions of a sensitivity analysis lack {', '.join(missing)}")
    return table


def _analyses(
    table: pd.DataFrame, by_reader: pd.DataFrame | None, others: Mapping[str, pd.DataFrame]
) -> Iterator[tuple[str, pd.DataFrame]]:
    yield PRIMARY, table
    if "flags" in table.columns:
        flagged = table["flags"].fillna("").astype(str) != ""
        if flagged.any():
            yield "without flagged lesions", table[~flagged]
    if "diameter_mm" in table.columns and table["diameter_mm"].notna().any():
        known = table[np.isfinite(table["value"]) & table["diameter_mm"].notna()]
        # Of lesions of one size the first by name, whatever the order of the rows.
        ordered = known.sort_values(
            ["patient_id", "diameter_mm", "lesion_id"], ascending=[True, False, True], kind="stable"
        )
        yield "largest lesion of each patient", ordered.drop_duplicates(["patient_id", "group"])
    if by_reader is not None and len(by_reader):
        for reader, rows in _checked(by_reader).groupby("reader", sort=True):
            yield f"reader {reader} alone", rows
    for name, other in others.items():
        yield name, _checked(other)
