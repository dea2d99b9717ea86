"""Statistics to published and independent values."""

import numpy as np
import pytest
import scipy.stats
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gsigpu.regions.statistics import (
    STATISTICS,
    mean_and_sd_of_rows,
    ratio,
    spectral_curve,
    statistics,
    statistics_of_rows,
)

# The IBSI digital phantom: Zwanenburg et al., IBSI reference manual, section 5.1; 0 is outside the ROI.
IBSI = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ],
    dtype=float,
)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        # The manual's benchmark values for the digital phantom, section 3.3, to all printed digits.
        ("mean", "2.15"), ("variance", "3.05"), ("skewness", "1.08"), ("kurtosis", "-0.355"),
        ("median", "1"), ("min", "1"), ("p10", "1"), ("p90", "4"), ("max", "6"), ("iqr", "3"),
        ("range", "5"), ("mad", "1.55"), ("robust_mad", "1.11"), ("median_ad", "1.15"),
        ("cov", "0.812"), ("qcd", "0.6"), ("energy", "567"), ("rms", "2.77"),
    ],
)  # fmt: skip
def test_ibsi_digital_phantom(name, published):
    values_by_name = statistics(IBSI[IBSI > 0])
    assert values_by_name["n_valid"] == 74
    digits = len(published.lstrip("-").replace("0.", "", 1).replace(".", ""))
    assert float(f"{values_by_name[name]:.{digits}g}") == float(published)


def test_ibsi_discretised_entropy():
    """1.27 bits (section 3.4), of the intensities themselves as bins: 1, 3, 4, 6 fall apart in six."""
    assert statistics(IBSI[IBSI > 0], entropy_bins=6)["entropy"] == pytest.approx(1.27, abs=0.005)


def test_against_simpleitk_and_scipy_on_random_values():
    rng = np.random.default_rng(2)
    image = rng.gamma(2.0, 10.0, (6, 20, 20)) - 5.0
    labels = rng.integers(0, 4, image.shape).astype(np.uint8)
    reference = SimpleITK.LabelIntensityStatisticsImageFilter()
    reference.Execute(SimpleITK.GetImageFromArray(labels), SimpleITK.GetImageFromArray(image))
    for label in (1, 2, 3):
        values = image[labels == label]
        values_by_name = statistics(values)
        assert values_by_name["mean"] == pytest.approx(reference.GetMean(label), rel=1e-12)
        assert values_by_name["sd"] == pytest.approx(
            reference.GetStandardDeviation(label), rel=1e-12
        )
        assert values_by_name["min"] == reference.GetMinimum(label)
        assert values_by_name["max"] == reference.GetMaximum(label)
        assert values_by_name["skewness"] == pytest.approx(scipy.stats.skew(values), rel=1e-12)
        assert values_by_name["kurtosis"] == pytest.approx(scipy.stats.kurtosis(values), rel=1e-12)
        assert values_by_name["iqr"] == pytest.approx(scipy.stats.iqr(values), rel=1e-12)
        assert values_by_name["median_ad"] == pytest.approx(
            np.abs(values - np.median(values)).mean(), rel=1e-12
        )


def test_float32_with_a_large_offset_keeps_its_spread():
    offset, small = (
        np.float32(1_000_000),
        np.random.default_rng(3).integers(-8, 9, 4000).astype(np.float32),
    )
    values_by_name = statistics(offset + small)
    assert values_by_name["sd"] == pytest.approx(float(small.astype(float).std(ddof=1)), rel=1e-12)
    assert values_by_name["skewness"] == pytest.approx(
        scipy.stats.skew(small.astype(float)), abs=1e-9
    )


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40),
    st.floats(-100, 100),
    st.floats(0.1, 10),
)
def test_shift_and_scale(values, shift, scale):
    before, after = statistics(np.array(values)), statistics(scale * np.array(values) + shift)
    for name in ("mean", "median", "p10", "p90", "min", "max"):
        assert after[name] == pytest.approx(scale * before[name] + shift, abs=1e-6)
    for name in ("sd", "iqr", "mad", "range"):
        assert after[name] == pytest.approx(scale * before[name], abs=1e-6)


def test_missing_values_are_counted_and_left_out():
    values_by_name = statistics(np.array([np.nan, 3.0, np.nan, 5.0]))
    assert (values_by_name["n"], values_by_name["n_valid"], values_by_name["mean"]) == (4, 2, 4)


def test_nothing_valid_and_one_value():
    nothing = statistics(np.array([np.nan]))
    assert all(np.isnan(nothing[name]) for name in STATISTICS)
    single = statistics(np.array([7.0]))
    assert single["mean"] == 7
    assert np.isnan(single["sd"])
    assert single["entropy"] == 0


def test_spectral_curve_leaves_a_voxel_out_at_all_energies():
    stack = np.array([[1.0, 2.0, np.nan, 6.0], [10.0, 20.0, 30.0, 60.0]])
    mean, sd = spectral_curve(stack)
    np.testing.assert_allclose(mean, [3, 30])
    np.testing.assert_allclose(sd, np.std([[1, 2, 6], [10, 20, 60]], axis=1, ddof=1))


def test_ratio_of_nothing():
    assert np.isnan(ratio(float("nan"), 2.0))
    assert np.isnan(ratio(1.0, 0.0))


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, (3, 9), elements=st.sampled_from([np.nan, -2.5, 0.0, 1.0, 1.5, 7.0, 900.0]))
)
def test_parameters_of_a_region_together_are_those_one_by_one(values):
    """Each row by itself, whatever is NaN in another; and against NumPy and SciPy."""
    together = statistics_of_rows(values)
    brief = mean_and_sd_of_rows(values)
    for row, of_row, of_brief in zip(values, together, brief, strict=True):
        alone = statistics(row)
        assert of_row.keys() == alone.keys() == {*STATISTICS, "n", "n_valid"}
        for name in alone:
            assert of_row[name] == pytest.approx(alone[name], rel=1e-14, nan_ok=True)
        valid = row[~np.isnan(row)].astype(float)
        assert of_row["n_valid"] == of_brief["n_valid"] == valid.size
        if valid.size == 0:
            assert np.isnan(of_row["mean"])
            continue
        assert of_brief["mean"] == pytest.approx(of_row["mean"], rel=1e-12)
        assert of_brief["sd"] == pytest.approx(of_row["sd"], rel=1e-12, nan_ok=True)
        for name, percent in (("p10", 10), ("median", 50), ("p90", 90)):
            assert of_row[name] == pytest.approx(np.percentile(valid, percent), rel=1e-14)
        counts, _ = np.histogram(valid, bins=32)
        if np.ptp(valid) > 0:
            assert of_row["entropy"] == pytest.approx(scipy.stats.entropy(counts, base=2), abs=1e-9)


def test_only_what_is_asked_for_is_computed():
    (row,) = statistics_of_rows(np.array([[1.0, 2.0, 4.0]]), names=("p90", "mean"))
    assert row == {
        "p90": pytest.approx(3.6),
        "mean": pytest.approx(7 / 3),
        "n": 3.0,
        "n_valid": 3.0,
    }
