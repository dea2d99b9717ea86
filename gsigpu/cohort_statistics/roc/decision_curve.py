"""Net benefit of acting on a predicted probability, over thresholds.

    NB(t) = π s(t) - (1 - π) (1 - c(t)) t / (1 - t)

π the prevalence, s and c sensitivity and specificity of "probability at least t" (Vickers & Elkin, Med Decis Making
2006; 26: 565-574). Acting on everybody has NB = π - (1 - π) t / (1 - t), acting on nobody 0. The intervals have
patients as units. Predicted probabilities must be of lesions that the model has not seen, and belong to the stated
prevalence: those of a model fitted to groups of another share are moved there by their odds first.
Tested against the definition counted out in R.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from gsigpu.cohort_statistics.frames import DECISION_CURVE_COLUMNS
from gsigpu.errors import InputError, SettingsError

# Probabilities stay this far from 0 and 1 for their log odds, as in `combined_models`.
_CLIP = 1e-6


def decision_curve(
    probability: ArrayLike,
    positive: ArrayLike,
    patients: ArrayLike,
    *,
    prevalence: float,
    thresholds: Sequence[float] = tuple(np.arange(1, 100) / 100),
    confidence: float = 0.95,
    model: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Net benefit at each threshold, with acting on all and on none beside.

    probability (n,) of being positive, out of fold; positive (n,) bool; patients (n,) str or int
    model : its name and groups, as the columns `model, group_a, group_b` have them
    Returns DECISION_CURVE_COLUMNS.

    >>> curve = decision_curve([0.9, 0.8, 0.3, 0.2], [1, 1, 0, 0], list("abcd"), prevalence=0.5, thresholds=[0.5])
    >>> curve[["net_benefit", "net_benefit_all"]].values.tolist()
    [[0.5, 0.0]]
    """
    p, y = np.asarray(probability, np.float64), np.asarray(positive, bool)
    unit = np.unique(np.asarray(patients), return_inverse=True)[1]
    if p.ndim != 1 or not p.shape == y.shape == unit.shape:
        raise InputError("probabilities, outcomes and patients must be of one length")
    if not np.isfinite(p).all() or p.min(initial=0.0) < 0 or p.max(initial=0.0) > 1:
        raise InputError("a probability is missing or outside 0 to 1")
    if y.all() or not y.any():
        raise InputError("a decision curve needs positive and negative lesions")
    if not 0.0 < prevalence < 1.0 or not all(0.0 < t < 1.0 for t in thresholds):
        raise SettingsError("prevalence and thresholds must lie between 0 and 1")
    moved = _moved(p, float(y.mean()), prevalence)
    reach = float(norm.ppf((1.0 + confidence) / 2.0))
    rows = []
    for threshold in thresholds:
        weight = threshold / (1.0 - threshold)
        acted = moved >= threshold
        benefit = prevalence * acted[y].mean() - (1 - prevalence) * acted[~y].mean() * weight
        se = _standard_error(acted, y, unit, prevalence, weight)
        rows.append(
            {
                "track": "recommended",
                "threshold": float(threshold),
                "prevalence": prevalence,
                "net_benefit": float(benefit),
                "net_benefit_low": float(benefit) - reach * se,
                "net_benefit_high": float(benefit) + reach * se,
                "net_benefit_all": prevalence - (1 - prevalence) * weight,
                "n_lesions": int(p.size),
                "n_patients": int(np.unique(unit).size),
            }
        )
    frame = pd.DataFrame(rows, columns=list(DECISION_CURVE_COLUMNS))
    return frame.assign(**dict(model or {}))


def _moved(p: NDArray[np.float64], share: float, prevalence: float) -> NDArray[np.float64]:
    """Probabilities of a model fitted where `share` were positive, at another prevalence."""
    odds = logit(np.clip(p, _CLIP, 1 - _CLIP)) - logit(share) + logit(prevalence)
    return np.asarray(p if share == prevalence else expit(odds), np.float64)


def _standard_error(
    acted: NDArray[np.bool_],
    y: NDArray[np.bool_],
    unit: NDArray[np.intp],
    prevalence: float,
    weight: float,
) -> float:
    """From each patient's deviation in both groups."""
    n = int(unit.max()) + 1
    gain = np.where(y, prevalence / y.sum(), -(1 - prevalence) * weight / (~y).sum())
    centred = acted - np.where(y, acted[y].mean(), acted[~y].mean())
    sums = np.bincount(unit, weights=gain * centred, minlength=n)
    return float(np.sqrt(n / (n - 1) * (sums @ sums))) if n > 1 else np.nan
