"""What cut-offs do, one group against the rest, Hand and Till, decision curves, equivalence; against R."""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from gsigpu.cohort_statistics.frames import (
    DECISION_COLUMNS,
    DECISION_CURVE_COLUMNS,
    INTERVALS,
    ROC_COLUMNS,
)
from gsigpu.cohort_statistics.inference import SMALLEST_P
from gsigpu.cohort_statistics.roc.area_estimate import AucDifference, difference
from gsigpu.cohort_statistics.roc.clustered import obuchowski
from gsigpu.cohort_statistics.roc.curve import area
from gsigpu.cohort_statistics.roc.decision_curve import decision_curve
from gsigpu.cohort_statistics.roc.decisions import EDGE, decision_at, decisions
from gsigpu.cohort_statistics.roc.equivalence import equivalence
from gsigpu.cohort_statistics.roc.multiclass import hand_till, one_against_rest
from gsigpu.cohort_statistics.roc.roc_frames import roc_tables
from gsigpu.cohort_statistics.roc.roc_settings import RocSettings
from gsigpu.errors import InputError, SettingsError
from tests.support.places import GOLDEN as GOLDEN_FOLDER

GOLDEN = json.loads((Path(GOLDEN_FOLDER) / "decisions.json").read_text())
ROWS = pd.DataFrame(GOLDEN["rows"])
QUICK = RocSettings(n_replicates=200)
A, B = (ROWS[ROWS["group"] == name] for name in "ab")


