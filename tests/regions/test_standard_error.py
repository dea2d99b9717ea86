"""The standard error against repetitions: the SD of the mean over many noise realisations."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from gsigpu.regions.standard_error import noise_autocovariance, standard_error

SPACING = (3.0, 1.0, 1.0)


def noise(rng, shape):
    """Correlated in the plane, like CT's."""
    return gaussian_filter(rng.normal(0, 10, shape), (0, 1.2, 1.2), mode="wrap")


def sphere(radius_mm):
    z, y, x = np.meshgrid(*(np.arange(-8, 9) * s for s in SPACING), indexing="ij")
    return z**2 + y**2 + x**2 <= radius_mm**2


@pytest.mark.parametrize("radius_mm", [4.0, 7.0])
def test_agrees_with_repetitions(radius_mm):
    rng = np.random.default_rng(7)
    mask = sphere(radius_mm)
    means = [noise(rng, mask.shape)[mask].mean() for _ in range(600)]
    reference = noise(rng, (20, 80, 80))
    whole = np.ones(reference.shape, bool)
    covariance = noise_autocovariance(reference.ravel(), whole, SPACING)
    estimated = standard_error(mask, covariance)
    # 600 repetitions know their SD to 3 %; the reference its autocovariance to about as much.
    assert estimated == pytest.approx(np.std(means, ddof=1), rel=0.12)
    naive = np.sqrt(covariance[tuple(side // 2 for side in covariance.shape)] / mask.sum())
    assert estimated > 2.0 * naive


def test_white_noise_gives_sd_over_root_n():
    rng = np.random.default_rng(3)
    reference = rng.normal(0, 5, (20, 60, 60))
    covariance = noise_autocovariance(reference.ravel(), np.ones(reference.shape, bool), SPACING)
    mask = sphere(5.0)
    assert standard_error(mask, covariance) == pytest.approx(5 / np.sqrt(mask.sum()), rel=0.15)


def test_nan_is_left_out_and_nothing_is_nan():
    rng = np.random.default_rng(3)
    reference = rng.normal(0, 5, 8000)
    reference[::9] = np.nan
    covariance = noise_autocovariance(reference, np.ones((20, 20, 20), bool), SPACING)
    assert np.isfinite(covariance).all()
    assert np.isnan(standard_error(np.zeros((2, 2, 2), bool), covariance))
