"""Tests of pairs of groups: LSD, Games-Howell, Dunn, contrasts of the mixed model.

All work from what they need (n, mean, variance; ranks; a fit), so that LSD and Games-Howell serve
lesions, patients' means and published tables alike. Differences are a - b. Tested against R
(`pairwise.t.test`, `ptukey`; tests/golden/make_group_tests.R), scikit-posthocs and SciPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from gsigpu.cohort_statistics.groups.effect_sizes import (
    Effect,
    hedges_g,
    hedges_g_unequal,
    no_effect,
    small_sample_correction,
)
from gsigpu.cohort_statistics.groups.omnibus import Classical
from gsigpu.cohort_statistics.groups.rank_reach import dunn_reach, unreachable
from gsigpu.cohort_statistics.groups.studentized_range import range_quantile, range_tail
from gsigpu.cohort_statistics.inference import (
    LEVEL,
    cannot_be_tested,
    joined,
    smallest_exact_p,
    two_sided,
)
from gsigpu.cohort_statistics.mixed_model.between_patients import BetweenPatients
from gsigpu.cohort_statistics.mixed_model.random_intercept import RandomIntercept
from gsigpu.cohort_statistics.roc.delong import delong

Array = NDArray[np.float64]
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class PairTest:
    """The test of one pair; p is simultaneous for Games-Howell, p_unadjusted is not."""

    difference: float
    ci_low: float
    ci_high: float
    statistic: float
    df: float
    p: float
    p_unadjusted: float
    effect: Effect
    note: str = ""
    classical: Classical | None = None


@dataclass(frozen=True, slots=True)
class Summaries:
    """n, mean and variance (over n - 1) of the groups, each (G,); mean NaN where n is 0."""

    n: Array
    mean: Array
    variance: Array


def summaries(samples: Sequence[Array]) -> Summaries:
    """Of finite values per group; equal values have variance 0 exactly."""
    return Summaries(
        n=np.array([sample.size for sample in samples], np.float64),
        mean=np.array([sample.mean() if sample.size else np.nan for sample in samples]),
        variance=np.array([_variance(sample) for sample in samples]),
    )


def _variance(sample: Array) -> float:
    if sample.size < 2:
        return np.nan
    return 0.0 if np.ptp(sample) == 0.0 else float(sample.var(ddof=1))


def untested(note: str, effect_name: str, *, difference: float = np.nan) -> PairTest:
    """No test, and why."""
    nan, note = np.nan, cannot_be_tested(note)
    return PairTest(
        difference=difference, ci_low=nan, ci_high=nan, statistic=nan, df=nan, p=nan,
        p_unadjusted=nan, effect=no_effect(effect_name), note=note,
    )  # fmt: skip


def lsd(groups: Summaries, pairs: Sequence[Pair], *, confidence: float = 0.95) -> list[PairTest]:
    """Fisher's least significant difference: t with the mean square within all groups.

    t = (x̄_a - x̄_b) / √(MSE (1 / n_a + 1 / n_b)),  MSE = Σ (n_g - 1) s_g² / (N - G), df N - G
    (Fisher 1935). It allows for no number of pairs, pools the variances of all groups, and takes values
    as independent: `games_howell` where variances differ, `mixed_contrasts` where patients have several
    lesions. Tested against R's `pairwise.t.test`.

    >>> three = Summaries(np.full(3, 10.0), np.array([5.032, 4.661, 5.526]), np.array([0.34, 0.63, 0.2]))
    >>> round(lsd(three, [(0, 1)])[0].p, 4)
    0.1952
    """
    n, mean = groups.n, groups.mean
    used = n > 0
    df = float(n.sum() - used.sum())
    spread = np.where(n > 1, (n - 1) * np.nan_to_num(groups.variance), 0.0)
    mse = float(spread.sum()) / df if df > 0 else np.nan
    tests = []
    for a, b in pairs:
        gap = float(mean[a] - mean[b])
        if not (used[a] and used[b]):
            tests.append(untested("a group has no values", "Hedges g"))
        elif not mse > 0:
            tests.append(untested("no variance within groups", "Hedges g", difference=gap))
        else:
            test = _t_test(gap, float(np.sqrt(mse * (1 / n[a] + 1 / n[b]))), df, confidence)
            effective = float(n[a] * n[b] / (n[a] + n[b]))
            effect = hedges_g(gap, float(np.sqrt(mse)), df, effective, confidence=confidence)
            tests.append(replace(test, effect=effect))
    return tests


def games_howell(
    groups: Summaries, pairs: Sequence[Pair], *, confidence: float = 0.95
) -> list[PairTest]:
    """Games-Howell: unequal variances, simultaneous over all pairs (J Educ Stat 1976; 1: 113-125).

    q = √2 |x̄_a - x̄_b| / √(s_a²/n_a + s_b²/n_b), studentized range of G means and Welch's df. SciPy's
    `tukey_hsd(equal_var=False)` gives the same, takes no summaries, and needs seconds for intervals.
    """
    n, mean, variance = groups.n, groups.mean, groups.variance
    n_means = int((n > 0).sum())
    tests = []
    for a, b in pairs:
        gap = float(mean[a] - mean[b])
        if min(n[a], n[b]) < 1:
            tests.append(untested("a group has no values", "Hedges g"))
        elif min(n[a], n[b]) < 2:
            note = "a group has one value: no variance of its own"
            tests.append(untested(note, "Hedges g", difference=gap))
        elif not variance[a] + variance[b] > 0:
            tests.append(untested("no variance in either group", "Hedges g", difference=gap))
        else:
            parts = variance[[a, b]] / n[[a, b]]
            se = float(np.sqrt(parts.sum()))
            df = float(parts.sum() ** 2 / (parts**2 / (n[[a, b]] - 1)).sum())
            q = abs(gap) / se * np.sqrt(2.0)
            half = range_quantile(confidence, n_means, df) * se / np.sqrt(2.0)
            single = _t_test(gap, se, df, confidence)
            effect = hedges_g_unequal(
                mean[[a, b]], variance[[a, b]], n[[a, b]], confidence=confidence
            )
            # Simultaneous p are never below that of the pair alone.
            p = float(np.clip(range_tail(q, n_means, df), single.p, 1.0))
            note = "" if min(variance[a], variance[b]) > 0 else "a group has variance 0"
            tests.append(
                replace(
                    single, ci_low=gap - half, ci_high=gap + half, p=p, effect=effect, note=note
                )
            )
    return tests


def dunn(
    samples: Sequence[Array], pairs: Sequence[Pair], *, confidence: float = 0.95
) -> list[PairTest]:
    """Dunn's test: difference of mean ranks among all groups, ties handled (Technometrics 1964; 6: 241-252).

    z = (R̄_a - R̄_b) / √((N (N + 1) / 12 - Σ (t³ - t) / (12 (N - 1))) (1 / n_a + 1 / n_b))
    The interval is of the difference of mean ranks. The effect is Cliff's δ = 2 AUC - 1 of the pair.
    Assumes independent values and equal spreads: `games_howell` where spreads differ. Tested against
    the formula in R and scikit-posthocs.
    """
    name = "Cliff delta"
    used = [code for code, sample in enumerate(samples) if sample.size]
    empty = "a group has no values"
    if not used or np.ptp(np.concatenate([samples[code] for code in used])) == 0.0:
        return [
            untested(
                "all values are equal" if a in used and b in used else empty,
                name,
                difference=0.0 if a in used and b in used else np.nan,
            )
            for a, b in pairs
        ]
    frame = pd.DataFrame(
        {
            "value": np.concatenate([samples[code] for code in used]),
            "group": np.repeat(used, [samples[code].size for code in used]),
        }
    )
    frame["rank"] = stats.rankdata(frame["value"])
    mean_rank = frame.groupby("group")["rank"].mean()
    n_all = len(frame)
    _, ties = np.unique(frame["value"], return_counts=True)
    unit = n_all * (n_all + 1) / 12 - float((ties.astype(float) ** 3 - ties).sum()) / (
        12 * (n_all - 1)
    )
    reach = float(stats.norm.ppf((1 + confidence) / 2))
    tests = []
    for a, b in pairs:
        if a not in used or b not in used:
            tests.append(untested(empty, name))
            continue
        gap = float(mean_rank[a] - mean_rank[b])
        sizes = samples[a].size, samples[b].size
        beyond = _few_ranks(*sizes, n_all)
        if beyond:
            tests.append(untested(beyond, name, difference=gap))
            continue
        se = float(np.sqrt(unit * (1 / sizes[0] + 1 / sizes[1])))
        p = two_sided(gap / se, np.inf)
        tests.append(
            PairTest(
                difference=gap, ci_low=gap - reach * se, ci_high=gap + reach * se,
                statistic=gap / se, df=np.inf, p=p, p_unadjusted=p,
                effect=_cliff(samples[a], samples[b], confidence), note=_borrowed(*sizes),
            )
        )  # fmt: skip
    return tests


def _few_ranks(n_a: int, n_b: int, n_all: int) -> str:
    """Why a pair of groups has no test of ranks, or nothing."""
    if min(n_a, n_b) < 2:
        return "a group has one value"
    return unreachable((n_a, n_b), dunn_reach(n_a, n_b, n_all))


def _borrowed(n_a: int, n_b: int) -> str:
    """Says so where a p below the level is owed to the ranks of the other groups."""
    least = smallest_exact_p(n_a, n_b)
    if least < LEVEL:
        return ""
    return f"alone, {n_a} against {n_b} reach no exact p below {least:.3f}".replace(" 0.", " .") + (
        ": this rests on the ranks of all groups"
    )


def _cliff(a: Array, b: Array, confidence: float) -> Effect:
    """2 AUC - 1 with DeLong's interval on the log odds."""
    estimated = delong(a, b, confidence=confidence, scale="logit")
    return Effect(
        effect=2 * estimated.auc - 1,
        low=2 * estimated.ci_low - 1,
        high=2 * estimated.ci_high - 1,
        name="Cliff delta",
    )


