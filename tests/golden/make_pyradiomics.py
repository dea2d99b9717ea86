"""Writes pyradiomics_first_order.json: PyRadiomics' first-order features of three random data sets.

Run with a Python that has PyRadiomics 3.0.1 (NumPy below 2), SimpleITK and NumPy:

    python make_pyradiomics.py

The test makes the same data again from the seed and compares `gsigpu.regions.statistics` with the file.
"""

import json
from pathlib import Path

import numpy as np

SEED = 20240607
SHAPE = (6, 20, 25)
FEATURES = (
    "Mean", "Median", "10Percentile", "90Percentile", "InterquartileRange", "Minimum", "Maximum",
    "Skewness", "Kurtosis", "Variance", "Range", "MeanAbsoluteDeviation",
    "RobustMeanAbsoluteDeviation", "Energy", "RootMeanSquared",
)  # fmt: skip


def data_sets():
    """Name -> (6, 20, 25) float64."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    return {
        "normal": rng.normal(40.0, 12.0, SHAPE),
        "gamma": rng.gamma(1.5, 4.0, SHAPE) - 3.0,
        "offset": 1e5 + rng.normal(0.0, 0.5, SHAPE),
    }


def main():
    """Asks PyRadiomics."""
    import radiomics
    import SimpleITK
    from radiomics.firstorder import RadiomicsFirstOrder

    mask = SimpleITK.GetImageFromArray(np.ones(SHAPE, np.uint8))
    golden = {}
    for name, values in data_sets().items():
        extractor = RadiomicsFirstOrder(SimpleITK.GetImageFromArray(values), mask)
        extractor.disableAllFeatures()
        for feature in FEATURES:
            extractor.enableFeatureByName(feature)
        features = {key: float(value) for key, value in extractor.execute().items()}
        # The first values tell whether a NumPy still draws the same ones.
        golden[name] = {"first_values": values.ravel()[:3].tolist(), "features": features}
    content = {
        "made_by": "make_pyradiomics.py",
        "pyradiomics": radiomics.__version__.lstrip("v"),
        "numpy": np.__version__,
        "seed": SEED,
        "data_sets": golden,
    }
    path = Path(__file__).with_name("pyradiomics_first_order.json")
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
