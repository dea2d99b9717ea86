"""Power against R; tests from summary statistics against the tests on the values; disagreements."""

import json

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower

from gsigpu.cohort_statistics.frames import (
    BINORMAL_COLUMNS,
    DESCRIPTIVE_COLUMNS,
    OMNIBUS_COLUMNS,
    PAIRWISE_COLUMNS,
    POWER_COLUMNS,
)
from gsigpu.cohort_statistics.groups.disagreements import disagreements
from gsigpu.cohort_statistics.groups.group_frames import descriptives, omnibus_tests, pairwise_tests
from gsigpu.cohort_statistics.groups.power import (
    auc_power,
    auc_standard_error,
    power_table,
    t_test_power,
)
from gsigpu.cohort_statistics.groups.summary_statistics import summary_tests
from gsigpu.cohort_statistics.multiplicity import adjust_over_all, bonferroni, holm
from gsigpu.errors import InputError, SettingsError
from tests.support.places import GOLDEN as GOLDEN_FOLDER

GOLDEN = json.loads((GOLDEN_FOLDER / "group_tests.json").read_text("utf-8"))


def even(n_groups, n):
    """Groups of n lesions, one per patient, with means apart."""
    rng = np.random.default_rng(1)
    groups = np.repeat([f"g{code}" for code in range(n_groups)], n)
    return rng.normal(size=groups.size), groups, np.arange(groups.size)


def test_power_of_anova_and_t_is_rs():
    """power.anova.test and power.t.test, one lesion per patient."""
    r = GOLDEN["power"]
    order = [f"g{code}" for code in range(5)]
    table = power_table(*even(5, 20), order=order, cohen_f=[0.25], cohen_d=[0.5])
    assert tuple(table.columns) == POWER_COLUMNS
    given = table.query("effect_source == 'given'")
    anova, t = (given[given["test"] == test].iloc[0] for test in ("anova", "t"))
    assert anova["power"] == pytest.approx(r["anova"]["power"], abs=1e-7)
    assert t["power"] == pytest.approx(r["t"]["power"], abs=1e-7)
    assert anova["n_per_group_needed"] == np.ceil(r["anova"]["needed"])
    assert t["n_per_group_needed"] == np.ceil(r["t"]["needed"])
    assert (given["design_effect"] == 1.0).all()
    assert len(table) == 2 + 10 * 4


def test_standard_error_of_no_effect_is_mann_and_whitneys():
    """Var(U) = m n (m + n + 1) / 12 (Ann Math Stat 1947; 18: 50-60)."""
    assert auc_standard_error(0.5, 7, 31) ** 2 == pytest.approx(39 / (12 * 7 * 31), rel=1e-12)


def test_power_of_an_area_is_what_simulation_finds():
    """Normal values with AUC .7, two groups of 30; Mann-Whitney at .05."""
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(7)
    shift = 2**0.5 * 0.5244005  # Φ(shift / √2) = .7
    a, b = rng.normal(size=(2000, 30)) + shift, rng.normal(size=(2000, 30))
    rejected = (mannwhitneyu(a, b, axis=1).pvalue < 0.05).mean()
    assert auc_power(0.7, 30, 30) == pytest.approx(rejected, abs=0.03)
    assert auc_power(0.3, 30, 30) == auc_power(0.7, 30, 30)


def test_clustering_costs_power():
    rng = np.random.default_rng(2)
    patients = np.repeat(np.arange(30), 4)
    groups = np.array(["a", "b"])[patients % 2]
    values = rng.normal(size=30)[patients] * 1.5 + rng.normal(size=120)
    clustered = power_table(values, groups, patients, order=["a", "b"])
    alone = power_table(values, groups, np.arange(120), order=["a", "b"])
    given = clustered["effect_source"] == "given"
    assert (clustered.loc[given, "power"] < alone.loc[given, "power"]).all()
    assert (clustered["n_effective"] < 60).all()
    assert (clustered["detectable_effect"] > alone["detectable_effect"]).all()
    needed = clustered.loc[given]
    assert (needed["patients_per_group_needed"] == np.ceil(needed["n_per_group_needed"] / 4)).all()


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        ([1.0, 1.0, 1.0], "aab"),
        ([1.0, 2.0], "ab"),
        ([1.0, 2.0], "aa"),
        ([np.nan, 1.0], "ab"),
        ([], ""),
    ],
)
def test_power_without_enough_data_is_nan_with_a_note(values, groups):
    table = power_table(values, list(groups), list(range(len(values))), order=["a", "b"])
    assert (table.loc[table["power"].isna(), "note"] != "").all()


