"""Intraclass correlation from all ratings: lesions that some readers did not measure count too.

    y_lr = µ_r + a_l + e_lr,   a_l ~ N(0, σ_l²) per lesion,   e_lr ~ N(0, σ_e²)

by REML, readers' means fixed; σ_r² is the spread of these means less what chance makes of it:

    ICC3 = σ_l² / (σ_l² + σ_e²)                     consistency of one reader
    ICC2 = σ_l² / (σ_l² + σ_r² + σ_e²)              agreement of one reader
    σ_r² = max(0, s²(µ) - mean of Var(µ_r - µ_s) / 2)

With every rating present these are Shrout and Fleiss' estimates exactly (`intraclass`), where lesions differ more than
chance. Intervals: a jackknife over patients on Fisher's z, Student's t; beyond MOST_LEFT_OUT patients whole blocks
of them are left out. Tested against `intraclass` on complete tables and lme4's `lmer(y ~ 0 + reader + (1 | lesion))` on
incomplete ones. Assumes that what was not read is missing by design or chance, not because of its value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from gsigpu.cohort_statistics.inference import cannot_be_tested
from gsigpu.cohort_statistics.mixed_model.random_intercept import Array, fit_random_intercept
from gsigpu.cohort_statistics.sample import dense
from gsigpu.errors import InputError

# Fits of a jackknife: fifty blocks give the same interval as leaving out single patients, in less time.
MOST_LEFT_OUT = 50


@dataclass(frozen=True, slots=True)
class AllRatings:
    """ICC2 (agreement) and ICC3 (consistency) of one reader with intervals, and what they rest on."""

    agreement: float
    agreement_low: float
    agreement_high: float
    consistency: float
    consistency_low: float
    consistency_high: float
    n_ratings: int
    n_lesions: int
    n_lesions_of_several: int
    n_patients: int
    n_readers: int
    note: str = ""


def icc_of_all_ratings(
    values: ArrayLike,
    lesions: ArrayLike,
    patients: ArrayLike,
    readers: ArrayLike,
    *,
    confidence: float = 0.95,
) -> AllRatings:
    """One rating per row, any lesions by any readers.

    values (n,) float, NaN where missing (left out); lesions, patients, readers (n,) str
    Raises InputError for unequal lengths, infinite values, or two values of a lesion by one reader.

    >>> y, lesion, reader = [1, 2, 4, 1.5, 2, 4.5, 3], [1, 2, 3, 1, 2, 3, 4], list("xxxyyyy")
    >>> round(icc_of_all_ratings(y, lesion, lesion, reader).consistency, 4)
    0.9753
    """
    y = np.asarray(values, np.float64)
    text = [np.asarray(labels).astype(str) for labels in (lesions, patients, readers)]
    if any(labels.shape != y.shape for labels in text) or y.ndim != 1:
        raise InputError("values, lesions, patients and readers must be of one length")
    if np.isinf(y).any():
        raise InputError("a value is infinite", remedy="mark it as missing")
    present = ~np.isnan(y)
    y = y[present]
    lesion_names, patient_names, reader_names = (labels[present].astype(object) for labels in text)
    lesion = dense(patient_names + "\x1f" + lesion_names)
    patient, reader = dense(patient_names), dense(reader_names)
    if np.unique(np.stack([lesion, reader]), axis=1).shape[1] < y.size:
        raise InputError("a reader has two values of one lesion", remedy="keep one")
    n_readers = int(reader.max()) + 1 if y.size else 0
    n_patients = int(patient.max()) + 1 if y.size else 0
    per_lesion = np.bincount(lesion) if y.size else np.zeros(0, int)
    counts = {
        "n_ratings": y.size,
        "n_lesions": per_lesion.size,
        "n_lesions_of_several": int((per_lesion > 1).sum()),
        "n_patients": n_patients,
        "n_readers": n_readers,
    }
    whole = _icc(y, lesion, reader)
    if isinstance(whole, str):
        return _unknown(whole, counts)
    n_blocks = min(n_patients, MOST_LEFT_OUT)
    block = patient * n_blocks // n_patients
    left = [_icc(y[block != k], lesion[block != k], reader[block != k]) for k in range(n_blocks)]
    bounds = [(np.nan, np.nan)] * 2
    note = ""
    without = np.array([pair for pair in left if not isinstance(pair, str)])
    if n_blocks < 3 or len(without) < n_blocks:
        note = (
            "interval needs three patients, and readers and lesions that vary without each of them"
        )
    elif max(np.abs(without).max(), np.abs(whole).max()) >= 1 - 1e-12:
        note = "readers agree perfectly: no interval"
    else:
        bounds = [_jackknifed(whole[k], without[:, k], confidence) for k in range(2)]
    return AllRatings(
        agreement=whole[0],
        agreement_low=bounds[0][0],
        agreement_high=bounds[0][1],
        consistency=whole[1],
        consistency_low=bounds[1][0],
        consistency_high=bounds[1][1],
        note=note,
        **counts,
    )


def _icc(y: Array, lesion: ArrayLike, reader: ArrayLike) -> tuple[float, float] | str:
    lesions, readers = dense(np.asarray(lesion)), dense(np.asarray(reader))
    n_readers = int(readers.max()) + 1 if y.size else 0
    if n_readers < 2:
        return "fewer than two readers"
    if np.bincount(lesions).max() < 2:
        return "no lesion was measured by two readers"
    fit = fit_random_intercept(y, readers, lesions)
    if isinstance(fit, str):
        return fit
    spread = float(fit.mean.var(ddof=1))
    covariance = fit.covariance
    chance = (np.trace(covariance) - covariance.sum() / n_readers) / (n_readers - 1)
    shift = max(0.0, spread - float(chance))
    total = fit.between_variance + fit.residual_variance
    return fit.between_variance / (total + shift), fit.between_variance / total


def _jackknifed(whole: float, without: Array, confidence: float) -> tuple[float, float]:
    n = without.size
    z, z_without = np.arctanh(whole), np.arctanh(without)
    pseudo = n * z - (n - 1) * z_without
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * float(pseudo.std(ddof=1)) / np.sqrt(n)
    return float(np.tanh(z - half)), float(np.tanh(z + half))


def _unknown(reason: str, counts: dict[str, int]) -> AllRatings:
    nan = np.nan
    return AllRatings(
        agreement=nan, agreement_low=nan, agreement_high=nan, consistency=nan, consistency_low=nan,
        consistency_high=nan, note=cannot_be_tested(reason), **counts,
    )  # fmt: skip
