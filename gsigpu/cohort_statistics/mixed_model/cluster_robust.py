"""Tests of a mixed model's coefficients that hold whatever the covariance inside a patient is.

The model gives coefficients and weights W = V⁻¹, the patients' own residuals e_j the variances (CR2; Bell &
McCaffrey, Surv Methodol 2002; 28: 169-181; Pustejovsky & Tipton, J Bus Econ Stat 2018; 36: 672-683):

    V_R = M Σ_j X_jᵀ W_j A_j e_j e_jᵀ A_jᵀ W_j X_j M,   M = (XᵀWX)⁻¹
    A_j = D_jᵀ B_j^(-1/2) D_j,   V_j = D_jᵀ D_j,   B_j = D_j (V_j - X_j M X_jᵀ) D_jᵀ

so that V_R is unbiased where the model holds. One contrast takes Student's t with Satterthwaite's degrees of
freedom, several together Hotelling's T² with the degrees of freedom "HTZ" (Tipton & Pustejovsky, J Educ
Behav Stat 2015; 40: 604-634). Few patients give few degrees of freedom, never too small a p.

Where one patient alone fixes a mean, his residuals are 0 whatever he is like, B_j is singular, and V_R leaves his
share of the variance out: its expectation lies below what the model says, CMCᵀ. Nothing is tested then.

Tested against clubSandwich (`vcovCR`, `linear_contrast`, `Wald_test`). Assumes independent patients. With
fewer than about four patients in a cell nothing helps: the test says so by its degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gsigpu.cohort_statistics.inference import f_tail, two_sided
from gsigpu.cohort_statistics.mixed_model.nested_intercepts import Array, Codes, NestedFit

# Eigenvalues of B_j below this share of the largest are 0: a coefficient that one patient alone fixes.
_SINGULAR = 1e-10
# V_R keeps all of the variance but for rounding (1e-12 seen), or loses a patient's share, at least 1e-3 with hundreds of patients.
_LOST_SHARE = 1e-6


@dataclass(frozen=True, slots=True)
class Contrast:
    """A weighted sum of coefficients, its standard error and degrees of freedom; NaN where a patient alone fixes a mean."""

    estimate: float
    se: float
    df: float

    @property
    def p(self) -> float:
        """Two-sided p that the sum is 0."""
        return two_sided(self.estimate / self.se, self.df)


@dataclass(frozen=True, slots=True)
class Wald:
    """Several sums of coefficients that are 0 together; NaN with a note where that cannot be tested."""

    f: float
    df1: float
    df2: float
    p: float
    note: str = ""


TOO_MANY = "too few patients for so many comparisons at once"
ONE_PATIENT = "a mean rests on one patient, whose scatter is unknown"


@dataclass(frozen=True, slots=True)
class ClusterRobust:
    """Robust inference of a fit.

    covariance (k, k) : V_R
    scores (J, k, k) : of patient j, X_jᵀ W_j A_j D_jᵀ D_j A_jᵀ W_j X_j and below
    crossed (J, k, k) : X_jᵀ A_jᵀ W_j X_j
    """

    fit: NestedFit
    covariance: Array
    scores: Array
    crossed: Array

    def contrast(self, weights: ArrayLike) -> Contrast:
        """Σ weights · coefficients; weights (k,)."""
        c = np.asarray(weights, np.float64)
        value = float(c @ self.fit.coefficients)
        if self._loses(c[None, :]):
            return Contrast(value, np.nan, np.nan)
        se = float(np.sqrt(c @ self.covariance @ c))
        spread = self._spread(c[None, :])[0, 0]
        return Contrast(value, se, 2.0 / spread if spread > 0 else np.nan)

    def wald(self, weights: ArrayLike) -> Wald:
        """All of several sums are 0; weights (q, k) of full row rank.

        F = (η - q + 1) / (η q) · T², degrees of freedom q and η - q + 1.
        """
        c = np.asarray(weights, np.float64)
        q = c.shape[0]
        value, spread = c @ self.fit.coefficients, c @ self.covariance @ c.T
        if self._loses(c):
            return Wald(f=np.nan, df1=q, df2=np.nan, p=np.nan, note=ONE_PATIENT)
        if np.linalg.matrix_rank(spread, hermitian=True) < q:
            return Wald(f=np.nan, df1=q, df2=np.nan, p=np.nan, note=TOO_MANY)
        t2 = float(value @ np.linalg.solve(spread, value))
        expected = c @ self.fit.covariance @ c.T
        size, axes = np.linalg.eigh(expected)
        turned = (axes / np.sqrt(size)).T @ c
        eta = q * (q + 1) / float(self._spread(turned).sum())
        df2 = eta - q + 1
        if df2 <= 0:
            return Wald(f=np.nan, df1=q, df2=df2, p=np.nan, note=TOO_MANY)
        f = (eta - q + 1) / (eta * q) * t2
        return Wald(f=f, df1=float(q), df2=df2, p=f_tail(f, q, df2))

    def _loses(self, contrasts: Array) -> bool:
        """Whether the expectation of C V_R Cᵀ, Σ_j (u_jᵀ V_j u_j - v_jᵀ M v_j), falls short of CMCᵀ in any direction."""
        m = self.fit.covariance
        mc = contrasts @ m
        v = np.tensordot(mc, self.crossed, axes=(1, 2))
        kept = mc @ self.scores.sum(axis=0) @ mc.T
        kept -= np.tensordot(v @ m, v, axes=((1, 2), (1, 2)))
        size, axes = np.linalg.eigh(mc @ contrasts.T)
        scaled = (axes / np.sqrt(size)).T
        return bool(np.linalg.eigvalsh(scaled @ kept @ scaled.T)[0] < 1.0 - _LOST_SHARE)

    def _spread(self, contrasts: Array) -> Array:
        """(q, q) variances of the entries of C V_R Cᵀ under the model, each C scaled to expectation 1.

        With u_sj = A_jᵀ W_j X_j M c_s, v_sj = X_jᵀ u_sj, the products of residuals of patients i and j have
        covariance δ_ij u_siᵀ V_i u_ti - v_siᵀ M v_tj.
        """
        m = self.fit.covariance
        q = contrasts.shape[0]
        mc = contrasts @ m
        norm = np.sqrt(np.einsum("sk,kl,sl->s", contrasts, m, contrasts))
        a = (np.tensordot(mc, self.scores, axes=(1, 1)) @ mc.T).transpose(0, 2, 1)
        v = np.tensordot(mc, self.crossed, axes=(1, 2))
        h = np.einsum("sjl,tjl->stj", v @ m, v)
        spread = np.empty((q, q))
        for s in range(q):
            for t in range(q):
                cross = m @ (v[s].T @ v[t])
                straight = (a[s, s] * a[t, t] - a[s, s] * h[t, t] - a[t, t] * h[s, s]).sum()
                straight += np.trace(m @ (v[s].T @ v[t]) @ m @ (v[t].T @ v[s]))
                turned = (a[s, t] ** 2 - 2 * a[s, t] * h[s, t]).sum() + np.trace(cross @ cross)
                spread[s, t] = (straight + turned) / (norm[s] * norm[t]) ** 2
        return spread


def cluster_robust(fit: NestedFit) -> ClusterRobust:
    """CR2 variances of a fit, patients as clusters.

    Patients whose rows lie in lesions alike share V_j, and are computed together.
    """
    m, k = fit.covariance, fit.coefficients.size
    order = np.argsort(fit.patients, kind="stable")
    rows_of = np.split(order, np.flatnonzero(np.diff(fit.patients[order])) + 1)
    scored = np.empty((len(rows_of), k))
    scores, crossed = np.empty((len(rows_of), k, k)), np.empty((len(rows_of), k, k))
    for pattern, patients in _alike(rows_of, fit.lesions).items():
        rows = np.array([rows_of[j] for j in patients])
        x, residual = fit.design[rows], fit.residual[rows]
        lesion = np.array(pattern)
        v = (
            fit.residual_variance * np.eye(lesion.size)
            + fit.lesion_variance * (lesion[:, None] == lesion)
            + fit.patient_variance
        )
        d = np.linalg.cholesky(v).T
        size, axes = np.linalg.eigh(d @ (v - x @ m @ x.transpose(0, 2, 1)) @ d.T)
        kept = size > _SINGULAR * size.max(axis=1, keepdims=True)
        scale = np.where(kept, 1.0 / np.sqrt(np.where(kept, size, 1.0)), 0.0)
        root = (axes * scale[:, None, :]) @ axes.transpose(0, 2, 1)
        adjusted = d.T @ root @ d
        wx = np.linalg.solve(v, x)
        u = adjusted.transpose(0, 2, 1) @ wx
        scored[patients] = np.einsum("jrk,jr->jk", u, residual)
        scores[patients] = u.transpose(0, 2, 1) @ (v @ u)
        crossed[patients] = x.transpose(0, 2, 1) @ u
    meat = scored.T @ scored
    return ClusterRobust(fit=fit, covariance=m @ meat @ m, scores=scores, crossed=crossed)


def _alike(rows_of: list[Codes], lesions: Codes) -> dict[tuple[int, ...], Codes]:
    """Which rows of a patient are of one lesion -> the patients of whom this holds."""
    sizes = np.array([rows.size for rows in rows_of])
    patient = np.repeat(np.arange(sizes.size), sizes)
    _, first, lesion = np.unique(
        lesions[np.concatenate(rows_of)], return_index=True, return_inverse=True
    )
    # Lesions of a patient are numbered as they come.
    by_row = np.argsort(first)
    owner = patient[first[by_row]]
    number = np.empty(first.size, np.intp)
    number[by_row] = np.arange(first.size) - np.searchsorted(owner, owner)
    numbers = np.split(number[lesion], np.cumsum(sizes)[:-1])
    alike: dict[tuple[int, ...], Codes] = {}
    for size in np.unique(sizes):
        patients = np.flatnonzero(sizes == size)
        patterns, kind = np.unique(
            np.array([numbers[j] for j in patients]), axis=0, return_inverse=True
        )
        for k, pattern in enumerate(patterns.tolist()):
            alike[tuple(pattern)] = patients[kind.ravel() == k]
    return alike
