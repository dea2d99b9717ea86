"""Power of the tests at hand, given that lesions of one patient resemble each other."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from numpy.typing import ArrayLike


def power_table(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    cohen_f: Sequence[float] = (0.1, 0.25, 0.4),
    cohen_d: Sequence[float] = (0.2, 0.5, 0.8),
    auc: Sequence[float] = (0.6, 0.7, 0.8),
    alpha: float = 0.05,
    target_power: float = 0.8,
) -> pd.DataFrame:
    """Power of ANOVA over all groups, and of t test and AUC for every pair.

    cohen_f, cohen_d, auc : effects to give power for, beside the observed one
    Lesions count as n / design effect. Returns POWER_COLUMNS; `effect_source` is `observed` or
    `given`. Power at the observed effect restates the p value (Hoenig & Heisey, Am Stat 2001; 55:
    19-24): read `detectable_effect` and the needed numbers instead.
    """
    raise NotImplementedError
