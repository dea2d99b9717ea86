"""The values of one family member, cleaned and coded. Every test starts here, and cleans nothing itself.

A *row* of the input is one value. A *lesion* is named by patient and lesion name together; a *patient*
may have several lesions, and lesions in several groups. What counts as independent, lesion or patient,
is the track's choice and not made here.

Missing values (NaN) are dropped and counted per group; an infinite value is refused, since no test can
tell what it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gsigpu.cohort_statistics.mixed_model.between_patients import BetweenPatients, between_patients
from gsigpu.cohort_statistics.mixed_model.random_intercept import (
    RandomIntercept,
    fit_random_intercept,
)
from gsigpu.errors import InputError

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
UNKNOWN = (np.nan, np.nan)
# Patients' means closer than this many rounding steps of the largest are one value, so that ranks see a
# tie: a mean of m lesions is off by at most m steps, and no patient has thousands of lesions.
TIE_STEPS = 4096


@dataclass(frozen=True, slots=True)
class Group:
    """The lesions of one group that have a value: values (m,), patients (m,) codes of the sample."""

    values: Array
    patients: Codes
    n_missing: int

    @property
    def n_patients(self) -> int:
        """How many patients contribute."""
        return int(np.count_nonzero(np.bincount(self.patients)))


@dataclass(frozen=True)
class Sample:
    """Finite values with codes; what the tests need is computed once.

    values (n,), group (n,) codes into `order`, patient (n,) codes
    missing (G,) : values left out per group
    A patient with lesions in two groups counts as one patient of each, and as one in all.
    """

    values: Array
    group: Codes
    patient: Codes
    missing: NDArray[np.int64]
    order: tuple[str, ...]

    @cached_property
    def groups(self) -> dict[str, Group]:
        """Each group by its name, in order, those without a value too."""
        return {
            name: Group(
                self.lesions[code], self.patient[self.group == code], int(self.missing[code])
            )
            for code, name in enumerate(self.order)
        }

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """All pairs of groups as codes, the earlier group first."""
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
        """Values per group, of patients: the mean of the lesions of each."""
        means = []
        for code, values in enumerate(self.lesions):
            _, inverse, counts = np.unique(
                self.patient[self.group == code], return_inverse=True, return_counts=True
            )
            means.append(np.bincount(inverse, weights=values) / counts)
        ends = np.cumsum([group_means.size for group_means in means])[:-1]
        return np.split(tied(np.concatenate(means)), ends)

    @property
    def n_patients(self) -> int:
        """Patients with a value."""
        return int(np.count_nonzero(np.bincount(self.patient)))

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

    def model_of_group(self, code: int) -> RandomIntercept | str:
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
    tolerance = TIE_STEPS * np.finfo(np.float64).eps * np.abs(means).max()
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


def clean_sample(
    values: ArrayLike, groups: ArrayLike, patients: ArrayLike, order: Sequence[str]
) -> Sample:
    """Drop and count missing values (NaN), code groups and patients.

    values (n,) float; groups (n,), patients (n,) str; order : the groups, in the order of the tables
    Raises InputError for arrays of different lengths, an infinite value, a group that `order` does not
    name, a group named twice, or fewer than two groups.

    >>> sample = clean_sample([1.0, float("nan"), 2.0], ["a", "a", "b"], ["p", "p", "q"], ["a", "b"])
    >>> sample.values.tolist(), sample.missing.tolist(), sample.n_patients
    ([1.0, 2.0], [1, 0], 2)
    """
    value = np.asarray(values, np.float64)
    if value.ndim != 1 or not value.shape == np.shape(groups) == np.shape(patients):
        raise InputError("values, groups and patients must be three lists of one length")
    if np.isinf(value).any():
        raise InputError("a value is infinite", remedy="mark it as missing")
    names = tuple(order)
    code = group_codes(groups, names)
    present = ~np.isnan(value)
    missing = np.bincount(code[~present], minlength=len(names))
    labels = _text(patients)[present]
    return Sample(
        values=value[present],
        group=code[present],
        patient=dense(labels),
        missing=missing,
        order=names,
    )


@dataclass(frozen=True, slots=True)
class ParameterTable:
    """Several parameters of the same lesions, cleaned.

    values (n, K) : NaN where missing, never infinite
    groups (n,) : codes into `order`; patients (n,) : codes
    """

    values: Array
    groups: Codes
    patients: Codes
    order: tuple[str, ...]

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Lesions that have every parameter."""
        return np.asarray(~np.isnan(self.values).any(axis=1))


def clean_parameters(
    values: ArrayLike,
    parameters: Sequence[str],
    groups: ArrayLike,
    patients: ArrayLike,
    order: Sequence[str],
) -> ParameterTable:
    """Several parameters of the same lesions; a lesion that lacks one is kept.

    values (n, K) : a row per lesion and a column per parameter; groups (n,), patients (n,) str
    Raises InputError for a table of another shape, and for what `clean_sample` refuses.
    """
    x = np.asarray(values, np.float64)
    if x.ndim != 2 or x.shape[1] != len(parameters):
        raise InputError("values must have one row per lesion and one column per parameter")
    if not x.shape[:1] == np.shape(groups) == np.shape(patients):
        raise InputError("groups and patients must have one row per lesion, as the values have")
    if np.isinf(x).any():
        raise InputError("a value is infinite", remedy="mark it as missing")
    names = tuple(order)
    return ParameterTable(
        values=x, groups=group_codes(groups, names), patients=dense(_text(patients)), order=names
    )


def group_codes(groups: ArrayLike, order: Sequence[str]) -> Codes:
    """Codes of groups into `order`.

    Raises InputError for fewer than two groups, a group named twice, or one that is not in `order`.
    """
    names = tuple(order)
    if len(set(names)) != len(names) or len(names) < 2:
        raise InputError(
            f"groups {', '.join(map(str, names))}: two or more different names are needed"
        )
    labels = _text(groups)
    code = pd.Index(names, dtype=object).get_indexer(pd.Index(labels, dtype=object))
    if (code < 0).any():
        unknown = sorted(set(labels[code < 0].tolist()))
        raise InputError(
            f"unknown groups {', '.join(unknown)}",
            remedy=f"name them beside {', '.join(names)}, or leave their lesions out",
        )
    return np.asarray(code, np.intp)


def _text(labels: ArrayLike) -> NDArray[np.object_]:
    array = np.asarray(labels, dtype=object)
    if pd.api.types.infer_dtype(array, skipna=False) == "string":
        return array
    return np.array([str(label) for label in array], dtype=object)


def dense(labels: NDArray[np.object_] | Codes) -> Codes:
    """Labels as codes 0 … P - 1.

    >>> dense(np.array([7, 3, 7]))
    array([1, 0, 1])
    """
    # By hash, and only the distinct ones sorted: `np.unique` would sort all of them.
    codes, _ = pd.factorize(labels, sort=True)
    return np.asarray(codes, np.intp)