def test_power_refuses_levels_that_make_no_sense():
    with pytest.raises(SettingsError, match="alpha"):
        power_table(*even(2, 5), order=["g0", "g1"], target_power=1.2)


def summary_of(values, groups):
    table = pd.DataFrame({"group": groups, "value": values}).groupby("group", sort=False)["value"]
    return table.agg(n="count", mean="mean", sd="std").reset_index()


@pytest.mark.parametrize("name", ["plant_growth", "iris_sepal_width", "five_clustered"])
def test_a_summary_gives_what_the_values_give(name):
    """Every lesion a patient of its own: the summary cannot know better."""
    case = GOLDEN["cases"][name]
    result = summary_tests(summary_of(case["values"], case["groups"]))
    order = list(dict.fromkeys(case["groups"]))
    arguments = (case["values"], case["groups"], range(len(case["values"])))
    omnibus = omnibus_tests(*arguments, order=order).set_index("test")
    pairwise = pairwise_tests(*arguments, order=order)
    for test in ("anova", "welch"):
        ours = result.omnibus.set_index("test").loc[test]
        for column in ("statistic", "df1", "df2", "p", "effect", "effect_low", "effect_high"):
            assert ours[column] == pytest.approx(omnibus.loc[test, column], rel=1e-8, abs=1e-9)
    for test in ("lsd", "games-howell"):
        ours, theirs = (frame[frame["test"] == test] for frame in (result.pairwise, pairwise))
        for column in ("difference", "ci_low", "ci_high", "p", "p_holm", "effect"):
            np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-8, atol=1e-9)
    assert result.pairwise["p_holm_all"].notna().all()
    n_groups = len(order)
    assert len(result.roc) == n_groups * (n_groups - 1) // 2
    assert (result.roc["auc"] >= 0.5).all()


def test_a_summary_keeps_the_columns_and_says_what_it_cannot():
    table = pd.DataFrame(
        {
            "parameter": ["iodine"] * 3 + ["lambda_hu"] * 3,
            "phase": "AP",
            "group": ["colorectal", "gastric", "lung"] * 2,
            "n": [109, 73, 1] * 2,
            "mean": [37.4, 30.1, 25.0, 2.2, 2.0, 1.8],
            "sd": [8.0, 7.0, np.nan, 0.0, 0.0, np.nan],
        }
    )
    result = summary_tests(table, order=["gastric", "colorectal", "lung", "breast"])
    for frame, columns in (
        (result.descriptives, DESCRIPTIVE_COLUMNS), (result.omnibus, OMNIBUS_COLUMNS),
        (result.pairwise, PAIRWISE_COLUMNS), (result.roc, BINORMAL_COLUMNS),
    ):  # fmt: skip
        assert tuple(frame.columns) == ("track", "phase", "region", "parameter", *columns[1:])
    for frame in (result.omnibus, result.pairwise):
        assert (frame.loc[frame["p"].isna(), "note"] != "").all()
    iodine = result.pairwise.query("parameter == 'iodine' and test == 'lsd'")
    assert iodine["p"].notna().sum() == 3
    assert any("Kruskal" in reason for reason in result.not_computed)
    assert any("Levene" in reason for reason in result.not_computed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": "sd"}, "lacks sd"),
        ({"n": [10, 2.5]}, "row 2 .*whole number"),
        ({"sd": [-1.0, 1.0]}, "row 1 .*SD"),
        ({"mean": [np.nan, 1.0]}, "row 1 .*no mean"),
        ({"group": ["a", "a"]}, "a appears twice"),
    ],
)
def test_a_bad_summary_is_refused(change, message):
    table = pd.DataFrame({"group": ["a", "b"], "n": [10, 12], "mean": [1.0, 2.0], "sd": [1.0, 1.0]})
    table = table.drop(columns=change["drop"]) if "drop" in change else table.assign(**change)
    with pytest.raises(InputError, match=message):
        summary_tests(table)


@pytest.mark.parametrize("p", [[0.01, 0.04, 0.03], [0.2], [0.5, 0.5, 1e-9, 0.011, 0.011]])
def test_holm_and_bonferroni_are_statsmodels(p):
    np.testing.assert_allclose(holm(pd.Series(p)), multipletests(p, method="holm")[1])
    np.testing.assert_allclose(bonferroni(pd.Series(p)), multipletests(p, method="bonferroni")[1])


