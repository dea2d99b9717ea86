"""Multiple imputation of patients' covariates beside the complete cases."""

import numpy as np
import pandas as pd
import pytest

from gsigpu.cohort_statistics.frames import ADJUSTED_COLUMNS
from gsigpu.cohort_statistics.groups.adjusted import adjusted_tests
from gsigpu.cohort_statistics.groups.imputed import imputed_tests, pooled

# mice 3.15.0 in R 4.2.2: pool.scalar(c(2.1, 2.6, 1.7, 2.4), c(.25, .36, .3, .28), n = 31, k = 1)
MICE = {"qbar": 2.2, "t": 0.4891666666666666, "df": 9.13077980259002}


def study(rng, *, missing=0.0, n=60):
    """The values depend on age, and so does the group; old patients of group b lack their age more often."""
    patient = np.repeat(np.arange(n), rng.integers(1, 4, n))
    age = rng.normal(60, 8, n)
    group = np.where(age + rng.normal(0, 8, n) > 60, "a", "b")
    value = (0.1 * age + rng.normal(0, 0.5, n))[patient] + rng.normal(0, 0.3, patient.size)
    value += (group == "a")[patient] * 0.5
    known = age.copy()
    known[rng.random(n) < missing] = np.nan
    return value, group[patient], patient, pd.DataFrame({"age": known[patient]})


def test_rubins_rules_are_mices():
    estimate, error, df = pooled([2.1, 2.6, 1.7, 2.4], np.sqrt([0.25, 0.36, 0.3, 0.28]), 30.0)
    assert estimate == pytest.approx(MICE["qbar"])
    assert error**2 == pytest.approx(MICE["t"], rel=1e-12)
    assert df == pytest.approx(MICE["df"], rel=1e-12)


def test_nothing_missing_is_nothing_imputed():
    data = study(np.random.default_rng(1))
    assert imputed_tests(*data, order=["a", "b"], seed=1).empty


def test_patients_come_back_and_the_difference_stays():
    """Averaged over studies the adjusted difference is the true 0.5, with more lesions than the complete cases have."""
    rng = np.random.default_rng(2)
    differences = []
    for seed in range(12):
        data = study(rng, missing=0.3)
        frame = imputed_tests(*data, order=["a", "b"], seed=seed, n_imputations=5)
        complete = adjusted_tests(*data, order=["a", "b"])
        complete = complete[complete["test"] == "adjusted"]
        assert tuple(frame.columns) == ADJUSTED_COLUMNS
        assert frame["n_incomplete"].tolist() == [0]
        assert complete["n_incomplete"].iloc[0] > 0
        assert frame["n_a"].iloc[0] > complete["n_a"].iloc[0]
        differences.append(frame["difference"].iloc[0])
    error = np.std(differences, ddof=1) / np.sqrt(12)
    assert abs(np.mean(differences) - 0.5) < 3 * error


def test_the_same_seed_gives_the_same_numbers():
    data = study(np.random.default_rng(3), missing=0.2)
    first, second = (
        imputed_tests(*data, order=["a", "b"], seed=7, n_imputations=3) for _ in range(2)
    )
    pd.testing.assert_frame_equal(first, second)


def test_numbers_of_lesions_are_not_imputed():
    value, group, patient, _ = study(np.random.default_rng(4))
    size = pd.DataFrame({"size": np.arange(value.size, dtype=float)})
    size.loc[3, "size"] = np.nan
    assert imputed_tests(value, group, patient, size, order=["a", "b"], seed=1).empty
