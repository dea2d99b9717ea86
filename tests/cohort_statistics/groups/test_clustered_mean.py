"""Means with patient-clustered intervals, held to statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy.stats import t

from gsigpu.cohort_statistics.groups.clustered_mean import clustered_means
from gsigpu.errors import InputError


@pytest.fixture
def frame():
    rng = np.random.default_rng(4)
    patient = rng.integers(0, 12, 60)
    value = rng.normal(0, 1, 12)[patient] + rng.normal(0, 0.5, 60)
    group = np.where(patient % 2, "odd", "even")
    return pd.DataFrame({"group": group, "patient_id": patient.astype(str), "value": value})


def test_cluster_robust_interval_of_an_intercept(frame):
    """Stata's small-sample factor for an intercept is G / (G - 1), as use_correction gives with one regressor."""
    means = clustered_means(frame, ["group"]).set_index("group")
    for group, lesions in frame.groupby("group"):
        fit = smf.ols("value ~ 1", lesions).fit(
            cov_type="cluster", cov_kwds={"groups": lesions["patient_id"]}, use_t=True
        )
        g = lesions["patient_id"].nunique()
        row = means.loc[group]
        assert row["mean"] == pytest.approx(fit.params.iloc[0], rel=1e-12)
        assert row["se"] == pytest.approx(fit.bse.iloc[0], rel=1e-12)
        half = t.ppf(0.975, g - 1) * row["se"]
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(
            (row["mean"] - half, row["mean"] + half)
        )
        assert (row["n_lesions"], row["n_patients"]) == (len(lesions), g)


def test_one_lesion_per_patient_is_the_usual_interval():
    values = np.array([1.0, 2.0, 4.0, 8.0])
    frame = pd.DataFrame({"g": "x", "patient_id": list("abcd"), "value": values})
    assert clustered_means(frame, ["g"])["se"].item() == pytest.approx(values.std(ddof=1) / 2)


def test_edges(frame):
    same_patient = frame.assign(patient_id="same")
    assert clustered_means(same_patient, ["group"])["ci_low"].isna().all()
    gone = frame.assign(value=np.nan)
    assert clustered_means(gone, ["group"]).empty
    with pytest.raises(InputError, match="confidence"):
        clustered_means(frame, ["group"], confidence=1.0)
