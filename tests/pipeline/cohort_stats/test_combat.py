"""`cohort stats --combat`: sites' effects are taken out beside the primary test, which stays as it was."""

import numpy as np
import pandas as pd
import pytest

from gsigpu.errors import SettingsError
from gsigpu.pipeline.cohort_stats.classes_of_lesions import parse_subgroups
from gsigpu.pipeline.cohort_stats.write_statistics import cohort_stats
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.tables.observations import Choice
from tests.support.cohort_tables import measurement_table
from tests.support.compared import compared

GROUPS = ("pancreatic", "lung")
SHIFT = 1.5


@pytest.fixture(scope="module")
def table():
    """Two phases; scanner y adds SHIFT to every value, and PVP was seen by one scanner alone."""
    rows = measurement_table(
        groups=GROUPS, patients=(10, 9), phases=("AP", "PVP"), curves=False, profiles=False, seed=4
    )
    rows = rows[rows["region"].isin(["core", "lesion"])]
    names = sorted(rows["patient_id"].unique())
    scanner = rows["patient_id"].map({name: "xy"[k % 2] for k, name in enumerate(names)})
    rows["scanner"] = scanner.where(rows["phase"] == "AP", "x")
    rows["age"] = rows["patient_id"].map({name: 50 + k for k, name in enumerate(names)})
    measured = rows["parameter"].isin(["iodine", "lambda_hu"]) & (rows["scanner"] == "y")
    rows.loc[measured, "value"] += SHIFT
    return rows


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    pytest.importorskip("scanpy")
    settings = StatisticsSettings(
        replicates=100, site="scanner", combat=True, covariates=("age",),
        directions={"iodine": "lower", "lambda_hu": "lower"},
    )  # fmt: skip
    choice = Choice(groups=GROUPS, parameters=("iodine", "lambda_hu"), regions=("core",))
    return compared(table, tmp_path_factory.mktemp("combat"), choice=choice, settings=settings)


def test_the_scanners_shift_is_gone_and_the_groups_difference_is_not(run):
    sites = run.frame("combat").query("phase == 'AP'").set_index(["region", "parameter", "site"])
    assert len(sites) == 2 * 2
    for _, both in sites.groupby(["region", "parameter"]):
        before, after = (np.ptp(both[f"mean_{when}"]) for when in ("before", "after"))
        assert after < 0.35 * before
    analyses = run.frame("sensitivity").query("phase == 'AP' and region == 'core'")
    tests = analyses[analyses["test"] == "mixed"].set_index(["parameter", "analysis"])
    for parameter in ("iodine", "lambda_hu"):
        plain, without = (
            tests.loc[(parameter, name)]
            for name in ("all lesions", "site effects taken out (ComBat)")
        )
        width = [row["ci_high"] - row["ci_low"] for row in (plain, without)]
        assert width[1] < 0.8 * width[0]
        assert "does not know that sites were estimated" in without["note"]
        assert plain["n_lesions"] == without["n_lesions"]


def test_where_it_cannot_be_done_the_file_says_why_and_no_test_is_made(run):
    sites = run.frame("combat").query("phase == 'PVP'")
    assert sites["note"].str.contains("fewer than two sites").all()
    assert sites["mean_after"].isna().all()
    assert sites["mean_before"].notna().all()
    analyses = run.frame("sensitivity").query("phase == 'PVP'")["analysis"]
    assert not analyses.str.contains("ComBat").any()


def test_the_page_says_what_it_assumes(run):
    page = run.page()
    assert "Scanner effects taken out" in page
    assert "assumes that lesions are independent" in page
    assert "Johnson, Li &amp; Rabinovic" in page
    assert "taken the effects of scanner" in page


def test_combat_without_a_site_is_refused():
    with pytest.raises(SettingsError, match="no site is named") as caught:
        StatisticsSettings(combat=True)
    assert "--site" in caught.value.remedy


def test_the_primary_test_stays_as_it_was(run):
    tested = run.frame("sensitivity").query("test == 'mixed-overall' and analysis == 'all lesions'")
    primary = run.frame("omnibus").query("test == 'mixed'")
    key = ["phase", "region", "parameter"]
    pd.testing.assert_series_equal(tested.set_index(key)["p"], primary.set_index(key)["p"])


@pytest.mark.parametrize("text", ["age=", "age=x", "age=65,50", "age=50,nan"])
def test_what_is_no_cut_point_is_refused(text):
    with pytest.raises(SettingsError, match="are no cut points") as caught:
        parse_subgroups(text)
    assert parse_subgroups(caught.value.remedy.rpartition(" ")[2]) == ("age", (50.0, 65.0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"site": "hospital"}, "--site: hospital has 1 different value: too few"),
        ({"subgroups": "patient"}, "--subgroups: patient has 19 different values: too many"),
        ({"subgroups": "age"}, "age is a column of numbers, from 50 to 68: each would be a class"),
        ({"subgroups": "few"}, "few is a column of numbers, from 30 to 60: each would be a class"),
        ({"subgroups": "patient", "subgroup_cuts": (3.0,)}, "patient is no column of numbers"),
        ({"subgroups": "age", "subgroup_cuts": (20.0, 60.0)}, "no age is below 20; they go from"),
    ],
)
def test_a_column_without_classes_is_refused_before_anything_is_computed(
    table, settings, message, tmp_path
):
    few = pd.factorize(table["patient_id"])[0] % 2 * 30 + 30
    columns = {"hospital": "north", "few": few, "patient": "patient " + table["patient_id"]}
    table.assign(**columns).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(SettingsError, match=message):
        cohort_stats(tmp_path / "t.csv", tmp_path / "out", settings=StatisticsSettings(**settings))
    assert not (tmp_path / "out").exists()
