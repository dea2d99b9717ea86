"""Noise: SD, correlation between energies and in the plane, against the settings."""

import numpy as np
import pytest

from gsigpu.phantom.noise import NoiseModel, basis_noise, correlated_fields
from gsigpu.physics import iodine_hu_per_mg_per_ml

ENERGIES = tuple(range(40, 141, 10))
SHAPE, SPACING = (192, 256), (0.8, 0.7)


def stack(model, seed=0, n=4):
    """(E, n * pixels) noise of n slices."""
    slices = []
    for index in range(n):
        rng = np.random.default_rng((seed, index))
        noise = basis_noise(model, len(ENERGIES), SHAPE, SPACING, 0.25, rng)
        slices.append([noise.hu(kev, e).ravel() for e, kev in enumerate(ENERGIES)])
    return np.concatenate(slices, axis=1).astype(float)


def test_sd_is_as_asked_at_70_and_at_40_kev_and_least_near_70():
    noise = stack(NoiseModel(12.0, 2.5, 0.2))
    sd = dict(zip(ENERGIES, noise.std(axis=1), strict=True))
    assert sd[70] == pytest.approx(12.0, rel=0.02)
    assert sd[40] == pytest.approx(30.0, rel=0.02)
    assert min(sd, key=sd.get) == 70
    assert max(sd, key=sd.get) == 40


def test_covariance_between_energies_is_the_models():
    model = NoiseModel(10.0, 2.0, 0.3)
    measured = np.cov(stack(model))
    scale = np.sqrt(np.outer(np.diag(measured), np.diag(measured)))
    assert np.abs(measured - model.covariance(ENERGIES)).max() < 0.03 * scale.max()


def test_shared_noise_lies_in_the_water_iodine_plane():
    noise = stack(NoiseModel(10.0, 2.0, 0.0), n=1)
    plane = np.column_stack([np.ones(len(ENERGIES)), iodine_hu_per_mg_per_ml(ENERGIES)])
    left = noise - plane @ np.linalg.lstsq(plane, noise)[0]
    assert np.abs(left).max() < 1e-4 * noise.std()


def test_fields_have_the_power_spectrum_asked():
    peak_per_mm = 0.3
    fields = correlated_fields(200, (64, 96), (0.8, 0.7), peak_per_mm, np.random.default_rng(1))
    assert fields.std() == pytest.approx(1.0, abs=0.01)
    assert np.abs(fields.mean(axis=(1, 2))).max() < 1e-5  # no power at f = 0
    power = (np.abs(np.fft.fft2(fields)) ** 2).mean(axis=0) / (64 * 96)
    f = np.hypot(np.fft.fftfreq(64, 0.8)[:, None], np.fft.fftfreq(96, 0.7)[None, :])
    bins = np.arange(0.025, 0.65, 0.05)
    which = np.digitize(f, bins)
    measured = np.array([power[which == k].mean() for k in range(1, len(bins))])
    target = f * np.exp(-(f**2) / (2 * peak_per_mm**2))
    target *= 64 * 96 / target.sum()
    expected = np.array([target[which == k].mean() for k in range(1, len(bins))])
    assert measured == pytest.approx(expected, rel=0.05)
    centres = bins[:-1] + 0.025
    assert abs(centres[measured.argmax()] - peak_per_mm) <= 0.05


def test_fields_are_independent_of_one_another():
    fields = correlated_fields(5, (96, 128), (1.0, 1.0), 0.2, np.random.default_rng(2))
    correlation = np.corrcoef(fields.reshape(5, -1)) - np.eye(5)
    assert np.abs(correlation).max() < 0.05


def test_one_voxel_has_noise_too():
    fields = correlated_fields(400, (1, 1), (1.0, 1.0), 0.2, np.random.default_rng(3))
    assert fields.std() == pytest.approx(1.0, abs=0.15)
