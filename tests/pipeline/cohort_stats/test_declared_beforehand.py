"""A plan says which rows are confirmatory, and nothing may contradict it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from gsigpu.errors import InputError, SettingsError
from gsigpu.pipeline.cohort_stats.declared_beforehand import (
    marked,
    parse_directions,
    require_planned,
    with_plan,
)
from gsigpu.pipeline.cohort_stats.write_statistics import cohort_stats
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.report.plan_words import EXPLORATORY_NOTE, NONE_PLANNED
from gsigpu.tables.observations import Choice
from gsigpu.tables.plan_file import FILES, read_plan
from tests.support.cohort_tables import measurement_table
from tests.support.compared import without_figures

GROUPS = ("pancreatic", "lung", "breast")
PLAN = """
date = 2026-03-01
groups = ["pancreatic", "lung", "breast"]
[directions]
iodine = "breast>lung>pancreatic"
[exclusions]
max_diameter_mm = 28
[[family]]
name = "primary"
files = ["pairwise", "roc"]
tests = ["mixed", "obuchowski"]
regions = ["core"]
parameters = ["iodine"]
pairs = [["lung", "pancreatic"], ["breast", "lung"]]
[[family]]
name = "any difference"
files = ["omnibus"]
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "plan.toml"
    path.write_text(PLAN)
    return read_plan(path)


@pytest.fixture(scope="module")
def run(plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("planned")
    table = measurement_table(
        groups=GROUPS, patients=(8, 7, 6), phases=("AP",), curves=False, profiles=False, seed=4
    )
    table.to_csv(folder / "t.csv", index=False)
    with without_figures():
        return cohort_stats(
            folder / "t.csv",
            folder / "out",
            choice=Choice(parameters=("iodine", "ct_value"), regions=("core", "rim")),
            settings=StatisticsSettings(replicates=100, plan=plan),
            n_workers=1,
        )


def test_rows_of_a_family_are_named_and_adjusted_together(run):
    pairwise, roc = (pd.read_csv(run.out / f"{name}.csv") for name in ("pairwise", "roc"))
    planned = [frame[frame["planned"] == "primary"] for frame in (pairwise, roc)]
    assert [len(frame) for frame in planned] == [2, 2]
    for frame in planned:
        assert set(frame["parameter"]) == {"iodine"}
        assert set(frame["region"]) == {"core"}
        assert "breast" not in set(frame.loc[frame["group_a"] == "pancreatic", "group_b"])
    raw = np.r_[planned[0]["p_unadjusted"], planned[1]["p"]]
    expected = multipletests(raw, method="holm")[1]
    adjusted = np.concatenate([frame["p_holm_planned"] for frame in planned])
    assert adjusted == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tests": ("mixt",)}, None),
        ({"tests": ("mixed", "kruskal")}, "has no result of kruskal in pairwise, roc"),
        ({"files": ("omnibus",), "tests": ()}, "'primary' has no result in omnibus"),
    ],
)
def test_a_family_without_results_is_refused(run, plan, changes, words):
    """It was planned, and everything was called exploratory."""
    family = replace(plan.families[0], **changes)
    wrong = replace(plan, families=(family, plan.families[1]))
    if words is None:
        with pytest.raises(SettingsError, match="tests mixt, which do not exist"):
            require_planned(run.observations, wrong)
        return
    frames = {name: run.frame(name) for name in FILES}
    with pytest.raises(SettingsError, match=words):
        marked(frames, wrong)


def test_everything_else_is_exploratory(run):
    for path in run.out.glob("*.csv"):
        frame = pd.read_csv(path)
        if path.stem not in ("flow", "missing"):
            assert "planned" in frame, path.name
            if len(frame):
                assert set(frame["planned"]) <= {"primary", "any difference", "exploratory"}
    pairwise = pd.read_csv(run.out / "pairwise.csv")
    others = pairwise[pairwise["planned"] == "exploratory"]
    assert len(others) == len(pairwise) - 2
    assert others["p_holm_planned"].isna().all()
    omnibus = pd.read_csv(run.out / "omnibus.csv")
    assert set(omnibus.loc[omnibus["track"] == "paper", "planned"]) == {"exploratory"}


def test_directions_exclusions_and_the_hash_are_kept(run, plan):
    roc = pd.read_csv(run.out / "roc.csv").query("parameter == 'iodine' and method == 'obuchowski'")
    assert set(roc["direction"]) == {"lower"}
    flow = (run.out / "flow.csv").read_text()
    assert "plan: above 28 mm" in flow
    provenance = json.loads((run.out / "provenance.json").read_text())
    assert provenance["settings"]["plan"]["sha256"] == plan.sha256
    assert provenance["settings"]["plan"]["date"] == "2026-03-01"