@pytest.mark.parametrize("r", GOLDEN["decisions"], ids=lambda r: str(r["cutoff"]))
def test_a_decision_is_epirs_with_clubsandwichs_variances(r):
    decision = decision_at(
        A["value"], B["value"], A["patient"], B["patient"],
        cutoff=r["cutoff"], prevalence=r["prevalence"],
    )  # fmt: skip
    counts = [
        decision.true_positive, decision.false_negative, decision.false_positive,
        decision.true_negative,
    ]  # fmt: skip
    assert counts == r["counts"]
    assert decision.sensitivity == pytest.approx(r["se"])
    assert decision.specificity == pytest.approx(r["sp"])
    assert decision.accuracy == pytest.approx(r["accuracy"])
    for name in ("lr_positive", "lr_negative", "ppv", "npv"):
        assert getattr(decision, name) == pytest.approx(r[name], rel=1e-9), name
        for side in ("low", "high"):
            bound = getattr(decision, f"{name}_{side}")
            assert bound == pytest.approx(r[f"{name}_{side}"], rel=1e-9), (name, side)
    # Wilson's interval with the effective number that this variance leaves.
    p, n = r["accuracy"], sum(r["counts"])
    effective = np.clip(p * (1 - p) / r["accuracy_variance"] * n / (n - 1), 1, n)
    z = norm.ppf(0.975)
    centre = (p + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z / (1 + z**2 / effective) * np.sqrt(p * (1 - p) / effective + z**2 / (4 * effective**2))
    assert (decision.accuracy_low, decision.accuracy_high) == pytest.approx(
        (centre - half, centre + half)
    )


def test_shared_patients_and_the_lower_direction():
    """Turning the values and the direction changes nothing; a patient in both groups ties the shares."""
    turned = decision_at(
        -A["value"],
        -B["value"],
        A["patient"],
        B["patient"],
        cutoff=-0.4,
        direction="lower",
        prevalence=0.5,
    )
    plain = decision_at(
        A["value"], B["value"], A["patient"], B["patient"], cutoff=0.4, prevalence=0.5
    )
    assert turned == plain
    shared = decision_at([3.0, 2, 1, 4], [1.0, 0, 2, 1], list("abcd"), list("abcd"), cutoff=1.5)
    apart = decision_at([3.0, 2, 1, 4], [1.0, 0, 2, 1], list("abcd"), list("efgh"), cutoff=1.5)
    assert shared.lr_positive == apart.lr_positive
    assert shared.lr_positive_high != apart.lr_positive_high


def test_nobody_called_wrong_has_bounds_and_a_note():
    decision = decision_at(
        [3.0, 4, 5], [1.0, 2, 0], list("abc"), list("def"), cutoff=2.5, prevalence=0.2
    )
    assert decision.note == EDGE
    assert np.isinf(decision.lr_positive)
    assert decision.lr_positive_low == pytest.approx(
        decision.sensitivity_low / (1 - decision.specificity_low)
    )
    assert decision.ppv == 1.0
    assert 0 < decision.ppv_low < 1
    assert decision.lr_negative == 0.0
    with pytest.raises(SettingsError, match="prevalence"):
        decision_at([1.0], [0.0], ["a"], ["b"], cutoff=0.5, prevalence=1.0)
    with pytest.raises(InputError, match="one patient per lesion"):
        decision_at([1.0], [0.0], ["a", "b"], ["b"], cutoff=0.5)


def test_cutoffs_of_one_study_are_applied_to_another():
    arguments = (ROWS["value"], ROWS["group"], ROWS["patient"])
    roc = roc_tables(*arguments, order="abc", seed=1, settings=QUICK).roc
    on_the_same = decisions(
        *arguments, roc, order="abc", source="same lesions", prevalence={"a": 0.2}
    )
    assert tuple(on_the_same.columns) == DECISION_COLUMNS
    assert len(on_the_same) == 6  # three pairs on two tracks
    both = on_the_same.merge(
        roc.drop_duplicates(["track", "group_a", "group_b"]), on=["track", "group_a", "group_b"]
    )
    known = both[both["cutoff_x"].notna()]
    np.testing.assert_allclose(known["sensitivity_x"], known["sensitivity_y"])
    np.testing.assert_allclose(known["specificity_low_x"], known["specificity_low_y"])
    assert on_the_same.loc[on_the_same["group_a"] == "a", "ppv"].notna().all()
    assert on_the_same.loc[on_the_same["group_a"] != "a", "ppv"].isna().all()
    assert on_the_same["note"].str.contains("too good|cannot be tested").all()
    other = ROWS.assign(value=ROWS["value"] + 0.3)
    external = decisions(
        other["value"], other["group"], other["patient"], roc, order="abc", source="second study"
    )
    first = external.iloc[0]
    assert first["cutoff"] == on_the_same.iloc[0]["cutoff"]
    a, b = other[other["group"] == first["group_a"]], other[other["group"] == first["group_b"]]
    above = (
        a["value"] > first["cutoff"]
        if first["direction"] == "higher"
        else a["value"] < first["cutoff"]
    )
    assert first["true_positive"] == above.sum()
    assert first["n_b"] == len(b)
    for low, estimate, high in INTERVALS["decisions"]:
        rows = external[external[estimate].notna() & external[low].notna()]
        assert (rows[low] <= rows[estimate]).all()
        assert (rows[estimate] <= rows[high]).all()


def test_one_group_against_the_rest_is_the_pair_of_it_and_all_others():
    result = one_against_rest(
        ROWS["value"], ROWS["group"], ROWS["patient"], order="abc", seed=2, settings=QUICK
    )
    assert tuple(result.roc.columns) == ROC_COLUMNS
    rows = result.roc[result.roc["method"] == "obuchowski"].set_index("group_a")
    assert set(rows["group_b"]) == {"rest"}
    for name in "abc":
        mine, rest = ROWS[ROWS["group"] == name], ROWS[ROWS["group"] != name]
        exact = obuchowski(mine["value"], rest["value"], mine["patient"], rest["patient"])
        assert rows.loc[name, "auc"] == pytest.approx(exact.auc)
        assert rows.loc[name, "p"] == pytest.approx(exact.p)
    assert rows["family"].iloc[0].startswith("3 groups against the rest")
    again = decisions(
        ROWS["value"],
        ROWS["group"],
        ROWS["patient"],
        result.roc,
        order="abc",
        source="same lesions",
    )
    assert (again["n_a"] + again["n_b"] == len(ROWS)).all()


def test_hand_and_tills_mean_area_is_procs_and_its_error_a_jackknifes():
    directions = RocSettings(
        pair_directions={
            pair: "higher"
            if area(*(ROWS.loc[ROWS["group"] == g, "value"] for g in pair)) >= 0.5
            else "lower"
            for pair in (("a", "b"), ("a", "c"), ("b", "c"))
        }
    )

    def mean_area(rows):
        return hand_till(
            rows["value"], rows["group"], rows["patient"], order="abc", settings=directions
        )

    estimate = mean_area(ROWS)
    assert estimate.auc == pytest.approx(GOLDEN["hand_till"], abs=1e-12)
    patients = ROWS["patient"].unique()
    left_out = [mean_area(ROWS[ROWS["patient"] != patient]).auc for patient in patients]
    n = patients.size
    jackknife = np.sqrt((n - 1) / n * ((left_out - np.mean(left_out)) ** 2).sum())
    assert estimate.se == pytest.approx(jackknife, rel=0.08)


def test_all_pairs_separated_has_the_p_of_all_arrangements():
    """Six patients in groups of 2, 2 and 2: counted out, of all ways to deal them, those with a mean area as extreme."""
    values, dealt = np.arange(6.0)[::-1], set(permutations("aabbcc"))
    areas = np.array([hand_till(values, way, range(6), order="abc").auc for way in dealt])
    extreme = np.isclose(np.abs(areas - 0.5), 0.5).mean()
    estimate = hand_till(values, list("aabbcc"), range(6), order="abc")
    assert estimate.auc == 1.0
    assert estimate.p == pytest.approx(extreme)
    assert estimate.ci_low < 0.7
    assert estimate.ci_high == 1.0


@pytest.mark.parametrize("values", [[1, 2, 3, 4, 6, 5], [3, 1, 5, 2, 6, 4], [6, 5, 4, 3, 2, 1]])
def test_a_group_of_one_patient_leaves_no_test_of_the_mean_area(values):
    """Its share is 0 by construction: three patients with many lesions gave p < .001."""
    for patients in ("ppqqrr", "ppqsrt"):
        estimate = hand_till(values, list("aabbcc"), list(patients), order="abc")
        assert np.isnan([estimate.p, estimate.ci_low, estimate.se]).all()
        assert "one patient" in estimate.note


def test_hand_and_till_of_scores_averages_both_columns_of_a_pair():
    rng = np.random.default_rng(4)
    scores = rng.normal(size=(len(ROWS), 3))
    codes = ROWS["group"].map({"a": 0, "b": 1, "c": 2}).to_numpy()
    scores[np.arange(len(ROWS)), codes] += 1
    expected = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        x, y = scores[codes == i], scores[codes == j]
        expected.append((area(x[:, i], y[:, i]) + area(y[:, j], x[:, j])) / 2)
    estimate = hand_till(scores, ROWS["group"], ROWS["patient"], order="abc")
    assert estimate.auc == pytest.approx(np.mean(expected))


def test_net_benefit_is_the_definition_counted_out():
    r = GOLDEN["curve"]
    probability = 1 / (1 + np.exp(-ROWS["value"].to_numpy(float)))
    positive = (ROWS["group"] == "a").to_numpy()
    curve = decision_curve(
        probability, positive, ROWS["patient"], prevalence=positive.mean(),
        thresholds=r["thresholds"],
    )  # fmt: skip
    assert tuple(curve.columns) == DECISION_CURVE_COLUMNS
    np.testing.assert_allclose(curve["net_benefit"], r["net_benefit"], rtol=1e-12)
    assert (curve["net_benefit_low"] <= curve["net_benefit"]).all()
    rare = decision_curve(
        probability, positive, ROWS["patient"], prevalence=0.05, thresholds=[0.01]
    )
    assert rare["net_benefit_all"].item() == pytest.approx(0.05 - 0.95 * 0.01 / 0.99)
    with pytest.raises(SettingsError):
        decision_curve(probability, positive, ROWS["patient"], prevalence=0.0)
    with pytest.raises(InputError, match="positive and negative"):
        decision_curve(probability, np.ones(len(ROWS)), ROWS["patient"], prevalence=0.1)


def test_equivalence_is_two_one_sided_t_tests():
    r = GOLDEN["tost"]
    values = np.array(r["values"])
    mean, se = values.mean(), values.std(ddof=1) / np.sqrt(values.size)
    gap = difference(0.8 + mean, 0.8, se**2, df=values.size - 1.0)
    test = equivalence(gap, margin=r["margin"])
    assert (test.p_lower, test.p_upper) == pytest.approx((r["lower"], r["upper"]), rel=1e-6)
    assert test.p == max(test.p_lower, test.p_upper)
    assert (test.ci_low, test.ci_high) == pytest.approx(tuple(r["ci"]), rel=1e-6)
    # p below .05 exactly where the 90 % interval lies inside the margin.
    wide = equivalence(difference(0.8, 0.8, 0.04**2), margin=0.05)
    assert (wide.p < 0.05) == (wide.ci_low > -0.05 and wide.ci_high < 0.05)
    unknown = AucDifference(
        auc_a=1.0, auc_b=0.5, difference=0.5, se=np.nan, ci_low=np.nan, ci_high=np.nan, z=np.nan,
        df=np.nan, p=np.nan,
    )  # fmt: skip
    assert equivalence(unknown).note.startswith("cannot be tested")
    assert equivalence(difference(0.7, 0.7, 0.0)).p == SMALLEST_P
    with pytest.raises(SettingsError):
        equivalence(gap, margin=0.6)
