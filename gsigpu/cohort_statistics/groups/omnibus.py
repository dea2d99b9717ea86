"""Tests that all groups are alike: one-way ANOVA, Welch, Kruskal-Wallis, the mixed model; Levene.

Each returns an `Omnibus`. What is undefined is NaN, with a note that says why; nothing warns.
All are tested against R (`aov`, `oneway.test`, `kruskal.test`; tests/golden/
make_group_tests.R), Welch against pingouin too.

| values are | use |
|---|---|
| one per patient, equal variances | `anova` |
| one per patient, unequal variances | `welch` |
| one per patient, skewed or with outliers | `kruskal` |
| several per patient | `mixed`, or the others on patients' means |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gsigpu.cohort_statistics.groups.effect_sizes import (
    Effect,
    epsilon_squared,
    eta_squared,
    no_effect,
    omega_squared,
)
from gsigpu.cohort_statistics.groups.rank_reach import kruskal_reach, unreachable
from gsigpu.cohort_statistics.inference import as_p, cannot_be_tested, f_tail, joined
from gsigpu.cohort_statistics.mixed_model.between_patients import BetweenPatients

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Classical:
    """The textbook's version of a test of the mixed model: F or t, denominator degrees of freedom, p."""

    statistic: float
    df: float
    p: float


@dataclass(frozen=True, slots=True)
class Omnibus:
    """A test of all groups with its effect size.

    effect : η² (anova), ω² (welch), ε² (kruskal), ω² between patients (mixed)
    """

    statistic: float
    df1: float
    df2: float
    p: float
    effect: Effect
    omega_squared: float
    note: str = ""
    classical: Classical | None = None


def undefined(note: str, effect_name: str) -> Omnibus:
    """All NaN, and why the test is impossible."""
    nan, note = np.nan, cannot_be_tested(note)
    effect = no_effect(effect_name)
    return Omnibus(
        statistic=nan, df1=nan, df2=nan, p=nan, effect=effect, omega_squared=nan, note=note
    )


def anova(samples: Sequence[Array], *, confidence: float = 0.95) -> Omnibus:
    """One-way ANOVA: F = MS between / MS within, df G - 1 and N - G (Fisher 1925; R's `aov`).

    Assumes independent values with one variance in all groups: `welch` where variances differ, `mixed`
    where patients have several lesions (at an intra-patient correlation of .5 it rejects 33 % for 5 %).

    samples : finite values per group, empty groups left out

    >>> test = anova([np.array([1.0, 2.0, 3.0]), np.array([3.0, 4.0, 5.0])])
    >>> round(test.statistic, 6), test.df1, test.df2, round(test.p, 6)
    (6.0, 1.0, 4.0, 0.070484)
    """
    reason = too_little(samples)
    if reason:
        return undefined(reason, "eta²")
    if not varies(samples):
        return undefined(_constant(samples), "eta²")
    n, g = sum(sample.size for sample in samples), len(samples)
    result = stats.f_oneway(*samples)
    return _f_test(float(result.statistic), g - 1.0, float(n - g), as_p(result.pvalue), confidence)


def welch(samples: Sequence[Array], *, confidence: float = 0.95) -> Omnibus:
    """Welch's ANOVA of groups with unequal variances (Biometrika 1951; 38: 330-336).

    Every group needs two values and a variance above 0. Assumes independent values: give the patients'
    means where patients have several lesions. Tested against R's `oneway.test`.
    """
    reason = too_little(samples) or unspread(samples)
    if reason:
        return undefined(reason, "omega²")
    result = stats.f_oneway(*samples, equal_var=False)
    n = np.array([sample.size for sample in samples])
    df2 = welch_df(n, variances(samples))
    return share_test(
        float(result.statistic), n.size - 1.0, df2, as_p(result.pvalue), int(n.sum()), confidence
    )


def share_test(f: float, df1: float, df2: float, p: float, n: float, confidence: float) -> Omnibus:
    """An F test whose effect is ω² of n units."""
    effect = omega_squared(f, df1, df2, n, confidence=confidence)
    return Omnibus(statistic=f, df1=df1, df2=df2, p=p, effect=effect, omega_squared=effect.effect)


def welch_df(n: NDArray[np.int64] | Array, variance: Array) -> float:
    """Denominator degrees of freedom of Welch's ANOVA.

    (G² - 1) / (3 Σ (1 - w_g / Σ w)² / (n_g - 1)),  w_g = n_g / s_g²
    """
    share = n / variance / (n / variance).sum()
    return float((n.size**2 - 1) / (3 * ((1 - share) ** 2 / (n - 1)).sum()))


