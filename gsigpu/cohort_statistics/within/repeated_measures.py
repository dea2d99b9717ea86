"""Paired t and repeated-measures ANOVA of lesions, every lesion independent, as SPSS has them.

n lesions with a value under each of k conditions, in G groups (1 without). With orthonormal contrasts C (k, k - 1)
of the conditions and Z = Y C, H the sums of squares and products of a hypothesis about the means of Z and E
those within groups,

    F = (tr H / df_H) / (tr E / df_E),   df_H = (k - 1) h,  df_E = (k - 1) (n - G)

h = 1 for the conditions (means of groups weighted equally, type III), h = G - 1 for conditions × groups. Both
degrees of freedom times Greenhouse and Geisser's ε = (tr E)² / ((k - 1) tr E²) (Psychometrika 1959; 24:
95-112) where differences of conditions vary unequally; Mauchly's W = |E| / (tr E / (k - 1))^(k - 1) tests
that (Ann Math Stat 1940; 11: 204-209).

Tested against car's `Anova(idata)` on the data of O'Brien & Kaiser, and `t.test(paired)` on Student's sleep
data. Where patients have several lesions these tests reject too often: use the mixed model of
`within_frames`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gsigpu.cohort_statistics.inference import as_p, cannot_be_tested, f_tail, two_sided

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class PairedT:
    """Mean difference a - b of pairs with its interval."""

    difference: float
    ci_low: float
    ci_high: float
    t: float
    df: float
    p: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class RepeatedMeasures:
    """An F test with and without Greenhouse-Geisser's correction, and Mauchly's test."""

    f: float
    df1: float
    df2: float
    p: float
    epsilon: float
    p_corrected: float
    mauchly_w: float
    mauchly_p: float
    note: str = ""


def paired_t(first: Array, second: Array, *, confidence: float = 0.95) -> PairedT:
    """Student's t of differences, df n - 1.

    first, second (n,) : finite, of the same lesions

    >>> round(paired_t(np.array([3.0, 4.0, 6.0]), np.array([1.0, 3.0, 3.0])).t, 4)
    3.4641
    """
    gap = first - second
    n, nan = gap.size, np.nan
    mean = float(gap.mean()) if n else nan
    if n < 2 or np.ptp(gap) == 0.0:
        reason = "fewer than two pairs" if n < 2 else "all differences are equal"
        return PairedT(
            difference=mean, ci_low=nan, ci_high=nan, t=nan, df=nan, p=nan,
            note=cannot_be_tested(reason),
        )  # fmt: skip
    se = float(gap.std(ddof=1)) / float(np.sqrt(n))
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * se
    return PairedT(
        difference=mean,
        ci_low=mean - half,
        ci_high=mean + half,
        t=mean / se,
        df=n - 1.0,
        p=two_sided(mean / se, n - 1),
    )


def repeated_measures(
    values: Array, groups: Codes | None = None, *, interaction: bool = False
) -> RepeatedMeasures:
    """Test that conditions have one mean, or with `interaction` that they differ alike in all groups.

    values (n, k) : finite, rows are lesions, columns conditions; groups (n,) codes from 0, all used
    """
    n, k = values.shape
    group = np.zeros(n, np.intp) if groups is None else groups
    n_groups = int(group.max()) + 1 if n else 0
    if k < 2 or n <= n_groups or (interaction and n_groups < 2):
        return _untested("too few lesions with every condition")
    z = values @ _orthonormal_contrasts(k)
    counts = np.bincount(group).astype(np.float64)
    means = np.stack([np.bincount(group, weights=column) / counts for column in z.T], axis=1)
    residual = z - means[group]
    within = residual.T @ residual
    if interaction:
        centred = means - (counts @ means) / n
        hypothesis = (centred.T * counts) @ centred
        h = n_groups - 1
    else:
        grand = means.mean(axis=0)
        hypothesis = np.outer(grand, grand) * n_groups**2 / (1.0 / counts).sum()
        h = 1
    trace = float(np.trace(within))
    if not trace > 0.0:
        return _untested("no variation of the differences")
    df1, df2 = float((k - 1) * h), float((k - 1) * (n - n_groups))
    f = (float(np.trace(hypothesis)) / df1) / (trace / df2)
    epsilon = trace**2 / ((k - 1) * float((within**2).sum()))
    w, mauchly_p = _mauchly(within, n - n_groups)
    return RepeatedMeasures(
        f=f,
        df1=df1,
        df2=df2,
        p=f_tail(f, df1, df2),
        epsilon=epsilon,
        p_corrected=f_tail(f, df1 * epsilon, df2 * epsilon),
        mauchly_w=w,
        mauchly_p=mauchly_p,
    )


def _orthonormal_contrasts(k: int) -> Array:
    """(k, k - 1) orthonormal columns, each summing to 0."""
    return np.linalg.qr(np.column_stack([np.ones(k), np.eye(k)[:, : k - 1]]))[0][:, 1:]


def _mauchly(within: Array, df: int) -> tuple[float, float]:
    """W and its p with Box's second term, as SPSS and R; NaN for two conditions or too few lesions."""
    p = within.shape[0]
    if p < 2 or df < p:
        return np.nan, np.nan
    w = float(np.linalg.det(within) / (np.trace(within) / p) ** p)
    rho = 1 - (2 * p**2 + p + 2) / (6 * p * df)
    second = (p + 2) * (p - 1) * (p - 2) * (2 * p**3 + 6 * p**2 + 3 * p + 2)
    second /= 288 * (df * p * rho) ** 2
    statistic = -df * rho * float(np.log(w)) if w > 0 else np.inf
    freedom = p * (p + 1) / 2 - 1
    first, next_ = (float(stats.chi2.sf(statistic, freedom + more)) for more in (0, 4))
    return w, as_p(min(first + second * (next_ - first), 1.0))


def _untested(reason: str) -> RepeatedMeasures:
    nan = np.nan
    return RepeatedMeasures(
        f=nan, df1=nan, df2=nan, p=nan, epsilon=nan, p_corrected=nan, mauchly_w=nan, mauchly_p=nan,
        note=cannot_be_tested(reason),
    )  # fmt: skip
