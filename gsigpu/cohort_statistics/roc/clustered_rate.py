"""Sensitivity, specificity and other shares of lesions, with the patient as unit.

The share is p = Σ hits / Σ lesions; over I patients with m_i lesions and x_i hits the variance of this
ratio is

    Var(p) = I / (I - 1) Σ (x_i - m_i p)² / M²          (Rao & Scott, Biometrics 1992; 48: 577-585)

and the interval is Wilson's with the effective number of lesions, M over the design effect. At 0 and
100 % the data say nothing about clustering; the effective number is then that of the patients. With one
lesion per patient this is Wilson's interval; tested against the formula and statsmodels' Wilson.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from gsigpu.errors import InputError


def effective_number(hits: ArrayLike, patients: ArrayLike) -> float:
    """How many independent lesions would carry as much information.

    hits (n,) bool, patients (n,) str or int
    Between 1 and n; n itself with one lesion per patient.

    >>> effective_number([True, True, False, False], ["a", "a", "b", "b"])
    1.3333333333333333
    >>> effective_number([True, True], ["a", "a"])
    1.0
    """
    hit = np.asarray(hits, bool)
    _, codes, sizes = np.unique(np.asarray(patients), return_inverse=True, return_counts=True)
    if hit.size == 0 or codes.size != hit.size:
        raise InputError("one patient per lesion is needed for a share of lesions")
    n, n_patients, p = hit.size, sizes.size, hit.mean()
    if n_patients == 1 or p in (0.0, 1.0):
        return float(n_patients)
    residual = np.bincount(codes, weights=hit) - sizes * p
    variance = n_patients / (n_patients - 1) * (residual**2).sum() / n**2
    independent = p * (1.0 - p) / (n - 1)
    return float(np.clip(n * independent / variance, 1.0, n) if variance > 0.0 else n)


def share_interval(
    hits: ArrayLike, patients: ArrayLike, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Wilson's interval (J Am Stat Assoc 1927; 22: 209-212) of a share of clustered lesions.

    >>> low, high = share_interval([True] * 8 + [False] * 2, range(10))
    >>> round(low, 4), round(high, 4)
    (0.4902, 0.9433)
    """
    p, n = float(np.mean(np.asarray(hits, bool))), effective_number(hits, patients)
    z = float(norm.ppf((1.0 + confidence) / 2.0))
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return max(float(centre - half), 0.0), min(float(centre + half), 1.0)
