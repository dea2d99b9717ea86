"""Warnings, checklists and words of the report."""

import tomllib
from dataclasses import replace
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from gsigpu.pipeline.cohort_stats.family_members import analyse
from gsigpu.pipeline.cohort_stats.write_statistics import cohort_stats
from gsigpu.report import flow_boxes
from gsigpu.report.cautions import remedies_of, roc_notes, warnings_of
from gsigpu.report.checklist import MUST_STATE, PROOFS, checklist_tables
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.report.sentences import summary
from gsigpu.report.source_study import CITATION, DOI, SHORT, TITLE_OR_SUBJECT
from gsigpu.report.table_one import table_one
from gsigpu.tables.observations import Choice, read_observations
from tests.support.cohort_tables import measurement_table
from tests.support.compared import figures_of_the_page_alone
from tests.support.places import ROOT

ORDER = {
    ("iodine", a, b): "higher"
    for a, b in (("breast", "lung"), ("lung", "gastric"), ("breast", "gastric"))
}
SETTINGS = StatisticsSettings(replicates=100, pair_directions=ORDER)


@pytest.fixture(scope="module")
def table():
    made = measurement_table(
        groups=("lung", "breast", "gastric"), patients=(7, 4, 6), phases=("AP",), curves=False,
        profiles=False, seed=2,
    )  # fmt: skip
    return made[made["parameter"].isin(["iodine", "longest_axial_diameter"])]


def read(table, folder, **choice):
    table.to_csv(folder / "t.csv", index=False)
    return read_observations(folder / "t.csv", Choice(regions=("rim",), **choice))


@pytest.fixture(scope="module")
def compared(table, tmp_path_factory):
    observations = read(table, tmp_path_factory.mktemp("parts"))
    results = analyse(observations, SETTINGS, progress=lambda _done, _total: None)
    return observations, results


def test_iodine_ten_times_too_large_is_told(table, compared, tmp_path):
    assert not [line for line in warnings_of(*compared) if "100 µg/cm³" in line]
    large = table.assign(
        value=table["value"].where(table["parameter"] != "iodine", table["value"] * 10)
    )
    observations = read(large, tmp_path)
    assert [line for line in warnings_of(observations, compared[1]) if "100 µg/cm³" in line]


def test_groups_of_few_patients_are_told(compared):
    assert [
        line for line in warnings_of(*compared) if "Fewer than 5 patients in breast (4)" in line
    ]


def test_an_order_of_groups_is_printed_as_one(compared):
    assert "iodine: breast > lung > gastric." in roc_notes(*compared)[0]
    assert not [line for line in warnings_of(*compared) if "No direction" in line]


@pytest.fixture(scope="module")
def undeclared(compared):
    settings = StatisticsSettings(replicates=100)
    return analyse(compared[0], settings, progress=lambda *_: None)


def test_undeclared_directions_are_told(compared, undeclared):
    observations = compared[0]
    n = int((undeclared.frames.roc.query("method == 'obuchowski'")["auc"] < 0.5).sum())
    assert n
    told = [
        line
        for line in warnings_of(observations, undeclared)
        if "No direction was declared" in line
    ]
    assert f"iodine ({n} of 3)" in told[0]
    assert remedies_of(observations, undeclared)[0].endswith("'iodine=lung>breast>gastric'")


def test_what_is_told_of_directions_is_of_parameters_without_any(compared, undeclared):
    """The remedy named the first parameter, declared or not, and cut-offs of declared ones were counted."""
    slope = undeclared.frames.roc.assign(parameter="lambda_hu")
    turned = compared[1].frames.roc.assign(auc=0.1, cutoff=np.nan)
    frames = replace(compared[1].frames, roc=pd.concat([turned, slope], ignore_index=True))
    results = replace(compared[1], frames=frames)
    observations = replace(compared[0], parameters=("iodine", "lambda_hu"))
    (line,) = (text for text in warnings_of(observations, results) if "No direction" in text)
    assert "iodine" not in line
    below = results.frames.roc.query(
        "method == 'obuchowski' and parameter == 'lambda_hu' and auc < 0.5"
    )
    uncut = int(below["cutoff"].isna().sum())
    assert (f"{uncut} of them ha" in line) == (uncut > 0)
    (remedy,) = (text for text in remedies_of(observations, results) if "direction" in text)
    assert "--direction 'lambda_hu=" in remedy
    assert len(results.frames.roc)