def mixed_contrasts(
    model: BetweenPatients | str,
    present: Sequence[int],
    pairs: Sequence[Pair],
    *,
    confidence: float = 0.95,
) -> list[PairTest]:
    """Differences of the mixed model's means, t with between-patient degrees of freedom.

    present : codes of the groups that the model knows, in its order
    The effect is the difference over √(σ_b² + σ_e²), the SD of a lesion, times J(df); its interval
    adds the variance of that SD (delta method, as Hedges, J Educ Behav Stat 2007; 32: 341-370).
    Tested against CR2 variances written out in R on lme4's fit.
    """
    name = "Hedges g"
    tests = []
    for a, b in pairs:
        if a not in present or b not in present:
            tests.append(untested("a group has no values", name))
            continue
        if isinstance(model, str):
            tests.append(untested(model, name))
            continue
        places = list(present).index(a), list(present).index(b)
        gap, se, df, note = model.contrast(*places)
        test = _t_test(gap, se, df, confidence)
        effect = _total_g(model.fit, gap, se, df, confidence)
        notes = joined(model.fit.note, note)
        classical = _classical_t(model.fit, places)
        tests.append(replace(test, effect=effect, note=notes, classical=classical))
    return tests


def _classical_t(fit: RandomIntercept, places: Pair) -> Classical | None:
    """T of a pair as lmerTest has it; none where no lmer can be fitted."""
    if not fit.is_split:
        return None
    contrast = np.zeros(fit.mean.size)
    contrast[list(places)] = 1.0, -1.0
    t, df = (
        float(contrast @ fit.mean) / fit.standard_error(contrast),
        fit.satterthwaite_df(contrast),
    )
    return Classical(statistic=t, df=df, p=two_sided(t, df))


def _total_g(fit: RandomIntercept, gap: float, se: float, df: float, confidence: float) -> Effect:
    variance = float(np.nansum([fit.between_variance, fit.residual_variance]))
    d = gap / float(np.sqrt(variance))
    spread = se**2 / variance + d**2 * fit.log_total_variance_spread() / 4
    half = float(stats.t.ppf((1 + confidence) / 2, df)) * float(np.sqrt(spread))
    j = small_sample_correction(fit.df)
    return Effect(effect=j * d, low=j * (d - half), high=j * (d + half), name="Hedges g")


def _t_test(gap: float, se: float, df: float, confidence: float) -> PairTest:
    t = gap / se
    half = float(stats.t.ppf((1 + confidence) / 2, df)) * se
    p = two_sided(t, df)
    return PairTest(
        difference=gap, ci_low=gap - half, ci_high=gap + half, statistic=t, df=df, p=p,
        p_unadjusted=p, effect=no_effect("Hedges g"),
    )  # fmt: skip
