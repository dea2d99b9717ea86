"""Tables of cut-offs, of one group against all others, and within lesions say what the frames hold."""

import pytest

from gsigpu.pipeline.cohort_stats.family_members import analyse
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.report.decision_tables import decisions_table, rest_table, within_table
from gsigpu.tables.observations import Choice, read_observations
from tests.support.cohort_tables import measurement_table


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    table = measurement_table(
        groups=("breast", "pancreatic", "lung"), patients=(8, 8, 8), phases=("AP",), curves=False,
        profiles=False, seed=11,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("table") / "t.csv"
    table[table["parameter"] == "iodine"].to_csv(path, index=False)
    observations = read_observations(path, Choice(regions=("core", "rim")))
    settings = StatisticsSettings(replicates=100, prevalence=0.25)
    return analyse(observations, settings, progress=lambda _done, _total: None)


def test_the_cross_table_gives_the_shares_beside_it(results):
    table = decisions_table(results)
    assert [cell.text for cell in table.header[0]][-2:] == ["PPV", "NPV"]
    assert len(table.rows) > 0
    for row in table.rows:
        hit, missed = (int(n) for n in row[5].text.split(", "))
        false_alarm, rejected = (int(n) for n in row[6].text.split(", "))
        sensitivity = hit / (hit + missed)
        specificity = rejected / (false_alarm + rejected)
        assert row[7].text == f"{sensitivity:.2f}"
        assert row[9].text == f"{specificity:.2f}"
        expected = (hit + rejected) / (hit + missed + false_alarm + rejected)
        assert row[11].text == f"{expected:.2f}"
        # Bayes, with a quarter of them of the first group.
        positive = 0.25 * sensitivity + 0.75 * (1 - specificity)
        if positive > 0:
            assert float(row[15].text) == pytest.approx(0.25 * sensitivity / positive, abs=0.006)


def test_each_group_against_all_others(results):
    table = rest_table(results)
    assert {row[0].text for row in table.rows} == {
        "breast v all others", "pancreatic v all others", "lung v all others",
    }  # fmt: skip
    assert all(row[-1].text == "8 v 16" for row in table.rows)


def test_core_and_rim_of_the_same_lesion(results):
    table = within_table(results)
    frame = results.frames.within
    (row,) = table.rows
    assert row[0].text in ("core − rim", "rim − core")
    mixed = frame[(frame["test"] == "mixed") & (frame["track"] == "recommended")].iloc[0]
    assert row[5].text.replace("−", "-") == f"{mixed['difference']:.2f}"
    low, high = (float(end.replace("−", "-")) for end in row[6].text.split(" to "))
    assert low <= mixed["difference"] <= high
