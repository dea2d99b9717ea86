"""The patient bootstrap of ROC curves: whole patients are drawn, all their lesions with them.

Patients are drawn within their group (of a group of I patients I - 1, with replacement: the rescaled
bootstrap of Rao & Wu, J Am Stat Assoc 1988; 83: 231-241, whose variance is unbiased also for twelve
patients). A replicate is a vector of weights, so that everything below is arithmetic on arrays

    at_or_above (cut-offs, replicates) = cumulated  lesions (cut-offs, patients) @ weights (patients, replicates)

one product per group, shared by all pairs. Where a cohort has more distinct values than
`N_CUTOFFS`, replicates look at that many cut-offs, spread evenly over the ranks; values between two of
them count as ties. Point estimates never come from here. Tested against a loop over copies of lesions,
each replicate drawn out and measured by `curve`; its standard error against Obuchowski's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from gsigpu.cohort_statistics.roc.curve import Array, Direction, midway, oriented

N_CUTOFFS = 1000  # distinct values above which neighbours share a bin: a thousandth of the ranks
CHUNK = 250  # replicates at a time: the arrays of a chunk stay in the cache

Codes = NDArray[np.intp]
Counts = NDArray[np.float32]  # whole numbers, exact up to 2^24


class Pair(NamedTuple):
    """Two groups by their codes, the positive one first."""

    positive: int
    negative: int
    direction: Direction


@dataclass(frozen=True, slots=True)
class Replicates:
    """What R replicates of one pair gave.

    auc : (R,), NaN where a replicate left a group empty
    cutoff : (R,) Youden's cut-off of each replicate; ±inf where none beat chance
    sensitivity_optimism, specificity_optimism : mean over replicates of what the replicate's own
        cut-off reaches in the replicate less what it reaches in the original lesions (Efron & Gong,
        Am Stat 1983; 37: 36-48)
    tpr : (n_grid, R) sensitivity on the grid of false-positive rates
    """

    auc: Array
    cutoff: Array
    sensitivity_optimism: float
    specificity_optimism: float
    tpr: NDArray[np.float32]


def bootstrap_pairs(
    values: Array,
    groups: Codes,
    patients: Codes,
    pairs: Sequence[Pair],
    *,
    n_replicates: int,
    fpr_grid: Array,
    rng: np.random.Generator,
) -> list[Replicates]:
    """Replicates of every pair, all from the same draws of patients.

    values (n,) finite; groups (n,) codes from 0; patients (n,) codes from 0
    fpr_grid : (n_grid,) from 0 to 1, evenly spaced
    """
    bins = bin_values(values)
    n_patients = int(patients.max()) + 1
    lesions = [
        csr_array(
            (np.ones(mine.size, np.float32), (bins.of_value[mine], patients[mine])),
            shape=(bins.top.size, n_patients),
        )
        for mine in (np.flatnonzero(groups == code) for code in range(int(groups.max()) + 1))
    ]
    ones = np.ones((n_patients, 1), np.float32)
    original = [_at_or_above(group_lesions, ones) for group_lesions in lesions]
    strata = home_groups(groups, patients)
    parts: list[list[tuple[NDArray[Any], ...]]] = [[] for _ in pairs]
    for weights in patient_weights(strata, n_replicates, rng):
        drawn = [_at_or_above(group_lesions, weights) for group_lesions in lesions]
        for chunks, pair in zip(parts, pairs, strict=True):
            chunks.append(_chunk(pair, drawn, original, bins, fpr_grid.size))
    return [_joined(chunks) for chunks in parts]


class Bins(NamedTuple):
    """Distinct values, or runs of neighbouring ones, the highest first.

    of_value (n,) : bin of each value; top, bottom (n_bins,) : highest and lowest value of each bin
    """

    of_value: Codes
    top: Array
    bottom: Array

    def oriented(self, direction: Direction) -> tuple[Array, Array]:
        """Top and bottom with the values turned so that positives are expected above."""
        if direction == "higher":
            return self.top, self.bottom
        return -self.bottom[::-1], -self.top[::-1]


def bin_values(values: Array) -> Bins:
    """One bin per distinct value, at most N_CUTOFFS.

    >>> bins = bin_values(np.array([1.0, 4.0, 2.0, 4.0]))
    >>> bins.of_value.tolist(), bins.top.tolist()
    ([2, 0, 1, 0], [4.0, 2.0, 1.0])
    """
    negated, ranks = np.unique(-values, return_inverse=True)
    n_bins = min(negated.size, N_CUTOFFS)
    bin_of = np.arange(negated.size) * n_bins // negated.size
    first = np.flatnonzero(np.diff(bin_of, prepend=-1))
    last = np.append(first[1:] - 1, negated.size - 1)
    return Bins(of_value=bin_of[ranks], top=-negated[first], bottom=-negated[last])


def home_groups(groups: Codes, patients: Codes) -> Codes:
    """The group each patient is drawn in: the one with most of the patient's lesions.

    >>> home_groups(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    array([0, 1])
    """
    counts = np.zeros((int(patients.max()) + 1, int(groups.max()) + 1), np.int64)
    np.add.at(counts, (patients, groups), 1)
    home: Codes = counts.argmax(axis=1)
    return home


def patient_weights(
    strata: Codes, n_replicates: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """How often each patient is drawn: (patients, replicates) float32, in chunks of replicates.

    strata : (patients,) codes; of I patients of a stratum I - 1 are drawn, a single one always
    """
    members = [np.flatnonzero(strata == code) for code in np.unique(strata)]
    for start in range(0, n_replicates, CHUNK):
        width = min(CHUNK, n_replicates - start)
        weights = np.ones((strata.size, width), np.float32)
        for mine in members:
            if mine.size > 1:
                draws = rng.integers(0, mine.size, (width, mine.size - 1), dtype=np.int32)
                # Made wide in the same step: `bincount` copies all that is no index.
                places = draws + np.arange(0, width * mine.size, mine.size, dtype=np.intp)[:, None]
                counts = np.bincount(places.ravel(), minlength=width * mine.size)
                weights[mine] = counts.reshape(width, mine.size).T
        yield weights


def _at_or_above(lesions: csr_array, weights: NDArray[np.float32]) -> Counts:
    """Lesions above each cut-off, weighted: (n_bins + 1, replicates), from 0 to all."""
    counts = np.zeros((lesions.shape[0] + 1, weights.shape[1]), np.float32)
    np.cumsum(lesions @ weights, axis=0, out=counts[1:])
    return counts


def _strictest_first(counts: Counts, direction: Direction) -> Counts:
    """Lesions called positive at each cut-off, from none to all."""
    return counts if direction == "higher" else counts[-1:] - counts[::-1]


def _chunk(
    pair: Pair, drawn: list[Counts], original: list[Counts], bins: Bins, n_grid: int
) -> tuple[NDArray[Any], ...]:
    """AUC, cut-off, both optimisms and the curve on the grid, of one chunk of replicates."""
    true, false = (
        _strictest_first(drawn[code], pair.direction) for code in (pair.positive, pair.negative)
    )
    true0, false0 = (
        _strictest_first(original[code], pair.direction)[:, 0]
        for code in (pair.positive, pair.negative)
    )
    with np.errstate(invalid="ignore"):
        tpr, fpr = true / true[-1:], false / false[-1:]
    best, cutoff = _best_cutoffs(true, false, bins, pair.direction)
    column = np.arange(best.size)
    # The original lesions between the drawn neighbours of a cut-off lie on either side of it.
    _, bottom = bins.oriented(pair.direction)
    n_above = bottom.size - np.searchsorted(bottom[::-1], cutoff, side="right")
    return (
        trapezoid(fpr, tpr),
        oriented(cutoff, pair.direction),
        tpr[best, column] - true0[n_above] / true0[-1],
        false0[n_above] / false0[-1] - fpr[best, column],
        on_grid(fpr, tpr, n_grid),
    )


def _best_cutoffs(
    true: Counts, false: Counts, bins: Bins, direction: Direction
) -> tuple[Codes, Array]:
    """Youden's cut-off of each replicate, by the rule of `curve.youden`.

    true, false (n_bins + 1, R) : lesions called positive, the strictest cut-off first
    Returns the place in these arrays, and the cut-off on the oriented scale: midway between the
    neighbouring values that the replicate drew; inf where none beats chance.
    """
    # In whole lesions, so that equal cut-offs are equal and the strictest of them is taken.
    n_true, n_false = true[-1:].astype(np.float64), false[-1:].astype(np.float64)
    gain = true * n_false - false * n_true
    best = np.argmax(gain, axis=0)
    column = np.arange(best.size)
    useful = gain[best, column] > 0.0
    called = true + false
    following = (called <= called[best, column]).sum(axis=0) - 1  # the next bin that was drawn
    top, bottom = bins.oriented(direction)
    last = top.size - 1
    middle = midway(bottom[np.maximum(best - 1, 0)], top[np.minimum(following, last)])
    return best, np.where(useful, middle, np.inf)


def trapezoid(fpr: NDArray[np.float32], tpr: NDArray[np.float32]) -> NDArray[np.float32]:
    """Area under each column's curve, ties as one half."""
    return np.asarray(np.einsum("kr,kr->r", np.diff(fpr, axis=0), tpr[1:] + tpr[:-1]) / 2)


def on_grid(fpr: NDArray[np.float32], tpr: NDArray[np.float32], n_grid: int) -> NDArray[np.float32]:
    """Sensitivity at evenly spaced false-positive rates, straight between the points of the curve.

    fpr, tpr : (k, R), each column from 0 to 1
    Returns (n_grid, R); at a jump the upper end.

    >>> curve = np.array([[0.0, 0.0, 0.5, 1.0], [0.0, 0.6, 1.0, 1.0]], np.float32)[..., None]
    >>> on_grid(curve[0], curve[1], 5)[:, 0].round(2).tolist()
    [0.6000000238418579, 0.800000011920929, 1.0, 1.0, 1.0]
    """
    k, n = fpr.shape
    step = n_grid - 1
    # The first grid point at or beyond each point of the curve; the slack forgives rounding.
    first = np.ceil(np.nan_to_num(fpr) * step - 1e-3).astype(np.int64)
    flat = (first + np.arange(n) * n_grid).ravel()
    reached = np.bincount(flat, minlength=n * n_grid).reshape(n, n_grid).cumsum(axis=1).T - 1
    following = np.minimum(reached + 1, k - 1)
    at = [index * n + np.arange(n) for index in (reached, following)]
    f0, f1 = (fpr.take(index) for index in at)
    t0, t1 = (tpr.take(index) for index in at)
    grid = np.linspace(0.0, 1.0, n_grid, dtype=np.float32)[:, None]
    width = np.where(f1 > f0, f1 - f0, 1.0)
    share = np.clip((grid - f0) / width, 0.0, 1.0)
    return np.asarray(t0 + share * (t1 - t0), np.float32)


def interpolated(fpr: Array, tpr: Array, n_grid: int) -> Array:
    """One curve on the grid, as the replicates are.

    >>> interpolated(np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 1.0]), 5)
    array([0. , 0.5, 1. , 1. , 1. ])
    """
    x, y = fpr.astype(np.float32), tpr.astype(np.float32)
    return on_grid(x[:, None], y[:, None], n_grid)[:, 0].astype(np.float64)


def _joined(chunks: list[tuple[NDArray[Any], ...]]) -> Replicates:
    """All chunks of a pair."""
    auc, cutoff, sensitivity, specificity = (
        np.concatenate([chunk[k] for chunk in chunks]).astype(np.float64) for k in range(4)
    )
    return Replicates(
        auc=auc,
        cutoff=cutoff,
        sensitivity_optimism=float(np.nanmean(sensitivity)),
        specificity_optimism=float(np.nanmean(specificity)),
        tpr=np.concatenate([chunk[4] for chunk in chunks], axis=1),
    )
