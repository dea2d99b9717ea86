"""The random-intercept model against lme4, lmerTest and statsmodels."""

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM

from gsigpu.cohort_statistics.mixed_model.random_intercept import (
    RandomIntercept,
    fit_random_intercept,
)
from tests.support.places import GOLDEN as GOLDEN_FOLDER

GOLDEN = json.loads((GOLDEN_FOLDER / "group_tests.json").read_text("utf-8"))
CASES = {name: case for name, case in GOLDEN["cases"].items() if "patients" in case}


def codes(labels):
    return pd.factorize(np.asarray(labels))[0]


def fitted(case):
    fit = fit_random_intercept(case["values"], codes(case["groups"]), codes(case["patients"]))
    assert isinstance(fit, RandomIntercept)
    return fit


@pytest.mark.parametrize("name", CASES)
def test_means_and_variances_are_lme4s(name):
    fit, r = fitted(CASES[name]), CASES[name]["mixed"]
    np.testing.assert_allclose(fit.mean, r["mean"], atol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), r["se"], atol=1e-6)
    assert fit.between_variance == pytest.approx(r["between"], abs=1e-6)
    assert fit.residual_variance == pytest.approx(r["residual"], abs=1e-6)
    assert fit.wald_f() == pytest.approx(r["f"], rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_satterthwaite_is_lmertests_and_differs_from_ours(name):
    """Ours are patients - groups; Satterthwaite's follow the estimated variances."""
    fit, r = fitted(CASES[name]), CASES[name]["mixed"]
    n_groups = fit.mean.size
    degrees = []
    for a, b in combinations(range(n_groups), 2):
        contrast = np.zeros(n_groups)
        contrast[[a, b]] = 1.0, -1.0
        degrees.append(fit.satterthwaite_df(contrast))
    np.testing.assert_allclose(degrees, np.atleast_1d(r["satterthwaite"]), rtol=1e-3)
    assert fit.df == len(set(CASES[name]["patients"])) - n_groups


def test_without_spread_between_patients_it_is_anova_with_patients_df():
    fit = fitted(CASES["no_spread_between"])
    assert fit.between_variance == 0.0
    assert fit.icc == 0.0
    assert "estimated as 0" in fit.note
    assert fit.satterthwaite_df([1.0, -1.0]) > fit.df


def test_statsmodels_finds_the_same():
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(40), rng.integers(1, 5, 40))
    groups = patients % 3
    values = 2.0 * groups + rng.normal(size=40)[patients] + rng.normal(size=patients.size)
    fit = fit_random_intercept(values, groups, patients)
    theirs = MixedLM(values, np.eye(3)[groups], groups=patients).fit(reml=True, gtol=1e-10)
    np.testing.assert_allclose(fit.mean, theirs.fe_params, atol=1e-6)
    assert fit.between_variance == pytest.approx(float(theirs.cov_re[0, 0]), abs=1e-5)


def test_balanced_clusters_reduce_to_anova_of_patients_means():
    """With m lesions in every patient the Wald F is that of ANOVA on the patients' means."""
    rng = np.random.default_rng(8)
    patients = np.repeat(np.arange(12), 3)
    groups = patients % 2
    values = rng.normal(size=12)[patients] * 2 + rng.normal(size=36)
    fit = fit_random_intercept(values, groups, patients)
    means = values.reshape(12, 3).mean(axis=1)
    from scipy.stats import f_oneway

    expected = f_oneway(means[::2], means[1::2])
    assert fit.wald_f() == pytest.approx(expected.statistic, rel=1e-9)
    assert fit.satterthwaite_df([1.0, -1.0]) == pytest.approx(fit.df, rel=1e-5)
    # REML of balanced data is the ANOVA estimator.
    within = np.var(values.reshape(12, 3), axis=1, ddof=1).mean()
    assert fit.residual_variance == pytest.approx(within, rel=1e-9)


def test_order_of_rows_and_names_of_patients_do_not_matter():
    case = CASES["five_clustered"]
    y, g, p = np.array(case["values"]), codes(case["groups"]), codes(case["patients"])
    shuffle = np.random.default_rng(1).permutation(y.size)
    renamed = np.random.default_rng(2).permutation(p.max() + 1)[p]
    a, b = (
        fit_random_intercept(y, g, p),
        fit_random_intercept(y[shuffle], g[shuffle], renamed[shuffle]),
    )
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12)
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-8)


@pytest.mark.parametrize(
    ("values", "groups", "patients", "reason"),
    [
        ([1.0, 1, 1], [0, 0, 0], [0, 1, 2], "all values are equal"),
        ([1.0, 1, 2, 2], [0, 0, 1, 1], [0, 1, 2, 3], "no variation within groups"),
        ([1.0, 2, 3, 4], [0, 0, 1, 1], [0, 0, 1, 1], "no more patients than groups"),
    ],
)
def test_what_cannot_be_fitted_says_why(values, groups, patients, reason):
    assert reason in str(fit_random_intercept(values, groups, patients))


def test_equal_lesions_of_a_patient_count_once():
    fit = fit_random_intercept(
        [1.0, 1, 2, 5, 5, 5, 7], [0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 2, 2, 2, 3]
    )
    single = fit_random_intercept([1.0, 2, 5, 7], [0, 0, 1, 1], [0, 1, 2, 3])
    np.testing.assert_allclose(fit.covariance, single.covariance)
    assert fit.icc == 1.0
    assert "one value per patient" in fit.note
