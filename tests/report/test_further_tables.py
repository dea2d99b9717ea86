"""What stands beside the main tests is on the page, in the workbook of tables and in the Word document, in words."""

import html

import numpy as np
import pandas as pd
import pytest

from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.report.covariate_tables import sites_table
from gsigpu.report.further_tables import further_parts
from gsigpu.report.row_tables import Column, row_table, share, where
from gsigpu.report.table_cells import p_value
from gsigpu.tables.observations import Choice
from tests.support.cohort_tables import measurement_table
from tests.support.compared import compared

GROUPS = ("lung", "breast", "gastric")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two readers, one of whom measured twice; a site without a group; a lesion without a value; an unknown age."""
    table = measurement_table(
        groups=GROUPS, patients=(6, 6, 5), phases=("AP",), readers=("A", "B"), curves=False,
        profiles=False, seed=3,
    )  # fmt: skip
    table = table[
        table["parameter"].isin(["iodine", "lambda_hu", "longest_axial_diameter"])
        & table["region"].isin(["core", "lesion"])
    ].assign(reading="1")
    again = table[(table["reader"] == "A") & (table["parameter"] == "iodine")].assign(reading="2")
    again["value"] += np.random.default_rng(0).normal(0, 0.05, len(again))
    table = pd.concat([table, again], ignore_index=True)
    patients = sorted(table["patient_id"].unique())
    number = table["patient_id"].map({name: k for k, name in enumerate(patients)})
    table["age"] = (50.0 + 3 * (number % 7)).mask(table["patient_id"] == "br001")
    table["site"] = np.where(
        (table["group"] == "lung") & (number % 3 == 0), "z", np.where(number % 2, "x", "y")
    )
    lost = (table["patient_id"] == "ga001") & (table["parameter"] != "longest_axial_diameter")
    table.loc[lost, "value"] = np.nan
    table.loc[lost, "flags"] = "no-valid-voxels"
    settings = StatisticsSettings(
        replicates=100, prevalence=0.3, covariates=("age",), subgroups="site", site="site"
    )
    choice = Choice(groups=GROUPS, parameters=("iodine", "lambda_hu"), regions=("core",))
    return compared(table, tmp_path_factory.mktemp("further"), choice=choice, settings=settings)


@pytest.fixture(scope="module")
def tables(run):
    return {part.table.name: part.table for part in further_parts(run.observations, run.results)}


def shown(table):
    """Rows as text, by their header."""
    names = [cell.text for cell in table.header[-1]]
    return [dict(zip(names, (cell.text for cell in row), strict=True)) for row in table.rows]


def test_every_analysis_has_a_part_on_the_page_and_in_the_files(run, tables):
    assert list(tables) == [
        "multiclass", "adjusted", "adjusted_areas", "subgroups", "sites", "sensitivity", "missing",
        "decision_curve", "repeatability", "kappa", "reader_comparisons", "sample_size",
    ]  # fmt: skip
    files = [table.name for table in run.tables().files()]
    assert len(files) == len(set(files))
    assert set(tables) <= set(files)
    page = run.page()
    section = page[page.index('<h2 id="further">') : page.index('<h2 id="methods">')]
    for part in further_parts(run.observations, run.results):
        assert f"<h3>{html.escape(part.heading)}</h3>" in section
        # Longer tables are folded, their length told; shorter ones stand open.
        folded = f"{part.table.caption}: {len(part.table.rows)} rows</summary>" in section
        assert folded == (len(part.table.rows) > 12), part.table.name


def test_every_row_of_a_frame_has_its_row(run, tables):
    for name, frame in (("multiclass", "multiclass"), ("adjusted", "adjusted"), ("sites", "sites"),
                        ("adjusted_areas", "adjusted_roc"), ("subgroups", "subgroups"), ("kappa", "kappa"),
                        ("reader_comparisons", "reader_comparisons"), ("sample_size", "sample_size")):  # fmt: skip
        assert len(tables[name].rows) == len(run.frame(frame)), name
    assert (
        len(tables["repeatability"].rows)
        == (run.frame("repeatability")["track"] == "recommended").sum()
    )


def test_p_values_intervals_and_counts_are_those_of_the_frames(run, tables):
    adjusted = run.frame("adjusted")
    rows = shown(tables["adjusted"])
    assert [row["p"] for row in rows] == [p_value(p) for p in adjusted["p"].astype(float)]
    first = adjusted.iloc[0]
    n = f"{int(first['n_patients_a'])}, {int(first['n_a'])}"
    assert (rows[0]["compared"], rows[0]["patients, lesions"]) == ("all groups", n)
    slope = next(row for row in rows if row["compared"] == "age, per unit")
    assert slope["patients, lesions"] == n
    assert slope["unit"] == "mg/mL"
    pair = next(row for row in rows if row["compared"] == "lung − breast")
    record = adjusted[(adjusted["test"] == "adjusted") & (adjusted["group_b"] == "breast")].iloc[0]
    patients = int(record["n_patients_a"] + record["n_patients_b"])
    assert pair["patients, lesions"] == f"{patients}, {int(record['n_a'] + record['n_b'])}"
    assert pair["left out"] == f"{int(record['n_incomplete'])}" != "0"
    imputed = [row["compared"] for row in rows if row["compared"].endswith("gaps imputed")]
    assert len(imputed) == 2 * 3


def test_what_cannot_be_tested_says_why(run, tables):
    frame = run.frame("sites")
    rows = shown(tables["sites"])
    unknown = frame["sensitivity"].isna().tolist()
    assert any(unknown)
    for row, is_unknown, note in zip(rows, unknown, frame["note"], strict=True):
        assert row["why not"] == (note if is_unknown else "")
    assert any("cannot be tested: the site lacks a group" in row["why not"] for row in rows)
    interaction = [row for row in shown(tables["subgroups"]) if row["compared"] == "interaction"]
    assert all("a group has no value in a level" in row["why not"] for row in interaction)
    assert "why not" not in shown(tables["kappa"])[0]


def test_sensitivity_counts_the_pairs_that_differ(run, tables):
    frame = run.frame("sensitivity")
    pairs = frame[frame["test"] == "mixed"]
    key = ["phase", "region", "parameter", "analysis"]
    expected = [
        f"{(of_one['p_holm'] < 0.05).sum()} of {of_one['p_holm'].notna().sum()}"
        for _, of_one in pairs.groupby(key, sort=False)
    ]
    assert [row["pairs that differ"] for row in shown(tables["sensitivity"])] == expected


def test_missing_lesions_are_counted_of_all(run, tables):
    (iodine, slope) = shown(tables["missing"])
    frame = run.observations.missing.iloc[0]
    assert iodine["reason"] == "no valid voxels"
    assert iodine["lesions"] == f"{frame['n_lesions']} of {frame['n_lesions_in_all']}"
    assert (iodine["patients"], slope["group"]) == ("1", "gastric")


def test_net_benefit_is_shown_at_round_thresholds(run, tables):
    curve = run.frame("decision_curve")
    first = curve[(curve["group_a"] == "lung") & (curve["group_b"] == "breast")].set_index(
        "threshold"
    )
    cells = tables["decision_curve"].rows[0]
    at = first.loc[0.2]
    assert [cells[4].values[0], cells[5].values[0]] == [at["net_benefit"], at["net_benefit_all"]]
    assert "30 %" in tables["decision_curve"].notes[0]


def test_the_checklists_name_what_was_analysed(run):
    stard, claim, metrics = (
        {row[0].text: row[2].text for row in table.rows} for table in run.tables().checklists
    )
    assert stard["17"] == (
        "exploratory: by site, areas adjusted for age and over readers, Further analyses"
    )
    n_missing = int(run.observations.missing["n_lesions"].sum())
    assert stard["16"].startswith(f"{n_missing} values missing")
    assert metrics["4"] == "3 values of site"
    assert metrics["19"] == "age held equal in further tests and areas"
    assert claim["32"] == metrics["27"] == "author must state"  # no cut-offs of another study
    assert claim["18"].endswith("and repeat readings")
    n = len(run.frame("decisions").drop_duplicates(["parameter", "group_a", "group_b"]))
    assert stard["23"].endswith(f"at {n} cut-offs")


def test_a_frame_without_rows_has_no_table(run):
    assert row_table(pd.DataFrame(), [], name="n", caption="c", answer="p") is None
    assert sites_table(run.results) is not None


def test_a_row_without_a_reason_is_not_silent():
    frame = pd.DataFrame([{"phase": "AP", "region": "rim", "p": np.nan, "note": np.nan}])
    table = row_table(
        frame, [Column("where", where), Column("p", share("p"))], name="n", caption="c", answer="p"
    )
    assert [cell.text for cell in table.rows[0]] == ["AP rim", "–", "cannot be computed"]