def test_the_page_says_what_was_planned(run, plan):
    page = run.report.read_text("utf-8")
    top, methods = page.split('<h2 id="methods">')
    for part in (top, methods):
        assert plan.sha256 in part
        assert "2026-03-01" in part
    n_below = sum(
        int((frame.loc[frame["planned"] == "primary", "p_holm_planned"] < 0.05).sum())
        for frame in (pd.read_csv(run.out / f"{name}.csv") for name in ("pairwise", "roc"))
    )
    assert f"Family “primary”: 4 planned tests, {n_below} of them below .05" in top
    assert (
        "Exploratory: everything on this page that is not of “primary” and “any difference”" in top
    )
    assert "compared within lesions" in methods
    assert "imputed" not in methods
    assert "in subgroups" not in methods


def plans_of(table):
    """What the last column of a table with a result in each row says; none without a planned row."""
    assert table.header[-1][-1].text == "plan", table.name
    return [row[-1].text for row in table.rows]


def test_each_row_of_the_page_says_whether_it_was_planned(run):
    tables = run.tables
    areas = run.frame("roc").query("method == 'obuchowski'")
    for region, table in zip(("core", "rim"), tables.roc[1::2], strict=True):
        if region == "rim":
            assert table.header[-1][-1].text != "plan"
            assert NONE_PLANNED in table.notes
            continue
        expected = [
            "exploratory" if name == "exploratory" else f"planned: {name}"
            for _, of_pair in areas[areas["region"] == region].groupby(
                ["group_a", "group_b"], sort=False
            )
            for name in of_pair.sort_values("parameter", ascending=False)["planned"]
        ]
        assert sorted(plans_of(table)) == sorted(expected)
        assert {"exploratory", "planned: primary"} == set(expected)
    for table in (tables.decisions, tables.within, tables.against_rest, tables.readers):
        if table is not None:
            assert NONE_PLANNED in table.notes, table.name
    assert {"exploratory", "planned: primary"} >= set(plans_of(tables.told_apart))
    assert all(
        NONE_PLANNED in part.table.notes for part in tables.further if part.table.name != "missing"
    )


def test_a_number_among_others_is_marked_where_it_was_not_planned(run):
    """Of all groups the recommended tests are planned, of pairs two in the core."""
    paper, recommended = run.tables.by_parameter["iodine"]

    def marks(table):
        return {
            row[0].text: [cell.mark for cell in row[1:]] for row in table.rows if row[0].span > 1
        }

    assert set(marks(paper)["one-way ANOVA, p"]) == {"†"}
    assert set(marks(recommended)["mixed model, p"]) == {""}
    assert set(marks(recommended)["Levene, p"]) == {""}
    core, rim = run.tables.pairs["iodine"]
    for table, n_planned in ((core, 2), (rim, 0)):
        # LSD's p and Bonferroni's, then the p of the mixed model, Games-Howell and Dunn.
        cells = [
            [cell.mark for cell in row if cell.number_format.startswith("[<")] for row in table.rows
        ]
        assert [len(row) for row in cells] == [5, 5, 5]
        assert sum(mark == "" for row in cells for mark in row) == n_planned
        assert EXPLORATORY_NOTE in table.notes


@pytest.mark.parametrize(
    ("choice", "directions", "words"),
    [
        (Choice(groups=("lung", "pancreatic", "breast")), {}, "--groups differs"),
        (Choice(parameters=("ct_value",)), {}, "the plan tests iodine"),
        (Choice(regions=("rim",)), {}, "the plan tests core"),
        (Choice(), {("iodine", "lung", "breast"): "higher"}, "--direction of iodine differs"),
    ],
)
def test_what_contradicts_the_plan_is_refused(plan, choice, directions, words):
    settings = StatisticsSettings(plan=plan, pair_directions=directions)
    with pytest.raises(SettingsError, match=words):
        with_plan(choice, settings)


def test_a_plan_for_another_table_is_refused(tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN.replace('"core"', '"kernel"'))
    table = measurement_table(groups=GROUPS, patients=(3, 3, 3), phases=("AP",), curves=False)
    table.to_csv(tmp_path / "t.csv", index=False)
    settings = StatisticsSettings(plan=read_plan(tmp_path / "plan.toml"))
    with pytest.raises((SettingsError, InputError), match="kernel"):
        cohort_stats(tmp_path / "t.csv", tmp_path / "out", settings=settings, n_workers=1)
    assert not (tmp_path / "out").exists()


def test_directions_are_parsed():
    assert parse_directions(["iodine=lower"])[0] == {"iodine": "lower"}
