"""The patient bootstrap of ROC curves: whole patients are drawn, all their lesions with them.

Patients are drawn within their group (of a group of I patients I - 1, with replacement: the rescaled
bootstrap of Rao & Wu, J Am Stat Assoc 1988; 83: 231-241, whose variance is unbiased also for twelve
patients). A replicate is a vector of weights, so that everything below is arithmetic on arrays

    at_or_above (cut-offs, replicates) = cumulated  lesions (cut-offs, patients) @ weights (patients, replicates)

one product per group, shared by all pairs. `compiled_bootstrap` counts the same without the product, where it was
built. Where a cohort has more distinct values than
`N_CUTOFFS`, replicates look at that many cut-offs, spread evenly over the ranks; values between two of
them count as ties. Point estimates never come from here. Tested against a loop over copies of lesions,
each replicate drawn out and measured by `curve`; its standard error against Obuchowski's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from gsigpu.backends import compiled_bootstrap
from gsigpu.backends.compiled_bootstrap import FIELDS, Counted, Drawing
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
    strata = home_groups(groups, patients)
    drawing = Drawing(
        of_bin=bins.of_value,
        groups=groups,
        patients=patients,
        strata=strata,
        pairs=[(pair.positive, pair.negative, pair.direction == "lower") for pair in pairs],
        n_bins=bins.top.size,
        n_grid=fpr_grid.size,
        n_replicates=n_replicates,
        chunk=CHUNK,
    )
    counted = compiled_bootstrap.replicates(drawing, rng) or in_numpy(drawing, rng)
    n_values = np.zeros((int(groups.max()) + 1, bins.top.size + 1), np.int64)
    np.add.at(n_values, (groups, bins.of_value + 1), 1)
    return [
        _of_pair(pair, dict(zip(FIELDS, counts.T, strict=True)), curves.T, n_values.cumsum(1), bins)
        for pair, counts, curves in zip(pairs, counted.counts, counted.curves, strict=True)
    ]


def in_numpy(drawing: Drawing, rng: np.random.Generator) -> Counted:
    """The truth that the compiled loop is tested against."""
    lesions = [
        csr_array(
            (np.ones(mine.size, np.float32), (drawing.of_bin[mine], drawing.patients[mine])),
            shape=(drawing.n_bins, drawing.strata.size),
        )
        for mine in (
            np.flatnonzero(drawing.groups == code) for code in range(int(drawing.groups.max()) + 1)
        )
    ]
    parts: list[list[Counted]] = [[] for _ in drawing.pairs]
    for weights in patient_weights(drawing.strata, drawing.n_replicates, rng):
        drawn = [_at_or_above(group_lesions, weights) for group_lesions in lesions]
        for chunks, (positive, negative, is_lower) in zip(parts, drawing.pairs, strict=True):
            true, false = (_strictest_first(drawn[code], is_lower) for code in (positive, negative))
            chunks.append(_counted(true, false, drawing.n_grid))
    return Counted(
        np.stack([np.concatenate([chunk.counts for chunk in chunks]) for chunks in parts]),
        np.stack([np.concatenate([chunk.curves for chunk in chunks]) for chunks in parts]),
    )


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


def _strictest_first(counts: Counts, is_lower: bool) -> Counts:
    """Lesions called positive at each cut-off, from none to all."""
    return counts[-1:] - counts[::-1] if is_lower else counts


def _counted(true: Counts, false: Counts, n_grid: int) -> Counted:
    """Of one chunk and pair: twice the area, Youden's cut-off by the rule of `curve.youden`, the curve on the grid.

    true, false (n_bins + 1, R) : lesions called positive, the strictest cut-off first
    """
    # In whole lesions, so that equal cut-offs are equal and the strictest of them is taken.
    n_true, n_false = true[-1:].astype(np.float64), false[-1:].astype(np.float64)
    best = np.argmax(true * n_false - false * n_true, axis=0)
    column = np.arange(best.size)
    called = true + false
    following = (called <= called[best, column]).sum(axis=0) - 1  # the next bin that was drawn
    twice_area = np.einsum(
        "kr,kr->r", np.diff(false, axis=0), true[1:] + true[:-1], dtype=np.float64
    )
    fields = (
        twice_area, best, following, true[best, column], false[best, column], n_true[0], n_false[0],
    )  # fmt: skip
    with np.errstate(invalid="ignore"):
        curves = on_grid(false / false[-1:], true / true[-1:], n_grid)
    return Counted(np.stack(fields, axis=1).astype(np.int64), curves.T)


def _of_pair(
    pair: Pair,
    counts: dict[str, NDArray[np.int64]],
    curves: NDArray[np.float32],
    n_values: NDArray[np.int64],
    bins: Bins,
) -> Replicates:
    """Areas, cut-offs and optimisms from counts.

    The cut-off is midway between the neighbouring values that the replicate drew; inf where none beats chance.
    counts : (R,) of each of FIELDS; n_values (groups, n_bins + 1) : the original lesions, cumulated
    """
    true0, false0 = (n_values[code] for code in (pair.positive, pair.negative))
    if pair.direction == "lower":
        true0, false0 = true0[-1] - true0[::-1], false0[-1] - false0[::-1]
    n_true, n_false = counts["n_true"], counts["n_false"]
    with np.errstate(invalid="ignore", divide="ignore"):
        auc = counts["area"] / 2.0 / (n_true * n_false)
        tpr, fpr = counts["n_true_at_best"] / n_true, counts["n_false_at_best"] / n_false
    top, bottom = bins.oriented(pair.direction)
    above = bottom[np.maximum(counts["best"] - 1, 0)]
    beneath = top[np.minimum(counts["following"], top.size - 1)]
    useful = counts["n_true_at_best"] * n_false > counts["n_false_at_best"] * n_true
    cutoff = np.where(useful, midway(above, beneath), np.inf)
    # The original lesions between the drawn neighbours of a cut-off lie on either side of it.
    n_above = bottom.size - np.searchsorted(bottom[::-1], cutoff, side="right")
    return Replicates(
        auc=auc,
        cutoff=oriented(cutoff, pair.direction),
        sensitivity_optimism=float(np.nanmean(tpr - true0[n_above] / true0[-1])),
        specificity_optimism=float(np.nanmean(false0[n_above] / false0[-1] - fpr)),
        tpr=curves,
    )


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
