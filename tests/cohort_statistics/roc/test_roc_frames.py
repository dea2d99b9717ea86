"""The tables of the ROC family: columns, both tracks, the edges."""

import numpy as np
import pandas as pd
import pytest

from gsigpu.cohort_statistics.frames import COMPARISON_COLUMNS, CURVE_COLUMNS, ROC_COLUMNS, labelled
from gsigpu.cohort_statistics.multiplicity import adjust_over_all
from gsigpu.cohort_statistics.roc.clustered import obuchowski, obuchowski_paired
from gsigpu.cohort_statistics.roc.comparisons import roc_comparisons
from gsigpu.cohort_statistics.roc.curve import area, roc_curve, youden
from gsigpu.cohort_statistics.roc.delong import delong, delong_paired
from gsigpu.cohort_statistics.roc.roc_frames import AGAINST, FROM_THE_DATA, roc_tables, thinned
from gsigpu.cohort_statistics.roc.roc_settings import RocSettings, seed_of
from gsigpu.errors import InputError, SettingsError
from gsigpu.report.paper_tables import opposite_note

ORDER = ("colorectal", "gastric", "breast")
QUICK = RocSettings(n_replicates=200, n_grid=11)


@pytest.fixture(scope="module")
def lesions():
    """Three groups of 12, 8 and 5 patients with one to four lesions each; two values missing."""
    rng = np.random.default_rng(12)
    patients = np.repeat(np.arange(25), rng.integers(1, 5, 25))
    groups = np.array(ORDER)[np.digitize(patients, [12, 20])]
    values = rng.normal(size=25)[patients] + rng.normal(size=patients.size)
    values += np.where(groups == "gastric", 1.5, 0.0)
    values[[0, 30]] = np.nan
    return values, groups, np.char.add("P", patients.astype(str))


@pytest.fixture(scope="module")
def result(lesions):
    return roc_tables(*lesions, order=ORDER, seed=3, settings=QUICK)


def test_columns_and_rows(result):
    assert tuple(result.roc.columns) == ROC_COLUMNS
    assert tuple(result.curves.columns) == CURVE_COLUMNS
    assert len(result.roc) == 3 * 3
    assert set(zip(result.roc["track"], result.roc["method"], strict=True)) == {
        ("paper", "delong"),
        ("recommended", "obuchowski"),
        ("recommended", "bootstrap"),
    }
    words = {"track", "method", "group_a", "group_b", "direction", "note", "family", "family_all"}
    numbers = result.roc[[name for name in ROC_COLUMNS if name not in words]]
    assert all(pd.api.types.is_numeric_dtype(numbers[name]) for name in numbers)
    assert result.roc[["n_missing_a", "n_missing_b"]].to_numpy().sum() == 3 * (2 + 2)


def test_each_track_is_what_it_says(lesions, result):
    values, groups, patients = lesions
    valid = ~np.isnan(values)
    x, y = (values[valid & (groups == name)] for name in ("colorectal", "gastric"))
    p, q = (patients[valid & (groups == name)] for name in ("colorectal", "gastric"))
    rows = result.roc[
        (result.roc["group_a"] == "colorectal") & (result.roc["group_b"] == "gastric")
    ]
    paper, clustered, booted = (rows.iloc[k] for k in range(3))
    # The paper track turned the curve; the recommended one left it where it lies.
    assert paper["direction"] == "lower"
    assert paper["auc"] == pytest.approx(delong(-x, -y).auc)
    assert paper["p"] == pytest.approx(delong(-x, -y).p)
    assert paper["note"] == FROM_THE_DATA
    assert clustered["direction"] == "higher"
    assert clustered["auc"] == pytest.approx(1 - paper["auc"])
    exact = obuchowski(x, y, p, q)
    assert (clustered["se"], clustered["p"]) == pytest.approx((exact.se, exact.p))
    assert clustered["note"] == AGAINST
    assert clustered["se"] > paper["se"]
    assert booted["se"] == pytest.approx(clustered["se"], rel=0.25)
    assert booted["auc"] == clustered["auc"]
    assert (paper["n_a"], paper["n_patients_a"]) == (x.size, np.unique(p).size)


def test_declared_directions_are_taken(lesions):
    declared = RocSettings(
        n_replicates=100, n_grid=5, pair_directions={("gastric", "colorectal"): "higher"}
    )
    frame = roc_tables(*lesions, order=ORDER, seed=3, settings=declared).roc
    recommended = frame[frame["track"] == "recommended"].set_index(["group_a", "group_b"])
    assert (recommended.loc[("colorectal", "gastric"), "direction"] == "lower").all()
    assert (recommended.loc[("colorectal", "gastric"), "auc"] > 0.5).all()
    assert (recommended.loc[("colorectal", "breast"), "direction"] == "higher").all()
    cut = recommended.loc[("colorectal", "gastric")].iloc[0]
    assert cut["cutoff_low"] <= cut["cutoff"] <= cut["cutoff_high"]
    assert cut["sensitivity_low"] < cut["sensitivity"] < cut["sensitivity_high"]
    optimism = (
        cut["sensitivity"]
        + cut["specificity"]
        - cut["sensitivity_corrected"]
        - cut["specificity_corrected"]
    )
    assert 0 < optimism < 0.4


