"""Variance and tests of areas under ROC curves after DeLong, every lesion independent.

DeLong, DeLong, Clarke-Pearson, Biometrics 1988; 44: 837-845. With m positive X and n negative Y and
ψ(x, y) = 1, 1/2, 0 for x >, =, < y, each lesion has its placement

    V10(X_i) = Σ_k ψ(X_i, Y_k) / n        V01(Y_k) = Σ_i ψ(X_i, Y_k) / m

and  AUC = mean V10 = mean V01,  Var(AUC) = var(V10) / m + var(V01) / n,  variances over m - 1, n - 1.
The placements come from midranks in O((m + n) log(m + n)) (Sun & Xu, IEEE Signal Process Lett 2014;
21: 1389-1393). Where a patient gives several lesions this variance is too small: see `clustered_auc`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gsigpu.cohort_statistics.roc.area_estimate import (
    AucDifference,
    AucEstimate,
    Scale,
    difference,
    estimate,
)
from gsigpu.cohort_statistics.roc.curve import Array, one_parameter, placements, two_groups
from gsigpu.errors import InputError


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
    Assumes one lesion per patient: use `clustered.obuchowski` otherwise. Tested against pROC, and against
    Brunner and Munzel's test in SciPy.
    scale : `plain` is AUC ± z se cut to [0, 1]; `logit` takes both on the log odds, which keeps the
        interval inside and covers better near 1 (Qin & Hotilovac, Stat Methods Med Res 2008; 17: 207-221)

    >>> estimate = delong([3.0, 2.0, 4.0, 1.5], [1.0, 2.0, 1.2])
    >>> round(estimate.auc, 4), round(estimate.se, 4), round(estimate.ci_low, 4)
    (0.875, 0.1483, 0.5844)
    """
    x, y = one_parameter(positive, negative)
    auc, covariance = delong_covariance(x, y)
    return estimate(
        float(auc[0]),
        float(covariance[0, 0]),
        n_positive=x.size,
        n_negative=y.size,
        confidence=confidence,
        scale=scale,
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
    auc_a, auc_b = (float(auc) for auc in v10.mean(axis=-1))
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
