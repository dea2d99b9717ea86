"""The statistics of a published table of n, mean and SD."""

import pandas as pd
import pytest
from scipy.stats import f

from gsigpu.pipeline.cohort_stats.write_statistics import cohort_stats
from gsigpu.tables.observation_checks import TableProblems
from gsigpu.tables.observations import Choice

# PlantGrowth (Dobson 1983; R datasets), n, mean, SD: F(2, 27) = 4.846, p = .01591.
PLANTS = pd.DataFrame(
    {
        "group": ["ctrl", "trt1", "trt2"],
        "n": 10,
        "mean": [5.032, 4.661, 5.526],
        "sd": [0.5830914, 0.7936757, 0.4425733],
    }
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("summary")
    PLANTS.to_csv(folder / "t.csv", index=False)
    return cohort_stats(folder / "t.csv", folder / "out")


def test_what_can_be_computed(run):
    omnibus = run.frame("omnibus").set_index("test")
    assert omnibus.loc["anova", "statistic"] == pytest.approx(4.846, abs=5e-4)
    assert omnibus.loc["anova", "p"] == pytest.approx(
        f.sf(omnibus.loc["anova", "statistic"], 2, 27)
    )
    assert set(run.frame("pairwise")["test"]) == {"lsd", "games-howell"}
    assert set(run.frame("roc")["method"]) == {"binormal"}
    page = run.report.read_text("utf-8")
    assert "5.032 ± 0.583" in page or "5.03 ± 0.58" in page
    assert "What a table of n, mean and SD cannot give" in page
    assert "Neither fully" in page
    assert len(list((run.out / "tables").glob("table_1_*"))) == 2
    methods = page.split('<h2 id="methods">')[1]
    assert "Value (unit not stated) was compared." in methods
    assert "Reiser &amp; Guttman" in methods
    assert "of the published means were made" in methods


def test_all_problems_of_a_summary_at_once(tmp_path):
    bad = PLANTS.astype(object)
    bad.loc[0, "n"] = 2.5
    bad.loc[1, "sd"] = -1
    bad.loc[2, "mean"] = "5,5"
    bad = pd.concat([bad, bad.iloc[:1]])
    bad.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(TableProblems) as caught:
        cohort_stats(tmp_path / "t.csv", tmp_path / "out")
    problems = "\n".join(caught.value.problems)
    for expected in (
        "row 2: n '2.5' is no number of lesions",
        "row 3: sd '-1' is no standard deviation",
        "row 4: mean '5,5' is no number",
        "row 5: ctrl is there already",
    ):
        assert expected in problems
    assert not (tmp_path / "out").exists()


def test_groups_of_a_summary_are_checked_in_the_words_of_a_table_of_lesions(tmp_path):
    PLANTS.to_csv(tmp_path / "t.csv", index=False)
    there = list(dict.fromkeys(PLANTS["group"]))
    with pytest.raises(TableProblems) as caught:
        cohort_stats(tmp_path / "t.csv", tmp_path / "out", choice=Choice(groups=(there[0], "weed")))
    assert caught.value.problems == [
        f"no group 'weed' in the table: it has {', '.join(sorted(there))}",
        f"unknown group {', '.join(map(repr, there[1:]))}: name it in --groups, or take its rows out",
    ]