def test_holm_within_the_pairs_of_a_track_and_method(result):
    for _, rows in result.roc.groupby(["track", "method"]):
        smallest = rows["p"].idxmin()
        assert rows.loc[smallest, "p_holm"] == pytest.approx(min(1.0, 3 * rows["p"].min()))
    assert result.roc["p_holm_all"].isna().all()
    assert (result.roc["family"] == "3 pairs of groups of one phase, region and parameter").all()
    overall = adjust_over_all(pd.concat([result.roc, result.roc]))
    assert (overall["family_all"].str.startswith("6 tests: ")).all()
    assert (overall["p_holm_all"] >= overall["p_holm"]).all()


def test_curves(lesions, result):
    paper = result.curves[result.curves["track"] == "paper"]
    assert paper["tpr_low"].isna().all()
    band = result.curves[result.curves["track"] == "recommended"]
    assert (band["method"] == "bootstrap").all()
    for _, curve in result.curves.groupby(["track", "group_a", "group_b"]):
        assert (curve["fpr"].diff().dropna() >= 0).all()
        assert (curve["tpr"].diff().dropna() >= -1e-9).all()
        assert curve["tpr"].iloc[-1] == 1.0
    assert (band["tpr_low"] <= band["tpr"] + 0.12).all()
    assert (band["tpr_low"] <= band["tpr_high"]).all()


def test_same_seed_same_bytes_and_another_seed_another_band(lesions, result):
    again = roc_tables(*lesions, order=ORDER, seed=3, settings=QUICK)
    assert again.roc.to_csv() == result.roc.to_csv()
    assert again.curves.to_csv() == result.curves.to_csv()
    other = roc_tables(*lesions, order=ORDER, seed=seed_of(3, "AP", "rim"), settings=QUICK)
    assert other.curves.to_csv() != result.curves.to_csv()
    assert other.roc["auc"].tolist() == result.roc["auc"].tolist()


def test_the_order_of_the_rows_does_not_matter(lesions, result):
    shuffled = np.random.default_rng(0).permutation(lesions[0].size)
    again = roc_tables(
        *(column[shuffled] for column in lesions), order=ORDER, seed=3, settings=QUICK
    )
    pd.testing.assert_frame_equal(again.roc, result.roc)
    pd.testing.assert_frame_equal(again.curves, result.curves)


def test_one_lesion_per_patient_adds_delong():
    rng = np.random.default_rng(1)
    values, groups = rng.normal(size=20), np.repeat(["a", "b"], 10)
    frame = roc_tables(values, groups, np.arange(20), order="ab", seed=1, settings=QUICK).roc
    rows = frame[frame["track"] == "recommended"].set_index("method")
    assert rows.loc["delong", "se"] == pytest.approx(rows.loc["obuchowski", "se"])


def test_edges_keep_their_rows_and_say_why():
    values = [1.0, 2.0, 3.0, np.nan, 9.0, 8.0, 5.0, 5.0]
    groups = ["a", "a", "a", "b", "c", "c", "d", "d"]
    patients = ["1", "1", "2", "3", "4", "5", "6", "6"]
    frame = roc_tables(values, groups, patients, order="abcde", seed=1, settings=QUICK).roc
    by_pair = frame.set_index(["group_a", "group_b", "method"]).sort_index()
    empty = by_pair.loc[("a", "b", "obuchowski")]
    assert np.isnan(empty["auc"])
    assert "no value in b" in empty["note"]
    assert empty["n_missing_b"] == 1
    assert "no value in e" in by_pair.loc[("a", "e", "bootstrap"), "note"]
    perfect = by_pair.loc[("a", "c", "bootstrap")]
    assert perfect["auc"] == 0.0
    assert "perfect separation" in perfect["note"]
    assert np.isnan(perfect["cutoff"])  # against the declared direction: no cut-off beats chance
    assert perfect["p"] == pytest.approx(1 / 3)  # two patients against two
    alone = by_pair.loc[("a", "d", "bootstrap")]
    assert np.isnan(alone["se"])
    assert "one patient" in alone["note"]
    assert np.isnan(alone["cutoff_low"])


def test_bad_input_is_refused(lesions):
    values, groups, patients = lesions
    with pytest.raises(InputError, match="unknown groups breast"):
        roc_tables(values, groups, patients, order=ORDER[:2], seed=1)
    with pytest.raises(InputError, match="one length"):
        roc_tables(values[1:], groups, patients, order=ORDER, seed=1)
    with pytest.raises(InputError, match="infinite"):
        roc_tables(
            np.where(np.isnan(values), np.inf, values), groups, patients, order=ORDER, seed=1
        )
    with pytest.raises(InputError, match="different names"):
        roc_tables(values, groups, patients, order=(*ORDER, "breast"), seed=1)
    for bad in ({"confidence": 1.0}, {"n_replicates": 10}, {"direction": "up"}):
        with pytest.raises(SettingsError):
            RocSettings(**bad)


