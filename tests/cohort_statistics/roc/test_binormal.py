"""Areas from means and standard deviations."""

import numpy as np
import pytest
from scipy.stats import norm

from gsigpu.cohort_statistics.roc.binormal import binormal_auc
from gsigpu.errors import InputError


def test_the_variance_is_the_delta_methods():
    """Numerical derivatives of Φ(δ), with the sampling variances of mean and variance."""
    n_a, m_a, s_a, n_b, m_b, s_b = 31, 1.2, 0.8, 58, 0.4, 1.3
    at = np.array([m_a, s_a**2, m_b, s_b**2])
    variances = [s_a**2 / n_a, 2 * s_a**4 / (n_a - 1), s_b**2 / n_b, 2 * s_b**4 / (n_b - 1)]

    def auc(v):
        return norm.cdf((v[0] - v[2]) / np.sqrt(v[1] + v[3]))

    steps = 1e-6 * np.eye(4)
    gradient = np.array([(auc(at + step) - auc(at - step)) / 2e-6 for step in steps])
    estimate = binormal_auc(n_a, m_a, s_a, n_b, m_b, s_b)
    assert estimate.auc == pytest.approx(auc(at), abs=1e-12)
    assert estimate.se == pytest.approx(np.sqrt(gradient**2 @ variances), rel=1e-7)


def test_coverage_on_normal_data():
    rng = np.random.default_rng(8)
    truth = norm.cdf(0.6 / np.sqrt(1 + 1.5**2))
    x, y = rng.normal(0.6, 1, (2000, 41)), rng.normal(0, 1.5, (2000, 21))
    hits = 0
    for a, b in zip(x, y, strict=True):
        estimate = binormal_auc(41, a.mean(), a.std(ddof=1), 21, b.mean(), b.std(ddof=1))
        hits += estimate.ci_low < truth < estimate.ci_high
    assert 0.93 < hits / 2000 < 0.965


def test_direction_and_edges():
    estimate = binormal_auc(20, 2.0, 1.0, 30, 1.0, 2.0)
    turned = binormal_auc(20, 2.0, 1.0, 30, 1.0, 2.0, direction="lower")
    assert turned.auc == pytest.approx(1 - estimate.auc)
    assert turned.p == pytest.approx(estimate.p)
    assert binormal_auc(5, 1.0, 1.0, 5, 1.0, 2.0).p == 1.0
    assert np.isnan(binormal_auc(1, 1.0, 0.5, 5, 0.0, 1.0).se)
    constant = binormal_auc(5, 1.0, 0.0, 5, 0.0, 0.0)
    assert (constant.auc, bool(constant.note)) == (1.0, True)
    for bad in ((0, 1, 1, 5, 0, 1), (5, 1, -1, 5, 0, 1), (5, np.nan, 1, 5, 0, 1)):
        with pytest.raises(InputError):
            binormal_auc(*bad)
