"""Tests between groups against R; what they do where there is nothing to test."""

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pingouin
import pytest
import scikit_posthocs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f as f_distribution
from scipy.stats import studentized_range, tukey_hsd

from gsigpu.cohort_statistics.frames import (
    DESCRIPTIVE_COLUMNS,
    OMNIBUS_COLUMNS,
    PAIRWISE_COLUMNS,
)
from gsigpu.cohort_statistics.groups import effect_sizes
from gsigpu.cohort_statistics.groups.effect_sizes import hedges_g, omega_squared
from gsigpu.cohort_statistics.groups.group_frames import (
    descriptives,
    group_tests,
    omnibus_tests,
    pairwise_tests,
)
from gsigpu.cohort_statistics.groups.pairwise import dunn, games_howell, summaries
from gsigpu.cohort_statistics.groups.studentized_range import range_quantile, range_tail
from gsigpu.errors import InputError
from tests.support.places import GOLDEN as GOLDEN_FOLDER

GOLDEN = json.loads((GOLDEN_FOLDER / "group_tests.json").read_text("utf-8"))
CASES = GOLDEN["cases"]
CLUSTERED = [name for name, case in CASES.items() if "patients" in case]


@pytest.fixture(scope="module")
def tables():
    """Frames of every golden case, computed once; one patient per lesion where R has none."""
    frames = {}
    for name, case in CASES.items():
        y, g = case["values"], case["groups"]
        patients = case.get("patients", list(range(len(y))))
        order = list(dict.fromkeys(g))
        frames[name] = tuple(
            table(y, g, patients, order=order)
            for table in (descriptives, omnibus_tests, pairwise_tests)
        )
    return frames


def listed(numbers):
    return np.atleast_1d(np.array(numbers, float))


