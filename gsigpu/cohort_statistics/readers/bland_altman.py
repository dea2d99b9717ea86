"""Limits of agreement between two readers (Bland & Altman, Lancet 1986; 327: 307-310).

Tested against the limits and intervals that the 1986 paper prints. Both take differences as normal and
their spread as the same for small and large values; where it grows with the value, take logarithms.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from gsigpu.cohort_statistics.mixed_model.random_intercept import fit_random_intercept


@dataclass(frozen=True, slots=True)
class LimitsOfAgreement:
    """Bias, SD of a difference, and the limits bias ± 1.96 SD, each with its interval.

    icc : correlation of the differences of two lesions of one patient, NaN where not estimated
    """

    bias: float
    bias_low: float
    bias_high: float
    sd: float
    loa_low: float
    loa_low_low: float
    loa_low_high: float
    loa_high: float
    loa_high_low: float
    loa_high_high: float
    icc: float
    note: str = ""


def limits_of_agreement(differences: ArrayLike, *, confidence: float = 0.95) -> LimitsOfAgreement:
    """Every lesion independent (Bland & Altman 1986; Stat Methods Med Res 1999; 8: 135-160).

    differences (n,) : finite, reader a - reader b
    SE(bias) = s / √n,  SE(limit)² = s² (1 / n + z² / (2 (n - 1))), z = 1.96; t with n - 1.

    >>> limits = limits_of_agreement([1.0, -1.0, 2.0, 0.0])
    >>> round(limits.bias, 3), round(limits.loa_low, 3), round(limits.loa_high, 3)
    (0.5, -2.03, 3.03)
    """
    d = np.asarray(differences, np.float64)
    if d.size < 2:
        return _unknown(d, "fewer than two lesions were measured by both readers")
    n = d.size
    s2 = 0.0 if np.ptp(d) == 0.0 else float(d.var(ddof=1))
    note = "all differences are equal" if s2 == 0.0 else ""
    return _limits(
        float(d.mean()),
        s2,
        s2 / n,
        s2**2 * 2 / (n - 1),
        df=n - 1.0,
        confidence=confidence,
        icc=np.nan,
        note=note,
    )


def clustered_limits(
    differences: ArrayLike, patients: ArrayLike, *, confidence: float = 0.95
) -> LimitsOfAgreement:
    """Several lesions per patient (Bland & Altman, J Biopharm Stat 2007; 17: 571-582, section 3).

    differences (n,) : finite; patients (n,) int codes 0 … P - 1, all used
    d_ij = bias + b_i + e_ij by REML; the SD of a difference is √(σ_b² + σ_e²). The variance of that
    sum comes from the curvature of the REML likelihood, t with P - 1.
    """
    d = np.asarray(differences, np.float64)
    fit = fit_random_intercept(d, np.zeros(d.size), patients) if d.size > 1 else "one lesion"
    if isinstance(fit, str):
        return _unknown(d, fit)
    variance = float(np.nansum([fit.between_variance, fit.residual_variance]))
    return _limits(
        float(fit.mean[0]),
        variance,
        float(fit.covariance[0, 0]),
        variance**2 * fit.log_total_variance_spread(),
        df=fit.df,
        confidence=confidence,
        icc=fit.icc,
        note=fit.note,
    )


def _limits(
    bias: float,
    variance: float,
    bias_variance: float,
    variance_spread: float,
    *,
    df: float,
    confidence: float,
    icc: float,
    note: str,
) -> LimitsOfAgreement:
    """From bias and variance of a difference, and the variances of these two estimates."""
    z = float(stats.norm.ppf(0.975))
    t = float(stats.t.ppf((1 + confidence) / 2, df))
    sd = float(np.sqrt(variance))
    half_bias = t * float(np.sqrt(bias_variance))
    sd_variance = variance_spread / (4 * variance) if variance > 0 else 0.0
    half = t * float(np.sqrt(bias_variance + z**2 * sd_variance))
    low, high = bias - z * sd, bias + z * sd
    return LimitsOfAgreement(
        bias=bias,
        bias_low=bias - half_bias,
        bias_high=bias + half_bias,
        sd=sd,
        loa_low=low,
        loa_low_low=low - half,
        loa_low_high=low + half,
        loa_high=high,
        loa_high_low=high - half,
        loa_high_high=high + half,
        icc=icc,
        note=note,
    )


def _unknown(d: NDArray[np.float64], note: str) -> LimitsOfAgreement:
    bias = float(d.mean()) if d.size else np.nan
    known = ("bias", "note")
    rest = [field.name for field in fields(LimitsOfAgreement) if field.name not in known]
    return LimitsOfAgreement(bias=bias, note=note, **dict.fromkeys(rest, np.nan))
