"""Whose values are tested where several readers measured, and what each of them did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from gsigpu.tables.counting import count
from gsigpu.tables.observation_checks import TableProblems
from gsigpu.tables.rejected_readings import n_rejected

KEY = ("patient_id", "lesion_id", "phase", "region", "parameter", "reader")
# A tenth: a second reader missed a lesion here and there. More is a second reader who read a part only.
MOST_LOST = 0.1


def one_reader(frame: pd.DataFrame, taken: tuple[str, ...], rejected: pd.DataFrame) -> pd.DataFrame:
    """Rows of one reader, or under the name `mean` the mean of what all these readers measured, else NaN.

    rejected : READING of readings that were rejected at review; the mean is that of the readers who are left
    """
    frame = frame[frame["reader"].isin(taken)].reset_index(drop=True)
    n_readers = len(taken)
    if n_readers < 2:
        return frame
    key = [*(name for name in KEY if name != "reader"), "distance_mm"]
    grouped = frame.groupby(key, sort=False, dropna=False, observed=True)
    mean = grouped["value"].transform("mean")
    by_all = grouped["value"].transform("count") == n_readers - n_rejected(frame, rejected, taken)
    if (frame["flags"] != "").any():
        frame = frame.assign(flags=grouped["flags"].transform(_joined_flags))
    return (
        frame.assign(value=mean.where(by_all), reader="mean")
        .drop_duplicates(key, keep="first")
        .reset_index(drop=True)
    )


def _joined_flags(flags: pd.Series) -> str:
    """Every reader's flags, each once."""
    return ";".join(dict.fromkeys(flag for text in flags for flag in text.split(";") if flag))


def readings_of(chosen: pd.DataFrame) -> pd.DataFrame:
    """Patients and lesions that each reader measured, per group."""
    rows = [
        {"reader": reader, "group": group, "n_patients": n.patients, "n_lesions": n.lesions}
        for (reader, group), of_both in chosen[np.isfinite(chosen["value"])].groupby(
            ["reader", "group"], sort=False
        )
        for n in [count(of_both)]
    ]
    return pd.DataFrame(rows, columns=["reader", "group", "n_patients", "n_lesions"])


def readers_taken(
    source: Path, chosen: pd.DataFrame, reader: str, rejected: pd.DataFrame
) -> tuple[str, ...]:
    """The readers whose values are tested: the one that was named, all, or those who measured (nearly) everything.

    Averaging over readers who measured different lesions, phases or regions would turn a difference of readers into
    one of these. Up to MOST_LOST of the values may fall out of a mean over all readers; beyond that only readers who
    lack no more than that themselves are taken. A reading that was rejected at review is none that its reader lacks.
    Raises TableProblems where there is none.
    """
    readers = tuple(sorted(chosen["reader"].unique()))
    if reader or len(readers) < 2:
        return (reader,) if reader else readers
    valued = chosen[np.isfinite(chosen["value"])]
    key = [name for name in KEY if name != "reader"]
    n_readers = valued.groupby(key, sort=False, observed=True)["value"].transform("size")
    values = valued.assign(n_readers=n_readers).drop_duplicates(key)
    n_values = len(values)
    least = (1.0 - MOST_LOST) * n_values
    measured = {
        name: int((valued["reader"] == name).sum() + n_rejected(values, rejected, [name]).sum())
        for name in readers
    }
    is_by_all = values["n_readers"] + n_rejected(values, rejected, readers) >= len(readers)
    if int(is_by_all.sum()) >= least:
        return readers
    whole = tuple(name for name in readers if measured.get(name, 0) >= least)
    if whole:
        return whole
    each = ", ".join(f"{name or '(none)'} {measured.get(name, 0)}" for name in readers)
    raise TableProblems(
        source,
        [
            f"readers measured different lesions ({each} of {n_values} values): take one with --reader"
        ],
    )


def about_readers(
    readers: tuple[str, ...],
    taken: tuple[str, ...],
    chosen: pd.DataFrame,
    table: pd.DataFrame,
    rejected: pd.DataFrame,
) -> list[str]:
    """Whose values are tested, and what the mean over readers leaves out."""
    names = {name: name or "(none)" for name in readers}
    all_readers = f"{len(readers)} readers ({', '.join(names.values())})"
    if taken != readers:
        whose = " and ".join(names[name] for name in taken)
        return [
            f"{all_readers}: tests take {whose}, who measured all or nearly all; the others measured a part; one reader can be chosen instead"
        ]
    texts = [
        f"{all_readers}: tests take the mean over them, lesions matched by name; one reader can be chosen instead"
    ]
    before, after = (count(frame[np.isfinite(frame["value"])]).lesions for frame in (chosen, table))
    if before > after:
        texts.append(
            f"lesions that not every reader measured are left out of the mean: {before - after} of {before}"
        )
    by_fewer = table[np.isfinite(table["value"]) & (n_rejected(table, rejected, taken) > 0)]
    if len(by_fewer):
        texts.append(
            f"lesions whose mean is that of fewer readers in some phase, since a reading was rejected at review: {count(by_fewer).lesions}"
        )
    return texts


def first_reading(frame: pd.DataFrame) -> pd.DataFrame:
    """Without what a reader measured again: the reading that comes first of each value.

    frame : KEY, `distance_mm` and `reading`, which is a number or a text in the order of its alphabet; "" is one
    """
    if (frame["reading"] == "").all():
        return frame
    return (
        frame.assign(_order=_order_of(frame["reading"]))
        .sort_values("_order", kind="stable")
        .drop_duplicates([*KEY, "distance_mm"])
        .sort_index()
        .drop(columns="_order")
        .reset_index(drop=True)
    )


def repeated(frame: pd.DataFrame) -> pd.DataFrame:
    """The values that a reader measured more than once, every reading of them, in order."""
    if (frame["reading"] == "").all():
        return frame.iloc[:0]
    again = frame[frame.duplicated(list(KEY), keep=False)]
    return (
        again.assign(_order=_order_of(again["reading"]))
        .sort_values(["reader", "_order"], kind="stable")
        .drop(columns="_order")
        .reset_index(drop=True)
    )


def _order_of(readings: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(readings, errors="coerce")
    return numbers if numbers.notna().all() else readings
