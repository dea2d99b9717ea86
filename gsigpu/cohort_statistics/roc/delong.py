"""Variance and tests of areas under ROC curves after DeLong, every lesion independent.

DeLong, DeLong, Clarke-Pearson, Biometrics 1988; 44: 837-845. With m positive X and n negative Y and
ψ(x, y) = 1, 1/2, 0 for x >, =, < y, each lesion has its placement

    V10(X_i) = Σ_k ψ(X_i, Y_k) / n        V01(Y_k) = Σ_i ψ(X_i, Y_k) / m

and  AUC = mean V10 = mean V01,  Var(AUC) = var(V10) / m + var(V01) / n,  variances over m - 1, n - 1.
The placements come from midranks in O((m + n) log(m + n)) (Sun & Xu, IEEE Signal Process Lett 2014;
21: 1389-1393). Where a patient gives several lesions this variance is too small: see `clustered_auc`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma, log
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata, t

from gsigpu.cohort_statistics.roc.curve import Array, two_groups
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


def placements(positive: ArrayLike, negative: ArrayLike) -> tuple[Array, Array]:
    """Placement of each lesion among those of the other group.

    positive (..., m), negative (..., n) : finite; leading axes are parameters of the same lesions
    Returns V10 (..., m) and V01 (..., n).

    >>> placements([3.0, 2.0], [1.0, 2.0])
    (array([1.  , 0.75]), array([1.  , 0.75]))
    """
    x, y = two_groups(positive, negative)
    m, n = x.shape[-1], y.shape[-1]
    pooled = rankdata(np.concatenate([x, y], axis=-1), axis=-1)
    # Midranks are whole or half: these differences are exact, so equal orders give equal placements.
    v10 = (pooled[..., :m] - rankdata(x, axis=-1)) / n
    v01 = (m - (pooled[..., m:] - rankdata(y, axis=-1))) / m
    return v10, v01


def delong_covariance(positive: ArrayLike, negative: ArrayLike) -> tuple[Array, Array]:
    """Areas of K parameters measured on the same lesions, and their covariance.

    positive (K, m), negative (K, n)
    Returns auc (K,) and covariance (K, K); NaN where a group has one lesion.
    """
    v10, v01 = placements(np.atleast_2d(positive), np.atleast_2d(negative))
    return v10.mean(axis=-1), _scatter(v10) + _scatter(v01)


def _scatter(v: Array) -> Array:
    """Covariance of the mean of the columns of v (K, n)."""
    n = v.shape[-1]
    if n < 2:
        return np.full((v.shape[0],) * 2, np.nan)
    centred = v - v.mean(axis=-1, keepdims=True)
    return np.asarray(centred @ centred.T / (n - 1) / n)


def delong(
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    confidence: float = 0.95,
    scale: Scale = "plain",
) -> AucEstimate:
    """AUC of independent lesions with DeLong's standard error.

    positive (m,), negative (n,) : finite, oriented so that positives are expected above
    scale : `plain` is AUC ± z se cut to [0, 1]; `logit` takes both on the log odds, which keeps the
        interval inside and covers better near 1 (Qin & Hotilovac, Stat Methods Med Res 2008; 17: 207-221)

    >>> estimate = delong([3.0, 2.0, 4.0, 1.5], [1.0, 2.0, 1.2])
    >>> round(estimate.auc, 4), round(estimate.se, 4), round(estimate.ci_low, 4)
    (0.875, 0.1483, 0.5844)
    """
    x, y = two_groups(positive, negative)
    auc, covariance = delong_covariance(x, y)
    return estimate(
        float(auc[0]),
        float(covariance[0, 0]),
        n_positive=x.size,
        n_negative=y.size,
        confidence=confidence,
        scale=scale,
    )


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
    nothing = (np.nan,) * 2
    if not np.isfinite(variance):
        few = f"a group has one {unit}: no standard error"
        return AucEstimate(auc, np.nan, *nothing, np.nan, np.nan, np.nan, few)
    se = float(np.sqrt(max(variance, 0.0)))
    if se == 0.0 and auc in (0.0, 1.0):
        bounds = newcombe(auc, n_positive, n_negative, confidence=confidence)
        note = f"perfect separation: Newcombe's interval and exact p, {unit}s as units"
        p = _exact_separation(n_positive, n_negative)
        return AucEstimate(auc, se, *bounds, np.nan, np.nan, p, note)
    if se == 0.0:
        if auc == 0.5:
            return AucEstimate(auc, se, *nothing, 0.0, df, 1.0, "no variation: no interval")
        return AucEstimate(
            auc, se, *nothing, np.nan, df, np.nan, "no variation: no interval, no test"
        )
    point, spread, middle = auc, se, 0.5
    if scale == "logit" and 0.0 < auc < 1.0:
        point, spread, middle = float(logit(auc)), se / (auc * (1.0 - auc)), 0.0
    statistic = (point - middle) / spread
    half = quantile(confidence, df) * spread
    low, high = point - half, point + half
    if scale == "logit" and 0.0 < auc < 1.0:
        low, high = float(expit(low)), float(expit(high))
    return AucEstimate(
        auc,
        se,
        max(low, 0.0),
        min(high, 1.0),
        statistic,
        df,
        two_sided(statistic, df),
    )


def quantile(confidence: float, df: float) -> float:
    """Upper two-sided quantile of Student's t, of the normal distribution for df = inf."""
    upper = (1.0 + confidence) / 2.0
    return float(norm.ppf(upper) if np.isinf(df) else t.ppf(upper, df))