@pytest.mark.parametrize("name", CASES)
def test_anova_levene_and_effect_are_rs(tables, name):
    row = tables[name][1].set_index("test").loc["anova"]
    r = CASES[name]["lesions"]
    assert row["statistic"] == pytest.approx(r["anova"]["f"], rel=1e-10)
    assert [row["df1"], row["df2"]] == r["anova"]["df"]
    assert row["p"] == pytest.approx(r["anova"]["p"], rel=1e-10)
    assert [row["levene_statistic"], row["levene_p"]] == pytest.approx(r["levene"], rel=1e-8)
    robust = [row["brown_forsythe_statistic"], row["brown_forsythe_p"]]
    assert robust == pytest.approx(r["brown_forsythe"], rel=1e-8)
    assert row["effect"] == pytest.approx(r["anova"]["effect"]["eta"], rel=1e-10)
    interval = [row["effect_low"], row["effect_high"]]
    assert interval == pytest.approx(r["anova"]["effect"]["interval"], abs=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_lsd_is_rs(tables, name):
    rows = tables[name][2].query("test == 'lsd'")
    r = CASES[name]["lesions"]["lsd"]
    for column, key in (
        ("difference", "difference"), ("ci_low", "low"), ("ci_high", "high"), ("p", "p"),
        ("p_bonferroni", "bonferroni"), ("p_holm", "holm"),
    ):  # fmt: skip
        np.testing.assert_allclose(rows[column], listed(r[key]), rtol=1e-9, atol=1e-11)
    effects = rows[["effect", "effect_low", "effect_high"]].to_numpy()
    np.testing.assert_allclose(effects, np.atleast_2d(r["hedges"]), atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_welch_games_howell_kruskal_and_dunn_are_rs_on_patients(tables, name):
    """R has the patients' means where patients have several lesions."""
    _, omnibus, pairwise = tables[name]
    r = CASES[name].get("patient_means", CASES[name]["lesions"])
    welch, kruskal = (omnibus.set_index("test").loc[test] for test in ("welch", "kruskal"))
    assert welch["statistic"] == pytest.approx(r["welch"]["f"], rel=1e-10)
    assert [welch["df1"], welch["df2"]] == pytest.approx(r["welch"]["df"], rel=1e-10)
    assert welch["p"] == pytest.approx(r["welch"]["p"], rel=1e-9)
    assert kruskal["statistic"] == pytest.approx(r["kruskal"]["h"], rel=1e-10)
    assert kruskal["p"] == pytest.approx(r["kruskal"]["p"], rel=1e-10)
    howell = pairwise.query("test == 'games-howell'")
    r_howell = {key: listed(numbers) for key, numbers in r["games_howell"].items()}
    for column, key in (("difference", "difference"), ("df", "df"), ("p_unadjusted", "welch_t_p")):
        np.testing.assert_allclose(howell[column], r_howell[key], rtol=1e-9, atol=1e-12)
    # R's ptukey is coarse for few degrees of freedom, its qtukey stops at 1e-4 (their help pages);
    # test_quantiles_of_the_studentized_range_are_scipys is the sharp test.
    r_accuracy = np.where(r_howell["df"] < 5, 1e-5, 1e-8)
    assert (np.abs(howell["p"] - r_howell["p"]) < r_accuracy).all()
    for column, key in (("ci_low", "low"), ("ci_high", "high")):
        np.testing.assert_allclose(howell[column], r_howell[key], atol=2e-4)
    dunn = pairwise.query("test == 'dunn'")
    for column, key in (("statistic", "z"), ("p", "p"), ("p_holm", "holm")):
        np.testing.assert_allclose(dunn[column], listed(r["dunn"][key]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CLUSTERED)
def test_the_mixed_model_is_lme4s_with_variances_from_the_patients(tables, name):
    """Means and weights are lme4's, variances Bell and McCaffrey's written in matrices in R."""
    _, omnibus, pairwise = tables[name]
    model, r = CASES[name]["mixed"], CASES[name]["robust"]
    row = omnibus.set_index("test").loc["mixed"]
    assert row["statistic"] == pytest.approx(r["f"], rel=1e-6)
    assert row["df2"] == pytest.approx(r["df2"], rel=1e-6)
    assert row["p"] == pytest.approx(r["p"], rel=1e-6)
    icc = model["between"] / (model["between"] + model["residual"])
    assert row["icc"] == pytest.approx(icc, abs=1e-6)
    pairs = pairwise.query("test == 'mixed'")
    np.testing.assert_allclose(pairs["difference"], listed(model["difference"]), atol=1e-6)
    np.testing.assert_allclose(pairs["difference"] / pairs["statistic"], listed(r["se"]), atol=1e-6)
    np.testing.assert_allclose(pairs["df"], listed(r["df"]), rtol=1e-6)
    np.testing.assert_allclose(pairs["p"], listed(r["pair_p"]), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("name", ["five_clustered", "three_small"])
def test_the_textbooks_mixed_model_stands_beside_and_is_lmertests(tables, name):
    """REML, model-based variances, Satterthwaite: `anova` and `contest1D` of lmerTest."""
    _, omnibus, pairwise = tables[name]
    r = CASES[name]["mixed"]
    row = omnibus.set_index("test").loc["mixed"]
    assert row["statistic_classical"] == pytest.approx(r["f"], rel=1e-5)
    assert row["df_classical"] == pytest.approx(r["satterthwaite_f_df"], rel=2e-3)
    f, df1, df2 = r["f"], row["df1"], r["satterthwaite_f_df"]
    assert row["p_classical"] == pytest.approx(f_distribution.sf(f, df1, df2), rel=5e-3)
    pairs = pairwise.query("test == 'mixed'")
    t = np.divide(r["difference"], r["difference_se"])
    np.testing.assert_allclose(pairs["statistic_classical"], t, rtol=1e-5)
    np.testing.assert_allclose(pairs["df_classical"], r["satterthwaite"], rtol=2e-3)
    assert omnibus.query("test != 'mixed'")["p_classical"].isna().all()
    assert "REML" in row["computation"]
    assert "CR2" in row["computation"]
    assert "Welch's F" in row["computation"]


def test_rows_that_are_one_test_say_so(tables):
    _, omnibus, pairwise = tables["plant_growth"]
    assert "same test as welch" in omnibus.set_index("test").loc["mixed", "note"]
    assert pairwise.query("test == 'mixed'")["note"].str.contains("same t as games-howell").all()
    _, omnibus, pairwise = tables["five_clustered"]
    assert "same t" not in "".join([*omnibus["note"], *pairwise["note"]])


@pytest.mark.parametrize("n_groups", range(2, 16))
def test_two_to_fifteen_groups(n_groups):
    rng = np.random.default_rng(n_groups)
    patients = np.repeat(np.arange(4 * n_groups), 2)
    groups = np.array([f"g{patient % n_groups:02d}" for patient in patients])
    order = sorted(set(groups))
    values = rng.normal(size=4 * n_groups)[patients] + rng.normal(size=patients.size)
    frames = group_tests(values, groups, patients, order=order)
    n_pairs = n_groups * (n_groups - 1) // 2
    assert frames.omnibus["p"].notna().all()
    assert frames.pairwise["test"].value_counts().eq(n_pairs).all()
    assert frames.pairwise[["p", "p_holm", "p_bonferroni"]].notna().all().all()


def test_with_one_lesion_per_patient_the_mixed_model_is_welchs_test(tables):
    _, omnibus, pairwise = tables["iris_sepal_width"]
    rows = omnibus.set_index("test")
    for column in ("statistic", "df2", "p", "effect"):
        assert rows.loc["mixed", column] == pytest.approx(rows.loc["welch", column], rel=1e-9)
    mixed, howell = (pairwise[pairwise["test"] == test] for test in ("mixed", "games-howell"))
    for column in ("difference", "statistic", "df", "p_unadjusted", "p_holm"):
        np.testing.assert_allclose(mixed[column], howell[column], rtol=1e-9)


def test_a_group_with_one_patient_borrows_the_pooled_variance():
    y = [1.0, 2.0, 3.5, 3.0, 5.0, 6.0, 9.0, 8.0]
    frame = pairwise_tests(y, list("aaabbbcc"), [1, 1, 2, 3, 4, 4, 5, 5], order=["a", "b", "c"])
    mixed = frame[frame["test"] == "mixed"]
    assert mixed["p"].notna().all()
    assert mixed["note"].str.contains("equal variances assumed").tolist() == [False, True, True]


def test_the_frames_have_their_columns(tables):
    for frames in tables.values():
        for frame, columns in zip(
            frames, (DESCRIPTIVE_COLUMNS, OMNIBUS_COLUMNS, PAIRWISE_COLUMNS), strict=True
        ):
            assert tuple(frame.columns) == columns


def test_libraries_agree_on_pairs(tables):
    """SciPy and scikit-posthocs as further oracles of what is written out here."""
    case = CASES["insect_sprays"]
    y, g = np.array(case["values"], float), np.array(case["groups"])
    order = list(dict.fromkeys(case["groups"]))
    pairwise = tables["insect_sprays"][2]
    scipy_p = tukey_hsd(*(y[g == name] for name in order), equal_var=False).pvalue
    frame = pd.DataFrame({"y": y, "g": g})
    lsd_p = scikit_posthocs.posthoc_lsd(frame, val_col="y", group_col="g")
    pairs = list(combinations(range(len(order)), 2))
    howell = pairwise.query("test == 'games-howell'")["p"].to_numpy()
    # SciPy's are 1 - cdf, which rounds.
    np.testing.assert_allclose(howell, [scipy_p[pair] for pair in pairs], rtol=1e-9, atol=1e-13)
    lsd = pairwise.query("test == 'lsd'")["p"].to_numpy()
    np.testing.assert_allclose(lsd, [lsd_p.loc[order[a], order[b]] for a, b in pairs], rtol=1e-10)


@pytest.mark.parametrize("step", [1e-9, 1.0, 4.0])
def test_dunn_is_scikit_posthocs(step):
    """Without ties, with the ties of whole numbers, and with many; groups of different sizes."""
    rng = np.random.default_rng(7)
    samples = [np.round(rng.normal(k, 3, n) / step) * step for k, n in enumerate((9, 14, 5, 22))]
    theirs = scikit_posthocs.posthoc_dunn(samples).to_numpy()
    pairs = list(combinations(range(4), 2))
    p = [test.p for test in dunn(samples, pairs)]
    np.testing.assert_allclose(p, [theirs[pair] for pair in pairs], rtol=1e-12)


def test_pingouin_agrees_on_welch(tables):
    case = CASES["iris_sepal_width"]
    frame = pd.DataFrame({"y": case["values"], "g": case["groups"]})
    ours = tables["iris_sepal_width"][1].set_index("test").loc["welch"]
    theirs = pingouin.welch_anova(data=frame, dv="y", between="g").iloc[0]
    assert ours["statistic"] == pytest.approx(theirs["F"], rel=1e-9)
    assert ours["df2"] == pytest.approx(theirs["ddof2"], rel=1e-9)


def test_pingouin_agrees_on_hedges_g():
    """Of two groups, whose pooled SD is the root of the mean square; pingouin approximates J."""
    case = CASES["iris_sepal_width"]
    y, g = np.array(case["values"][:100]), case["groups"][:100]
    frame = pairwise_tests(y, g, range(100), order=["setosa", "versicolor"])
    theirs = pingouin.compute_effsize(y[:50], y[50:], eftype="hedges")
    assert frame.set_index("test").loc["lsd", "effect"] == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("q", [0.1, 2.0, 4.5])
@pytest.mark.parametrize(("n_means", "df"), [(2, 3.4), (5, 900.0), (15, 22.8)])
def test_tails_of_the_studentized_range_are_scipys(n_means, df, q):
    assert range_tail(q, n_means, df) == pytest.approx(
        studentized_range.sf(q, n_means, df), rel=0, abs=3e-11
    )


@pytest.mark.parametrize("df", [1.0, 3.4, 33.2, 2000.0])
@pytest.mark.parametrize("n_means", [2, 5])
def test_quantiles_of_the_studentized_range_are_scipys(n_means, df):
    beyond = studentized_range.sf(range_quantile(0.95, n_means, df), n_means, df)
    assert beyond == pytest.approx(0.05, abs=1e-9)


def test_counts_and_clustering_stand_beside_every_test(tables):
    described, omnibus, pairwise = tables["five_clustered"]
    case = CASES["five_clustered"]
    assert (omnibus["n_lesions"] == len(case["values"])).all()
    assert (omnibus["n_patients"] == len(set(case["patients"]))).all()
    assert (omnibus["design_effect"] > 1).all()
    first = pairwise.iloc[0]
    by_group = described.query("track == 'paper'").set_index("group")
    assert first["n_a"] == by_group.loc[first["group_a"], "n_lesions"]
    assert first["n_patients_b"] == by_group.loc[first["group_b"], "n_patients"]
    sizes = pd.Series(case["patients"]).groupby(case["groups"], sort=False).value_counts()
    m = sizes[first["group_a"]].to_numpy()
    row = by_group.loc[first["group_a"]]
    kish = 1 + ((m**2).sum() / m.sum() - 1) * row["icc"]
    assert row["design_effect"] == pytest.approx(kish, rel=1e-12)


def run_all(values, groups, patients, order):
    return tuple(
        table(values, groups, patients, order=order)
        for table in (descriptives, omnibus_tests, pairwise_tests)
    )


def test_games_howell_is_never_below_the_pair_alone():
    """A hundred SD apart it was p = 0, less than Welch's t that it adjusts."""
    rng = np.random.default_rng(2)
    samples = [rng.normal(100 * k, 1, 8) for k in range(3)]
    for test in games_howell(summaries(samples), [(0, 1), (0, 2), (1, 2)]):
        assert test.p >= test.p_unadjusted > 0


def test_missing_values_are_left_out_and_counted():
    y = [1.0, np.nan, 3.0, 4.0, np.nan, 6.0, 7.5]
    g, p = list("aaabbbb"), [1, 1, 2, 3, 3, 4, 5]
    described, omnibus, pairwise = run_all(y, g, p, ["a", "b"])
    kept = [0, 2, 3, 5, 6]
    clean = run_all([y[i] for i in kept], [g[i] for i in kept], [p[i] for i in kept], ["a", "b"])
    assert described["n_missing"].tolist() == [1, 1, 1, 1]
    assert (omnibus["n_missing"] == 2).all()
    pd.testing.assert_frame_equal(pairwise, clean[2])
    pd.testing.assert_frame_equal(
        omnibus.drop(columns="n_missing"), clean[1].drop(columns="n_missing")
    )


EDGES = {
    "all values equal": ([2.0] * 6, "aaabbb", [1, 1, 2, 3, 4, 5]),
    "constant inside groups": ([1.0, 1, 1, 2, 2, 2], "aaabbb", [1, 1, 2, 3, 4, 5]),
    "constant in one group": ([0.1, 0.1, 0.1, 2, 3, 4], "aaabbb", [1, 1, 2, 3, 4, 5]),
    "constant inside patients": ([1.0, 1, 2, 2, 5, 5], "aaaabb", [1, 1, 2, 2, 3, 3]),
    "one lesion per group": ([1.0, 2.0], "ab", [1, 2]),
    "one lesion in one group": ([1.0, 2.0, 3.0, 5.0], "abbb", [1, 2, 3, 4]),
    "one patient in one group": ([1.0, 2.0, 3.0, 5.0, 4.0], "aabbb", [1, 1, 3, 4, 4]),
    "one patient per group": ([1.0, 2.0, 3.0, 5.0], "aabb", [1, 1, 2, 2]),
    "a patient in both groups": ([1.0, 2.0, 3.0, 5.0, 1.5, 2.5], "ababab", [1, 1, 2, 2, 3, 4]),
    "perfect separation": ([1.0, 2, 3, 11, 12, 13], "aaabbb", [1, 2, 3, 4, 5, 6]),
    "four against four apart": ([1.0, 2, 3, 4, 11, 12, 13, 15], "aaaabbbb", range(8)),
    "ties": ([1.0, 1, 2, 2, 2, 3, 3, 1], "aaaabbbb", [1, 1, 2, 3, 4, 4, 5, 6]),
    "one group absent": ([1.0, 2.0, 3.5], "aaa", [1, 2, 3]),
    "everything missing": ([np.nan] * 4, "aabb", [1, 2, 3, 4]),
    "no rows": ([], "", []),
    "large offset": ([1e9 + 1, 1e9 + 2, 1e9 + 3, 1e9 + 5], "aabb", [1, 2, 3, 4]),
}


@pytest.mark.parametrize("name", EDGES)
def test_what_cannot_be_tested_is_nan_with_a_note(name):
    values, groups, patients = EDGES[name]
    described, omnibus, pairwise = run_all(values, list(groups), patients, ["a", "b"])
    assert len(described) == 4
    assert omnibus["test"].tolist() == ["anova", "mixed", "welch", "kruskal"]
    assert pairwise["test"].tolist() == ["lsd", "mixed", "games-howell", "dunn"]
    for frame in (omnibus, pairwise):
        undefined = frame[frame["p"].isna()]
        assert (undefined["note"] != "").all()
        assert frame["p"].dropna().between(0, 1).all()
        assert not np.isinf(
            frame[["statistic", "effect", "effect_low", "effect_high"]].to_numpy(float)
        ).any()


@pytest.mark.parametrize(
    ("name", "tested"),
    [
        ("all values equal", []),
        ("constant inside groups", []),
        ("constant in one group", ["anova", "mixed"]),
        ("one lesion per group", []),
        ("one lesion in one group", ["anova", "mixed"]),
        ("one patient per group", ["anova"]),
        ("perfect separation", ["anova", "mixed", "welch"]),
        ("four against four apart", ["anova", "mixed", "welch", "kruskal"]),
        ("a patient in both groups", ["anova", "mixed", "welch"]),
        ("everything missing", []),
    ],
)
def test_what_can_be_tested_is(name, tested):
    values, groups, patients = EDGES[name]
    omnibus = omnibus_tests(values, list(groups), patients, order=["a", "b"])
    assert omnibus.loc[omnibus["p"].notna(), "test"].tolist() == tested


rows = st.tuples(st.sampled_from([0.1, 0.2, 0.3, 7.0, np.nan]), st.integers(0, 6))


@settings(max_examples=20, deadline=None)
@given(st.lists(rows, max_size=10))
def test_no_small_table_crashes_or_warns(table):
    """Ties, constants, single patients and missing values in every mixture."""
    values, patients = [list(column) for column in zip(*table, strict=True)] or [[], []]
    groups = ["abc"[patient % 3] for patient in patients]
    _, omnibus, pairwise = run_all(values, groups, patients, ["a", "b", "c"])
    for frame in (omnibus, pairwise):
        assert (frame.loc[frame["p"].isna(), "note"] != "").all()
        assert frame["p"].dropna().between(0, 1).all()


def test_a_group_without_values_is_named_and_leaves_the_rest_alone():
    case = CASES["five_clustered"]
    order = list(dict.fromkeys(case["groups"]))
    arguments = (case["values"], case["groups"], case["patients"])
    full, more = (pairwise_tests(*arguments, order=names) for names in (order, [*order, "renal"]))
    kept = more[more["group_b"] != "renal"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept.drop(columns="family"), full.drop(columns="family"))
    gone = more[more["group_b"] == "renal"]
    assert gone["p"].isna().all()
    assert (gone["note"] == "cannot be tested: a group has no values").all()
    notes = omnibus_tests(*arguments, order=[*order, "renal"])["note"]
    assert notes.str.contains("no values of renal").all()


def test_shift_and_scale_of_values_change_no_p():
    """Units do not matter; HU offsets of a thousand neither."""
    case = CASES["five_clustered"]
    order = list(dict.fromkeys(case["groups"]))
    y = np.array(case["values"])
    for test in (omnibus_tests, pairwise_tests):
        plain = test(y, case["groups"], case["patients"], order=order)
        moved = test(y * 0.37 - 1000, case["groups"], case["patients"], order=order)
        np.testing.assert_allclose(plain["p"], moved["p"], rtol=1e-7, atol=1e-14)


@pytest.mark.parametrize(
    ("groups", "order", "message"),
    [
        (["a", "c"], ["a", "b"], "unknown groups c"),
        (["a", "b"], ["a", "a"], "two or more different"),
        (["a"], ["a", "b"], "one length"),
    ],
)
def test_bad_arguments_are_refused(groups, order, message):
    with pytest.raises(InputError, match=message):
        omnibus_tests([1.0, 2.0], groups, [1, 2], order=order)


def test_infinite_values_are_refused_by_every_test():
    for test in (descriptives, omnibus_tests, pairwise_tests):
        with pytest.raises(InputError, match="infinite"):
            test([1.0, np.inf, 3.0], ["a", "a", "b"], [1, 2, 3], order=["a", "b"])


@pytest.mark.parametrize("df", [3, 100])
def test_intervals_of_enormous_effects_go_on_from_those_of_large_ones(df, monkeypatch):
    """SciPy's noncentral tails take minutes there; χ's are what they come to."""
    whole = [hedges_g(5e3, 1.0, df, 1.0), hedges_g(-5e3, 1.0, df, 1.0), omega_squared(2.5e7, 1, df)]
    monkeypatch.setattr(effect_sizes, "_FAR", 1.0)
    short = [hedges_g(5e3, 1.0, df, 1.0), hedges_g(-5e3, 1.0, df, 1.0), omega_squared(2.5e7, 1, df)]
    for exact, quick in zip(whole, short, strict=True):
        slack = 1e-5 * (exact.high - exact.low)
        assert abs(quick.low - exact.low) < slack
        assert abs(quick.high - exact.high) < slack
