"""Areas under ROC curves where patients contribute several lesions.

Obuchowski, Biometrics 1997; 53: 567-578. The area is the ordinary one over all lesions; the patient
is the unit of its variance. With placements V10, V01 as in `delong`, patient i contributing m_i
positive and n_i negative lesions (either may be 0), M = Σ m_i, N = Σ n_i, and I10, I01, I patients
with a positive, a negative, any lesion,

    S10 = I10 / ((I10 - 1) M) Σ_i (V10_i. - m_i A)²      V10_i. = sum over the patient's lesions
    S01 = I01 / ((I01 - 1) N) Σ_i (V01_i. - n_i A)²
    S11 = I / (I - 1)         Σ_i (V10_i. - m_i A) (V01_i. - n_i A)
    Var(A) = S10 / M + S01 / N + 2 S11 / (M N)

and likewise for the covariance of two parameters measured on the same lesions. With one lesion per
patient this is DeLong's variance exactly.

Twelve patients do not make a normal distribution. Intervals and tests therefore take Student's t with
Satterthwaite's degrees of freedom over the two groups, each with its effective number of patients
(Σ m)² / Σ m² less one (Kish), on the log odds of the area; with one lesion per patient this is the
approximation of Brunner and Munzel (Biom J 2000; 42: 17-25). `bench/bench_honesty.py` has what it buys.

Tested against the example that the paper prints with its components (tests/golden/clustered_roc_mra.json)
and a literal double loop over the formulas in R.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gsigpu.cohort_statistics.roc.area_estimate import (
    AucDifference,
    AucEstimate,
    Scale,
    difference,
    estimate,
)
from gsigpu.cohort_statistics.roc.curve import Array, one_parameter, placements, two_groups
from gsigpu.errors import InputError


@dataclass(frozen=True, slots=True)
class ClusteredAreas:
    """Areas of K parameters of the same lesions, and what each patient contributes to them.

    auc : (K,)
    positive_share, negative_share : (K, I), the patients' deviations (V10_i. - m_i A) / M and
        (V01_i. - n_i A) / N; 0 where a patient has no lesion of that group
    n_positive, n_negative : (I,) lesions of each patient
    """

    auc: Array
    positive_share: Array
    negative_share: Array
    n_positive: NDArray[np.int64]
    n_negative: NDArray[np.int64]

    @property
    def n_patients(self) -> tuple[int, int, int]:
        """Patients with a positive lesion, with a negative one, and all of them."""
        return (
            int((self.n_positive > 0).sum()),
            int((self.n_negative > 0).sum()),
            self.n_positive.size,
        )

    def covariance(self) -> Array:
        """(K, K) covariance of the areas; NaN where a group has one patient.

        >>> areas = clustered_areas([3, 2, 4], [1, 2], ["p", "p", "q"], ["r", "s"])
        >>> areas.covariance().shape
        (1, 1)
        """
        factors = self._factors()
        a, b = self.positive_share, self.negative_share
        within = factors[0] * (a @ a.T) + factors[1] * (b @ b.T)
        if not self._shared().any():
            return np.asarray(within)
        return np.asarray(within + factors[2] * (a @ b.T + b @ a.T))

    def variance(self, contrast: ArrayLike = (1.0,)) -> tuple[float, float]:
        """Variance of Σ_k contrast_k A_k, and its degrees of freedom.

        Taken of the contrast of the shares, so that parameters which order the lesions alike give
        exactly 0.
        """
        weights = np.asarray(contrast, np.float64)
        a, b = weights @ self.positive_share, weights @ self.negative_share
        factors = self._factors()
        parts = factors[0] * float(a @ a), factors[1] * float(b @ b)
        effective = _effective(self.n_positive) - 1.0, _effective(self.n_negative) - 1.0
        total = sum(parts)
        variance = total
        if not np.isfinite(total):
            return np.nan, np.nan
        tail = sum(v**2 / nu for v, nu in zip(parts, effective, strict=True) if v > 0.0)
        df = total**2 / tail if tail > 0.0 else sum(effective)
        if self._shared().any():
            variance += 2.0 * factors[2] * float(a @ b)
            df = min(df, _effective(self.n_positive + self.n_negative) - 1.0)
        return max(variance, 0.0), max(df, 1.0)

    def _factors(self) -> tuple[float, float, float]:
        """The factors n / (n - 1) of the patients with positives, with negatives, and all; NaN for one."""
        positive, negative, both = (n / (n - 1.0) if n > 1 else np.nan for n in self.n_patients)
        return positive, negative, both

    def _shared(self) -> NDArray[np.bool_]:
        """Patients with lesions of both groups."""
        return (self.n_positive > 0) & (self.n_negative > 0)


def _effective(counts: NDArray[np.int64]) -> float:
    """Kish's effective number of clusters, (Σ m)² / Σ m²; the number itself for equal sizes."""
    return float(counts.sum() ** 2 / (counts**2).sum())


