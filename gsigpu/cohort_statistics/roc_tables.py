"""The ROC family of one phase, region and parameter as tables, on both tracks.

`paper`: every lesion independent, DeLong, Youden's cut-off, curves turned so that AUC >= .5 as users
of SPSS do (the note says where). `recommended`: patients are the units; the direction is declared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from gsigpu.cohort_statistics.roc_settings import ModelResult, RocResult, RocSettings

Seed = int | np.random.SeedSequence


def roc_tables(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    seed: Seed,
    settings: RocSettings | None = None,
) -> RocResult:
    """ROC analysis of every pair of groups, one value per lesion.

    values (n,) float, NaN where missing (dropped and counted); groups (n,) and patients (n,) str
    order : the groups, first the one that is positive in its pairs
    seed : of the patient bootstrap; the same seed gives the same bytes
    Returns `roc` (ROC_COLUMNS; methods delong on the paper track; obuchowski, bootstrap, and delong
    where every patient has one lesion, on the recommended) and `curves` (CURVE_COLUMNS).
    `p_holm` is over the pairs of one track and method; `p_holm_all` is left NaN for the caller.
    """
    raise NotImplementedError


def roc_comparisons(
    values: ArrayLike,
    parameters: Sequence[str],
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    settings: Sequence[RocSettings] | None = None,
) -> pd.DataFrame:
    """Paired comparison of the areas of every two parameters, for every pair of groups.

    values (n, K) : one column per parameter, one row per lesion; rows with a NaN in either parameter
        are left out of that comparison and counted
    settings : one per parameter, for its direction
    Returns COMPARISON_COLUMNS; difference is parameter_a - parameter_b.
    """
    raise NotImplementedError


def combined_models(
    values: ArrayLike,
    parameters: Sequence[str],
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    seed: Seed,
    settings: RocSettings | None = None,
) -> ModelResult:
    """Models of several parameters together, judged on patients they were not fitted to.

    values (n, K) : one column per parameter; incomplete rows are left out and counted
    Returns one logistic model per pair of groups and one multinomial model of all groups
    (`group_a` = each group against the rest, `group_b` = "rest"; a row with group_a "all" holds the
    mean over groups), recommended track only.
    """
    raise NotImplementedError
