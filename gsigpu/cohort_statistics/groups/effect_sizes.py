"""Effect sizes with intervals.

Shares of variance come from an F statistic: the interval inverts the noncentral F distribution
(Steiger, Psychol Methods 2004; 9: 164-182). Standardised differences come from a t statistic: the
interval inverts the noncentral t distribution, or is Bonett's where variances differ. Tested against pingouin
and against R's `pf` and `pt` with noncentrality (tests/golden/make_group_tests.R).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, lgamma

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import chndtr, ncfdtr, nctdtr
from scipy.stats import chi2, norm

from gsigpu.cohort_statistics.inference import containing

# SciPy sums a series whose length grows with t: a second for t = 1e6, minutes of a table. From here on the numerator's own
# scatter, 1 of t = 1e4, is nothing beside that of the SD below it, which is χ's: bounds
# of t = 5e3 differ by 2e-5 of the interval with 1000 degrees of freedom, by less with fewer.
_FAR = 1e4


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect size with its interval."""

    effect: float
    low: float
    high: float
    name: str


def no_effect(name: str) -> Effect:
    """All NaN."""
    return Effect(effect=np.nan, low=np.nan, high=np.nan, name=name)


def _effect(effect: float, bounds: tuple[float, float], name: str) -> Effect:
    low, high = containing(bounds[0], effect, bounds[1])
    return Effect(effect=effect, low=low, high=high, name=name)


def eta_squared(f: float, df1: float, df2: float, *, confidence: float = 0.95) -> Effect:
    """Share of the variance that lies between groups: η² = F df1 / (F df1 + df2).

    The interval is that of the population's share λ / (λ + df1 + df2 + 1), λ noncentrality of F. The
    sample's share is too large on average: where it lies above the interval, that is extended to it.

    >>> effect = eta_squared(4.846088, 2, 27)
    >>> round(effect.effect, 4), round(effect.low, 4), round(effect.high, 4)
    (0.2641, 0.0099, 0.4639)
    """
    if not np.isfinite([f, df1, df2]).all():
        return no_effect("eta²")
    share = f * df1 / (f * df1 + df2)
    bounds = _share_bounds(f, df1, df2, df1 + df2 + 1.0, confidence)
    return _effect(share, bounds, "eta²")


def omega_squared(
    f: float, df1: float, df2: float, n: float | None = None, *, confidence: float = 0.95
) -> Effect:
    """The same share with less bias: df1 (F - 1) / (df1 (F - 1) + n), at least 0.

    n : independent units, df1 + df2 + 1 of ordinary ANOVA; where Welch's F has fewer degrees of
        freedom than that, the share still is one of n units

    >>> round(omega_squared(4.846088, 2, 27).effect, 4)
    0.2041
    """
    if not np.isfinite([f, df1, df2]).all():
        return no_effect("omega²")
    units = df1 + df2 + 1.0 if n is None else n
    excess = max(0.0, df1 * (f - 1.0))
    bounds = _share_bounds(f, df1, df2, units, confidence)
    return _effect(excess / (excess + units), bounds, "omega²")


def _share_bounds(
    f: float, df1: float, df2: float, n: float, confidence: float
) -> tuple[float, float]:
    if f * df1 > _FAR**2:
        tail = (1.0 - confidence) / 2.0
        low, high = (f * df1 * float(chi2.isf(level, df2)) / df2 for level in (1.0 - tail, tail))
    else:
        low, high = _bounds(lambda nc: float(ncfdtr(df1, df2, nc, f)), f * df1, confidence)
    return low / (low + n), high / (high + n)


def epsilon_squared(h: float, n: int, n_groups: int, *, confidence: float = 0.95) -> Effect:
    """Share of the variance of ranks between groups: H / (n - 1)  (Tomczak & Tomczak 2014).

    The interval takes H as noncentral χ² with n_groups - 1 degrees of freedom.
    """
    if not np.isfinite(h) or n < 2:
        return no_effect("epsilon²")
    df = n_groups - 1.0
    low, high = _bounds(lambda nc: float(chndtr(h, df, nc)), h, confidence)
    bounds = min(low / (n - 1.0), 1.0), min(high / (n - 1.0), 1.0)
    return _effect(h / (n - 1.0), bounds, "epsilon²")