def clustered_areas(
    positive: ArrayLike,
    negative: ArrayLike,
    positive_patients: ArrayLike,
    negative_patients: ArrayLike,
) -> ClusteredAreas:
    """Areas and patients' contributions.

    positive (m,) or (K, m), negative (n,) or (K, n) : finite, positives expected above
    positive_patients (m,), negative_patients (n,) : patient of each lesion, str or int
    Raises InputError for an empty group, missing values, or patients that do not match the lesions.
    """
    x, y = two_groups(np.atleast_2d(positive), np.atleast_2d(negative))
    labels = np.asarray(positive_patients), np.asarray(negative_patients)
    if labels[0].shape != x.shape[-1:] or labels[1].shape != y.shape[-1:]:
        raise InputError("one patient per lesion is needed for a clustered area")
    names, codes = np.unique(np.concatenate(labels), return_inverse=True)
    a, b = codes[: labels[0].size], codes[labels[0].size :]
    v10, v01 = placements(x, y)
    auc = v10.mean(axis=-1)
    return ClusteredAreas(
        auc=auc,
        positive_share=_per_patient(v10 - auc[:, None], a, names.size) / x.shape[-1],
        negative_share=_per_patient(v01 - auc[:, None], b, names.size) / y.shape[-1],
        n_positive=np.bincount(a, minlength=names.size).astype(np.int64),
        n_negative=np.bincount(b, minlength=names.size).astype(np.int64),
    )


def _per_patient(values: Array, codes: NDArray[np.intp], n: int) -> Array:
    """(K, I) sums of the columns of (K, lesions)."""
    return np.stack([np.bincount(codes, weights=row, minlength=n) for row in values])


def obuchowski(
    positive: ArrayLike,
    negative: ArrayLike,
    positive_patients: ArrayLike,
    negative_patients: ArrayLike,
    *,
    confidence: float = 0.95,
    scale: Scale = "logit",
    small_sample: bool = True,
) -> AucEstimate:
    """AUC with the patient as unit.

    small_sample : Student's t with the degrees of freedom above; False and scale="plain" is the
        normal interval of the paper

    >>> estimated = obuchowski([5, 4, 6, 3], [1, 3, 2, 4], ["a", "a", "b", "c"], ["d", "d", "e", "f"])
    >>> round(estimated.auc, 4), round(estimated.se, 4), round(estimated.df, 2)
    (0.875, 0.1326, 3.33)
    """
    x, y = one_parameter(positive, negative)
    areas = clustered_areas(x, y, positive_patients, negative_patients)
    variance, df = areas.variance()
    n_positive, n_negative, _ = areas.n_patients
    return estimate(
        float(areas.auc[0]),
        variance,
        n_positive=n_positive,
        n_negative=n_negative,
        df=df if small_sample else np.inf,
        confidence=confidence,
        scale=scale,
        unit="patient",
    )


def obuchowski_paired(
    positive: ArrayLike,
    negative: ArrayLike,
    positive_patients: ArrayLike,
    negative_patients: ArrayLike,
    *,
    confidence: float = 0.95,
    small_sample: bool = True,
) -> AucDifference:
    """Difference of the areas of two parameters measured on the same lesions.

    positive (2, m), negative (2, n)

    >>> same = obuchowski_paired([[3, 2], [9, 4]], [[1, 2], [1, 4]], ["a", "b"], ["c", "d"])
    >>> same.difference, same.se, same.p
    (0.0, 0.0, 1.0)
    """
    areas = clustered_areas(positive, negative, positive_patients, negative_patients)
    if areas.auc.size != 2:
        raise InputError(f"a paired comparison takes two parameters, not {areas.auc.size}")
    variance, df = areas.variance((1.0, -1.0))
    return difference(
        float(areas.auc[0]),
        float(areas.auc[1]),
        variance,
        df=df if small_sample else np.inf,
        confidence=confidence,
    )
