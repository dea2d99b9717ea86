"""Interval and test of an area, or of a difference of areas, from its variance.

What DeLong's, Obuchowski's and the bootstrap's variances share: the scale, Student's t, and what is said
where a variance of 0 leaves nothing to build on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import lgamma
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from gsigpu.cohort_statistics.inference import (
    as_p,
    cannot_be_tested,
    quantile,
    smallest_exact_p,
    two_sided,
)
from gsigpu.errors import InputError

Scale = Literal["plain", "logit"]


@dataclass(frozen=True, slots=True)
class AucEstimate:
    """An area with its standard error, interval, and the two-sided test of AUC = .5.

    df : degrees of freedom of Student's t, inf for the normal distribution
    note : how interval and p were got where the standard error is 0 or undefined, else empty
    """

    auc: float
    se: float
    ci_low: float
    ci_high: float
    statistic: float
    df: float
    p: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class AucDifference:
    """The difference of two areas, first - second, and the two-sided test that there is none."""

    auc_a: float
    auc_b: float
    difference: float
    se: float
    ci_low: float
    ci_high: float
    z: float
    df: float
    p: float
    note: str = ""


def estimate(
    auc: float,
    variance: float,
    *,
    n_positive: int,
    n_negative: int,
    df: float = np.inf,
    confidence: float = 0.95,
    scale: Scale = "plain",
    unit: str = "lesion",
) -> AucEstimate:
    """Interval and test of an area from its variance.

    variance : of the area; NaN gives NaN, 0 is what perfect separation and equal values leave
    n_positive, n_negative : independent units (`unit`: lesions or patients) of each group
    Perfect separation has no standard error to build on: the interval is then Newcombe's and p the
    exact permutation probability of a separation as complete, 2 / C(m + n, m).
    """
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence {confidence} is not between 0 and 1")
    if not np.isfinite(variance):
        return without_test(auc, note=f"a group has one {unit}: no standard error")
    se = float(np.sqrt(max(variance, 0.0)))
    if se == 0.0 and auc in (0.0, 1.0):
        bounds = newcombe(auc, n_positive, n_negative, confidence=confidence)
        note = f"perfect separation: Newcombe's interval and exact p, {unit}s as units"
        p = smallest_exact_p(n_positive, n_negative)
        return AucEstimate(
            auc=auc, se=se, ci_low=bounds[0], ci_high=bounds[1], statistic=np.nan, df=np.nan, p=p,
            note=note,
        )  # fmt: skip
    if se == 0.0:
        if auc == 0.5:
            same = without_test(auc, se=se, df=df, note="")
            return replace(same, statistic=0.0, p=1.0, note="no variation: no interval")
        return without_test(auc, se=se, df=df, note="no variation")
    point, spread, middle = auc, se, 0.5
    if scale == "logit" and 0.0 < auc < 1.0:
        point, spread, middle = float(logit(auc)), se / (auc * (1.0 - auc)), 0.0
    statistic = (point - middle) / spread
    half = quantile(confidence, df) * spread
    low, high = point - half, point + half
    if scale == "logit" and 0.0 < auc < 1.0:
        low, high = float(expit(low)), float(expit(high))
    return AucEstimate(
        auc=auc,
        se=se,
        ci_low=max(low, 0.0),
        ci_high=min(high, 1.0),
        statistic=statistic,
        df=df,
        p=two_sided(statistic, df),
    )


def of_several_groups(
    auc: float,
    variance: float,
    *,
    n_patients: Sequence[int],
    df: float,
    confidence: float = 0.95,
) -> AucEstimate:
    """Interval and test of a mean area of several groups, patients as units; `estimate` but for two cases.

    n_patients : of each group
    A group of one patient has no scatter, whose share is 0 by construction: no test. Where every area is 0 or 1, p is that of
    such an arrangement of all groups, 2 ∏ n_g! / (Σ n_g)!, and the interval the mean of the pairs' (Newcombe's): wide, since
    the errors of pairs are in part averaged out. Tested against all arrangements of six patients.

    >>> round(of_several_groups(1.0, 0.0, n_patients=[2, 2, 2], df=3.0).p, 4)
    0.0222
    """
    if min(n_patients) < 2:
        return without_test(auc, note="a group has one patient: no standard error")
    if auc not in (0.0, 1.0):
        n = sum(n_patients)
        return estimate(
            auc, variance, n_positive=n, n_negative=n, df=df, confidence=confidence, scale="logit",
            unit="patient",
        )  # fmt: skip
    bounds = [newcombe(auc, m, n, confidence=confidence) for m, n in combinations(n_patients, 2)]
    low, high = np.mean(bounds, axis=0)
    ways = lgamma(sum(n_patients) + 1) - sum(lgamma(n + 1) for n in n_patients)
    return AucEstimate(
        auc=auc, se=0.0, ci_low=float(low), ci_high=float(high), statistic=np.nan, df=np.nan,
        p=as_p(min(1.0, 2.0 * np.exp(-ways))),
        note="perfect separation: mean of the pairs' Newcombe intervals and exact p, patients as units",
    )  # fmt: skip


def without_test(auc: float, *, note: str, se: float = np.nan, df: float = np.nan) -> AucEstimate:
    """An area that has neither interval nor test, and why."""
    nan, note = np.nan, cannot_be_tested(note)
    return AucEstimate(
        auc=auc, se=se, ci_low=nan, ci_high=nan, statistic=nan, df=df, p=nan, note=note
    )


def difference(
    auc_a: float,
    auc_b: float,
    variance: float,
    *,
    df: float = np.inf,
    confidence: float = 0.95,
) -> AucDifference:
    """Interval and test of a difference of areas from its variance.

    A score against itself, or against a monotone transform, differs by 0 with variance 0: p = 1.
    A difference without variance that is not 0 has no test: NaN, and a note.
    """
    gap = auc_a - auc_b
    se = float(np.sqrt(max(variance, 0.0))) if np.isfinite(variance) else np.nan
    low, high, z, p, note = np.nan, np.nan, np.nan, np.nan, ""
    if np.isnan(se):
        df, note = np.nan, cannot_be_tested("no standard error")
    elif se > 0.0:
        z, half = gap / se, quantile(confidence, df) * se
        low, high, p = max(gap - half, -1.0), min(gap + half, 1.0), two_sided(z, df)
    elif gap == 0.0:
        low, high, z, p, note = gap, gap, 0.0, 1.0, "the two order the lesions alike"
    else:
        low, high, note = gap, gap, cannot_be_tested("no variation")
    return AucDifference(
        auc_a=auc_a,
        auc_b=auc_b,
        difference=gap,
        se=se,
        ci_low=low,
        ci_high=high,
        z=z,
        df=df,
        p=p,
        note=note,
    )


def opposite_sides(auc_a: float, auc_b: float) -> str:
    """A caution where the difference of two areas is one of their directions, else nothing.

    >>> opposite_sides(0.7, 0.2)
    'one area lies below .5: they point different ways, and the difference is not in how well they separate'
    >>> opposite_sides(0.7, 0.5)
    ''
    """
    if not (auc_a - 0.5) * (auc_b - 0.5) < 0:
        return ""
    return "one area lies below .5: they point different ways, and the difference is not in how well they separate"


def newcombe(
    auc: float, n_positive: int, n_negative: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval that needs no standard error: Newcombe's method 5 (Stat Med 2006; 25: 559-573).

    The bounds θ solve  |AUC - θ| = z √V(θ)  with Hanley and McNeil's variance at N = (m + n) / 2 - 1,

        V(θ) = θ (1 - θ) [1 + N (1 - θ) / (2 - θ) + N θ / (1 + θ)] / (m n)

    >>> [round(bound, 4) for bound in newcombe(1.0, 10, 10)]
    [0.8002, 1.0]
    """
    z = quantile(confidence, np.inf)
    half = (n_positive + n_negative) / 2.0 - 1.0

    def beyond(theta: float) -> float:
        shape = 1.0 + half * (1.0 - theta) / (2.0 - theta) + half * theta / (1.0 + theta)
        variance = theta * (1.0 - theta) * shape / (n_positive * n_negative)
        return (auc - theta) ** 2 - z**2 * variance

    # The squared distance crosses the variance once on each side of the area.
    low = 0.0 if auc == 0.0 else float(brentq(beyond, 0.0, _inside(auc, -1), xtol=1e-12))
    high = 1.0 if auc == 1.0 else float(brentq(beyond, _inside(auc, 1), 1.0, xtol=1e-12))
    return low, high


def _inside(auc: float, side: int) -> float:
    """The area itself, moved off the ends, where the variance is 0 too."""
    return auc + side * 1e-9 if auc in (0.0, 1.0) else auc