def test_comparisons(lesions):
    values, groups, patients = lesions
    rng = np.random.default_rng(2)
    table = np.stack([values, np.exp(values), values + rng.normal(size=values.size)], axis=1)
    table[5, 2] = np.nan
    frame = roc_comparisons(table, ["λHU", "transformed", "noisy"], groups, patients, order=ORDER)
    assert tuple(frame.columns) == COMPARISON_COLUMNS
    assert len(frame) == 3 * 3 * 2
    same = frame[frame["parameter_b"] == "transformed"]
    assert (same["difference"] == 0.0).all()
    assert (same["p"] == 1.0).all()
    rows = frame[
        (frame["parameter_b"] == "noisy")
        & (frame["parameter_a"] == "λHU")
        & (frame["group_a"] == "colorectal")
        & (frame["group_b"] == "gastric")
    ].set_index("method")
    complete = ~np.isnan(table[:, [0, 2]]).any(axis=1)
    x, y = (table[complete & (groups == name)][:, [0, 2]].T for name in ORDER[:2])
    p, q = (patients[complete & (groups == name)] for name in ORDER[:2])
    exact = obuchowski_paired(x, y, p, q)
    assert rows.loc["obuchowski", "p"] == pytest.approx(exact.p)
    assert rows.loc["obuchowski", "n_incomplete"] == 3
    plain = delong_paired(-x[0], -y[0], -x[1], -y[1])
    assert rows.loc["delong", "p"] == pytest.approx(plain.p)
    with pytest.raises(InputError, match="one row per lesion"):
        roc_comparisons(table, ["λHU"], groups, patients, order=ORDER)
    with pytest.raises(InputError, match="settings"):
        roc_comparisons(table, list("abc"), groups, patients, order=ORDER, settings=[QUICK])


def test_small_helpers():
    frame = labelled(pd.DataFrame({"track": ["paper"]}), phase="AP", region="rim", parameter="λHU")
    assert list(frame.columns) == ["track", "phase", "region", "parameter"]
    rng = np.random.default_rng(0)
    curve = roc_curve(rng.normal(1, 1, 900), rng.normal(0, 1, 900))
    fpr, tpr = thinned(curve.fpr, curve.tpr, most=50)
    assert fpr.size <= 50
    assert (fpr[[0, -1]].tolist(), tpr[[0, -1]].tolist()) == ([0, 1], [0, 1])


def test_a_separation_that_cannot_pass_holm_says_so():
    """Ten groups of three patients, 100 SD apart: every exact p is 2 / C(6, 3) = .1."""
    groups = np.repeat([f"g{k}" for k in range(10)], 3)
    values = np.arange(30.0) + 100 * np.repeat(np.arange(10), 3)
    order = list(dict.fromkeys(groups))
    lower = RocSettings(direction="lower", n_replicates=100)
    roc = roc_tables(values, groups, np.arange(30), order=order, seed=1, settings=lower).roc
    clustered = roc[roc["method"] == "obuchowski"]
    assert clustered["p_smallest"].tolist() == pytest.approx([0.1] * 45)
    assert (
        clustered["note"].str.contains("cannot go below p = 0.1, after Holm over 45 pairs 1").all()
    )
    far = roc_tables(*_two_of(12), order="ab", seed=1, settings=lower).roc
    assert not far["note"].str.contains("cannot go below").any()


def _two_of(n):
    return np.arange(2.0 * n), np.repeat(list("ab"), n), np.arange(2 * n)


def test_several_parameters_are_refused_where_one_is_taken():
    two = np.arange(12.0).reshape(2, 6)
    for call in (
        lambda: obuchowski(two, two + 1, range(6), range(6, 12)),
        lambda: delong(two, two + 1),
        lambda: area(two, two + 1),
        lambda: youden(two, two + 1),
    ):
        with pytest.raises(InputError, match="one parameter"):
            call()


def test_two_parameters_that_point_different_ways_say_so(lesions):
    """One of .8 and one of .2 separate alike; their difference had p < .001, and no word."""
    values, groups, patients = lesions
    rng = np.random.default_rng(3)
    noise = rng.normal(scale=0.05 * np.nanstd(values), size=(2, values.size))
    table = np.stack([values + noise[0], -values + noise[1]], axis=1)
    frame = roc_comparisons(table, ["a", "b"], groups, patients, order=ORDER)
    told = frame["note"].str.contains("one area lies below .5")
    assert told.tolist() == ((frame["auc_a"] - 0.5) * (frame["auc_b"] - 0.5) < 0).tolist()
    assert told[frame["track"] == "recommended"].all()
    assert not told[frame["track"] == "paper"].any()  # it turns its curves over
    assert opposite_note(frame)[0].startswith(f"In {told.sum()} rows one area lies below .5")
    assert opposite_note(frame[frame["track"] == "paper"]) == []
