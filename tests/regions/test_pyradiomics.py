"""Statistics to those of PyRadiomics (stored) and SimpleITK (run)."""

import json

import numpy as np
import pytest
import SimpleITK

from gsigpu.regions.statistics import statistics
from tests.golden.make_pyradiomics import FEATURES, data_sets
from tests.support.places import GOLDEN as GOLDEN_FOLDER

GOLDEN = json.loads(GOLDEN_FOLDER.joinpath("pyradiomics_first_order.json").read_text("utf-8"))
# PyRadiomics' name -> ours. Its variance is the population's, as IBSI's.
NAMES = {
    "Mean": "mean",
    "Median": "median",
    "10Percentile": "p10",
    "90Percentile": "p90",
    "InterquartileRange": "iqr",
    "Minimum": "min",
    "Maximum": "max",
    "Skewness": "skewness",
    "Kurtosis": "kurtosis",
    "Variance": "variance",
    "Range": "range",
    "MeanAbsoluteDeviation": "mad",
    "RobustMeanAbsoluteDeviation": "robust_mad",
    "Energy": "energy",
    "RootMeanSquared": "rms",
}


@pytest.mark.parametrize("data_set", sorted(GOLDEN["data_sets"]))
def test_against_pyradiomics_first_order(data_set):
    """The same formulae in float64, to 1e-9.

    Around 1e5 float64 is 1.5e-11 fine, 3e-11 of a spread of 0.5: no order of summation may cost more than some
    tens of that. Skewness is near 0 and has an absolute tolerance.
    """
    values, stored = data_sets()[data_set], GOLDEN["data_sets"][data_set]
    assert values.ravel()[:3].tolist() == stored["first_values"], "NumPy draws other values now"
    values_by_name = statistics(values)
    values_by_name["kurtosis"] += 3.0  # PyRadiomics does not take off the normal distribution's
    assert set(stored["features"]) == set(FEATURES) == set(NAMES)
    for feature, value in stored["features"].items():
        assert values_by_name[NAMES[feature]] == pytest.approx(value, rel=1e-9, abs=1e-10), feature


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_against_simpleitk_on_random_labels(dtype):
    """Its sigma is the sample's (n - 1), also where it divides skewness and kurtosis by powers of it; IBSI's is n.

    Its moments come from sums of powers of the raw values, which cancel some digits: 1e-9. Its median is that of
    a histogram and is left out.
    """
    rng = np.random.Generator(np.random.PCG64(5))
    image = (rng.gamma(2.0, 6.0, (9, 24, 31)) - 4.0).astype(dtype)
    labels = rng.choice(np.array([0, 1, 2, 7], np.uint8), image.shape, p=[0.5, 0.3, 0.15, 0.05])
    reference = SimpleITK.LabelIntensityStatisticsImageFilter()
    reference.Execute(SimpleITK.GetImageFromArray(labels), SimpleITK.GetImageFromArray(image))
    assert set(reference.GetLabels()) == {1, 2, 7}
    for label in reference.GetLabels():
        values_by_name = statistics(image[labels == label])
        assert values_by_name["n_valid"] == reference.GetNumberOfPixels(label)
        assert values_by_name["mean"] == pytest.approx(reference.GetMean(label), rel=1e-12)
        assert values_by_name["sd"] == pytest.approx(
            reference.GetStandardDeviation(label), rel=1e-9
        )
        assert values_by_name["sd"] ** 2 == pytest.approx(reference.GetVariance(label), rel=1e-9)
        assert values_by_name["min"] == reference.GetMinimum(label)
        assert values_by_name["max"] == reference.GetMaximum(label)
        shrink = (values_by_name["n_valid"] - 1.0) / values_by_name["n_valid"]
        assert values_by_name["skewness"] * shrink**1.5 == pytest.approx(
            reference.GetSkewness(label), rel=1e-9
        )
        assert (values_by_name["kurtosis"] + 3.0) * shrink**2 - 3.0 == pytest.approx(
            reference.GetKurtosis(label), rel=1e-9
        )
