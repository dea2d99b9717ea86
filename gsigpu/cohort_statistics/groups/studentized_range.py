"""Quantiles and tails of the studentized range, for Games-Howell.

    P(Q < q) = ∫ f_ν(s) R(q s) ds,   R(w) = k ∫ φ(z) (Φ(z) - Φ(z - w))^(k-1) dz

f_ν is the density of χ_ν / √ν (Copenhaver & Holland, J Stat Comput Simul 1988; 30: 1-15). Ours because SciPy's
adaptive integrals take a hundred times as long, which is minutes for a cohort. Both integrals are Gauss-Legendre;
quantiles agree with SciPy to 1e-9, probabilities to 3e-11.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtr

# Over ±8.5 SD: 80 points give quantiles to 1e-13, but tails of fifteen means and small q to 1e-9 only; and 160 points over
# the range of s. More change nothing.
_POINTS_OF_QUANTILES, _POINTS_OF_TAILS = 80, 240
_U, _U_WEIGHT = leggauss(160)
_U, _U_WEIGHT = (_U + 1) / 2, _U_WEIGHT / 2


@lru_cache(maxsize=65536)
def range_quantile(confidence: float, n_means: int, df: float) -> float:
    """The q that the studentized range of n_means means stays below with this probability.

    df : at least 1

    >>> round(range_quantile(0.95, 3, 10.0), 6)
    3.876777
    """
    # Bonferroni's bound lies above the quantile, a single comparison below it.
    n_pairs = n_means * (n_means - 1) / 2
    top = float(stats.t.isf((1 - confidence) / 2 / n_pairs, df)) * np.sqrt(2.0) * 1.001
    bottom = float(stats.t.isf((1 - confidence) / 2, df)) * np.sqrt(2.0) * 0.999
    spread, weight = _spread(df)
    return float(
        brentq(
            lambda q: _below(q, n_means, spread, weight) - confidence,
            bottom, top, xtol=1e-12, rtol=1e-12,
        )
    )  # fmt: skip


def range_tail(q: float, n_means: int, df: float) -> float:
    """The probability that the studentized range of n_means means is q or more, to 1e-14.

        1 - R(w) = k ∫ φ(z) (Φ(z)^(k-1) - (Φ(z) - Φ(z - w))^(k-1)) dz

    df : at least 1

    >>> round(range_tail(3.876777, 3, 10.0), 6)
    0.05
    """
    spread, weight = _spread(df)
    z, z_weight = _normal(_POINTS_OF_TAILS)
    share = ndtr(z - q * spread[:, None]) / ndtr(z)
    with np.errstate(divide="ignore"):  # a share of 1 loses all
        lost = np.expm1((n_means - 1) * np.log1p(-share)) * -(ndtr(z) ** (n_means - 1))
    return float(weight @ (n_means * (lost @ z_weight)))


@lru_cache(maxsize=64)
def _spread(df: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values s of χ_ν / √ν and the weight of each; crowded towards 0, where few degrees of freedom put that of large q."""
    low, high = (float(np.sqrt(stats.chi2.ppf(tail, df) / df)) for tail in (1e-15, 1 - 1e-15))
    spread = low + (high - low) * _U**2
    weight = _U_WEIGHT * 2 * _U * (high - low) * stats.chi.pdf(spread * np.sqrt(df), df)
    # The density is off by 1e-11 for thousands of degrees of freedom, its sum known.
    return spread, weight / weight.sum()


@lru_cache
def _normal(n_points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values z and the weight of each under φ."""
    z, weight = leggauss(n_points)
    return z * 8.5, weight * 8.5 * stats.norm.pdf(z * 8.5)


def _below(
    q: float, n_means: int, spread: NDArray[np.float64], weight: NDArray[np.float64]
) -> float:
    z, z_weight = _normal(_POINTS_OF_QUANTILES)
    inside = ndtr(z) - ndtr(z - q * spread[:, None])
    return float(weight @ (n_means * (inside ** (n_means - 1) @ z_weight)))