def hedges_g(
    difference: float, sd: float, df: float, n_effective: float, *, confidence: float = 0.95
) -> Effect:
    """Difference over the SD of a lesion, with Hedges' correction J(df).

    n_effective : n_a n_b / (n_a + n_b), so that t = difference / sd · √n_effective
    g = J(df) difference / sd; the interval is the noncentral t's, times J(df).

    >>> effect = hedges_g(1.0, 1.0, 18.0, 5.0)
    >>> round(effect.effect, 4), round(effect.low, 4), round(effect.high, 4)
    (0.9576, 0.051, 1.841)
    """
    name = "Hedges g"
    if not np.isfinite([difference, sd, df]).all() or sd <= 0 or df < 1:
        return no_effect(name)
    root = float(np.sqrt(n_effective))
    t = difference / sd * root
    tail = (1.0 - confidence) / 2.0

    def beyond(nc: float, level: float) -> float:
        below = float(nctdtr(df, nc, t))
        if np.isnan(below):  # SciPy gives up far out in the tails
            below = float(nc < t)
        return below - level

    def noncentrality(level: float) -> float:
        if abs(t) > _FAR:
            return t * float(np.sqrt((chi2.isf if t > 0 else chi2.ppf)(level, df) / df))
        low = high = t
        while beyond(low, level) <= 0:
            low -= 1.0 + abs(t) / 4
        while beyond(high, level) >= 0:
            high += 1.0 + abs(t) / 4
        return float(brentq(beyond, low, high, args=(level,), xtol=1e-11))

    correction = small_sample_correction(df)
    low, high = (noncentrality(level) / root * correction for level in (1.0 - tail, tail))
    return _effect(correction * difference / sd, (low, high), name)


def hedges_g_unequal(
    mean: ArrayLike, variance: ArrayLike, n: ArrayLike, *, confidence: float = 0.95
) -> Effect:
    """Difference of two groups over the root of their mean variance (Bonett, Psychol Methods 2008; 13: 99-109).

    mean, variance, n (2,) : of the groups; s² = (s_a² + s_b²) / 2, d = difference / s,
    Var(d) = d² Σ s_g⁴ / (n_g - 1) / (8 s⁴) + Σ s_g² / (n_g - 1) / s²;  g = J(n_a + n_b - 2) d
    """
    name = "Hedges g"
    m, v, size = (np.asarray(column, np.float64) for column in (mean, variance, n))
    mean_variance = float(v.mean())
    if not np.isfinite(v).all() or mean_variance <= 0 or size.min() < 2:
        return no_effect(name)
    d = float(m[0] - m[1]) / float(np.sqrt(mean_variance))
    spread = d**2 * float((v**2 / (size - 1)).sum()) / (8 * mean_variance**2)
    spread += float((v / (size - 1)).sum()) / mean_variance
    half = float(norm.ppf((1.0 + confidence) / 2.0)) * float(np.sqrt(spread))
    g = small_sample_correction(float(size.sum()) - 2.0) * d
    return _effect(g, (d - half, d + half), name)


def small_sample_correction(df: float) -> float:
    """Hedges' J(df) = Γ(df / 2) / (√(df / 2) Γ((df - 1) / 2)), 0 below two degrees of freedom.

    >>> round(small_sample_correction(10.0), 6)
    0.922746
    """
    if df <= 1:
        return 0.0
    return exp(lgamma(df / 2) - lgamma((df - 1) / 2)) / float(np.sqrt(df / 2))


def _bounds(cdf: Callable[[float], float], scale: float, confidence: float) -> tuple[float, float]:
    """Noncentralities at which the statistic is the upper and the lower tail's quantile."""
    tail = (1.0 - confidence) / 2.0

    def beyond(nc: float, level: float) -> float:
        below = cdf(nc)
        return (0.0 if np.isnan(below) else below) - level  # NaN: far out in the lower tail

    def solve(level: float) -> float:
        if beyond(0.0, level) <= 0.0:
            return 0.0
        top = max(scale, 1.0) + 10.0
        while beyond(top, level) > 0.0:
            top *= 1.5
        return float(brentq(beyond, 0.0, top, args=(level,), xtol=1e-9, rtol=1e-12))

    return solve(1.0 - tail), solve(tail)
