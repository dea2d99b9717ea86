"""Intraclass correlation and limits of agreement against published tables and psych."""

import json

import numpy as np
import pytest

from gsigpu.cohort_statistics.frames import (
    BLAND_ALTMAN_COLUMNS,
    BLAND_ALTMAN_POINT_COLUMNS,
    ICC_COLUMNS,
)
from gsigpu.cohort_statistics.readers.agreement import reader_agreement
from gsigpu.cohort_statistics.readers.all_ratings import icc_of_all_ratings
from gsigpu.cohort_statistics.readers.bland_altman import clustered_limits, limits_of_agreement
from gsigpu.cohort_statistics.readers.intraclass import (
    FORMS,
    intraclass_correlation,
    patient_jackknife,
)
from gsigpu.errors import InputError
from tests.support.places import GOLDEN as GOLDEN_FOLDER

GOLDEN = json.loads((GOLDEN_FOLDER / "group_tests.json").read_text("utf-8"))
# Bland & Altman, Lancet 1986; 327: 307-310, Table 1: first readings of both meters, l/min.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def test_shrout_and_fleiss_table_4():
    """Psychol Bull 1979; 86: 420-428, Table 4."""
    forms = intraclass_correlation(GOLDEN["icc"]["shrout_fleiss"]["ratings"])
    printed = {
        "ICC1": 0.17,
        "ICC2": 0.29,
        "ICC3": 0.71,
        "ICC1k": 0.44,
        "ICC2k": 0.62,
        "ICC3k": 0.91,
    }
    assert {form.form: round(form.icc, 2) for form in forms} == printed


@pytest.mark.parametrize("name", GOLDEN["icc"])
def test_all_forms_are_psychs(name):
    r = GOLDEN["icc"][name]
    forms = intraclass_correlation(r["ratings"])
    assert [form.form for form in forms] == r["form"]
    for key, attribute in (
        ("icc", "icc"), ("f", "f"), ("df1", "df1"), ("df2", "df2"), ("p", "p"), ("low", "ci_low"),
        ("high", "ci_high"),
    ):  # fmt: skip
        ours = [getattr(form, attribute) for form in forms]
        np.testing.assert_allclose(ours, r[key], rtol=1e-9, err_msg=key)


def clustered_readers(seed=0, n_patients=30, per_patient=3):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), per_patient)
    truth = rng.normal(size=n_patients)[patients] * 2 + rng.normal(size=patients.size)
    return truth[:, None] + rng.normal(size=(patients.size, 2)), patients


def test_jackknife_is_the_literal_one():
    """All patients left out at once from sums, against one at a time."""
    ratings, patients = clustered_readers(n_patients=8)
    low, high = patient_jackknife(ratings, patients)
    z = {
        form: np.arctanh(whole.icc)
        for form, whole in zip(FORMS, intraclass_correlation(ratings), strict=True)
    }
    left = [intraclass_correlation(ratings[patients != patient]) for patient in range(8)]
    for place, form in enumerate(FORMS[:3]):
        pseudo = 8 * z[form] - 7 * np.arctanh([forms[place].icc for forms in left])
        half = 2.364624251592784 * pseudo.std(ddof=1) / np.sqrt(8)  # t.975 with 7 df
        assert low[place] == pytest.approx(np.tanh(z[form] - half), rel=1e-9)
        assert high[place] == pytest.approx(np.tanh(z[form] + half), rel=1e-9)


def test_jackknife_nears_f_intervals_where_lesions_are_independent():
    ratings, _ = clustered_readers(n_patients=300, per_patient=1)
    low, high = patient_jackknife(ratings, np.arange(300))
    f = intraclass_correlation(ratings)
    np.testing.assert_allclose(low[:3], [form.ci_low for form in f[:3]], atol=0.02)
    np.testing.assert_allclose(high[:3], [form.ci_high for form in f[:3]], atol=0.02)


@pytest.mark.parametrize(
    ("ratings", "icc"),
    [
        ([[1.0, 1.0], [2.0, 2.0], [0.1, 0.1]], [1, 1, 1, 1, 1, 1]),
        ([[3.0, 3.0], [3.0, 3.0], [3.0, 3.0]], [np.nan] * 6),
        ([[1.0, np.pi]], [np.nan] * 6),
        ([[1.0], [2.0]], [np.nan] * 6),
    ],
)
def test_constant_and_perfect_ratings(ratings, icc):
    forms = intraclass_correlation(ratings)
    np.testing.assert_array_equal([form.icc for form in forms], icc)
    assert all(np.isfinite(form.icc) or form.note for form in forms)
    assert all(form.ci_low <= 1 for form in forms if np.isfinite(form.icc))


