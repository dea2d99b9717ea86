"""DeLong against pROC; what it does where there is nothing to estimate."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import brunnermunzel

from gsigpu.cohort_statistics.roc.area_estimate import newcombe
from gsigpu.cohort_statistics.roc.curve import placements
from gsigpu.cohort_statistics.roc.delong import (
    delong,
    delong_covariance,
    delong_paired,
    delong_unpaired,
)
from gsigpu.errors import InputError
from tests.support.places import GOLDEN as GOLDEN_FOLDER

GOLDEN = json.loads((GOLDEN_FOLDER / "roc.json").read_text("utf-8"))
whole = arrays(np.float64, st.integers(2, 20), elements=st.integers(-5, 5).map(float))


@pytest.mark.parametrize("name", sorted(GOLDEN["single"]))
def test_variance_and_intervals_are_procs(name):
    case = GOLDEN["single"][name]
    plain = delong(case["positive"], case["negative"])
    logit = delong(case["positive"], case["negative"], scale="logit")
    assert plain.auc == pytest.approx(case["auc"], abs=1e-10)
    assert plain.se**2 == pytest.approx(case["variance"], abs=1e-10)
    assert (plain.ci_low, plain.ci_high) == pytest.approx(case["ci"], abs=1e-10)
    assert (logit.ci_low, logit.ci_high) == pytest.approx(case["ci_logit"], abs=1e-10)


@pytest.mark.parametrize("name", sorted(GOLDEN["paired"]))
def test_comparisons_are_procs(name):
    case = GOLDEN["paired"][name]
    values = [case[key] for key in ("positive_a", "negative_a", "positive_b", "negative_b")]
    paired = delong_paired(*values)
    assert (paired.auc_a, paired.auc_b) == pytest.approx(case["auc"], abs=1e-10)
    assert paired.z == pytest.approx(case["z"], abs=1e-10)
    assert paired.p == pytest.approx(case["p"], abs=1e-10)
    _, covariance = delong_covariance([values[0], values[2]], [values[1], values[3]])
    assert covariance[0, 1] == pytest.approx(case["covariance"], abs=1e-10)
    assert delong_unpaired(*values).z == pytest.approx(case["unpaired_statistic"], abs=1e-10)


@given(whole, whole)
@settings(max_examples=50)
def test_placements_are_the_definition(x, y):
    psi = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    v10, v01 = placements(x, y)
    assert v10 == pytest.approx(psi.mean(axis=1), abs=1e-12)
    assert v01 == pytest.approx(psi.mean(axis=0), abs=1e-12)


@given(whole, whole)
@settings(max_examples=50)
def test_a_score_is_not_different_from_itself_nor_from_its_transform(x, y):
    for f in (lambda v: v, lambda v: v**3 + 2 * v, lambda v: np.exp(v) - 7):
        difference = delong_paired(x, y, f(x), f(y))
        assert (difference.difference, difference.se, difference.p) == (0.0, 0.0, 1.0)
    swapped = delong(y, x)
    assert swapped.auc == pytest.approx(1.0 - delong(x, y).auc, abs=1e-12)
    assert swapped.se == pytest.approx(delong(x, y).se, abs=1e-12)


def test_the_variance_is_brunner_and_munzels():
    rng = np.random.default_rng(3)
    x, y = rng.normal(0.4, 1, 15).round(1), rng.normal(0, 2, 22).round(1)
    estimate = delong(x, y)
    theirs = brunnermunzel(y, x, distribution="normal")
    assert estimate.statistic == pytest.approx(theirs.statistic, abs=1e-10)
    assert estimate.p == pytest.approx(theirs.pvalue, abs=1e-10)


def test_perfect_separation_has_an_interval_and_an_exact_p():
    estimate = delong([5.0, 6.0, 7.0], [1.0, 2.0, 3.0, 4.0])
    assert (estimate.auc, estimate.se, estimate.ci_high) == (1.0, 0.0, 1.0)
    assert estimate.ci_low == pytest.approx(newcombe(1.0, 3, 4)[0])
    assert 0.3 < estimate.ci_low < 0.9
    assert estimate.p == pytest.approx(2 / 35)  # C(7, 3) orders, two of them as extreme
    assert "Newcombe" in estimate.note
    mirrored = delong([1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0])
    assert mirrored.ci_high == pytest.approx(1.0 - estimate.ci_low)


def test_newcombes_interval_is_his():
    # The bounds satisfy the equation that defines them, and close in as the groups grow.
    for m, n, auc in ((10, 10, 0.8), (50, 50, 0.95), (12, 41, 0.5)):
        low, high = newcombe(auc, m, n)
        for theta in (low, high):
            k = (m + n) / 2 - 1
            shape = 1 + k * (1 - theta) / (2 - theta) + k * theta / (1 + theta)
            half = 1.959963984540054 * np.sqrt(theta * (1 - theta) * shape / (m * n))
            assert abs(auc - theta) == pytest.approx(half, abs=1e-9)
        assert low < auc < high


def test_nothing_varies():
    constant = delong([1.0, 1.0], [1.0, 1.0, 1.0])
    assert (constant.auc, constant.se, constant.p) == (0.5, 0.0, 1.0)
    assert np.isnan(constant.ci_low)
    assert constant.note
    # A perfect score against a constant one: a difference without variance has no test, and no p = 0.
    difference = delong_paired([3.0, 4.0], [1.0, 2.0], [1.0, 1.0], [1.0, 1.0])
    assert difference.difference == 0.5
    assert np.isnan(difference.p)
    assert difference.note


def test_one_lesion_in_a_group_has_no_standard_error():
    estimate = delong([2.0], [1.0, 3.0, 0.0])
    assert estimate.auc == pytest.approx(2 / 3)
    assert np.isnan([estimate.se, estimate.ci_low, estimate.p]).all()
    assert "one lesion" in estimate.note
    assert np.isnan(delong_paired([2.0], [1.0, 3.0], [1.0], [0.0, 2.0]).p)


def test_missing_values_and_unequal_lengths_are_refused():
    with pytest.raises(InputError, match="missing"):
        delong([1.0, np.nan], [0.0])
    with pytest.raises(InputError, match="same lesions"):
        delong_paired([1.0, 2.0], [0.0, 1.0], [1.0], [0.0, 1.0])
