"""What `cohort stats` adds to the main tests: covariates, subgroups, sensitivity, readers, decisions, equivalence."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score, roc_curve

from gsigpu.cohort_statistics.frames import INTERVALS
from gsigpu.cohort_statistics.groups.group_frames import omnibus_tests
from gsigpu.errors import SettingsError
from gsigpu.pipeline.cohort_stats.family_members import tasks_of
from gsigpu.pipeline.cohort_stats.family_tasks import run_task
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.tables.observations import Choice, read_observations
from tests.support.cohort_tables import measurement_table
from tests.support.compared import compared

GROUPS = ("pancreatic", "lung", "breast")


@pytest.fixture(scope="module")
def table():
    """Two readers, one of whom measured twice; ages and sites of patients, other slopes, flags, failures."""
    first = measurement_table(
        groups=GROUPS, patients=(9, 8, 7), phases=("AP",), readers=("A", "B"), curves=False,
        profiles=False, seed=11,
    )  # fmt: skip
    first = first[first["region"].isin(["core", "lesion"])].assign(reading="1")
    # Else λHU orders the lesions as iodine does, and their areas are one.
    slope_mask = first["parameter"] == "lambda_hu"
    first["value"] += np.random.default_rng(5).normal(0, 0.4, len(first)) * slope_mask
    slopes = first[slope_mask]
    other = slopes.assign(parameter="lambda_hu[60-100]", value=1.5 * slopes["value"])
    again = first[(first["reader"] == "A") & (first["parameter"] == "iodine")].assign(reading="2")
    rng = np.random.default_rng(0)
    again["value"] += rng.normal(0, 0.05, len(again))
    whole = pd.concat([first, other, again], ignore_index=True)
    patients = sorted(whole["patient_id"].unique())
    whole["age"] = whole["patient_id"].map(
        {name: 40 + 3 * (k % 11) for k, name in enumerate(patients)}
    )
    whole["scanner"] = whole["patient_id"].map({n: "xy"[k % 2] for k, n in enumerate(patients)})
    whole["crp"] = whole["age"] - 30.0
    whole.loc[whole["patient_id"].isin(["pa003", "br002"]), "crp"] = np.nan
    lost = (whole["patient_id"] == "lu002") & (whole["parameter"] != "longest_axial_diameter")
    whole.loc[lost, "value"] = np.nan
    whole.loc[lost, "flags"] = "no-valid-voxels"
    whole.loc[whole["patient_id"] == "br001", "flags"] = "few-voxels"
    return whole


SETTINGS = StatisticsSettings(
    replicates=100, prevalence=0.3, equivalence_margin=0.1, covariates=("age", "size", "scanner"),
    subgroups="scanner", site="scanner", directions={"iodine": "lower", "lambda_hu": "lower"},
)  # fmt: skip
CHOICE = Choice(groups=GROUPS, parameters=("iodine", "lambda_hu"), regions=("core",))


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    return compared(table, tmp_path_factory.mktemp("further"), choice=CHOICE, settings=SETTINGS)


@pytest.fixture(scope="module")
def run_at_90(table, tmp_path_factory):
    """The same with a confidence of 90 %."""
    settings = replace(SETTINGS, confidence=0.9)
    return compared(table, tmp_path_factory.mktemp("at90"), choice=CHOICE, settings=settings)


def values_of(table, parameter):
    """The mean over readers of the first readings, of lesions that both measured."""
    mine = table[
        (table["parameter"] == parameter) & (table["region"] == "core") & (table["reading"] == "1")
    ]
    key = ["group", "patient_id", "lesion_id", "flags", "age", "scanner"]
    return mine.groupby(key, as_index=False)["value"].mean().dropna(subset=["value"])


def test_every_file_has_rows(run):
    for name in (
        "multiclass", "decision_curve", "sensitivity", "adjusted", "adjusted_roc", "subgroups",
        "repeatability", "kappa", "reader_comparisons", "sample_size", "roc_comparisons", "sites",
    ):  # fmt: skip
        frame = run.frame(name)
        assert len(frame), name
        assert {"phase", "region"} <= set(frame.columns), name


def test_hand_and_till_is_the_mean_of_the_pairs(run):
    multiclass = run.frame("multiclass").set_index(["parameter", "method"])["auc"]
    roc = run.frame("roc").query("method == 'obuchowski'")
    for parameter in ("iodine", "lambda_hu"):
        expected = roc.loc[roc["parameter"] == parameter, "auc"].mean()
        assert multiclass[parameter, "hand-till"] == pytest.approx(expected, abs=1e-12)
    assert 0 < multiclass["iodine+lambda_hu", "hand-till, multinomial"] < 1


def test_decision_curves_are_at_the_stated_prevalence(run):
    curve = run.frame("decision_curve")
    assert set(curve["prevalence"]) == {0.3}
    assert len(curve) == 3 * 99
    models = run.frame("models").query("model == 'logistic'")
    assert set(curve["group_a"]) == set(models["group_a"])
    # To act on everybody at a vanishing threshold gains the prevalence.
    least = curve[curve["threshold"] == 0.01]
    assert least["net_benefit_all"].iloc[0] == pytest.approx(0.3 - 0.7 / 99, abs=1e-12)


def test_equivalence_is_decided_by_its_interval(run):
    frame = run.frame("roc_comparisons").query("track == 'recommended'")
    inside = (frame["equivalence_low"] > -0.1) & (frame["equivalence_high"] < 0.1)
    known = frame["p_equivalence"].notna()
    assert known.any()
    assert ((frame["p_equivalence"] < 0.05) == inside)[known].all()


def test_sensitivity_analyses_are_the_primary_test_on_other_lesions(run, table):
    frame = run.frame("sensitivity").query("parameter == 'lambda_hu' and test == 'mixed-overall'")
    by_name = frame.set_index("analysis")
    assert list(by_name.index) == [
        "all lesions", "without flagged lesions", "largest lesion of each patient", "reader A alone",
        "reader B alone", "lambda_hu[60-100]", "without scanner x", "without scanner y",
    ]  # fmt: skip
    values = values_of(table, "lambda_hu")
    kept = values[values["flags"] == ""]
    expected = omnibus_tests(kept["value"], kept["group"], kept["patient_id"], order=GROUPS)
    p = expected.set_index("test").loc["mixed", "p"]
    assert by_name.loc["without flagged lesions", "p"] == pytest.approx(p, rel=1e-9)
    # A slope that is another one times a constant gives the same test.
    same = by_name.loc[["all lesions", "lambda_hu[60-100]"], "p"]
    assert same.iloc[0] == pytest.approx(same.iloc[1], rel=1e-6)


def test_covariates_come_from_the_table(run, table):
    frame = run.frame("adjusted").query("parameter == 'iodine'")
    assert set(frame["covariates"]) == {"age+size+scanner"}
    covariates = frame[frame["test"] == "covariate"]
    assert covariates["group_a"].tolist() == ["age", "size", "scanner"]
    assert covariates["group_b"].tolist()[2] == "y against x"
    areas = run.frame("adjusted_roc").query("parameter == 'iodine'")
    plain = run.frame("roc").query("parameter == 'iodine' and method == 'obuchowski'")
    assert areas["auc_plain"].tolist() == pytest.approx(plain["auc"].tolist(), abs=1e-12)
    assert (areas["p_holm"] >= areas["p"]).all()


def test_subgroups_have_an_interaction_and_each_level(run, table):
    frame = run.frame("subgroups").query("parameter == 'iodine'")
    assert frame["test"].iloc[0] == "mixed-interaction"
    values = values_of(table, "iodine")
    for level in "xy":
        mine = values[values["scanner"] == level]
        expected = omnibus_tests(mine["value"], mine["group"], mine["patient_id"], order=GROUPS)
        row = frame[(frame["level"] == level) & (frame["test"] == "mixed-overall")].iloc[0]
        assert row["p"] == pytest.approx(expected.set_index("test").loc["mixed", "p"], rel=1e-9)


def test_numbers_are_cut_into_subgroups_where_the_settings_say(table, tmp_path):
    table.to_csv(tmp_path / "t.csv", index=False)
    settings = StatisticsSettings(replicates=100, subgroups="age", subgroup_cuts=(52.0,))
    choice = replace(CHOICE, parameters=("iodine",), columns=settings.columns)
    observations = read_observations(tmp_path / "t.csv", choice)
    (task,) = (task for task in tasks_of(observations, settings) if task.kind == "subgroups")
    frame = run_task(task)["subgroups"].query("test == 'mixed-overall'").set_index("level")
    assert frame.index.tolist() == ["below 52", "52 and above"]
    values = values_of(table, "iodine")
    for level, mine in (
        ("below 52", values[values["age"] < 52]),
        ("52 and above", values[values["age"] >= 52]),
    ):
        expected = omnibus_tests(mine["value"], mine["group"], mine["patient_id"], order=GROUPS)
        p = expected.set_index("test").loc["mixed", "p"]
        assert frame.loc[level, "p"] == pytest.approx(p, rel=1e-9)


def test_a_site_is_judged_by_the_others_cut_off(run, table):
    """Youden's cut-off of the one scanner, by scikit-learn's curve, on the lesions of the other."""
    values = values_of(table, "iodine")
    rows = run.frame("sites").query("parameter == 'iodine'")
    assert len(rows) == 2 * 3
    for row in rows.to_dict("records"):
        pair = values[values["group"].isin([row["group_a"], row["group_b"]])]
        truth, score = pair["group"] == row["group_a"], -pair["value"]
        here = pair["scanner"] == row["site"]
        assert row["auc"] == pytest.approx(roc_auc_score(truth[here], score[here]), abs=1e-12)
        elsewhere = roc_auc_score(truth[~here], score[~here])
        assert row["auc_elsewhere"] == pytest.approx(elsewhere, abs=1e-12)
        fpr, tpr, _ = roc_curve(truth[~here], score[~here], drop_intermediate=False)
        called = pair["value"] < row["cutoff"]
        reached = called[~here & truth].mean() - called[~here & ~truth].mean()
        assert reached == pytest.approx((tpr - fpr).max(), abs=1e-12)
        assert row["sensitivity"] == pytest.approx(called[here & truth].mean(), abs=1e-12)
        assert row["specificity"] == pytest.approx(1 - called[here & ~truth].mean(), abs=1e-12)


def test_kappa_is_that_of_scikit_learn(run, table):
    rows = run.frame("kappa").query("parameter == 'iodine'")
    mine = table[
        (table["parameter"] == "iodine") & (table["region"] == "core") & (table["reading"] == "1")
    ]
    wide = (
        mine.set_index(["group", "patient_id", "lesion_id", "reader"])["value"].unstack().dropna()
    )
    assert len(rows) == 3
    for row in rows.to_dict("records"):
        pair = wide[wide.index.get_level_values("group").isin([row["group_a"], row["group_b"]])]
        sign = 1 if row["direction"] == "higher" else -1
        a, b = (sign * pair[reader] > sign * row["cutoff"] for reader in "AB")
        assert row["kappa"] == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)


def test_readers_areas_are_averaged(run, table):
    rows = run.frame("reader_comparisons")
    assert rows["n_readers"].tolist() == [2, 2, 2]
    mine = table[
        (table["parameter"] == "iodine") & (table["region"] == "core") & (table["reading"] == "1")
    ].dropna(subset=["value"])
    for row in rows.to_dict("records"):
        pair = mine[mine["group"].isin([row["group_a"], row["group_b"]])]
        areas = [
            roc_auc_score(of_reader["group"] == row["group_a"], of_reader["value"])
            for _, of_reader in pair.groupby("reader")
        ]
        assert row["auc_a"] == pytest.approx(1 - np.mean(areas), abs=1e-12)


def test_repeats_are_of_the_reader_who_repeated_and_tests_take_the_first(run, table):
    frame = run.frame("repeatability").query("track == 'paper' and parameter == 'iodine'")
    assert frame["reader"].tolist() == ["A"]
    assert frame["within_sd"].iloc[0] == pytest.approx(0.05 / np.sqrt(2), rel=0.35)
    described = run.frame("descriptives").query("track == 'paper' and parameter == 'iodine'")
    means = values_of(table, "iodine").groupby("group")["value"].mean()
    assert described.set_index("group")["mean"].to_dict() == pytest.approx(means.to_dict())


def test_missing_values_are_counted_by_reason(run, table):
    frame = run.observations.missing
    assert set(frame["reason"]) == {"no-valid-voxels"}
    lost = table[table["patient_id"] == "lu002"]["lesion_id"].nunique()
    assert frame["n_lesions"].tolist() == [lost, lost]
    assert frame["group"].tolist() == ["lung", "lung"]


def test_settings_that_cannot_be_meant():
    with pytest.raises(SettingsError, match="margin"):
        StatisticsSettings(equivalence_margin=0.7)


def test_imputed_differences_stand_beside_the_complete_cases(table, tmp_path):
    fewer = table[table["parameter"].isin(["iodine", "longest_axial_diameter"])]
    fewer.to_csv(tmp_path / "t.csv", index=False)
    choice = Choice(groups=GROUPS, parameters=("iodine",), regions=("core",))
    observations = read_observations(tmp_path / "t.csv", replace(choice, columns=("crp",)))
    settings = StatisticsSettings(replicates=100, covariates=("crp",))
    tasks = [task for task in tasks_of(observations, settings) if task.kind == "adjusted"]
    frame = run_task(tasks[0])["adjusted"].set_index("test")
    complete, imputed = frame.loc["adjusted"], frame.loc["adjusted-imputed"]
    assert (complete["n_incomplete"] > 0).all()
    assert (imputed["n_incomplete"] == 0).all()
    assert imputed["note"].str.contains("missing at random").all()
    assert imputed["p"].notna().all()


# 95 of 100 by their definition, whatever the confidence.
BY_DEFINITION = re.compile(r"95% limits of agreement|95% of two readings")
# Two one-sided tests at .05 have an interval of 90 %, whatever the confidence.
FIXED = "equivalence_low"


@pytest.mark.parametrize("name", INTERVALS)
def test_the_interval_of_less_confidence_lies_inside(run, run_at_90, name):
    wide, narrow = run.frame(name), run_at_90.frame(name)
    assert len(wide) or name == "within"
    for low, _, high in INTERVALS[name]:
        shown = wide[low].notna().to_numpy() & wide[high].notna().to_numpy()
        outer = wide.loc[shown, [low, high]].to_numpy(float)
        inner = narrow.loc[shown, [low, high]].to_numpy(float)
        slack = 1e-9 * np.maximum(1.0, np.abs(outer))
        assert (inner[:, 0] >= outer[:, 0] - slack[:, 0]).all(), low
        assert (inner[:, 1] <= outer[:, 1] + slack[:, 1]).all(), high
        finite = np.isfinite(outer).all(axis=1)
        if finite.any() and low != FIXED:
            assert np.ptp(inner[finite], axis=1).sum() < np.ptp(outer[finite], axis=1).sum(), low


def test_no_output_calls_an_interval_of_90_by_another_number(run, run_at_90):
    tables = run_at_90.tables()
    # What Word, the workbook and the files are made of.
    printed = [*tables.files(), *(table for pairs in tables.pairs.values() for table in pairs)]
    page = run_at_90.page()
    for text in (page, *(str((table.caption, table.as_text(), table.notes)) for table in printed)):
        assert not re.search(r"95\s?%", BY_DEFINITION.sub("", text))
    assert "90% interval" in page
    assert "confidence of 90%" in page
