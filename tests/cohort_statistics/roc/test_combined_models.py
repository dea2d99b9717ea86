"""Models of several parameters: no patient on both sides, honest areas, calibration."""

import json

import numpy as np
import pytest

from gsigpu.cohort_statistics.frames import CALIBRATION_COLUMNS, MODEL_COLUMNS
from gsigpu.cohort_statistics.roc.clustered import obuchowski
from gsigpu.cohort_statistics.roc.combined_models import (
    calibration,
    combined_models,
    predictions,
)
from gsigpu.cohort_statistics.roc.patient_folds import Folds, Lesions
from gsigpu.errors import InputError
from tests.support.places import GOLDEN as GOLDEN_FOLDER

CALIBRATION = json.loads((GOLDEN_FOLDER / "roc.json").read_text("utf-8"))["calibration"]
ORDER = ("colorectal", "gastric", "breast")


def cohort(seed, effect, n_patients=60, noise_parameters=0):
    """Three groups; the first two parameters separate them by `effect`, the others are noise."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 5, n_patients))
    codes = patients * 3 // n_patients
    shape = (patients.size, 2 + noise_parameters)
    values = rng.normal(size=shape) + 0.6 * rng.normal(size=(n_patients, shape[1]))[patients]
    values[:, 0] += effect * codes
    values[:, 1] -= effect * (codes == 1)
    return values, codes, patients


@pytest.fixture(scope="module")
def result():
    values, codes, patients = cohort(1, 1.0)
    values[[0, 7], 1] = np.nan
    names = np.array(ORDER)[codes]
    return combined_models(values, ["λHU", "iodine"], names, patients, order=ORDER, seed=5)


def test_rows_and_columns(result):
    models = result.models
    assert tuple(models.columns) == MODEL_COLUMNS
    assert tuple(result.calibration.columns) == CALIBRATION_COLUMNS
    assert models["model"].tolist() == ["logistic"] * 3 + ["multinomial"] * 4
    assert models["group_a"].tolist()[3:] == [*ORDER, "all"]
    assert (models["parameters"] == "λHU+iodine").all()
    assert (models["n_folds"] == 5).all()
    assert models["n_incomplete"].tolist() == [2, 2, 0, 2, 2, 2, 2]
    assert ((models["auc_low"] < models["auc"]) & (models["auc"] < models["auc_high"])).all()
    assert models["auc"].iloc[-1] == pytest.approx(models["auc"].iloc[3:6].mean())
    points = result.calibration
    assert points["predicted"].between(0, 1).all()
    assert points["observed"].between(0, 1).all()
    logistic = points[(points["model"] == "logistic") & (points["group_b"] == "gastric")]
    assert logistic["n_lesions"].sum() == models["n_lesions"].iloc[0]


def test_no_patient_is_on_both_sides(monkeypatch):
    values, codes, patients = cohort(2, 1.0)
    lesions = Lesions(values, codes, patients)
    fold = Folds(lesions, 3).of(patients, 5)
    assert all(np.unique(fold[patients == patient]).size == 1 for patient in np.unique(patients))
    for code in range(3):
        assert np.bincount(fold[codes == code], minlength=5).min() > 0
    predicted = predictions(lesions, Folds(lesions, 3), 5)
    assert predicted.sum(axis=1) == pytest.approx(1.0)
    # A lesion's own value and group have no part in its prediction: change one patient's group.
    changed = codes.copy()
    changed[patients == 0] = 2

    class SameFolds(Folds):
        def of(self, patients, n_folds):
            return fold

    again = predictions(Lesions(values, changed, patients), SameFolds(lesions, 3), 5)
    mine = patients == 0
    assert again[mine] == pytest.approx(predicted[mine], abs=1e-12)
    assert not np.allclose(again[fold != fold[mine][0]], predicted[fold != fold[mine][0]])


def test_noise_is_not_sold_as_signal():
    areas, apparent = [], []
    for seed in range(6):
        values, codes, patients = cohort(seed, 0.0, n_patients=36, noise_parameters=3)
        names = np.array(ORDER)[codes]
        models = combined_models(
            values, list("abcde"), names, patients, order=ORDER, seed=seed
        ).models
        areas += models["auc"].iloc[:3].tolist()
        apparent += models["auc_apparent"].iloc[:3].tolist()
    assert np.mean(areas) == pytest.approx(0.5, abs=0.06)
    assert np.mean(apparent) > 0.68


def test_the_interval_is_the_clustered_one_of_the_scores():
    values, codes, patients = cohort(4, 0.8)
    names = np.array(ORDER)[codes]
    models = combined_models(values, ["a", "b"], names, patients, order=ORDER, seed=5).models
    _, patient = np.unique(patients.astype(str), return_inverse=True)
    everyone = Lesions(values, codes.astype(np.intp), patient.astype(np.intp))
    folds = Folds(everyone, int(np.random.default_rng(5).integers(2**31)))
    pair = everyone.of([1, 0])
    p = predictions(pair, folds, 5)[:, 1]
    positive = pair.groups == 1
    exact = obuchowski(p[positive], p[~positive], pair.patients[positive], pair.patients[~positive])
    row = models.iloc[0]
    assert (row["auc"], row["se"]) == pytest.approx((exact.auc, exact.se))
    assert (row["auc_low"], row["auc_high"]) == pytest.approx((exact.ci_low, exact.ci_high))
    assert row["brier"] == pytest.approx(((p - positive) ** 2).mean())


def test_calibration_is_that_of_r():
    intercept, slope, note = calibration(CALIBRATION["predicted"], CALIBRATION["happened"])
    assert intercept == pytest.approx(CALIBRATION["intercept"], abs=1e-8)
    assert slope == pytest.approx(CALIBRATION["slope"], abs=1e-6)
    assert note == ""


def test_calibration_at_its_edges():
    assert np.isnan(calibration([0.2, 0.3], [True, True])[0])
    intercept, slope, note = calibration([0.9, 0.8, 0.1, 0.2], [True, True, False, False])
    assert np.isfinite(intercept)
    assert np.isnan(slope)
    assert "separated" in note
    assert np.isnan(calibration([0.5, 0.5, 0.5, 0.5], [True, False, True, False])[1])


def test_same_seed_same_bytes(result):
    values, codes, patients = cohort(1, 1.0)
    values[[0, 7], 1] = np.nan
    names = np.array(ORDER)[codes]
    again = combined_models(values, ["λHU", "iodine"], names, patients, order=ORDER, seed=5)
    assert again.models.to_csv() == result.models.to_csv()
    assert again.calibration.to_csv() == result.calibration.to_csv()


def test_too_few_patients_keep_a_row_with_a_note():
    values, codes, patients = cohort(6, 1.0, n_patients=12)
    patients = np.where(codes == 2, 99, patients)
    names = np.array([*ORDER, "lung"])[codes]
    result = combined_models(values, ["a", "b"], names, patients, order=(*ORDER, "lung"), seed=1)
    logistic = result.models[result.models["model"] == "logistic"].set_index(["group_a", "group_b"])
    assert logistic.loc[("colorectal", "gastric"), "n_folds"] == 4
    for pair in (("colorectal", "breast"), ("gastric", "lung"), ("breast", "lung")):
        assert np.isnan(logistic.loc[pair, "auc"])
        assert "fewer than two patients" in logistic.loc[pair, "note"]
    assert "multinomial" not in set(result.models["model"])  # two groups are left: the pair itself


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="one row per lesion"):
        combined_models(np.ones((3, 2)), ["a"], list("xyz"), list("pqr"), order="xyz", seed=1)
    with pytest.raises(InputError, match="unknown groups z"):
        combined_models(np.ones((3, 1)), ["a"], list("xyz"), list("pqr"), order="xy", seed=1)
