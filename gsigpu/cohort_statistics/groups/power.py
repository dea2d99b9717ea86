"""Power of the tests at hand, given that lesions of one patient resemble each other.

A group of n lesions counts as n / D independent ones, D = 1 + (Σ m² / Σ m - 1) ICC its design effect
(Kish 1965), ICC that of the mixed model. ANOVA and t test are statsmodels'; the test of AUC = .5 has

    power = Φ((|A - .5| - z √V(.5)) / √V(A))
    V(A) = (A (1 - A) + (n_a - 1) (Q1 - A²) + (n_b - 1) (Q2 - A²)) / (n_a n_b)

with Q1 = A / (2 - A), Q2 = 2 A² / (1 + A)  (Hanley & McNeil, Radiology 1982; 143: 29-36). Tested against
R's `power.anova.test` and `power.t.test`, and the area's power against simulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import nctdtr, ndtr, ndtri, stdtrit
from scipy.stats import nct

from gsigpu.cohort_statistics.frames import POWER_COLUMNS
from gsigpu.cohort_statistics.groups import omnibus
from gsigpu.cohort_statistics.groups.pairwise import summaries
from gsigpu.cohort_statistics.roc.curve import area
from gsigpu.cohort_statistics.sample import Sample, clean_sample, clustering_of
from gsigpu.errors import SettingsError

# Power as a function of the effect and of the independent lesions per group.
PowerOf = Callable[[float, Sequence[float]], float]
_MOST = 1e7  # lesions per group beyond which nobody plans a study


def auc_standard_error(auc: float, n_a: float, n_b: float) -> float:
    """Hanley and McNeil's √V(A) of n_a and n_b independent lesions.

    >>> round(auc_standard_error(0.5, 10, 10), 4)
    0.1323
    """
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    above = auc * (1 - auc) + (n_a - 1) * (q1 - auc**2) + (n_b - 1) * (q2 - auc**2)
    return math.sqrt(max(above, 0.0) / (n_a * n_b))


def auc_power(auc: float, n_a: float, n_b: float, *, alpha: float = 0.05) -> float:
    """Power to tell an area from .5, two-sided, every lesion independent; NaN below one per group.

    >>> round(auc_power(0.7, 30, 30), 4)
    0.7819
    """
    if min(n_a, n_b) < 1:
        return np.nan
    a = 0.5 + abs(auc - 0.5)
    margin = a - 0.5 + float(ndtri(alpha / 2)) * auc_standard_error(0.5, n_a, n_b)
    spread = auc_standard_error(a, n_a, n_b)
    return float(ndtr(margin / spread)) if spread > 0 else float(margin > 0)


def t_test_power(effect: float, n_a: float, n_b: float, *, alpha: float = 0.05) -> float:
    """Power of the two-sided t test of two groups, effect in pooled SDs; NaN below one per group.

    1 - F(t) + F(-t) of the noncentral t with n_a + n_b - 2 degrees of freedom, t its central quantile at 1 - α/2

    >>> round(t_test_power(0.5, 64, 64), 4)
    0.8015
    """
    df = n_a + n_b - 2.0
    if min(n_a, n_b) < 1 or df <= 0:
        return np.nan
    critical = float(stdtrit(df, alpha / 2))
    shift = effect * math.sqrt(1.0 / (1.0 / n_a + 1.0 / n_b))
    power = float(1.0 - nctdtr(df, shift, -critical) + nctdtr(df, shift, critical))
    if math.isnan(
        power
    ):  # SciPy's fast function gives up far from the centre; both tails by the slow one
        power = float(nct.sf(-critical, df, shift) + nct.sf(-critical, df, -shift))
    return power


def power_table(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    cohen_f: Sequence[float] = (0.25,),
    cohen_d: Sequence[float] = (0.5,),
    auc: Sequence[float] = (0.7,),
    alpha: float = 0.05,
    target_power: float = 0.8,
) -> pd.DataFrame:
    """Power of ANOVA over all groups, and of t test and AUC for every pair.

    values (n,) float, NaN where missing; groups (n,) and patients (n,) str; order : the groups
    cohen_f, cohen_d, auc : effects to give power for beside the observed one; by default Cohen's
        medium f and d, and an area of .7
    Returns POWER_COLUMNS; `effect_source` is `observed` or `given`. `n_effective` counts independent
    lesions; `n_per_group_needed` lesions and `patients_per_group_needed` patients of each group for
    `target_power`, clustered as here; `detectable_effect` is what these data show with that power.
    Power at the observed effect restates the p value (Hoenig & Heisey, Am Stat 2001; 55: 19-24).
    Raises SettingsError for alpha or target_power outside (0, 1).
    """
    if not 0 < alpha < target_power < 1:
        raise SettingsError("alpha and target power must satisfy 0 < alpha < target power < 1")
    sample = clean_sample(values, groups, patients, order)
    icc, _ = sample.clustering
    rows = _anova_rows(sample, cohen_f, alpha, target_power)
    for a, b in sample.pairs:
        rows += _pair_rows(sample, (a, b), cohen_d, auc, alpha, target_power)
    frame = pd.DataFrame(rows, columns=list(POWER_COLUMNS))
    return frame.assign(track="recommended", alpha=alpha, target_power=target_power, icc=icc)


def _anova_rows(
    sample: Sample, given: Sequence[float], alpha: float, target: float
) -> list[dict[str, object]]:
    from statsmodels.stats.power import FTestAnovaPower

    n_groups = len(sample.present)
    test = omnibus.anova([sample.lesions[code] for code in sample.present])
    f = test.effect.effect
    observed = float(np.sqrt(f / (1 - f))) if f < 1 else np.nan

    def power(effect: float, sizes: Sequence[float]) -> float:
        total = float(sum(sizes))
        if total <= n_groups:
            return np.nan
        return float(FTestAnovaPower().power(effect, total, alpha, k_groups=n_groups))

    shared = {"test": "anova", "group_a": "", "group_b": "", "effect_name": "Cohen f"}
    if n_groups < 2:
        return [{**shared, "effect_source": "observed", "note": test.note}]
    return _rows(sample, sample.present, power, observed, given, target, (0.0, 1e3), shared)


def _pair_rows(
    sample: Sample,
    pair: tuple[int, int],
    cohen_d: Sequence[float],
    areas: Sequence[float],
    alpha: float,
    target: float,
) -> list[dict[str, object]]:

    names = {"group_a": sample.order[pair[0]], "group_b": sample.order[pair[1]]}
    a, b = (sample.lesions[code] for code in pair)
    t_names = {"test": "t", "effect_name": "Cohen d", **names}
    auc_names = {"test": "auc", "effect_name": "AUC", **names}
    if not (a.size and b.size):
        note = "a group has no values"
        both = (t_names, auc_names)
        return [{**row, "effect_source": "observed", "note": note} for row in both]

    def t_power(effect: float, sizes: Sequence[float]) -> float:
        return t_test_power(effect, sizes[0], sizes[1], alpha=alpha)

    def area_power(effect: float, sizes: Sequence[float]) -> float:
        return auc_power(effect, sizes[0], sizes[1], alpha=alpha)

    two = summaries([a, b])
    df = a.size + b.size - 2
    pooled = float(np.nansum((two.n - 1) * two.variance)) / df if df > 0 else np.nan
    d = abs(float(two.mean[0] - two.mean[1])) / np.sqrt(pooled) if pooled > 0 else np.nan
    observed_area = area(a, b)
    observed_area = max(observed_area, 1 - observed_area)
    return [
        *_rows(sample, pair, t_power, d, cohen_d, target, (0.0, 1e3), t_names),
        *_rows(sample, pair, area_power, observed_area, areas, target, (0.5, 1.0), auc_names),
    ]


def _rows(
    sample: Sample,
    codes: Sequence[int],
    power: PowerOf,
    observed: float,
    given: Sequence[float],
    target: float,
    effects: tuple[float, float],
    shared: dict[str, str],
) -> list[dict[str, object]]:
    sizes = np.concatenate([sample.sizes[code] for code in codes])
    factors = [clustering_of(sample.mixed, sample.sizes[code])[1] for code in codes]
    overall = clustering_of(sample.mixed, sizes)[1]
    known = np.isfinite([*factors, overall]).all()
    n = [float(sample.lesions[code].size) for code in codes]
    effective = [lesions / factor for lesions, factor in zip(n, factors, strict=True)]
    detectable = (
        _solve(lambda effect: power(effect, effective) - target, *effects) if known else np.nan
    )
    rows: list[dict[str, object]] = []
    for source, effect in [("observed", observed), *[("given", float(value)) for value in given]]:
        usable = bool(known and np.isfinite(effect))
        needed = _needed(power, effect, len(codes), target) if usable else np.nan
        lesions = float(np.ceil(round(needed * overall, 6)))
        reached = power(effect, effective) if usable else np.nan
        rows.append(
            {
                **shared,
                "effect": effect,
                "effect_source": source,
                "n_lesions": int(sum(n)),
                "n_patients": int(sizes.size),
                "design_effect": overall,
                "n_effective": float(sum(effective)),
                "power": reached,
                "n_per_group_needed": lesions,
                "patients_per_group_needed": float(
                    np.ceil(round(lesions * sizes.size / sum(n), 6))
                ),
                "detectable_effect": detectable,
                "note": "" if np.isfinite(reached) else _why_unknown(usable),
            }
        )
    return rows


def _why_unknown(usable: bool) -> str:
    return "too few lesions" if usable else "effect or clustering unknown"


def _needed(power: PowerOf, effect: float, n_groups: int, target: float) -> float:
    """Independent lesions per group for the power; NaN where no number gives it."""
    return _solve(lambda n: power(effect, [n] * n_groups) - target, 2.0, _MOST)


def _solve(beyond: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function crosses 0: the lower end if it lies above all along."""
    if not beyond(low) < 0:
        return low if beyond(low) >= 0 else np.nan
    top = low + 1.0 if high > 1 else high
    while top < high and not beyond(top) >= 0:
        top = min(low + (top - low) * 2, high)
    if not beyond(top) >= 0:
        return np.nan
    try:
        return float(brentq(beyond, low, top, xtol=1e-8, rtol=1e-10))
    except ValueError:  # SciPy's noncentral t gives up at one or two degrees of freedom
        return np.nan