def test_a_constant_shift_between_readers_spoils_agreement_not_consistency():
    y = np.array([1.0, 2.0, 4.0, 8.0])
    forms = {form.form: form for form in intraclass_correlation(np.column_stack([y, y + 1]))}
    assert forms["ICC3"].icc == 1.0
    assert forms["ICC3"].ci_low == 1.0
    assert forms["ICC2"].icc < 1.0
    assert forms["ICC2"].ci_low <= forms["ICC2"].icc <= forms["ICC2"].ci_high


def test_bland_and_altman_1986():
    """Printed: bias -2.1 l/min, SD 38.8; 95 % interval of the bias -22.0 to 17.8."""
    limits = limits_of_agreement(np.subtract(WRIGHT, MINI))
    assert round(limits.bias, 1) == -2.1
    assert round(limits.sd, 1) == 38.8
    assert (limits.bias_low, limits.bias_high) == pytest.approx((-22.0, 17.8), abs=0.06)
    # Their limits take 2 SD, and SE² = 3 s² / n; the later paper's formula is used here.
    assert (limits.loa_low, limits.loa_high) == pytest.approx((-79.7, 75.5), abs=2)
    assert (limits.loa_low_low, limits.loa_low_high) == pytest.approx((-114.3, -45.1), abs=2.5)
    assert (limits.loa_high_low, limits.loa_high_high) == pytest.approx((40.9, 110.1), abs=2.5)


def test_clustered_limits_are_wider_where_patients_differ():
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(20), 6)
    d = rng.normal(size=20)[patients] * 2 + rng.normal(size=120)
    naive, clustered = limits_of_agreement(d), clustered_limits(d, patients)
    width = lambda limits: limits.loa_high_high - limits.loa_high_low  # noqa: E731
    assert width(clustered) > 1.5 * width(naive)
    assert clustered.icc > 0.5
    assert clustered.bias == pytest.approx(naive.bias, abs=1e-9)  # balanced


def test_one_lesion_per_patient_gives_the_classic_limits():
    d = np.subtract(WRIGHT, MINI).astype(float)
    naive, clustered = limits_of_agreement(d), clustered_limits(d, np.arange(17))
    for name in ("bias", "sd", "loa_low", "loa_high_high", "bias_low"):
        assert getattr(clustered, name) == pytest.approx(getattr(naive, name), rel=1e-9)


def readings():
    """Three readers; the third did not measure one lesion, one value is NaN."""
    rows = [
        (patient, lesion, reader, patient + lesion / 3 + 0.1 * place * (lesion + patient % 2))
        for patient in range(1, 6)
        for lesion in range(2)
        for place, reader in enumerate("xyz")
        if (patient, lesion, reader) != (2, 1, "z")
    ]
    patients, lesions, readers, values = (list(column) for column in zip(*rows, strict=True))
    values[0] = np.nan
    return values, lesions, patients, readers


def test_missing_ratings_are_left_out_and_counted():
    agreement = reader_agreement(*readings())
    assert tuple(agreement.icc.columns) == ICC_COLUMNS
    assert tuple(agreement.bland_altman.columns) == BLAND_ALTMAN_COLUMNS
    assert tuple(agreement.points.columns) == BLAND_ALTMAN_POINT_COLUMNS
    every = agreement.icc["form"].str.endswith("-all")
    complete = agreement.icc[~every]
    assert (complete["n_lesions"] == 8).all()
    assert (complete["n_incomplete"] == 2).all()
    ratings = agreement.icc[every].set_index("form")
    assert ratings["n_lesions"].tolist() == [10, 10]
    direct = icc_of_all_ratings(*(readings()[place] for place in range(4)))
    assert ratings.loc["ICC2-all", "icc"] == pytest.approx(direct.agreement)
    assert ratings.loc["ICC3-all", "ci_low"] == pytest.approx(direct.consistency_low)
    assert ratings["note"].tolist() == ["28 ratings"] * 2
    pairs = agreement.bland_altman.query("track == 'paper'").set_index(["reader_a", "reader_b"])
    assert pairs["n"].to_dict() == {("x", "y"): 9, ("x", "z"): 8, ("y", "z"): 9}
    assert len(agreement.points) == 26
    assert (complete.loc[complete["ci_low"].notna(), "note"] == "").all()


def test_one_reader_gives_empty_frames_and_two_values_are_refused():
    alone = reader_agreement([1.0, 2.0], ["a", "b"], [1, 1], ["x", "x"])
    assert alone.icc.empty
    assert tuple(alone.icc.columns) == ICC_COLUMNS
    with pytest.raises(InputError, match="two values of lesion a of patient 1"):
        reader_agreement([1.0, 2.0], ["a", "a"], [1, 1], ["x", "x"])


def test_readers_without_a_common_lesion():
    agreement = reader_agreement([1.0, 2.0], ["a", "b"], [1, 1], ["x", "y"])
    assert agreement.icc["icc"].isna().all()
    assert (agreement.icc["note"] != "").all()
    assert (agreement.bland_altman["note"] != "").all()
    assert agreement.points.empty
