"""Whether two readers decide alike at a cut-off: Cohen's kappa, patients as units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from gsigpu.cohort_statistics.inference import cannot_be_tested
from gsigpu.cohort_statistics.roc.curve import Direction, oriented
from gsigpu.errors import InputError


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement beyond chance of two readers' decisions.

    both_positive, only_a, only_b, both_negative : lesions
    observed, expected : shares of lesions on which they agree, and would agree by chance
    """

    kappa: float
    ci_low: float
    ci_high: float
    se: float
    observed: float
    expected: float
    both_positive: int
    only_a: int
    only_b: int
    both_negative: int
    n_patients: int
    note: str = ""


def decision_kappa(
    values_a: ArrayLike,
    values_b: ArrayLike,
    patients: ArrayLike,
    *,
    cutoff: float,
    direction: Direction = "higher",
    confidence: float = 0.95,
) -> Kappa:
    """κ = (observed - expected) / (1 - expected)  (Cohen, Educ Psychol Meas 1960; 20: 37-46).

    values_a, values_b (n,) : of the same lesions by two readers, finite; patients (n,) str or int
    The variance is the delta method's (Fleiss et al., Psychol Bull 1969; 72: 323-327) with each patient's
    contributions summed, times I / (I - 1): with one lesion per patient Fleiss' formula, but for that factor. Tested
    against scikit-learn (κ) and psych in R (its standard error). Near-equal decisions of all lesions make κ small at
    high agreement: read it beside `observed`.

    >>> kappa = decision_kappa([1, 2, 3, 4], [1, 3, 3, 4], list("abcd"), cutoff=2.5)
    >>> kappa.kappa, kappa.observed
    (0.5, 0.75)
    """
    a, b = (oriented(side, direction) for side in (values_a, values_b))
    unit = np.unique(np.asarray(patients), return_inverse=True)[1]
    if a.ndim != 1 or not a.shape == b.shape == unit.shape or not a.size:
        raise InputError("two readers' values of the same lesions, and their patients, are needed")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError(
            "a reader's value is missing or infinite", remedy="keep the lesions both measured"
        )
    at = float(oriented(cutoff, direction))
    yes_a, yes_b = a > at, b > at
    cells = [yes_a & yes_b, yes_a & ~yes_b, ~yes_a & yes_b, ~yes_a & ~yes_b]
    counts = [int(cell.sum()) for cell in cells]
    share_a, share_b = float(yes_a.mean()), float(yes_b.mean())
    observed = (counts[0] + counts[3]) / a.size
    expected = share_a * share_b + (1 - share_a) * (1 - share_b)
    n_patients = int(unit.max()) + 1
    kappa, se, note = np.nan, np.nan, ""
    low = high = np.nan
    if expected == 1.0:
        note = cannot_be_tested("both readers call all lesions alike, which chance would do too")
    else:
        kappa = (observed - expected) / (1 - expected)
        se = _standard_error(yes_a, yes_b, unit, kappa, expected)
        if n_patients < 2:
            note = cannot_be_tested("one patient: no interval")
        elif se == 0.0:
            note = "readers agree on every lesion: no interval"
        else:
            half = float(stats.t.ppf((1 + confidence) / 2, n_patients - 1)) * se
            low, high = max(kappa - half, -1.0), min(kappa + half, 1.0)
    return Kappa(
        kappa=kappa,
        ci_low=low,
        ci_high=high,
        se=se,
        observed=observed,
        expected=expected,
        both_positive=counts[0],
        only_a=counts[1],
        only_b=counts[2],
        both_negative=counts[3],
        n_patients=n_patients,
        note=note,
    )


def _standard_error(
    yes_a: NDArray[np.bool_],
    yes_b: NDArray[np.bool_],
    unit: NDArray[np.intp],
    kappa: float,
    expected: float,
) -> float:
    """Each lesion's influence on κ, summed per patient."""
    share_a, share_b = yes_a.mean(), yes_b.mean()
    by_chance = np.where(yes_b, share_a, 1 - share_a) + np.where(yes_a, share_b, 1 - share_b)
    influence = ((yes_a == yes_b) - (1 - kappa) * by_chance) / (1 - expected)
    sums = np.bincount(unit, weights=influence - influence.mean()) / yes_a.size
    n = sums.size
    return float(np.sqrt(n / (n - 1) * (sums @ sums))) if n > 1 else np.nan