def two_sided(statistic: float, df: float) -> float:
    """Two-sided p of a t or (df = inf) z statistic."""
    return float(2.0 * (norm.sf(abs(statistic)) if np.isinf(df) else t.sf(abs(statistic), df)))


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
    if not np.isfinite(variance):
        nan = np.nan
        return AucDifference(auc_a, auc_b, gap, nan, nan, nan, nan, nan, nan, "no standard error")
    se = float(np.sqrt(max(variance, 0.0)))
    if se == 0.0:
        same = gap == 0.0
        note = "the two order the lesions alike" if same else "no variation: no test"
        z, p = (0.0, 1.0) if same else (np.nan, np.nan)
        return AucDifference(auc_a, auc_b, gap, se, gap, gap, z, df, p, note)
    z = gap / se
    half = quantile(confidence, df) * se
    p = two_sided(z, df)
    return AucDifference(
        auc_a, auc_b, gap, se, max(gap - half, -1.0), min(gap + half, 1.0), z, df, p
    )


def delong_paired(
    positive_a: ArrayLike,
    negative_a: ArrayLike,
    positive_b: ArrayLike,
    negative_b: ArrayLike,
    *,
    confidence: float = 0.95,
) -> AucDifference:
    """Two parameters measured on the same lesions, in the same order.

    Var(AUC_a - AUC_b) from the differences of placements, so that equal orders give exactly 0.

    >>> delong_paired([3, 2, 4], [1, 2], [9, 4, 16], [1, 4]).p
    1.0
    """
    xa, ya = two_groups(positive_a, negative_a)
    xb, yb = two_groups(positive_b, negative_b)
    if xa.shape != xb.shape or ya.shape != yb.shape:
        raise InputError(
            "a paired comparison needs both parameters on the same lesions",
            remedy="keep the complete lesions, or use delong_unpaired",
        )
    v10, v01 = placements(np.stack([xa, xb]), np.stack([ya, yb]))
    contrast10, contrast01 = v10[:1] - v10[1:], v01[:1] - v01[1:]
    variance = float((_scatter(contrast10) + _scatter(contrast01))[0, 0])
    auc_a, auc_b = (float(one) for one in v10.mean(axis=-1))
    return difference(auc_a, auc_b, variance, confidence=confidence)


def delong_unpaired(
    positive_a: ArrayLike,
    negative_a: ArrayLike,
    positive_b: ArrayLike,
    negative_b: ArrayLike,
    *,
    confidence: float = 0.95,
) -> AucDifference:
    """Two curves on different lesions: the variances add."""
    auc_a, covariance_a = delong_covariance(positive_a, negative_a)
    auc_b, covariance_b = delong_covariance(positive_b, negative_b)
    variance = float(covariance_a[0, 0] + covariance_b[0, 0])
    return difference(float(auc_a[0]), float(auc_b[0]), variance, confidence=confidence)


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


def _exact_separation(m: int, n: int) -> float:
    """2 / C(m + n, m)."""
    ways = lgamma(m + n + 1) - lgamma(m + 1) - lgamma(n + 1)
    return float(min(1.0, np.exp(log(2.0) - ways)))