def kruskal(samples: Sequence[Array], *, confidence: float = 0.95) -> Omnibus:
    """Kruskal-Wallis H, corrected for ties; χ² with G - 1 degrees of freedom.

    Its hypothesis is equal distributions: groups that differ in spread alone are called different
    more often than at the level (9 % at 5 % with SDs of 1, 1.5, 0.7, 1, 2 in the study's design); use
    `welch` there. Where no arrangement of so few values has a p below the level there is no test. Kruskal & Wallis, J Am Stat Assoc 1952; 47: 583-621. Tested against R's `kruskal.test`.
    """
    if len(samples) < 2:
        return undefined("fewer than two groups have values", "epsilon²")
    pooled = np.concatenate(list(samples))
    if np.ptp(pooled) == 0.0:
        return undefined("all values are equal", "epsilon²")
    sizes = [sample.size for sample in samples]
    beyond = unreachable(sizes, kruskal_reach(sizes))
    if beyond:
        return undefined(beyond, "epsilon²")
    result = stats.kruskal(*samples)
    h, n = float(result.statistic), pooled.size
    effect = epsilon_squared(h, n, len(samples), confidence=confidence)
    few = min(sample.size for sample in samples)
    note = f"smallest group has {few}: χ² is a rough guide" if few < 5 else ""
    return Omnibus(
        statistic=h,
        df1=len(samples) - 1.0,
        df2=np.nan,
        p=as_p(result.pvalue),
        effect=effect,
        omega_squared=np.nan,
        note=note,
    )


def mixed(model: BetweenPatients | str, *, confidence: float = 0.95) -> Omnibus:
    """Welch's F of the mixed model's means, variances from the scatter of the patients.

    Formulas and sources: `mixed_model`. Tested against lme4's REML means and CR2 variances written out
    in R; equal to Welch's test of the patients' means where all have equally many lesions. A group of
    one patient takes the pooled variance, and the note says so.
    """
    name = "omega² between patients"
    if isinstance(model, str):
        return undefined(model, name)
    if model.mean.size < 2:
        return undefined("fewer than two groups have values", name)
    f, df1, df2, note = model.welch_f()
    p = f_tail(f, df1, df2)
    test = share_test(f, df1, df2, p, model.n_patients, confidence)
    notes = joined(model.fit.note, note)
    return replace(
        test,
        effect=replace(test.effect, name=name),
        note=notes,
        classical=_classical_f(model),
    )


def _classical_f(model: BetweenPatients) -> Classical | None:
    """F of equal means as lmerTest has it; none where no lmer can be fitted."""
    if not model.fit.is_split:
        return None
    f, df = model.fit.satterthwaite_f()
    p = f_tail(f, model.mean.size - 1.0, df) if df > 0 else np.nan
    return Classical(statistic=f, df=df, p=p)


def levene(samples: Sequence[Array], *, center: str) -> tuple[float, float]:
    """Levene's test of equal variances, W and p; center `mean`, or `median` (Brown-Forsythe).

    ANOVA of |x - centre| (Levene 1960; Brown & Forsythe, J Am Stat Assoc 1974; 69: 364-367). It describes
    and chooses no test: choosing by a preliminary test distorts the level of the second. Tested against
    R's `anova` of these distances.
    """
    if too_little(samples) or not varies(samples) or max(sample.size for sample in samples) < 3:
        return np.nan, np.nan
    deviations = [np.abs(sample - getattr(np, center)(sample)) for sample in samples]
    if too_little(deviations) or not varies(deviations):
        return np.nan, np.nan
    result = stats.levene(*samples, center=center)
    return float(result.statistic), as_p(result.pvalue)


def _f_test(f: float, df1: float, df2: float, p: float, confidence: float) -> Omnibus:
    effect = eta_squared(f, df1, df2, confidence=confidence)
    share = omega_squared(f, df1, df2).effect
    return Omnibus(statistic=f, df1=df1, df2=df2, p=p, effect=effect, omega_squared=share)


def variances(samples: Sequence[Array]) -> Array:
    """Of each sample over n - 1; NaN for one value."""
    return np.array([sample.var(ddof=1) if sample.size > 1 else np.nan for sample in samples])


def varies(samples: Sequence[Array]) -> bool:
    """Whether values differ inside any group."""
    return any(sample.size > 1 and np.ptp(sample) > 0.0 for sample in samples)


def too_little(samples: Sequence[Array]) -> str:
    """Why there is no test at all, or nothing."""
    if len(samples) < 2:
        return "fewer than two groups have values"
    if sum(sample.size for sample in samples) <= len(samples):
        return "one value per group: no variance within groups"
    return ""


def unspread(samples: Sequence[Array]) -> str:
    """Why unequal variances cannot be allowed for, or nothing."""
    if any(sample.size < 2 for sample in samples):
        return "a group has one value: no variance of its own"
    if any(np.ptp(sample) == 0.0 for sample in samples):
        return "a group has equal values only: variance 0"
    return ""


def _constant(samples: Sequence[Array]) -> str:
    if np.ptp(np.concatenate(list(samples))) == 0.0:
        return "all values are equal"
    return "no variation within groups: F is unbounded"