def test_holm_over_all_is_per_track_and_test_and_ignores_the_index():
    first = pd.DataFrame({"track": "paper", "test": ["lsd", "lsd"], "p": [0.01, 0.2]})
    second = pd.DataFrame({"track": "recommended", "test": ["mixed", "mixed"], "p": [0.02, np.nan]})
    frame = pd.concat([first, second, first.assign(p=[0.03, 0.001])]).assign(family_all="")
    adjusted = adjust_over_all(frame)
    np.testing.assert_allclose(adjusted["p_holm_all"], [0.03, 0.2, 0.02, np.nan, 0.06, 0.004])
    assert adjusted["family_all"].iloc[0].startswith("4 tests: lsd")
    assert adjusted["family_all"].iloc[2].startswith("1 test: mixed")
    assert adjusted.index.tolist() == frame.index.tolist()


def tracks(values, groups, patients, order):
    tests = pairwise_tests(values, groups, patients, order=order)
    differing = disagreements(tests, tests, descriptives(values, groups, patients, order=order))
    return [pair.sentence for pair in differing]


def test_clustering_is_named_where_it_takes_a_difference_away():
    """Two patients differ, measured twenty times each."""
    patients = np.repeat([1, 2, 3, 4], 20)
    groups = np.where(patients <= 2, "a", "b")
    values = np.array([0.0, 1.0, 1.2, 2.4])[patients - 1] + np.tile([-0.1, 0.1], 40)
    (sentence,) = tracks(values, groups, patients, ["a", "b"])
    assert sentence.startswith("a and b differ on the paper track only (LSD p < .001")
    assert "clustering, as 80 lesions come from 4 patients" in sentence


def test_multiplicity_is_named_where_it_alone_takes_a_difference_away():
    rng = np.random.default_rng(0)
    groups = np.repeat(list("abcde"), 20)
    centred = rng.normal(size=(5, 20))
    centred = (centred - centred.mean(1, keepdims=True)) / centred.std(1, ddof=1, keepdims=True)
    values = (centred + np.array([0, 0.3, 0.35, 0.4, 0.7])[:, None]).ravel()
    sentences = tracks(values, groups, np.arange(100), list("abcde"))
    assert len(sentences) == 1
    assert "multiplicity" in sentences[0]


def test_unequal_variances_are_named_where_pooling_hid_or_made_a_difference():
    rng = np.random.default_rng(5)
    groups = np.repeat(list("abc"), [40, 40, 6])
    centred = [rng.normal(size=n) for n in (40, 40, 6)]
    shapes = [(values - values.mean()) / values.std(ddof=1) for values in centred]
    # LSD adds the spread of c to the error of a and b.
    values = np.concatenate([0.4 * shapes[0], 0.4 * shapes[1] + 0.35, 8 * shapes[2]])
    (sentence,) = tracks(values, groups, np.arange(86), list("abc"))
    assert sentence.startswith("a and b differ on the recommended track only")
    assert "unequal variances" in sentence
    # LSD lends c the small spread of a and b.
    values = np.concatenate([shapes[0], shapes[1], 4 * shapes[2] + 3])
    sentences = tracks(values, groups, np.arange(86), list("abc"))
    assert len(sentences) == 2
    assert all("paper track only" in text and "unequal variances" in text for text in sentences)


def test_tracks_that_agree_give_no_sentence():
    assert tracks(*even(3, 10), ["g0", "g1", "g2"]) == []


def test_a_pair_that_cannot_be_tested_is_not_called_alike():
    """Two groups of one patient each: lesions differ clearly, patients cannot be compared."""
    values = [1.0, 1.1, 0.9, 5.0, 5.1, 4.9]
    sentences = tracks(values, list("aaabbb"), [1, 1, 1, 2, 2, 2], ["a", "b"])
    assert len(sentences) == 1
    assert "the pair cannot be tested: no more patients than groups" in sentences[0]


def test_power_of_t_is_known_for_any_size_of_study():
    """SciPy's fast noncentral t gives NaN for thousands of lesions, and "too few lesions" was told of them."""
    for n_a, n_b, effect in np.random.default_rng(3).uniform((2, 2, 0), (9000, 9000, 3), (300, 3)):
        power = t_test_power(effect, n_a, n_b)
        assert 0.0 <= power <= 1.0 + 1e-9
        expected = TTestIndPower().power(effect, n_a, 0.05, ratio=n_b / n_a)
        if np.isfinite(expected):
            assert power == pytest.approx(expected, abs=1e-12)
    assert t_test_power(0.984, 2100, 2100) == pytest.approx(1.0)
    assert np.isnan(t_test_power(0.5, 1, 0.5))
