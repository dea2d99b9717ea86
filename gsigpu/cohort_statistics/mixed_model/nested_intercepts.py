"""Linear model with random intercepts of patients, and of lesions inside patients.

    y = X β + b_patient + c_lesion + e,   b ~ N(0, σ_b²),  c ~ N(0, σ_c²),  e ~ N(0, σ_e²)

fitted by REML. With θ_b = σ_b²/σ_e², θ_c = σ_c²/σ_e², and n_l rows of lesion l, the covariance of a patient
is I + θ_c (ones inside lesions) + θ_b (ones), whose inverse and determinant are sums over its lesions, so
that the deviance (Bates et al., J Stat Softw 2015; 67(1), eq. 41) is sums alone:

    aᵀV⁻¹b = Σ_l (a_l·b_l - θ_c a_l. b_l. / (1 + θ_c n_l)) - Σ_p θ_b a_p b_p / (1 + θ_b w_p),
    a_p = Σ_l a_l. / (1 + θ_c n_l),  w_p = Σ_l n_l / (1 + θ_c n_l),
    log|V| = Σ_l log(1 + θ_c n_l) + Σ_p log(1 + θ_b w_p)

a_l. the sum over the rows of a lesion. Tested against lme4's `lmer(y ~ 0 + X + (1 | patient/lesion))`. The
model takes the variances as equal in all cells; for tests that do not, see `cluster_robust`. Where the
groups are all that is compared, `random_intercept` is the same model with one search instead of two.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
# Roots of θ at which the deviance is looked up first, from none to nearly all of the variance.
_LOOKED_UP = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0)
# Of the roots of θ and of the deviance: variances then agree with lme4's to 1e-6.
_TOLERANCE = {"xatol": 1e-9, "fatol": 1e-11}
_ZERO = 1e-6  # roots of θ below this are 0: the search ends near a bound, not on it


@dataclass(frozen=True, slots=True)
class NestedFit:
    """The fitted model.

    coefficients (k,), covariance (k, k) of them by the model
    patient_variance, lesion_variance, residual_variance : σ_b², σ_c², σ_e²
    design (n, k), residual (n,), patients (n,), lesions (n,) : as fitted, for `cluster_robust`
    note : what the fit rests on where a variance is estimated as 0, else empty
    """

    coefficients: Array
    covariance: Array
    patient_variance: float
    lesion_variance: float
    residual_variance: float
    design: Array
    residual: Array
    patients: Codes
    lesions: Codes
    note: str = ""


class _Sums:
    """Products with V⁻¹ at any θ, from sums per lesion and patient.

    Lesions with equally many rows share their factor, and patients with equally many lesions of each kind theirs: all
    that depends on θ are these few factors, over products that are summed once.
    """

    def __init__(self, columns: Array, patients: Codes, lesions: Codes) -> None:
        self.gram = columns.T @ columns
        per_lesion = _summed(columns, lesions)
        n_rows = np.bincount(lesions)
        _, first = np.unique(lesions, return_index=True)
        patient_of_lesion = patients[first]
        self.n_rows, kind = np.unique(n_rows, return_inverse=True)
        self.n_lesions = np.bincount(kind).astype(np.float64)
        n_kinds, n_patients = self.n_rows.size, int(patients.max()) + 1
        self.lesion_grams = np.array(
            [per_lesion[kind == k].T @ per_lesion[kind == k] for k in range(n_kinds)]
        )
        cell = patient_of_lesion * n_kinds + kind
        counts = np.bincount(cell, minlength=n_patients * n_kinds).reshape(n_patients, n_kinds)
        sums = _summed(per_lesion, cell, n_patients * n_kinds)
        sums = sums.reshape(n_patients, n_kinds, columns.shape[1])
        self.lesions_of, patient_kind = np.unique(counts, axis=0, return_inverse=True)
        patient_kind = patient_kind.ravel()
        self.n_patients = np.bincount(patient_kind).astype(np.float64)
        self.patient_grams = np.array(
            [_products(sums[patient_kind == k]) for k in range(self.n_patients.size)]
        )
        # A row per product that a factor of θ weighs, flat, so that a Gram matrix at θ is one product.
        size = columns.shape[1] ** 2
        self._flat_lesions = self.lesion_grams.reshape(n_kinds, size)
        self._flat_patients = self.patient_grams.reshape(-1, size)
        self._rows_of = self.lesions_of * self.n_rows
        self.several_rows = bool(n_rows.max() > 1)
        self.several_lesions = bool(np.bincount(patient_of_lesion).max() > 1)

    def at(self, theta_patient: float, theta_lesion: float) -> tuple[Array, float]:
        """(columnsᵀ V⁻¹ columns, log|V|)."""
        damp = 1.0 / (1.0 + theta_lesion * self.n_rows)
        width = self._rows_of @ damp
        shrink = theta_patient / (1.0 + theta_patient * width)
        factors = shrink[:, None] * np.outer(damp, damp).ravel()
        taken = (theta_lesion * damp) @ self._flat_lesions + factors.ravel() @ self._flat_patients
        log_det = -float(self.n_lesions @ np.log(damp))
        log_det += float(self.n_patients @ np.log1p(theta_patient * width))
        return np.asarray(self.gram - taken.reshape(self.gram.shape)), log_det


def _summed(columns: Array, codes: Codes, n: int = 0) -> Array:
    """(n or as many as there are, k) sums of the rows of each code."""
    return np.stack([np.bincount(codes, column, minlength=n) for column in columns.T], axis=1)


def _products(sums: Array) -> Array:
    """(kinds, kinds, k, k) of (patients, kinds, k): products summed over the patients."""
    _, n_kinds, k = sums.shape
    flat = sums.reshape(-1, n_kinds * k)
    return (flat.T @ flat).reshape(n_kinds, k, n_kinds, k).transpose(0, 2, 1, 3)


def fit_nested_intercepts(
    values: Array, design: Array, patients: Codes, lesions: Codes
) -> NestedFit | str:
    """REML fit, or in words why there is none.

    values (n,) finite; design (n, k) of full column rank; patients (n,), lesions (n,) codes from 0, all
    used, a lesion in one patient. Where every lesion has one row σ_c² is part of σ_e² and stands as 0.

    >>> x = np.ones((6, 1))
    >>> patients, lesions = np.array([0, 0, 1, 1, 2, 2]), np.arange(6)
    >>> fit = fit_nested_intercepts(np.array([1.0, 2, 4, 5, 8, 9]), x, patients, lesions)
    >>> round(fit.patient_variance, 5), round(fit.residual_variance, 5)
    (12.08333, 0.5)
    """
    n, k = design.shape
    if n <= k or np.linalg.matrix_rank(design) < k:
        return "more cells than values, or cells without values"
    scale = float(np.ptp(values))
    if scale == 0.0:
        return "all values are equal"
    centre = float(values.mean())
    y = (values - centre) / scale
    # The centre is taken out by the design where that holds a constant, as it does for cell means.
    constant = np.linalg.lstsq(design, np.ones(n), rcond=None)[0]
    if np.abs(design @ constant - 1.0).max() > 1e-9:
        y, centre = values / scale, 0.0
    if np.abs(y - design @ np.linalg.lstsq(design, y, rcond=None)[0]).max() < 1e-12:
        return "no variation within cells"
    sums = _Sums(np.column_stack([design, y]), patients, lesions)
    several_rows = sums.several_rows
    several_lesions = sums.several_lesions

    def split(theta: tuple[float, float]) -> tuple[Array, Array, float, float]:
        gram, log_det = sums.at(*theta)
        inner, right = gram[:k, :k], gram[:k, k]
        beta = np.asarray(np.linalg.solve(inner, right), np.float64)
        return beta, inner, float(gram[k, k] - right @ beta), log_det

    def thetas(roots: Array) -> tuple[float, float]:
        used = iter(roots)
        patient = float(next(used)) ** 2 if several_lesions else 0.0
        lesion = float(next(used)) ** 2 if several_rows else 0.0
        return patient, lesion

    def deviance(roots: Array) -> float:
        # The last pivot of Cholesky's triangle is what the design leaves of the values, the others give its determinant.
        gram, log_det = sums.at(*thetas(roots))
        try:
            pivots = np.linalg.cholesky(gram).diagonal()
        except (
            np.linalg.LinAlgError
        ):  # no residue of the values, or no determinant, beyond rounding
            return np.inf
        squares = pivots[k] ** 2
        log_inner = 2.0 * np.log(pivots[:k]).sum()
        return float((n - k) * np.log(squares / (n - k)) + log_det + log_inner)

    n_roots = int(several_rows) + int(several_lesions)
    roots = np.zeros(n_roots)
    if n_roots:
        grid = np.array(list(product(_LOOKED_UP, repeat=n_roots)))
        start = grid[int(np.argmin([deviance(point) for point in grid]))]
        simplex = np.vstack([start, start + np.eye(n_roots) * np.maximum(0.2, 0.3 * start)])
        best = minimize(
            deviance,
            start,
            method="Nelder-Mead",
            bounds=[(0.0, 1e4)] * n_roots,
            options={**_TOLERANCE, "maxfev": 4000, "initial_simplex": simplex},
        )
        roots = np.where(best.x < _ZERO, 0.0, best.x)
        if not np.isfinite(best.fun):
            return "the fit of the mixed model does not converge"
    theta_patient, theta_lesion = thetas(roots)
    beta, inner, squares, _ = split((theta_patient, theta_lesion))
    residual_variance = squares / (n - k) * scale**2
    zero = [
        name
        for name, theta, used in (
            ("patients", theta_patient, several_lesions),
            ("lesions", theta_lesion, several_rows),
        )
        if used and theta == 0.0
    ]
    return NestedFit(
        coefficients=beta * scale + centre * constant,
        covariance=np.linalg.inv(inner) * residual_variance,
        patient_variance=theta_patient * residual_variance,
        lesion_variance=theta_lesion * residual_variance,
        residual_variance=residual_variance,
        design=design,
        residual=(y - design @ beta) * scale,
        patients=patients,
        lesions=lesions,
        note=f"variance between {' and '.join(zero)} estimated as 0" if zero else "",
    )
