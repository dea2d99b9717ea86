"""Obuchowski's clustered areas: the published example, a literal loop in R, DeLong, the bootstrap."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import brunnermunzel

from gsigpu.cohort_statistics.roc.clustered import clustered_areas, obuchowski, obuchowski_paired
from gsigpu.cohort_statistics.roc.delong import delong, delong_covariance
from gsigpu.errors import InputError
from tests.support.places import GOLDEN

LOOP = json.loads((GOLDEN / "roc.json").read_text("utf-8"))["clustered"]
MRA = json.loads((GOLDEN / "clustered_roc_mra.json").read_text("utf-8"))


def split(values, positive, patients):
    """Lesions (K, n) of both groups with their patients."""
    values, positive, patients = np.asarray(values), np.asarray(positive, bool), np.array(patients)
    return values[:, positive], values[:, ~positive], patients[positive], patients[~positive]


@pytest.fixture
def mra():
    patient, positive, reader_1, reader_2 = np.array(MRA["rows"]).T
    return split(np.stack([reader_1, reader_2]).astype(float), positive, patient)


def test_the_published_example_with_its_components(mra):
    printed = MRA["printed"]
    areas = clustered_areas(*mra)
    assert areas.n_patients == (printed["I10"], printed["I01"], printed["I"])
    assert areas.auc == pytest.approx(printed["auc"], abs=5e-5)
    covariance = areas.covariance()
    assert np.sqrt(np.diag(covariance)) == pytest.approx(printed["se"], abs=5e-5)
    m, n = printed["M"], printed["N"]
    for k in range(2):
        of_components = (
            printed["S10"][k] / m + printed["S01"][k] / n + 2 * printed["S11"][k] / (m * n)
        )
        assert covariance[k, k] == pytest.approx(of_components, abs=1e-11)
    cross = printed["S11_12"] + printed["S11_21"]
    assert covariance[0, 1] == pytest.approx(
        printed["S10_12"] / m + printed["S01_12"] / n + cross / (m * n), abs=1e-11
    )


def test_the_published_interval_and_comparison(mra):
    printed = MRA["printed"]
    reader_1 = obuchowski(mra[0][0], mra[1][0], *mra[2:], scale="plain", small_sample=False)
    assert reader_1.ci_low == pytest.approx(printed["ci_reader_1"][0], abs=5e-5)
    assert reader_1.ci_high == 1.0  # printed 1.005: an area ends at 1
    swapped = obuchowski_paired(mra[0][::-1], mra[1][::-1], *mra[2:], small_sample=False)
    assert swapped.difference == pytest.approx(printed["difference_2_minus_1"], abs=5e-5)
    assert swapped.se == pytest.approx(printed["se_difference"], abs=5e-5)
    assert (swapped.ci_low, swapped.ci_high) == pytest.approx(printed["ci_difference"], abs=5e-5)
    assert swapped.p == pytest.approx(printed["p"], abs=5e-5)


@pytest.mark.parametrize("name", sorted(LOOP))
def test_a_literal_loop_over_the_formulas(name):
    case = LOOP[name]
    areas = clustered_areas(*split(case["values"], case["positive"], case["patient"]))
    assert areas.auc == pytest.approx(case["auc"], abs=1e-10)
    assert areas.covariance() == pytest.approx(np.array(case["covariance"]), abs=1e-10)
    contrast, _ = areas.variance((1.0, -1.0))
    c = np.array(case["covariance"])
    assert contrast == pytest.approx(c[0, 0] + c[1, 1] - 2 * c[0, 1], abs=1e-10)


def test_one_lesion_per_patient_is_delong_and_brunner_munzel():
    rng = np.random.default_rng(5)
    x, y = rng.normal(0.5, 1, (2, 14)).round(1), rng.normal(0, 1.5, (2, 19)).round(1)
    areas = clustered_areas(x, y, np.arange(14), np.arange(14, 33))
    auc, covariance = delong_covariance(x, y)
    assert areas.auc == pytest.approx(auc, abs=1e-14)
    assert areas.covariance() == pytest.approx(covariance, abs=1e-14)
    estimate = obuchowski(x[0], y[0], np.arange(14), np.arange(14, 33), scale="plain")
    theirs = brunnermunzel(y[0], x[0], distribution="t")
    assert estimate.p == pytest.approx(theirs.pvalue, abs=1e-10)


def test_copies_of_a_lesion_add_nothing():
    rng = np.random.default_rng(6)
    x, y = rng.normal(0.5, 1, 12), rng.normal(0, 1, 15)
    p, q = np.arange(12), np.arange(12, 27)
    once = obuchowski(x, y, p, q)
    copied = obuchowski(np.repeat(x, 4), np.repeat(y, 4), np.repeat(p, 4), np.repeat(q, 4))
    assert copied.se == pytest.approx(once.se, abs=1e-12)
    assert copied.p == pytest.approx(once.p, abs=1e-12)
    assert delong(np.repeat(x, 4), np.repeat(y, 4)).se < 0.6 * once.se


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=40)
def test_laws(seed, shared):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-3, 5, 17).astype(float), rng.integers(-5, 3, 13).astype(float)
    p, q = rng.integers(0, 6, 17), rng.integers(0, 6, 13) + (0 if shared else 6)
    estimate = obuchowski(x, y, p, q)
    swapped = obuchowski(y, x, q, p)
    assert swapped.auc == pytest.approx(1 - estimate.auc, abs=1e-12)
    assert swapped.se == pytest.approx(estimate.se, abs=1e-12)
    assert swapped.p == pytest.approx(estimate.p, abs=1e-9, nan_ok=True)
    renamed = obuchowski(
        x**3 + x, y**3 + y, [f"patient {k}" for k in p], [f"patient {k}" for k in q]
    )
    assert renamed.se == pytest.approx(estimate.se, abs=1e-14)
    paired = obuchowski_paired([x, x**3 + x], [y, y**3 + y], p, q)
    assert (paired.difference, paired.se, paired.p) == (0.0, 0.0, 1.0)


def test_the_edges():
    perfect = obuchowski([5, 6, 7, 8], [1, 2, 3], ["a", "a", "b", "c"], ["d", "e", "e"])
    assert (perfect.auc, perfect.se) == (1.0, 0.0)
    assert perfect.p == pytest.approx(2 / 10)  # three patients against two
    assert "patients" in perfect.note
    alone = obuchowski([5, 6, 2], [1, 2, 3], ["a", "a", "a"], ["d", "e", "e"])
    assert np.isnan([alone.se, alone.ci_low, alone.p]).all()
    assert "one patient" in alone.note
    constant = obuchowski([1, 1, 1], [1, 1], ["a", "b", "b"], ["c", "d"])
    assert (constant.se, constant.p) == (0.0, 1.0)
    with pytest.raises(InputError, match="one patient per lesion"):
        obuchowski([1, 2], [0, 1], ["a"], ["b", "c"])
    with pytest.raises(InputError, match="two parameters"):
        obuchowski_paired([1, 2], [0, 1], ["a", "b"], ["c", "d"])
