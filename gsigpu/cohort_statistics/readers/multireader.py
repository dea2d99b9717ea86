"""Two parameters' areas compared over readers who each drew their own masks.

Areas A_ij of parameter i by reader j on the same lesions (Obuchowski & Rockette, Commun Stat Simul Comput 1995; 24:
285-308; Hillis, Stat Med 2007; 26: 596-619). With t = 2 parameters, r readers and covariances of the areas that the
patients as units give (`clustered`): Cov2 same parameter, two readers; Cov3 two parameters, two readers,

    F = r Σ_i (A_i. - A_..)² / (t - 1) / (MS(TR) + max(r (Cov2 - Cov3), 0))
    MS(TR) = Σ_ij (A_ij - A_i. - A_.j + A_..)² / ((t - 1)(r - 1))
    df2 = (MS(TR) + max(r (Cov2 - Cov3), 0))² / (MS(TR)² / ((t - 1)(r - 1)))

Readers and lesions are both random: the result is about other readers too, with as few degrees of freedom as few
readers give. For these readers alone compare their means with `obuchowski_paired`. Tested against a literal
transcription and by simulation: the level holds at 5 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from gsigpu.cohort_statistics.inference import cannot_be_tested, f_tail
from gsigpu.cohort_statistics.roc.clustered import clustered_areas
from gsigpu.errors import InputError


@dataclass(frozen=True, slots=True)
class ReaderComparison:
    """Mean areas over readers, their difference a - b with interval, and F."""

    auc_a: float
    auc_b: float
    difference: float
    ci_low: float
    ci_high: float
    f: float
    df2: float
    p: float
    n_readers: int
    note: str = ""


def compare_over_readers(
    positive: ArrayLike,
    negative: ArrayLike,
    positive_patients: ArrayLike,
    negative_patients: ArrayLike,
    *,
    confidence: float = 0.95,
) -> ReaderComparison:
    """Positive (2, r, m), negative (2, r, n) : finite values of two parameters by r readers, positives expected above.

    *_patients : patient of each lesion. Raises InputError for another shape or missing values; a lesion that a
    reader did not measure must be left out for all.
    """
    x, y = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    if x.ndim != 3 or y.ndim != 3 or x.shape[0] != 2 or x.shape[:2] != y.shape[:2]:
        raise InputError("a comparison over readers needs two parameters by readers by lesions")
    r = x.shape[1]
    areas = clustered_areas(
        x.reshape(2 * r, -1), y.reshape(2 * r, -1), positive_patients, negative_patients
    )
    a = areas.auc.reshape(2, r)
    mean_a, mean_b = (float(row.mean()) for row in a)
    gap, nan = mean_a - mean_b, np.nan
    covariance = areas.covariance()
    if r < 2 or not np.isfinite(covariance).all():
        reason = "fewer than two readers" if r < 2 else "a group has one patient"
        return ReaderComparison(
            auc_a=mean_a, auc_b=mean_b, difference=gap, ci_low=nan, ci_high=nan, f=nan, df2=nan,
            p=nan, n_readers=r, note=cannot_be_tested(reason),
        )  # fmt: skip
    other_reader = ~np.eye(r, dtype=bool)
    blocks = covariance.reshape(2, r, 2, r)
    cov2 = float(np.mean([blocks[i, :, i, :][other_reader].mean() for i in range(2)]))
    cov3 = float(blocks[0, :, 1, :][other_reader].mean())
    interaction = a - a.mean(axis=1, keepdims=True) - a.mean(axis=0) + a.mean()
    ms = float((interaction**2).sum()) / (r - 1)
    noise = ms + max(r * (cov2 - cov3), 0.0)
    if noise <= 0.0:
        note = "the two order the lesions alike" if gap == 0.0 else cannot_be_tested("no variation")
        return ReaderComparison(
            auc_a=mean_a, auc_b=mean_b, difference=gap, ci_low=gap, ci_high=gap, f=nan, df2=nan,
            p=1.0 if gap == 0.0 else nan, n_readers=r, note=note,
        )  # fmt: skip
    df2 = noise**2 / (ms**2 / (r - 1)) if ms > 0 else np.inf
    f = r * gap**2 / 2.0 / noise
    se = float(np.sqrt(2.0 * noise / r))
    p = f_tail(f, 1, df2)
    reach = (
        stats.t.ppf((1 + confidence) / 2, df2)
        if np.isfinite(df2)
        else stats.norm.ppf((1 + confidence) / 2)
    )
    half = float(reach) * se
    return ReaderComparison(
        auc_a=mean_a, auc_b=mean_b, difference=gap, ci_low=gap - half, ci_high=gap + half, f=f,
        df2=df2, p=p, n_readers=r,
    )  # fmt: skip
