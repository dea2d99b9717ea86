"""Regions and phases inside lesions, against lme4, clubSandwich, car and published data."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gsigpu.cohort_statistics.frames import INTERVALS, WITHIN_COLUMNS
from gsigpu.cohort_statistics.mixed_model.cluster_robust import cluster_robust
from gsigpu.cohort_statistics.mixed_model.nested_intercepts import fit_nested_intercepts
from gsigpu.cohort_statistics.multiplicity import adjust_over_all
from gsigpu.cohort_statistics.within.ratio import fieller
from gsigpu.cohort_statistics.within.repeated_measures import paired_t, repeated_measures
from gsigpu.cohort_statistics.within.within_frames import within_tests
from gsigpu.errors import InputError
from tests.support.places import GOLDEN as GOLDEN_FOLDER

GOLDEN = json.loads((Path(GOLDEN_FOLDER) / "within.json").read_text())
CASES = GOLDEN["mixed"]
ORDER = ["core", "rim", "parenchyma"]


def compared(name, **more):
    rows = pd.DataFrame(CASES[name]["rows"])
    columns = (rows["value"], rows["lesion"], rows["patient"], rows["condition"])
    return within_tests(*columns, order=ORDER, comparison="region", **more)


def with_groups(name):
    rows = pd.DataFrame(CASES[name]["rows"])
    return compared(name, groups=rows["group"], group_order=sorted(rows["group"].unique()))


@pytest.mark.parametrize("name", CASES)
def test_variances_are_lme4s(name):
    r, rows = CASES[name], pd.DataFrame(CASES[name]["rows"])
    design = (rows["condition"].to_numpy()[:, None] == np.array(ORDER)).astype(float)
    lesion = pd.factorize(rows["patient"] + "/" + rows["lesion"])[0]
    fit = fit_nested_intercepts(
        rows["value"].to_numpy(float), design, pd.factorize(rows["patient"])[0], lesion
    )
    ours = fit.patient_variance, fit.lesion_variance, fit.residual_variance
    theirs = r["patient_variance"], r["lesion_variance"], r["residual_variance"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fit.coefficients, r["mean"], rtol=1e-8)
    np.testing.assert_allclose(cluster_robust(fit).covariance, r["vcov"], rtol=1e-5, atol=1e-7)


def test_a_group_of_one_patient_is_not_tested():
    """Its variance was rounding: intervals without width and p = 0, or bounds of 1e132."""
    rng = np.random.default_rng(5)
    patient = np.repeat(["p", "q", "r", "s", "s"], 2)
    lesion = np.repeat(["1", "1", "1", "1", "2"], 2)
    frame = within_tests(
        rng.normal(size=10), lesion, patient, ["core", "rim"] * 5, order=["core", "rim"],
        comparison="region", groups=np.repeat(list("aabcc"), 2), group_order=["a", "b", "c"],
    ).set_index("test")  # fmt: skip
    inside = frame.loc["mixed-in-group"].set_index("group")
    assert inside["p"].notna().to_dict() == {"a": True, "b": False, "c": False}
    assert inside["ci_low"].notna().to_dict() == {"a": True, "b": False, "c": False}
    assert inside["difference"].notna().all()
    assert inside.loc[["b", "c"], "note"].str.startswith("cannot be tested").all()
    assert np.isnan(frame.loc["mixed-interaction", "p"])
    assert "rests on one patient" in frame.loc["mixed-interaction", "note"]
    assert np.isfinite(frame.loc["mixed", "p"])


@pytest.mark.parametrize("name", CASES)
def test_differences_and_ratios_are_clubsandwichs(name):
    r = CASES[name]
    frame = compared(name)
    pairs = frame[frame["test"] == "mixed"]
    assert pairs["condition_b"].tolist() == ["rim", "parenchyma", "parenchyma"]
    for column, key in (
        ("difference", "difference"),
        ("ci_low", "low"),
        ("ci_high", "high"),
        ("df2", "df"),
    ):
        np.testing.assert_allclose(pairs[column], r[key], rtol=1e-5)
    np.testing.assert_allclose(pairs["difference"] / pairs["statistic"], r["se"], rtol=1e-5)
    first = pairs.iloc[0]
    ratio = first["ratio"], first["ratio_low"], first["ratio_high"]
    np.testing.assert_allclose(ratio, [r["ratio"], r["ratio_low"], r["ratio_high"]], rtol=1e-6)
    overall = frame.set_index("test").loc["mixed-overall"]
    for column, key in (("statistic", "f"), ("df1", "df1"), ("df2", "df2"), ("p", "p")):
        assert overall[column] == pytest.approx(r[key], rel=1e-5)


@pytest.mark.parametrize("name", ["three_groups", "few_patients"])
def test_regions_by_groups_are_clubsandwichs(name):
    r = CASES[name]["interaction"]
    frame = with_groups(name)
    row = frame.set_index("test").loc["mixed-interaction"]
    for column, key in (("statistic", "f"), ("df1", "df1"), ("df2", "df2"), ("p", "p")):
        assert row[column] == pytest.approx(r[key], rel=1e-4)
    inside = frame[(frame["test"] == "mixed-in-group") & (frame["condition_b"] == "rim")]
    assert inside["group"].tolist() == r["groups"]
    np.testing.assert_allclose(inside["difference"], r["core_less_rim"], rtol=1e-6)
    np.testing.assert_allclose(inside["df2"], r["df"], rtol=1e-4)


@pytest.mark.parametrize("name", GOLDEN["anova"])
def test_repeated_measures_are_those_of_car_on_obrien_and_kaisers_data(name):
    r = GOLDEN["anova"][name]
    groups = pd.factorize(np.array(r["groups"]))[0] if "groups" in r else None
    tests = {"condition": repeated_measures(np.array(r["values"], float), groups)}
    if groups is not None:
        tests["interaction"] = repeated_measures(
            np.array(r["values"], float), groups, interaction=True
        )
    names = {
        "f": "f", "df1": "df1", "df2": "df2", "p": "p", "epsilon": "epsilon",
        "p_corrected": "p_corrected", "mauchly_w": "w",
    }  # fmt: skip
    for key, test in tests.items():
        ours = [getattr(test, attribute) for attribute in names]
        np.testing.assert_allclose(ours, [r[key][name] for name in names.values()], rtol=1e-9)
        # R's second term of the series has 3 k where Box has 3 (k - 1).
        assert test.mauchly_p == pytest.approx(r[key]["mauchly_p"], rel=2e-3)


def test_paired_t_is_students_on_his_sleep_data():
    """Student, Biometrika 1908; 6: 1-25: t = 4.06, p = .0028."""
    r = GOLDEN["sleep"]
    test = paired_t(np.array(r["first"]), np.array(r["second"]))
    ours = (test.difference, test.t, test.df, test.p, test.ci_low, test.ci_high)
    np.testing.assert_allclose(
        ours, [r[key] for key in ("difference", "t", "df", "p", "low", "high")]
    )
    assert round(abs(test.t), 2) == 4.06


def test_the_paper_track_pairs_lesions_with_their_patients_liver():
    frame = compared("one_group")
    rows = pd.DataFrame(CASES["one_group"]["rows"])
    wide = rows[rows["lesion"] != ""].pivot(
        index=["patient", "lesion"], columns="condition", values="value"
    )
    liver = rows[rows["condition"] == "parenchyma"].set_index("patient")["value"]
    wide["parenchyma"] = wide.index.get_level_values("patient").map(liver)
    wide = wide.dropna()
    pairs = frame[frame["test"] == "paired-t"].set_index(["condition_a", "condition_b"])
    for a, b in pairs.index:
        assert pairs.loc[(a, b), "difference"] == pytest.approx((wide[a] - wide[b]).mean())
        assert pairs.loc[(a, b), "p_bonferroni"] == pytest.approx(
            min(1, 3 * pairs.loc[(a, b), "p"])
        )
    anova = frame.set_index("test").loc["rm-anova"]
    expected = repeated_measures(wide[ORDER].to_numpy())
    assert anova["p"] == pytest.approx(expected.p_corrected)
    assert anova["n_lesions"] == len(wide)


def test_one_lesion_per_patient_is_the_paired_t_test():
    rng = np.random.default_rng(3)
    core, rim = rng.normal(5, 1, (2, 12)) + rng.normal(size=12)
    patients = np.tile(np.arange(12), 2)
    frame = within_tests(
        np.r_[core, rim], ["1"] * 24, patients, np.repeat(["core", "rim"], 12),
        order=["core", "rim"], comparison="region",
    )  # fmt: skip
    paper, mixed = frame.iloc[0], frame.iloc[1]
    for column in (
        "difference",
        "statistic",
        "df2",
        "p",
        "ci_low",
        "ratio",
        "ratio_low",
        "ratio_high",
    ):
        assert mixed[column] == pytest.approx(paper[column], rel=1e-6), column


def test_phases_are_conditions_too_and_the_frame_keeps_its_contract():
    rows = pd.DataFrame(CASES["three_groups"]["rows"])
    rows = rows[rows["condition"] != "parenchyma"]
    frame = within_tests(
        rows["value"], rows["lesion"], rows["patient"],
        rows["condition"].map({"core": "AP", "rim": "PVP"}), order=["AP", "PVP"], comparison="phase",
        groups=rows["group"], group_order=["a", "b", "c"],
    )  # fmt: skip
    assert tuple(frame.columns) == WITHIN_COLUMNS
    assert set(frame["comparison"]) == {"phase"}
    assert adjust_over_all(frame)["p_holm_all"].notna().all()
    for low, estimate, high in INTERVALS["within"]:
        known = frame[frame[low].notna()]
        assert known[estimate].between(known[low], known[high]).all()
    assert (frame["computation"] != "").all()


def test_level_holds_where_patients_have_many_lesions_and_the_paper_track_fails():
    """No difference but in single patients, whose lesions agree: 14 patients, 1 to 8 lesions."""
    rng = np.random.default_rng(7)
    rejected = {"paired-t": 0, "mixed": 0}
    n_studies = 150
    for _ in range(n_studies):
        patients = np.repeat(np.arange(14), rng.integers(1, 9, 14))
        lesions = np.arange(patients.size).astype(str)
        core = rng.normal(size=14)[patients] + rng.normal(size=patients.size)
        rim = core + rng.normal(size=14)[patients] + 0.5 * rng.normal(size=patients.size)
        frame = within_tests(
            np.r_[core, rim], np.r_[lesions, lesions], np.r_[patients, patients],
            np.repeat(["core", "rim"], patients.size), order=["core", "rim"], comparison="region",
        )  # fmt: skip
        for test in rejected:
            rejected[test] += int(frame.set_index("test").loc[test, "p"] < 0.05)
    assert rejected["mixed"] / n_studies < 0.103  # 5 % and three standard errors
    assert rejected["paired-t"] / n_studies > 0.2


def test_fiellers_interval_covers():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(1000):
        x, y = rng.multivariate_normal([6, 4], [[1, 0.4], [0.4, 1]], 15).T
        v = np.cov(x, y) / 15
        interval = fieller(x.mean(), y.mean(), v[0, 0], v[1, 1], v[0, 1], df=14)
        hits += interval.low <= 1.5 <= interval.high
    assert hits / 1000 == pytest.approx(0.95, abs=0.021)
    unbounded = fieller(1.0, 0.1, 0.04, 0.04, 0.0, df=10)
    assert unbounded.ratio == pytest.approx(10)
    assert np.isnan(unbounded.low)


@pytest.mark.parametrize(
    ("values", "lesions", "patients", "conditions"),
    [
        ([1.0, 2.0], ["1", "1"], ["p", "p"], ["core", "rim"]),
        ([1.0, 1.0, 1.0, 1.0], ["1"] * 4, list("ppqq"), ["core", "rim"] * 2),
        ([1.0, 2.0, 1.0, 2.0], ["1"] * 4, list("ppqq"), ["core", "rim"] * 2),
        ([1.0, 2.0], ["1", "1"], ["p", "q"], ["core", "core"]),
        ([np.nan, np.nan], ["1", "1"], ["p", "p"], ["core", "rim"]),
    ],
)
def test_what_cannot_be_tested_says_why(values, lesions, patients, conditions):
    frame = within_tests(
        values, lesions, patients, conditions, order=["core", "rim"], comparison="region"
    )
    assert frame["p"].isna().all()
    assert frame["note"].str.startswith("cannot be tested").all()


def test_bad_input_is_refused():
    arguments = (["1"] * 2, ["p", "q"], ["core", "rim"])
    for values, message in (([1.0], "one length"), ([1.0, np.inf], "infinite")):
        with pytest.raises(InputError, match=message):
            within_tests(values, *arguments, order=["core", "rim"], comparison="region")
    with pytest.raises(InputError, match="two values of core"):
        within_tests(
            [1.0, 2.0],
            ["1"] * 2,
            ["p"] * 2,
            ["core"] * 2,
            order=["core", "rim"],
            comparison="region",
        )