def test_every_proof_of_the_checklists_exists(compared):
    content = tomllib.loads(files("gsigpu.report").joinpath("checklists.toml").read_text("utf-8"))
    proofs = {
        item.get("proof") for checklist in content["checklist"] for item in checklist["items"]
    }
    assert proofs - {None} == set(PROOFS)
    assert all(checklist["source"] for checklist in content["checklist"])
    stard = {row[0].text: row[2].text for row in checklist_tables(*compared)[0].rows}
    assert stard["28-30"] == MUST_STATE
    assert stard["20"] == MUST_STATE  # neither sex nor age is known
    assert stard["6"] == MUST_STATE  # no exclusions.csv
    areas = compared[1].frames.roc.query("method == 'obuchowski'")
    assert (
        stard["24"] == f"{len(areas)} of {len(areas)} areas with 95% intervals, patients as units"
    )


def marked(observations, results):
    """STARD's items: what the page says, and whether it marks them as proven."""
    return {
        row[0].text: (row[2].text, row[2].tone)
        for row in checklist_tables(observations, results)[0].rows
    }


@pytest.mark.parametrize(
    ("items", "without"),
    [
        (("14", "24"), "roc"),
        (("12a",), "roc"),
        (("23",), "decisions"),
    ],
)
def test_an_item_is_marked_only_where_its_results_are(compared, items, without):
    observations, results = compared
    empty = getattr(results.frames, without).iloc[:0]
    less = replace(results, frames=replace(results.frames, **{without: empty}))
    for item in items:
        assert marked(observations, results)[item][1] == "proved", item
        words, tone = marked(observations, less)[item]
        if item == "23":  # the distributions by group are shown still
            assert words.startswith("no cut-off")
        else:
            assert (words, tone) == (MUST_STATE, "stated")


def test_areas_without_an_interval_are_not_counted_as_precise(compared):
    observations, results = compared
    roc = results.frames.roc.copy()
    n = roc.query("method == 'obuchowski'").shape[0]
    roc.loc[roc["group_a"] == "lung", ["ci_low", "ci_high"]] = np.nan
    less = replace(results, frames=replace(results.frames, roc=roc))
    n_left = roc.query("method == 'obuchowski' and group_a != 'lung'").shape[0]
    assert 0 < n_left < n
    assert marked(observations, less)["24"][0].startswith(f"{n_left} of {n} areas")


def test_what_the_data_prove_in_part_says_what_is_left_to_the_authors(compared):
    """The flow begins with the table, of the reference standard nothing is known, and accuracy was not looked at by
    site, covariate or reader: tests of many pairs are no such analysis."""
    observations, results = compared
    items = marked(observations, results)
    assert items["17"] == (MUST_STATE, "stated")
    for item in ("16", "19"):
        words, tone = items[item]
        assert tone == "part"
        assert words.endswith(MUST_STATE)
        assert words != MUST_STATE
    whole = replace(observations, flow=replace(observations.flow, is_whole=True))
    assert marked(whole, results)["19"][1] == "proved"


def test_means_of_groups_prove_nothing_of_missing_values_or_decisions(compared):
    observations, results = compared
    means = replace(results, not_computed=("no lesions",))
    frames = replace(results.frames, decisions=results.frames.decisions.iloc[:0])
    items = marked(observations, replace(means, frames=frames))
    assert items["16"] == items["23"] == (MUST_STATE, "stated")


def test_table_one_is_of_patients(compared):
    observations, _ = compared
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table_one(observations).rows}
    assert rows["n"][:4] == ["17", "7", "4", "6"]
    patients = observations.patients
    quartiles = [np.percentile(patients["n_lesions"], q) for q in (50, 25, 75)]
    expected = "{:.1f} [{:.1f} to {:.1f}]".format(*quartiles)
    assert rows["lesions per patient, median [quartiles]"][0] == expected


