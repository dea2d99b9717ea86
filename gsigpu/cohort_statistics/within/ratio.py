"""Ratio of two means that were measured on the same patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsigpu.cohort_statistics.inference import quantile


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio with its interval; no interval where the denominator may be 0."""

    ratio: float
    low: float
    high: float


def fieller(
    mean_a: float,
    mean_b: float,
    variance_a: float,
    variance_b: float,
    covariance: float,
    *,
    df: float,
    confidence: float = 0.95,
) -> Ratio:
    """mean_a / mean_b with Fieller's interval (J R Stat Soc B 1954; 16: 175-185).

    variance_a, variance_b, covariance : of the two means
    The interval holds every ρ for which mean_a - ρ mean_b is not told from 0 by Student's t, which are the
    roots of  (b² - t² V_b) ρ² - 2 (a b - t² C) ρ + (a² - t² V_a) = 0.  Where the denominator itself is not
    told from 0 they bound no interval, and there is none. Tested against the roots in R, and by coverage.
    For values that may be negative or 0, such as HU of fat, use the difference.

    >>> result = fieller(4.0, 2.0, 0.04, 0.01, 0.0, df=20.0)
    >>> round(result.ratio, 3), round(result.low, 3), round(result.high, 3)
    (2.0, 1.725, 2.319)
    """
    nan = np.nan
    if not np.isfinite([mean_a, mean_b, variance_a, variance_b, covariance, df]).all():
        return Ratio(nan, nan, nan)
    if mean_b == 0.0:
        return Ratio(nan, nan, nan)
    ratio = mean_a / mean_b
    t2 = quantile(confidence, df) ** 2
    lead = mean_b**2 - t2 * variance_b
    if lead <= 0.0:
        return Ratio(ratio, nan, nan)
    middle = mean_a * mean_b - t2 * covariance
    root = middle**2 - lead * (mean_a**2 - t2 * variance_a)
    half = float(np.sqrt(max(root, 0.0)))
    return Ratio(ratio, (middle - half) / lead, (middle + half) / lead)
