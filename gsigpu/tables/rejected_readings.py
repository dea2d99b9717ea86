"""Readings of lesions that a person rejected: what their reader measured does not count, what the others did does."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gsigpu.tables.raw_table import RawTable, read_raw
from gsigpu.tables.review_decisions import REVIEW

# A lesion of a patient in one phase, and the reader of a reading of it.
PLACE = ("patient_id", "lesion_id", "phase")
READING = (*PLACE, "reader")


def rejected_readings(raw: RawTable) -> pd.DataFrame:
    """READING of each reading that was taken out of a table at review: now, or by the run that wrote it.

    raw : the table, with the lists of its run beside it
    """
    listed = [pd.DataFrame(raw.rejected, columns=list(READING))]
    path = raw.beside.get("exclusions.csv")
    if path is not None:
        cells = read_raw(path, ("rule", *READING), lambda _: None).cells
        cells = cells.reindex(columns=["rule", *READING], fill_value="")
        listed.append(cells.loc[cells["rule"] == REVIEW, list(READING)])
    return pd.concat(listed, ignore_index=True).drop_duplicates(ignore_index=True)


def n_rejected(
    frame: pd.DataFrame, rejected: pd.DataFrame, readers: Collection[str]
) -> NDArray[np.int64]:
    """How many of some readers' readings of each row's lesion in its phase were rejected, (rows,) int64."""
    n = rejected[rejected["reader"].isin(readers)].groupby(list(PLACE)).size()
    if n.empty:
        return np.zeros(len(frame), np.int64)
    places = pd.MultiIndex.from_frame(frame[list(PLACE)].astype(str))
    return np.asarray(n.reindex(places, fill_value=0), np.int64)