def test_the_summary_counts_what_the_tables_say(compared):
    observations, results = compared
    top = summary(observations, results)
    pairs = results.frames.pairwise.query("test == 'mixed'")
    assert (
        f"{int((pairs['p_holm_all'] < 0.05).sum())} of {len(pairs)}",
        "pairwise tests differ after correction over all",
    ) in top.tiles
    sentences = sum(len(disagreement.pairs) for disagreement in results.disagreements)
    expected = "decide alike" if not sentences else f"differently on {sentences} pair"
    assert any(expected in line for line in top.trust)


def test_a_parameter_without_any_other_is_no_comparison(compared):
    _, results = compared
    assert results.frames.roc_comparisons.empty
    assert results.frames.models.empty
    assert isinstance(results.frames.icc, pd.DataFrame)


def test_names_may_hold_anything(table, tmp_path):
    """A $ is no formula, a / no folder, and < no element."""
    odd = table.replace({"group": {"lung": "<b>$x$</b>"}, "phase": {"AP": "AP/late"}})
    odd.to_csv(tmp_path / "t.csv", index=False)
    with figures_of_the_page_alone():
        run = cohort_stats(
            tmp_path / "t.csv",
            tmp_path / "out",
            choice=Choice(regions=("rim",)),
            settings=StatisticsSettings(replicates=100),
            n_workers=1,
        )
    page = run.report.read_text("utf-8")
    assert "<b>$x$</b>" not in page
    assert "&lt;b&gt;$x$&lt;/b&gt;" in page
    assert (run.out / "figures" / "forest_AP_late.svg").is_file()


def test_an_unknown_sex_is_missing_and_no_third_one(compared):
    """A row `sex: None` was counted and tested with the others."""
    observations = compared[0]
    sexes = ["F", "M"] * len(observations.patients)
    patients = observations.patients.assign(sex=sexes[: len(observations.patients)])
    known = table_one(replace(observations, patients=patients.iloc[1:])).rows
    patients.loc[patients.index[0], "sex"] = ""
    table = table_one(replace(observations, patients=patients))
    labels = [row[0].text for row in table.rows]
    assert labels[1:3] == ["sex, n (%): F", "sex, n (%): M"]
    assert not any("None" in cell.text for row in table.rows for cell in row)
    missing = [cell.text for cell in table.header[0]].index("missing")
    assert table.rows[1][missing].text == "1"
    assert table.rows[1][-1].text == known[1][-1].text  # p of those whose sex is known


def test_one_patient_a_group_has_no_spread_and_no_test_in_table_one(compared):
    """The library gave an age of one patient an SD of 0, and χ² a p of three."""
    observations = compared[0]
    patients = observations.patients.drop_duplicates("group").assign(sex=["F", "M", "F"])
    patients["age"] = [50.0, 61.0, 72.0]
    table = table_one(replace(observations, patients=patients))
    (age,) = (row for row in table.rows if row[0].text.startswith("age"))
    assert [cell.text for cell in age[2:5]] == ["50.0 (–)", "61.0 (–)", "72.0 (–)"]
    assert age[1].text == "61.0 (11.0)"
    assert "p" not in [cell.text for cell in table.header[0]]
    assert any(note.startswith("No tests: 1 against 1 against 1") for note in table.notes)


def test_the_source_study_is_named_alike_everywhere():
    page = (ROOT / "docs" / "explanation" / "source-study.md").read_text("utf-8")
    assert all(DOI in words for words in (CITATION, SHORT, page))
    assert CITATION.startswith(TITLE_OR_SUBJECT)


def test_masks_of_a_program_are_told_apart_from_other_flags():
    flagged = {"automatic:totalsegmentator-2.18.0": 3, "few-voxels": 2}
    flow = SimpleNamespace(flagged=flagged, row_warnings={}, is_whole=True)
    notes = flow_boxes._notes(SimpleNamespace(flow=flow), SimpleNamespace(has_values=False))
    assert notes == [
        "Masks of 3 lesions are as a program drew them (totalsegmentator 2.18.0): nobody has changed them.",
        "Lesions flagged in what is compared, and kept: few voxels (2).",
    ]
