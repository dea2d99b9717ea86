"""The values of one family member, cleaned and coded: who belongs to which group and patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gsigpu.cohort_statistics.between_patients import BetweenPatients, between_patients
from gsigpu.cohort_statistics.random_intercept import RandomIntercept, fit_random_intercept
from gsigpu.errors import InputError

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
UNKNOWN = (np.nan, np.nan)


@dataclass(frozen=True)
class GroupMember:
    """Finite values with codes; what tests ask for is computed once.

    values (n,), group (n,) codes into `order`, patient (n,) codes
    missing (G,) : values left out per group
    A patient found in two groups counts as one patient of each, and as one in all.
    """

    values: Array
    group: Codes
    patient: Codes
    missing: NDArray[np.int64]
    order: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """All pairs of groups, the earlier one first."""
        return list(combinations(range(len(self.order)), 2))

    @cached_property
    def lesions(self) -> list[Array]:
        """Values per group, of lesions."""
        return [self.values[self.group == code] for code in range(len(self.order))]

    @cached_property
    def sizes(self) -> list[NDArray[np.int64]]:
        """Lesions per patient, per group."""
        return [
            np.unique(self.patient[self.group == code], return_counts=True)[1]
            for code in range(len(self.order))
        ]

    @cached_property
    def patient_means(self) -> list[Array]:
        """Values per group, of patients: the mean of each one's lesions."""
        means = []
        for code, values in enumerate(self.lesions):
            _, inverse, counts = np.unique(
                self.patient[self.group == code], return_inverse=True, return_counts=True
            )
            means.append(np.bincount(inverse, weights=values) / counts)
        ends = np.cumsum([one.size for one in means])[:-1]
        return np.split(tied(np.concatenate(means)), ends)

    @property
    def n_patients(self) -> int:
        """Patients with a value."""
        return int(np.unique(self.patient).size)

    @cached_property
    def present(self) -> list[int]:
        """Codes of groups with a value."""
        return [code for code, values in enumerate(self.lesions) if values.size]

    @property
    def absent_note(self) -> str:
        """Names the groups without a value."""
        gone = [name for code, name in enumerate(self.order) if code not in self.present]
        return f"no values of {', '.join(gone)}" if gone else ""

    @cached_property
    def mixed(self) -> RandomIntercept | str:
        """The random-intercept model of the groups present, or why there is none."""
        if not self.present:
            return "no values"
        groups = np.searchsorted(self.present, self.group)
        return fit_random_intercept(self.values, groups, dense(self.patient))

    @cached_property
    def model(self) -> BetweenPatients | str:
        """The mixed model's means with variances from the scatter of the patients."""
        if isinstance(self.mixed, str):
            return self.mixed
        groups = np.searchsorted(self.present, self.group)
        return between_patients(self.mixed, self.values, groups, dense(self.patient))

    def one_group(self, code: int) -> RandomIntercept | str:
        """The random-intercept model of a single group."""
        inside = self.group == code
        if not inside.any():
            return "no values"
        return fit_random_intercept(
            self.values[inside], np.zeros(int(inside.sum())), dense(self.patient[inside])
        )

    @cached_property
    def clustering(self) -> tuple[float, float]:
        """ICC of the lesions within patients of one group, and the design effect it brings."""
        return clustering_of(self.mixed, np.unique(self.patient, return_counts=True)[1])


def tied(means: Array) -> Array:
    """Means that differ by rounding alone, made equal, so that ranks see them as ties.

    >>> tied(np.array([0.1 + 0.2, 5.0, 0.3])).tolist()
    [0.3, 5.0, 0.3]
    """
    if means.size < 2:
        return means
    place = np.argsort(means, kind="stable")
    tolerance = 4096 * np.finfo(np.float64).eps * np.abs(means).max()
    rises = np.concatenate([[True], np.diff(means[place]) > tolerance])
    equal = np.empty_like(means)
    equal[place] = means[place][rises][np.cumsum(rises) - 1]
    return equal


def clustering_of(fit: RandomIntercept | str, sizes: NDArray[np.int64]) -> tuple[float, float]:
    """ICC and design effect 1 + (Σ m² / Σ m - 1) ICC of m lesions per patient (Kish 1965).

    NaN and 1 where every patient has one lesion: there is nothing to resemble.

    >>> clustering_of("one lesion per patient", np.array([1, 1]))
    (nan, 1.0)
    """
    if sizes.size == 0:
        return UNKNOWN
    if sizes.max() == 1:
        return np.nan, 1.0
    if isinstance(fit, str):
        return UNKNOWN
    return fit.icc, float(1.0 + ((sizes**2).sum() / sizes.sum() - 1.0) * fit.icc)


def group_member(
    values: ArrayLike, groups: ArrayLike, patients: ArrayLike, order: Sequence[str]
) -> GroupMember:
    """Drop and count missing values (NaN, infinite), code groups and patients.

    Raises InputError for arrays of different lengths, a group that `order` does not name, one named
    twice, or fewer than two groups.
    """
    value = np.asarray(values, np.float64)
    group, patient = np.asarray(groups, dtype=object), np.asarray(patients, dtype=object)
    if not value.shape == group.shape == patient.shape or value.ndim != 1:
        raise InputError("values, groups and patients are not three lists of equal length")
    names = tuple(order)
    if len(set(names)) != len(names) or len(names) < 2:
        raise InputError(
            f"groups {', '.join(map(str, names))}: two or more different names are needed"
        )
    place = {name: code for code, name in enumerate(names)}
    unknown = sorted({str(one) for one in group if one not in place})
    if unknown:
        raise InputError(
            f"unknown groups {', '.join(unknown)}", remedy=f"name them among {', '.join(names)}"
        )
    code = np.array([place[one] for one in group], dtype=np.intp)
    finite = np.isfinite(value)
    missing = np.bincount(code[~finite], minlength=len(names))
    labels = np.array([str(one) for one in patient], dtype=object)[finite]
    return GroupMember(value[finite], code[finite], dense(labels), missing, names)


def dense(labels: NDArray[np.object_] | Codes) -> Codes:
    """Labels as codes 0 … P - 1.

    >>> dense(np.array([7, 3, 7]))
    array([1, 0, 1])
    """
    return np.unique(labels, return_inverse=True)[1].astype(np.intp)
