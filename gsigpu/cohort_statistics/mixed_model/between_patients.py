"""Tests of the mixed model's means that hold when the groups' variances differ.

The random-intercept model pools its variances over the groups. Where a small group varies most, its
own standard errors are then far too small: with the source study's groups, SDs of 1, 1.5, 0.7, 1 and 2
and nothing to find, one pair of ten is called different in 16 of 100 studies after Holm. Here the
model gives the means and the weights of patients, and the patients' own scatter the variances:

    w_i = 1 / (σ_b² + σ_e² / m_i),   µ_g = Σ w_i ȳ_i / W,   W = Σ w_i over the patients of g
    Var(µ_g) = Σ w_i² (ȳ_i - µ_g)² / (1 - w_i / W) / W²

the CR2 estimator of Bell & McCaffrey (Surv Methodol 2002; 28: 169-181) with their degrees of freedom,
which are about patients - 1. Groups share no patient, so that pairs take Welch-Satterthwaite degrees of
freedom and all groups together Welch's F. With equally many lesions per patient all this is Welch's
test of the patients' means, exactly. Tested against the formulas written out in R on lme4's fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gsigpu.cohort_statistics.mixed_model.random_intercept import RandomIntercept

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
# A variance below this share of the model's is rounding: patients who do not differ at all.
_NO_SCATTER = 1e-20
POOLED = "a group has one patient or no spread between patients: equal variances assumed"


@dataclass(frozen=True, slots=True)
class BetweenPatients:
    """Means of the groups with variances of their own.

    mean, variance, df (G,) : variance and df NaN where a group has one patient, or patients who do
        not differ, or shares a patient with another group
    fit : the model, whose pooled covariance serves where a variance is NaN
    """

    mean: Array
    variance: Array
    df: Array
    n_patients: int
    fit: RandomIntercept

    def contrast(self, a: int, b: int) -> tuple[float, float, float, str]:
        """Difference a - b, its standard error, degrees of freedom, and a note."""
        gap = float(self.mean[a] - self.mean[b])
        pair = [a, b]
        total = float(self.variance[pair].sum())
        if np.isnan(total):
            contrast = np.zeros(self.mean.size)
            contrast[pair] = 1.0, -1.0
            return gap, self.fit.standard_error(contrast), self.fit.df, POOLED
        df = total**2 / float((self.variance[pair] ** 2 / self.df[pair]).sum())
        return gap, float(np.sqrt(total)), df, ""

    def welch_f(self) -> tuple[float, float, float, str]:
        """F of equal means, its degrees of freedom, and a note (Welch, Biometrika 1951; 38: 330-336)."""
        g = self.mean.size
        if np.isnan(self.variance).any():
            return self.fit.wald_f(), g - 1.0, self.fit.df, POOLED
        weight = 1.0 / self.variance
        share = weight / weight.sum()
        scatter = float((weight * (self.mean - share @ self.mean) ** 2).sum()) / (g - 1)
        loss = float(((1.0 - share) ** 2 / self.df).sum())
        f = scatter / (1.0 + 2.0 * (g - 2) / (g**2 - 1) * loss)
        return f, g - 1.0, (g**2 - 1) / (3.0 * loss), ""


def between_patients(
    fit: RandomIntercept, values: Array, groups: Codes, patients: Codes
) -> BetweenPatients:
    """Variances of the fitted means from the scatter of the patients.

    values (n,) finite; groups (n,) codes 0 … G - 1, patients (n,) codes 0 … P - 1, as fitted
    """
    n_groups, n_patients = fit.mean.size, int(patients.max()) + 1
    variance, df = np.full(n_groups, np.nan), np.full(n_groups, np.nan)
    _, first = np.unique(patients, return_index=True)
    home = groups[first]
    if np.array_equal(groups, home[patients]):
        m = np.bincount(patients, minlength=n_patients)
        centred = values - fit.mean[groups]
        residual = np.bincount(patients, weights=centred, minlength=n_patients) / m
        weight = 1.0 / (np.nan_to_num(fit.between_variance) + fit.residual_variance / m)
        for code in range(n_groups):
            variance[code], df[code] = _of_group(residual[home == code], weight[home == code])
    return BetweenPatients(mean=fit.mean, variance=variance, df=df, n_patients=n_patients, fit=fit)


def _of_group(residual: Array, weight: Array) -> tuple[float, float]:
    """Variance of a weighted mean from the residuals around it, and its degrees of freedom."""
    if residual.size < 2:
        return np.nan, np.nan
    whole = float(weight.sum())
    leverage = weight**2 / (whole**2 * (1.0 - weight / whole))
    variance = float(leverage @ residual**2)
    # Residuals of the model have covariance diag(1 / w) - 1 / W; mean and variance of the quadratic form.
    expected = 1.0 / whole
    diagonal = (1.0 / weight - 1.0 / whole) ** 2 - 1.0 / whole**2
    spread = float(leverage**2 @ diagonal) + float(leverage.sum()) ** 2 / whole**2
    if variance <= _NO_SCATTER * expected:
        return np.nan, np.nan
    return variance, expected**2 / spread
