"""What a cut-off does: shares of lesions called right, predictive values, likelihood ratios, cross tabulation.

A lesion is called positive above the cut-off (below it for direction `lower`); a value at the cut-off itself
is negative. With sensitivity s, specificity c and a stated prevalence π

    LR+ = s / (1 - c),   LR- = (1 - s) / c
    PPV = π s / (π s + (1 - π)(1 - c)),   NPV = (1 - π) c / ((1 - π) c + π (1 - s))

The prevalence is never the study's own share of the groups, which is how its patients were chosen. Patients are
the units: shares have the variance of Rao & Scott (`clustered_rate`), the logs of LR the delta method with those
variances (Simel et al., J Clin Epidemiol 1991; 44: 763-770), and predictive values follow from LR by their odds
(Mercaldo et al., Stat Med 2007; 26: 2170-2183). Where nobody is called wrong, a log has no variance: the bounds of
LR then come from those of both shares, which is wider.

Tested against epiR's `epi.tests` (estimates) and clubSandwich's CR1 variances (intervals). A cut-off that was
chosen on the same lesions flatters itself: take the corrected values of `roc_tables`, or `apply_cutoffs` on others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from gsigpu.cohort_statistics.frames import DECISION_COLUMNS, SAME_LESIONS
from gsigpu.cohort_statistics.inference import cannot_be_tested, containing, joined
from gsigpu.cohort_statistics.roc.clustered_rate import share_interval
from gsigpu.cohort_statistics.roc.curve import Direction, one_parameter, oriented
from gsigpu.cohort_statistics.sample import clean_sample
from gsigpu.errors import InputError, SettingsError

Shares = tuple[float, float, float]
EDGE = (
    "nobody is called wrong in a group: bounds of the likelihood ratios from those of both shares"
)


@dataclass(frozen=True, slots=True)
class Decision:
    """One cut-off on two groups; bounds are `*_low`, `*_high`.

    true_positive, false_negative, false_positive, true_negative : lesions
    ppv, npv : at `prevalence`, NaN where none is stated
    """

    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int
    sensitivity: float
    sensitivity_low: float
    sensitivity_high: float
    specificity: float
    specificity_low: float
    specificity_high: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    lr_positive: float
    lr_positive_low: float
    lr_positive_high: float
    lr_negative: float
    lr_negative_low: float
    lr_negative_high: float
    prevalence: float
    ppv: float
    ppv_low: float
    ppv_high: float
    npv: float
    npv_low: float
    npv_high: float
    note: str = ""


def decision_at(
    positive: ArrayLike,
    negative: ArrayLike,
    positive_patients: ArrayLike,
    negative_patients: ArrayLike,
    *,
    cutoff: float,
    direction: Direction = "higher",
    prevalence: float | None = None,
    confidence: float = 0.95,
) -> Decision:
    """Everything about one cut-off.

    positive (m,), negative (n,) : finite values; *_patients : patient of each lesion, str or int
    prevalence : share of positives among those the test will be used on, 0 to 1
    Raises InputError for an empty group, missing values or patients that do not match, SettingsError for a
    prevalence outside (0, 1).

    >>> d = decision_at([3, 4, 1], [1, 2, 0], list("abc"), list("def"), cutoff=2.5, prevalence=0.1)
    >>> d.true_positive, round(d.sensitivity, 3), d.specificity, round(d.npv, 3)
    (2, 0.667, 1.0, 0.964)
    """
    if prevalence is not None and not 0.0 < prevalence < 1.0:
        raise SettingsError(f"prevalence {prevalence} is not between 0 and 1")
    x, y = one_parameter(oriented(positive, direction), oriented(negative, direction))
    at = float(oriented(cutoff, direction))
    hits, rejects = x > at, y <= at
    named = np.asarray(positive_patients).astype(str), np.asarray(negative_patients).astype(str)
    if named[0].shape != hits.shape or named[1].shape != rejects.shape:
        raise InputError("one patient per lesion is needed for a decision")
    # Names are sorted once and not for each share; their codes have the same order.
    codes = np.unique(np.concatenate(named), return_inverse=True)[1]
    units = codes[: hits.size], codes[hits.size :]
    right = np.concatenate([hits, rejects])
    sensitivity = _share(hits, units[0], confidence)
    specificity = _share(rejects, units[1], confidence)
    accuracy = _share(right, codes, confidence)
    called = _ratio(hits, ~rejects, units, sensitivity, _complement(specificity), confidence)
    missed = _ratio(~hits, rejects, units, _complement(sensitivity), specificity, confidence)
    odds = np.nan if prevalence is None else prevalence / (1.0 - prevalence)
    ppv = tuple(_share_of_odds(ratio * odds) for ratio in called)
    npv = tuple(1.0 - _share_of_odds(ratio * odds) for ratio in (missed[0], missed[2], missed[1]))
    note = EDGE if min(hits.sum(), (~hits).sum(), rejects.sum(), (~rejects).sum()) == 0 else ""
    return Decision(
        true_positive=int(hits.sum()),
        false_negative=int((~hits).sum()),
        false_positive=int((~rejects).sum()),
        true_negative=int(rejects.sum()),
        prevalence=np.nan if prevalence is None else prevalence,
        note=note,
        **_named("sensitivity", sensitivity),
        **_named("specificity", specificity),
        **_named("accuracy", accuracy),
        **_named("lr_positive", called),
        **_named("lr_negative", missed),
        **_named("ppv", ppv),
        **_named("npv", npv),
    )


def _named(name: str, three: Sequence[float]) -> dict[str, float]:
    return {name: three[0], f"{name}_low": three[1], f"{name}_high": three[2]}


def _share(hits: NDArray[np.bool_], patients: NDArray[np.intp], confidence: float) -> Shares:
    share = float(hits.mean())
    low, high = share_interval(hits, patients, confidence=confidence)
    return share, *containing(low, share, high)


def _complement(share: Shares) -> Shares:
    return 1.0 - share[0], 1.0 - share[2], 1.0 - share[1]


def _share_of_odds(odds: float) -> float:
    return 1.0 if np.isinf(odds) else odds / (1.0 + odds)


def _ratio(
    above: NDArray[np.bool_],
    below: NDArray[np.bool_],
    units: tuple[NDArray[np.intp], NDArray[np.intp]],
    top: Shares,
    bottom: Shares,
    confidence: float,
) -> Shares:
    """Share of `above` over share of `below` with its interval on the log scale."""
    ratio = top[0] / bottom[0] if bottom[0] > 0 else (np.inf if top[0] > 0 else np.nan)
    if min(above.sum(), below.sum()) == 0 or above.all() or below.all():
        low = top[1] / bottom[2] if bottom[2] > 0 else np.nan
        high = top[2] / bottom[1] if bottom[1] > 0 else np.inf
        return ratio, low, high
    names, codes = np.unique(np.concatenate(units), return_inverse=True)
    a, b = codes[: above.size], codes[above.size :]
    log_a = _deviations(above, a, names.size) / top[0]
    log_b = _deviations(below, b, names.size) / bottom[0]
    variance = _summed_square(log_a, a) + _summed_square(log_b, b)
    shared = np.intersect1d(a, b)
    if shared.size:
        n = names.size
        variance -= 2.0 * n / (n - 1.0) * float(log_a @ log_b)
    half = float(norm.ppf((1.0 + confidence) / 2.0)) * float(np.sqrt(max(variance, 0.0)))
    return ratio, ratio * float(np.exp(-half)), ratio * float(np.exp(half))


def _deviations(hits: NDArray[np.bool_], codes: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    """Of each patient: (hits - lesions times the share) over all lesions."""
    sums = np.bincount(codes, weights=hits, minlength=n)
    sizes = np.bincount(codes, minlength=n)
    return np.asarray((sums - sizes * hits.mean()) / hits.size, np.float64)


def _summed_square(deviations: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
    n = np.unique(codes).size
    return n / (n - 1.0) * float(deviations @ deviations) if n > 1 else np.nan


def decisions(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    cutoffs: pd.DataFrame,
    *,
    order: Sequence[str],
    source: str,
    prevalence: float | Mapping[str, float] | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """What given cut-offs do to these lesions, one row each.

    values (n,) float, NaN where missing; groups (n,), patients (n,) str; order : the groups
    cutoffs : rows of `roc_tables` or of its file, of one phase, region and parameter: `track, group_a, group_b,
        direction, cutoff`; a pair and track occurs once. group_b `rest` is every other group
    source : where the cut-offs come from, `same lesions` or the name of another study
    prevalence : of group_a, for all or by group_a; no predictive values without
    Returns DECISION_COLUMNS. On the lesions that the cut-offs were chosen on these shares are too good; on
    another study they are an external validation, and nothing in them is fitted.
    """
    sample = clean_sample(values, groups, patients, order)
    names = np.array(sample.order, dtype=object)[sample.group]
    rows: list[dict[str, object]] = []
    for cut in cutoffs.drop_duplicates(["track", "group_a", "group_b"]).to_dict("records"):
        a, b = str(cut["group_a"]), str(cut["group_b"])
        first = names == a
        second = ~first if b == "rest" else names == b
        row: dict[str, object] = {
            key: cut[key] for key in ("track", "group_a", "group_b", "direction", "cutoff")
        } | {
            "source": source,
            "n_a": int(first.sum()),
            "n_b": int(second.sum()),
            "n_patients_a": int(np.unique(sample.patient[first]).size),
            "n_patients_b": int(np.unique(sample.patient[second]).size),
        }
        if not np.isfinite(float(cut["cutoff"])):
            rows.append(row | {"note": cannot_be_tested("no cut-off beats chance")})
        elif not (first.any() and second.any()):
            rows.append(row | {"note": cannot_be_tested("a group has no values")})
        else:
            # The paper track takes every lesion as independent.
            unit = np.arange(names.size) if cut["track"] == "paper" else sample.patient
            decision = decision_at(
                sample.values[first],
                sample.values[second],
                unit[first],
                unit[second],
                cutoff=float(cut["cutoff"]),
                direction="lower" if cut["direction"] == "lower" else "higher",
                prevalence=prevalence.get(a) if isinstance(prevalence, Mapping) else prevalence,
                confidence=confidence,
            )
            note = "chosen on these lesions: too good" if source == SAME_LESIONS else ""
            rows.append(row | asdict(decision) | {"note": joined(note, decision.note)})
    return pd.DataFrame(rows, columns=list(DECISION_COLUMNS))
