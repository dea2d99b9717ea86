"""The empirical ROC curve: points, area, Youden's cut-off.

Two groups of lesions, a positive one (`group_a` of the tables) and a negative one. The direction says
which way the positive group lies: `higher` calls a lesion positive when its value is above the
cut-off, `lower` when it is below. It is an assumption that belongs before the data; `area` never
turns a curve over to make it look better.

    AUC = P(X > Y) + P(X = Y) / 2,  X a positive, Y a negative lesion   (direction `higher`)

which is the Mann-Whitney statistic over m n (Bamber, J Math Psychol 1975; 12: 387-415). Points, area and
Youden's cut-off are tested against pROC, the area against scikit-learn too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from gsigpu.errors import InputError

Array = NDArray[np.float64]
Direction = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class RocCurve:
    """Every operating point, from nobody positive (0, 0) to everybody positive (1, 1).

    fpr, tpr : (k,) float64, 1 - specificity and sensitivity
    cutoff : (k,) float64, midway between neighbouring values as in SPSS and pROC; ±inf at the ends
    direction : a lesion is positive above (`higher`) or below (`lower`) the cut-off
    """

    fpr: Array
    tpr: Array
    cutoff: Array
    direction: Direction


@dataclass(frozen=True, slots=True)
class Cutoff:
    """A cut-off and what it does; all NaN where no cut-off is better than chance."""

    cutoff: float
    sensitivity: float
    specificity: float


def two_groups(positive: ArrayLike, negative: ArrayLike) -> tuple[Array, Array]:
    """Both groups as float64; the last axis runs over lesions.

    Raises InputError for an empty group, and for NaN or infinite values: whoever calls decides what
    a missing value means, and counts it.
    """
    x, y = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    for name, group in (("positive", x), ("negative", y)):
        if not group.shape or group.shape[-1] == 0:
            raise InputError(
                f"the {name} group of an ROC curve is empty", remedy="give both groups"
            )
        if not np.isfinite(group).all():
            raise InputError(
                f"the {name} group of an ROC curve holds missing or infinite values",
                remedy="drop and count them first",
            )
    return x, y


def one_parameter(positive: ArrayLike, negative: ArrayLike) -> tuple[Array, Array]:
    """`two_groups` of a single parameter.

    Raises InputError where values of several parameters are given.
    """
    x, y = two_groups(positive, negative)
    if x.ndim != 1 or y.ndim != 1:
        raise InputError(
            "an ROC curve takes the values of one parameter in each group",
            remedy="compare two parameters with obuchowski_paired or delong_paired",
        )
    return x, y


def oriented(values: ArrayLike, direction: Direction) -> Array:
    """The values, turned so that the positive group is expected above.

    >>> oriented([1.0, 2.0], "lower")
    array([-1., -2.])
    """
    if direction not in ("higher", "lower"):
        raise InputError(f"direction {direction!r} is unknown", remedy="use higher or lower")
    array = np.asarray(values, np.float64)
    return -array if direction == "lower" else array


def area(positive: ArrayLike, negative: ArrayLike, *, direction: Direction = "higher") -> float:
    """Area under the empirical ROC curve, ties counted as one half.

    positive (m,), negative (n,) : finite values
    Returns a number in [0, 1]; below .5 where the groups lie the other way round than `direction`.
    Raises InputError for an empty group or missing values.

    >>> area([3.0, 2.0, 4.0], [1.0, 2.0])
    0.9166666666666666
    >>> area([3.0, 2.0, 4.0], [1.0, 2.0], direction="lower")
    0.08333333333333333
    """
    x, y = one_parameter(oriented(positive, direction), oriented(negative, direction))
    m, n = x.size, y.size
    ranks = rankdata(np.concatenate([x, y]))
    return float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))


def roc_curve(
    positive: ArrayLike, negative: ArrayLike, *, direction: Direction = "higher"
) -> RocCurve:
    """All points of the empirical ROC curve.

    >>> curve = roc_curve([3.0, 2.0], [1.0, 2.0])
    >>> curve.fpr, curve.tpr, curve.cutoff
    (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]), array([ inf,  2.5,  1.5, -inf]))
    """
    x, y = one_parameter(oriented(positive, direction), oriented(negative, direction))
    values = np.unique(np.concatenate([x, y]))[::-1]  # the strictest first
    n_true = x.size - np.searchsorted(np.sort(x), values, side="left")
    n_false = y.size - np.searchsorted(np.sort(y), values, side="left")
    between = midway(values[:-1], values[1:])
    cutoff = oriented(np.concatenate([[np.inf], between, [-np.inf]]), direction)
    return RocCurve(
        fpr=np.concatenate([[0], n_false]) / y.size,
        tpr=np.concatenate([[0], n_true]) / x.size,
        cutoff=cutoff,
        direction=direction,
    )


def midway(upper: Array, lower: Array) -> Array:
    """The cut-off between two neighbouring values, upper > lower; what is above it is called positive.

    The lower value itself where no number lies between the two.

    >>> midway(np.array([3.0]), np.array([2.0]))
    array([2.5])
    """
    middle = upper + (lower - upper) / 2
    return np.where(middle < upper, middle, lower)


def youden(positive: ArrayLike, negative: ArrayLike, *, direction: Direction = "higher") -> Cutoff:
    """The cut-off with the largest sensitivity + specificity - 1 (Youden, Cancer 1950; 3: 32-35).

    Of several equally good the one with the highest specificity. NaN where none beats chance.

    >>> youden([3.0, 2.0, 4.0], [1.0, 2.0, 0.0])
    Cutoff(cutoff=2.5, sensitivity=0.6666666666666666, specificity=1.0)
    """
    curve = roc_curve(positive, negative, direction=direction)
    m, n = np.size(positive), np.size(negative)
    # Counted in whole lesions, so that equal cut-offs are equal.
    gain = np.rint(curve.tpr * m) * n - np.rint(curve.fpr * n) * m
    best = int(np.argmax(gain))
    if gain[best] <= 0:
        return Cutoff(np.nan, np.nan, np.nan)
    return Cutoff(
        cutoff=float(curve.cutoff[best]),
        sensitivity=float(curve.tpr[best]),
        specificity=float(1.0 - curve.fpr[best]),
    )


def sensitivity_specificity(
    positive: ArrayLike, negative: ArrayLike, *, cutoff: float, direction: Direction = "higher"
) -> tuple[float, float]:
    """What a given cut-off does to two groups; a value at the cut-off itself is called negative.

    >>> sensitivity_specificity([3.0, 2.0], [1.0, 2.0], cutoff=1.5)
    (1.0, 0.5)
    """
    x, y = one_parameter(oriented(positive, direction), oriented(negative, direction))
    at = float(oriented(cutoff, direction))
    return float((x > at).mean()), float((y <= at).mean())


def placements(positive: ArrayLike, negative: ArrayLike) -> tuple[Array, Array]:
    """Placement of each lesion among those of the other group.

    positive (..., m), negative (..., n) : finite; leading axes are parameters of the same lesions
    Returns V10 (..., m) and V01 (..., n).

    >>> placements([3.0, 2.0], [1.0, 2.0])
    (array([1.  , 0.75]), array([1.  , 0.75]))
    """
    x, y = two_groups(positive, negative)
    m, n = x.shape[-1], y.shape[-1]
    values = np.concatenate([x, y], axis=-1)
    twice = np.empty(values.shape)
    for k in np.ndindex(values.shape[:-1]):
        twice[k] = _twice_below(values[k], m)
    # Whole numbers until here: equal orders give equal placements.
    return twice[..., :m] / 2 / n, (m - twice[..., m:] / 2) / m


def _twice_below(values: Array, m: int) -> Array:
    """Twice the number of values of the other group below each, those equal to it counted once.

    values (m + n,) : the first m of one group, the others of the other

    >>> _twice_below(np.array([3.0, 2.0, 1.0, 2.0]), 2).tolist()
    [4.0, 3.0, 0.0, 1.0]
    """
    order = np.argsort(values)
    ascending, is_first = values[order], order < m
    begins = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
    ends = np.append(begins[1:], values.size)
    n_first = np.concatenate([[0], np.cumsum(is_first)])
    first_below = n_first[begins] + n_first[ends]
    ties = ends - begins
    twice = np.empty(values.size)
    twice[order] = np.where(
        is_first, np.repeat(begins + ends - first_below, ties), np.repeat(first_below, ties)
    )
    return twice
