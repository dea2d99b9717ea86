"""The empirical curve against pROC, and its laws."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from gsigpu.cohort_statistics.roc.curve import area, roc_curve, sensitivity_specificity, youden
from gsigpu.errors import InputError
from tests.support.places import GOLDEN as GOLDEN_FOLDER

GOLDEN = json.loads((GOLDEN_FOLDER / "roc.json").read_text("utf-8"))
SINGLE = sorted(GOLDEN["single"])

whole = arrays(np.float64, st.integers(1, 25), elements=st.integers(-6, 6).map(float))


@pytest.mark.parametrize("name", SINGLE)
def test_area_points_and_youden_are_procs(name):
    case = GOLDEN["single"][name]
    positive, negative = case["positive"], case["negative"]
    assert area(positive, negative) == pytest.approx(case["auc"], abs=1e-10)
    curve = roc_curve(positive, negative)
    assert curve.fpr.size == case["n_points"]
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(case["auc"], abs=1e-10)
    cutoff = youden(positive, negative)
    for key, value in case["youden"].items():
        assert getattr(cutoff, key) == pytest.approx(value, abs=1e-10)


@given(whole, whole)
@settings(max_examples=60)
def test_laws_of_the_area(x, y):
    auc = area(x, y)
    labels = np.r_[np.ones(x.size), np.zeros(y.size)]
    assert auc == pytest.approx(roc_auc_score(labels, np.r_[x, y]), abs=1e-12)
    assert area(y, x) == pytest.approx(1.0 - auc, abs=1e-12)
    assert area(x, y, direction="lower") == pytest.approx(1.0 - auc, abs=1e-12)
    assert area(x**3 + 2 * x, y**3 + 2 * y) == auc  # strictly increasing: the ranks are the same
    curve = roc_curve(x, y, direction="lower")
    assert (np.diff(curve.fpr) >= 0).all()
    assert (np.diff(curve.tpr) >= 0).all()


@given(whole, whole, st.sampled_from(["higher", "lower"]))
@settings(max_examples=60)
def test_the_cutoff_does_what_it_says_and_none_does_better(x, y, direction):
    point = youden(x, y, direction=direction)
    curve = roc_curve(x, y, direction=direction)
    best = (curve.tpr - curve.fpr).max()
    if np.isnan(point.cutoff):
        assert best <= 1e-12
        return
    assert sensitivity_specificity(x, y, cutoff=point.cutoff, direction=direction) == (
        pytest.approx(point.sensitivity, abs=1e-12),
        pytest.approx(point.specificity, abs=1e-12),
    )
    assert point.sensitivity + point.specificity - 1.0 == pytest.approx(best, abs=1e-12)


def test_no_cutoff_where_nothing_separates():
    assert np.isnan(youden([1.0, 1.0], [1.0]).cutoff)
    assert np.isnan(youden([0.0, 1.0], [2.0, 3.0]).cutoff)


@pytest.mark.parametrize("bad", [[], [np.nan, 1.0], [np.inf]])
def test_empty_and_missing_are_refused(bad):
    for arguments in ((bad, [1.0]), ([1.0], bad)):
        with pytest.raises(InputError, match="group of an ROC curve"):
            area(*arguments)


def test_an_unknown_direction_is_refused():
    with pytest.raises(InputError, match="direction"):
        area([1.0], [0.0], direction="up")
