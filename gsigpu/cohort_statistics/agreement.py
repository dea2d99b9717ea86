"""Agreement of readers: intraclass correlation and Bland-Altman."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Agreement:
    """Frames of one family member: ICC_COLUMNS, BLAND_ALTMAN_COLUMNS, BLAND_ALTMAN_POINT_COLUMNS."""

    icc: pd.DataFrame
    bland_altman: pd.DataFrame
    points: pd.DataFrame


def reader_agreement(
    values: ArrayLike,
    lesions: ArrayLike,
    patients: ArrayLike,
    readers: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Agreement:
    """How well readers agree on one parameter, one row of the input per lesion and reader.

    values (n,) float, NaN where missing; lesions, patients, readers (n,) str; a lesion is named by
    patient and lesion together, and has at most one value per reader
    The ICC needs a value of every reader: other lesions are left out and counted in `n_incomplete`;
    a pair of readers uses all lesions that both measured. With one reader the frames are empty.
    """
    raise NotImplementedError
