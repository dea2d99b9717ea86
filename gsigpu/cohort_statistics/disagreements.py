"""Where the two tracks decide differently, and why."""

from __future__ import annotations

import pandas as pd


def disagreements(
    paper: pd.DataFrame,
    recommended: pd.DataFrame,
    descriptives: pd.DataFrame,
    *,
    alpha: float = 0.05,
) -> list[str]:
    """Sentences on the pairs that one track calls different and the other does not.

    paper, recommended : rows of `pairwise_tests` of one family member, of each track
    descriptives : rows of `descriptives` of the same member
    Returns one sentence per pair that differs: the p values, and whether clustering of lesions in
    patients, unequal variances or multiplicity explains it; empty where the tracks agree.
    """
    raise NotImplementedError
