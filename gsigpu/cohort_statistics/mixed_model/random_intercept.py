"""Means of groups when lesions of one patient resemble each other: the random-intercept model.

    y_ij = µ_g(ij) + b_i + e_ij,   b_i ~ N(0, σ_b²) per patient i,   e_ij ~ N(0, σ_e²) per lesion j

fitted by REML. With θ = σ_b² / σ_e² the covariance of a patient with n lesions has the inverse
I - θ / (1 + θ n) J, so that everything is sums per patient and one search over θ remains (Bates et
al., J Stat Softw 2015; 67(1), profiled deviance, eq. 41):

    d(θ) = (N - G) log σ̂²(θ) + Σ_i log(1 + θ n_i) + log |XᵀV⁻¹X|,   σ̂² = rᵀV⁻¹r / (N - G)

Ours because statsmodels' MixedLM loops over patients in Python and takes minutes for thousands of
them; both agree to 1e-6, as does lme4 (tests/golden/make_group_tests.R). Variances are those of a
lesion; the model takes them as equal in all groups. Where they are not, its own standard errors err:
take those of `between_patients`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
# θ = 0 apart: intraclass correlations from 1e-5 to 1 - 1e-9.
_GRID = np.concatenate([[0.0], np.logspace(-5, 9, 57)])


@dataclass(frozen=True, slots=True)
class RandomIntercept:
    """The fitted model.

    mean (G,) : of a lesion of an average patient, per group
    covariance (G, G) : of the means
    between_variance, residual_variance : σ_b², σ_e²
    n_lesions (G,) : per group
    df : between-patient degrees of freedom, patients - groups
    log_variance_slope (G, G) : d covariance / dθ over σ_e², for Satterthwaite's degrees of freedom
    variance_theta, covariance_theta_log, variance_log : of θ and log σ_e², from the curvature of the
        deviance; 0 for θ where the fit is singular
    note : what the fit rests on where θ is at a bound or not identified, else empty
    """

    mean: Array
    covariance: Array
    between_variance: float
    residual_variance: float
    n_lesions: Array
    df: float
    log_variance_slope: Array
    variance_theta: float
    covariance_theta_log: float
    variance_log: float
    note: str = ""

    @property
    def icc(self) -> float:
        """Correlation of two lesions of one patient: σ_b² / (σ_b² + σ_e²)."""
        total = self.between_variance + self.residual_variance
        return self.between_variance / total if total > 0 else np.nan

    def standard_error(self, contrast: ArrayLike) -> float:
        """Of the sum of contrast (G,) times the means."""
        c = np.asarray(contrast, np.float64)
        return float(np.sqrt(c @ self.covariance @ c))

    def satterthwaite_df(self, contrast: ArrayLike) -> float:
        """2 / Var(log of the contrast's variance), as lmerTest (J Stat Softw 2017; 82(13)).

        For comparison only: it nears the number of lesions where σ_b² is estimated as small.
        """
        c = np.asarray(contrast, np.float64)
        slope = float(c @ self.log_variance_slope @ c) / float(c @ self.covariance @ c)
        spread = (
            self.variance_log
            + 2 * slope * self.covariance_theta_log
            + slope**2 * self.variance_theta
        )
        return 2.0 / spread if spread > 0 else np.nan

    @property
    def is_split(self) -> bool:
        """Whether patients have several lesions, so that σ_b² and σ_e² are told apart."""
        return bool(np.isfinite(self.between_variance) and self.residual_variance > 0)

    def satterthwaite_f(self) -> tuple[float, float]:
        """`wald_f` and its denominator degrees of freedom, as `anova` of lmerTest prints them.

        The contrasts are turned so that their estimates are independent, F is the mean of their squared
        t, and its degrees of freedom are those of an F with the same expectation (Fai & Cornelius,
        J Stat Comput Simul 1996; 54: 363-378). These depend a little on the contrasts that one starts
        from; lmerTest's are the rows of Doolittle's triangle of XᵀX. Tested against lmerTest.
        """
        g = self.mean.size
        cross = np.diag(self.n_lesions[1:]) - np.outer(self.n_lesions[1:], self.n_lesions[1:]) / (
            self.n_lesions.sum()
        )
        triangle = np.linalg.cholesky(cross).T
        from_first = triangle / np.diag(triangle)[:, None]
        contrasts = np.column_stack([-from_first.sum(axis=1), from_first])
        _, axes = np.linalg.eigh(contrasts @ self.covariance @ contrasts.T)
        turned = axes.T @ contrasts
        df = np.array([self.satterthwaite_df(contrast) for contrast in turned])
        t = np.array([c @ self.mean / self.standard_error(c) for c in turned])
        f = float((t**2).mean())
        if g == 2:
            return f, float(df[0])
        used = df[df > 2.0]
        expected = float((used / (used - 2.0)).sum())
        return f, 2.0 * expected / (expected - (g - 1)) if expected > g - 1 else 0.0

    def log_total_variance_spread(self) -> float:
        """Var(log(σ_b² + σ_e²)), for intervals of standardised differences."""
        between = float(np.nan_to_num(self.between_variance))
        slope = self.residual_variance / (between + self.residual_variance)
        return (
            self.variance_log
            + 2 * slope * self.covariance_theta_log
            + slope**2 * self.variance_theta
        )

    def wald_f(self) -> float:
        """F of equal means: (Lµ)ᵀ(L C Lᵀ)⁻¹(Lµ) / (G - 1), df G - 1 and `df`."""
        g = self.mean.size
        contrasts = np.column_stack([np.ones(g - 1), -np.eye(g - 1)])
        gap = contrasts @ self.mean
        spread = contrasts @ self.covariance @ contrasts.T
        return float(gap @ np.linalg.solve(spread, gap)) / (g - 1)


class _Sums:
    """Deviance and its slope at any θ, from sums per patient."""

    def __init__(self, values: Array, groups: Codes, patients: Codes) -> None:
        n_groups, n_patients = int(groups.max()) + 1, int(patients.max()) + 1
        cells = np.bincount(patients * n_groups + groups, minlength=n_patients * n_groups)
        self.counts = cells.reshape(n_patients, n_groups).astype(np.float64)
        self.sizes = self.counts.sum(axis=1)
        self.sums = np.bincount(patients, weights=values, minlength=n_patients)
        self.group_sums = np.bincount(groups, weights=values, minlength=n_groups)
        self.df_residual = values.size - n_groups
        self.n_lesions = self.counts.sum(axis=0)
        self.group_means = self.group_sums / self.n_lesions
        inside = values - self.group_means[groups]
        self.squares_inside = float(inside @ inside)

    def at(self, theta: float) -> tuple[float, float, Array, Array, Array, float, float]:
        """Deviance, its slope, means, (XᵀV⁻¹X)⁻¹, its slope, rᵀV⁻¹r and its slope."""
        shrink = theta / (1.0 + theta * self.sizes)
        damp = 1.0 / (1.0 + theta * self.sizes)
        information = np.diag(self.n_lesions) - (self.counts.T * shrink) @ self.counts
        inverse = np.linalg.inv(information)
        mean = inverse @ (self.group_sums - self.counts.T @ (shrink * self.sums))
        per_patient = self.sums - self.counts @ mean
        # Squares of residuals: inside the groups, and of the groups' means about those of the model.
        squares = self.squares_inside + float(self.n_lesions @ (self.group_means - mean) ** 2)
        squares -= float((shrink * per_patient) @ per_patient)
        # mean minimises `squares`, so its own slope does not enter.
        squares_slope = -float((damp * per_patient) @ (damp * per_patient))
        information_slope = -(self.counts.T * damp**2) @ self.counts
        deviance = (
            self.df_residual * np.log(squares / self.df_residual)
            + np.log1p(theta * self.sizes).sum()
            + np.linalg.slogdet(information)[1]
        )
        slope = (
            self.df_residual * squares_slope / squares
            + (self.sizes * damp).sum()
            + np.trace(inverse @ information_slope)
        )
        inverse_slope = -inverse @ information_slope @ inverse
        return float(deviance), float(slope), mean, inverse, inverse_slope, squares, squares_slope


def fit_random_intercept(
    values: ArrayLike, groups: ArrayLike, patients: ArrayLike
) -> RandomIntercept | str:
    """REML fit, or in words why there is none.

    values (n,) finite; groups (n,) int codes 0 … G - 1, patients (n,) int codes 0 … P - 1, all used

    >>> fit = fit_random_intercept([1.0, 2.0, 4.0, 5.0, 8.0, 9.0], [0] * 6, [0, 0, 1, 1, 2, 2])
    >>> round(fit.between_variance, 6), round(fit.residual_variance, 6), round(fit.icc, 4)
    (12.083333, 0.5, 0.9603)
    """
    y = np.asarray(values, np.float64)
    group = np.asarray(groups, np.intp)
    patient = np.asarray(patients, np.intp)
    n_groups, n_patients = int(group.max()) + 1, int(patient.max()) + 1
    df = float(n_patients - n_groups)
    if df < 1:
        return "no more patients than groups: patients' spread is unknown"
    scale = float(np.ptp(y))
    if scale == 0.0:
        return "all values are equal"
    per_group = np.unique(group, return_index=True, return_inverse=True)
    if np.array_equal(y, y[per_group[1]][per_group[2]]):
        return "no variation within groups"
    centre = float(y.mean())
    sums = _Sums((y - centre) / scale, group, patient)
    if sums.sizes.max() == 1:
        return _finish(sums, 0.0, centre, scale, df, "one lesion per patient: no variance to split")
    per_cell = patient * n_groups + group
    first = np.unique(per_cell, return_index=True, return_inverse=True)
    if np.array_equal(y, y[first[1]][first[2]]) and first[1].size < y.size:
        return _one_value_per_patient(y, group, patient)
    deviance = np.array([sums.at(theta)[0] for theta in _GRID])
    best = int(np.argmin(deviance))
    if best == 0 and sums.at(0.0)[1] >= 0.0:
        note = "variance between patients estimated as 0"
        return _finish(sums, 0.0, centre, scale, df, note)
    low, high = _GRID[max(best - 1, 0)], _GRID[min(best + 1, _GRID.size - 1)]
    if sums.at(low)[1] >= 0.0 or sums.at(high)[1] <= 0.0:
        return "the fit of the mixed model does not converge"
    theta = float(brentq(lambda ratio: sums.at(ratio)[1], low, high, xtol=1e-15, rtol=1e-13))
    return _finish(sums, theta, centre, scale, df, "")


def _one_value_per_patient(y: Array, group: Codes, patient: Codes) -> RandomIntercept | str:
    """The limit θ → ∞: every lesion of a patient has the same value, so one of them says it all."""
    _, first = np.unique(patient, return_index=True)
    if not np.array_equal(group, group[first][patient]):
        return "no variation between lesions of a patient in one group"
    fit = fit_random_intercept(y[first], group[first], np.arange(first.size))
    if isinstance(fit, str):
        return fit
    note = "lesions of a patient are equal: one value per patient"
    return replace(fit, between_variance=fit.residual_variance, residual_variance=0.0, note=note)


def _finish(
    sums: _Sums, theta: float, centre: float, scale: float, df: float, note: str
) -> RandomIntercept | str:
    """The fit at θ in the units of the values."""
    _, _, mean, inverse, inverse_slope, squares, squares_slope = sums.at(theta)
    residual = squares / sums.df_residual
    if residual <= np.finfo(np.float64).eps ** 2:
        return "no variation within groups"
    variance_theta, pull = 0.0, 0.0
    if theta > 0.0:
        step = 1e-4 * theta
        curvature = (sums.at(theta + step)[1] - sums.at(theta - step)[1]) / (2 * step)
        variance_theta = 2.0 / curvature if curvature > 0 else np.nan
        pull = squares_slope / squares
    identified = sums.sizes.max() > 1
    return RandomIntercept(
        mean=mean * scale + centre,
        covariance=inverse * residual * scale**2,
        between_variance=theta * residual * scale**2 if identified else np.nan,
        residual_variance=residual * scale**2,
        n_lesions=sums.n_lesions,
        df=df,
        log_variance_slope=inverse_slope * residual * scale**2,
        variance_theta=variance_theta,
        covariance_theta_log=pull * variance_theta,
        variance_log=2.0 / sums.df_residual + pull**2 * variance_theta,
        note=note,
    )
