"""Tests from a published table of n, mean and SD per group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, slots=True)
class SummaryResult:
    """Frames with `phase, region, parameter` behind `track`, all members of the table.

    descriptives, omnibus, pairwise : the columns of the tests on lesions; what a summary cannot give
        is NaN
    roc : BINORMAL_COLUMNS
    not_computed : what needs the values of the lesions, and why, in words
    """

    descriptives: pd.DataFrame
    omnibus: pd.DataFrame
    pairwise: pd.DataFrame
    roc: pd.DataFrame
    not_computed: tuple[str, ...]


def summary_tests(
    summary: pd.DataFrame,
    *,
    order: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> SummaryResult:
    """ANOVA, LSD, Welch, Games-Howell and binormal AUC from n, mean and SD.

    summary : columns `group, n, mean, sd`, optional `phase, region, parameter`; SD over n - 1
    order : the groups, by default in order of first appearance
    Every n counts as independent, on both tracks: a table does not say which lesions share a patient.
    Raises InputError for missing columns, duplicate groups, n below 1 or not whole, negative SD.
    """
    raise NotImplementedError
