"""Quantiles, two-sided p values and notes: what tests of every kind share."""

from __future__ import annotations

import sys
from math import lgamma, log

import numpy as np
from scipy.stats import chi2, f, norm, t

# Of all tests: p below it shows a difference.
LEVEL = 0.05
# No p is 0, which would be certainty: a tail too thin for a double precision number has the smallest that keeps its
# digits, 2.2e-308. It begins at |z| = 37.5.
SMALLEST_P = sys.float_info.min


def quantile(confidence: float, df: float) -> float:
    """Upper two-sided quantile of Student's t, of the normal distribution for df = inf."""
    upper = (1.0 + confidence) / 2.0
    return float(norm.ppf(upper) if np.isinf(df) else t.ppf(upper, df))


def as_p(tail: float) -> float:
    """A tail probability as p: `SMALLEST_P` or more, NaN where it is NaN.

    >>> as_p(0.0), as_p(0.03)
    (2.2250738585072014e-308, 0.03)
    """
    return float(np.maximum(tail, SMALLEST_P))


def two_sided(statistic: float, df: float) -> float:
    """Two-sided p of a t or (df = inf) z statistic."""
    return as_p(2.0 * (norm.sf(abs(statistic)) if np.isinf(df) else t.sf(abs(statistic), df)))


def one_sided(statistic: float, df: float) -> float:
    """P of a t or (df = inf) z statistic that large or larger."""
    return as_p(norm.sf(statistic) if np.isinf(df) else t.sf(statistic, df))


def f_tail(statistic: float, df1: float, df2: float) -> float:
    """P of an F statistic; of χ² / df1 for df2 = inf."""
    return as_p(chi2.sf(statistic * df1, df1) if np.isinf(df2) else f.sf(statistic, df1, df2))


def containing(low: float, estimate: float, high: float) -> tuple[float, float]:
    """An interval, extended to its estimate where that lies outside.

    Intervals that invert a noncentral distribution, and percentiles of replicates, may miss the very
    number they stand beside, which is biased where they are not. Extending them costs no coverage.

    >>> containing(0.0, 0.02, 0.01)
    (0.0, 0.02)
    """
    return float(np.fmin(low, estimate)), float(np.fmax(high, estimate))


def cannot_be_tested(reason: str) -> str:
    """The note of a result without p, which is never to be read as "no difference".

    >>> cannot_be_tested("a group has one value")
    'cannot be tested: a group has one value'
    """
    return f"cannot be tested: {reason}"


def joined(*notes: str) -> str:
    """The notes that say something."""
    return "; ".join(note for note in notes if note)


def smallest_exact_p(m: int, n: int) -> float:
    """The smallest two-sided p that an exact test of m against n units can reach: 2 / C(m + n, m).

    >>> round(smallest_exact_p(6, 6), 5)
    0.00216
    """
    ways = lgamma(m + n + 1) - lgamma(m + 1) - lgamma(n + 1)
    return as_p(min(1.0, float(np.exp(log(2.0) - ways))))
