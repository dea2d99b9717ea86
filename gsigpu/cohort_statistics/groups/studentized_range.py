"""Quantiles of the studentized range, for the intervals of Games-Howell.

    P(Q < q) = ∫ f_ν(s) R(q s) ds,   R(w) = k ∫ φ(z) (Φ(z) - Φ(z - w))^(k-1) dz

f_ν is the density of χ_ν / √ν (Copenhaver & Holland, J Stat Comput Simul 1988; 30: 1-15). Ours for
the quantile only: SciPy's distribution gives p, but its `ppf` takes a hundred times as long, which
is minutes for a cohort. Both integrals are Gauss-Legendre; quantiles agree with SciPy to 1e-9.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtr

# 80 points over ±8.5 SD and 160 over the range of s: quantiles to 1e-13, more points change nothing.
_Z, _Z_WEIGHT = leggauss(80)
_Z, _Z_WEIGHT = _Z * 8.5, _Z_WEIGHT * 8.5 * stats.norm.pdf(_Z * 8.5)
_U, _U_WEIGHT = leggauss(160)
_U, _U_WEIGHT = (_U + 1) / 2, _U_WEIGHT / 2


@lru_cache(maxsize=65536)
def range_quantile(confidence: float, n_means: int, df: float) -> float:
    """The q that the studentized range of n_means means stays below with this probability.

    df : at least 1

    >>> round(range_quantile(0.95, 3, 10.0), 6)
    3.876777
    """
    # Nodes in s crowd towards 0, where few degrees of freedom put the weight of large q.
    low, high = (float(np.sqrt(stats.chi2.ppf(tail, df) / df)) for tail in (1e-15, 1 - 1e-15))
    spread = low + (high - low) * _U**2
    weight = _U_WEIGHT * 2 * _U * (high - low) * stats.chi.pdf(spread * np.sqrt(df), df)
    weight *= np.sqrt(df)

    def beyond(q: float) -> float:
        inside = ndtr(_Z) - ndtr(_Z - q * spread[:, None])
        return float(weight @ (n_means * (inside ** (n_means - 1) @ _Z_WEIGHT))) - confidence

    # Bonferroni's bound lies above the quantile, a single comparison below it.
    n_pairs = n_means * (n_means - 1) / 2
    top = float(stats.t.isf((1 - confidence) / 2 / n_pairs, df)) * np.sqrt(2.0) * 1.001
    bottom = float(stats.t.isf((1 - confidence) / 2, df)) * np.sqrt(2.0) * 0.999
    return float(brentq(beyond, bottom, top, xtol=1e-12, rtol=1e-12))
