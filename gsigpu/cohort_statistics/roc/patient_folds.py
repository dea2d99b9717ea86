"""Which fold each patient is in: all lesions of a patient together, the groups in proportion, the same for every model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.cohort_statistics.roc.curve import Array

Codes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Lesions:
    """Complete lesions: parameters (n, K), group and patient codes."""

    values: Array
    groups: Codes
    patients: Codes

    def of(self, codes: Sequence[int]) -> Lesions:
        """Those of some groups, which are numbered anew in the order given."""
        kept = np.isin(self.groups, codes)
        number = {code: k for k, code in enumerate(codes)}
        groups = np.array([number[int(code)] for code in self.groups[kept]], np.intp)
        return Lesions(self.values[kept], groups, self.patients[kept])

    def patients_of(self, code: int) -> int:
        """How many patients a group has."""
        return int(np.unique(self.patients[self.groups == code]).size)


def folds_possible(lesions: Lesions, n_folds: int) -> int:
    """No more folds than the smallest group has patients."""
    codes = np.unique(lesions.groups)
    return (
        min(n_folds, *(lesions.patients_of(int(code)) for code in codes)) if codes.size > 1 else 0
    )


class Folds:
    """Which fold each patient is in, by the number of folds; computed once, used by every model."""

    def __init__(self, lesions: Lesions, seed: int) -> None:
        """`lesions` of all groups; `seed` of the shuffling."""
        self._lesions = lesions
        self._seed = seed
        self._by_number: dict[int, Codes] = {}

    def of(self, patients: Codes, n_folds: int) -> Codes:
        """Fold of each lesion, by its patient."""
        if n_folds not in self._by_number:
            self._by_number[n_folds] = self._assigned(n_folds)
        return self._by_number[n_folds][patients]

    def _assigned(self, n_folds: int) -> Codes:
        everyone = self._lesions
        large = [int(g) for g in np.unique(everyone.groups) if everyone.patients_of(g) >= n_folds]
        mine = everyone.of(large)
        splitter = _splitter(n_folds, self._seed)
        fold = np.zeros(int(everyone.patients.max()) + 1, np.intp)
        for k, (_, test) in enumerate(splitter.split(mine.values, mine.groups, mine.patients)):
            fold[mine.patients[test]] = k
        return fold


def _splitter(n_folds: int, seed: int) -> Any:
    """scikit-learn's StratifiedGroupKFold, which tries a patient in all folds at once.

    The folds are the same: only the way to the best of them differs. scikit-learn asks each fold in turn, twenty
    thousand times for four thousand patients; where it no longer asks this method, its own way is taken.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    class AllFoldsAtOnce(StratifiedGroupKFold):  # type: ignore[misc]  # scikit-learn has no types
        def _find_best_fold(
            self, y_counts_per_fold: Array, y_cnt: Array, group_y_counts: Array
        ) -> int:
            n = len(y_counts_per_fold)
            tried = np.repeat(y_counts_per_fold[None], n, axis=0)
            tried[np.arange(n), np.arange(n)] += group_y_counts
            # The steps of `std` and `mean`, to the last bit, without what they ask first, four thousand times.
            shares = tried / y_cnt
            shares -= np.add.reduce(shares, axis=1, keepdims=True) / n
            deviations = np.sqrt(np.add.reduce(shares * shares, axis=1) / n)
            spread = (np.add.reduce(deviations, axis=1) / deviations.shape[1]).tolist()
            n_lesions = y_counts_per_fold.sum(axis=1).tolist()
            best = 0
            for i in range(1, n):
                # As np.isclose has it: of folds as good as each other the smaller.
                equal = abs(spread[i] - spread[best]) <= 1e-8 + 1e-5 * abs(spread[best])
                if spread[i] < spread[best] or (equal and n_lesions[i] < n_lesions[best]):
                    best = i
            return best

    return AllFoldsAtOnce(n_splits=n_folds, shuffle=True, random_state=seed)
