"""Descriptives and tests of one phase, region and parameter between groups, on both tracks.

`paper`: every lesion independent; one-way ANOVA, LSD, Bonferroni.
`recommended`: patients are the units; a mixed model with a random intercept per patient (the primary
test), and on the patients' means Welch's ANOVA with Games-Howell, Kruskal-Wallis with Dunn; Holm.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from numpy.typing import ArrayLike


def descriptives(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Counts, centre and spread of each group, of lesions and of patients' means.

    values (n,) float, NaN where missing (dropped and counted); groups (n,) and patients (n,) str
    order : the groups, in the order of the tables; one without any lesion keeps its row
    Returns DESCRIPTIVE_COLUMNS.
    """
    raise NotImplementedError


def omnibus_tests(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Tests that all groups are alike: anova (paper); mixed, welch, kruskal (recommended).

    Returns OMNIBUS_COLUMNS, one row per test; `p_holm_all` is left NaN for `adjust_over_all`.
    """
    raise NotImplementedError


def pairwise_tests(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Tests of every pair of groups: lsd (paper); mixed, games-howell, dunn (recommended).

    Returns PAIRWISE_COLUMNS, one row per test and pair, difference = a - b (of mean ranks for dunn);
    a pair that cannot be tested keeps its row. `p_holm_all` is left NaN for `adjust_over_all`.
    """
    raise NotImplementedError
