"""The folds are scikit-learn's, found in one step a patient instead of one a fold."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from gsigpu.cohort_statistics.roc import patient_folds


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.filterwarnings("ignore:The least populated class")
def test_folds_are_those_of_scikit_learn(seed):
    """Few and many patients, groups of one size and of very different ones, patients in several groups."""
    rng = np.random.default_rng(seed)
    n_lesions, n_groups, n_folds = rng.integers((40, 2, 2), (160, 6, 6))
    n_patients = max(10, n_lesions // int(rng.integers(1, 4)))
    patients = rng.integers(0, n_patients, n_lesions)
    if seed % 2:
        groups = rng.integers(0, n_groups, n_patients)[patients]
    else:
        groups = np.minimum(rng.geometric(0.6, n_lesions), n_groups) - 1
    settings = {"n_splits": int(n_folds), "shuffle": True, "random_state": seed}
    theirs = StratifiedGroupKFold(**settings).split(patients, groups, patients)
    ours = patient_folds._splitter(int(n_folds), seed).split(patients, groups, patients)
    for (_, expected), (_, got) in zip(theirs, ours, strict=True):
        assert got.tolist() == expected.tolist()
