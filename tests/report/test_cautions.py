"""Warnings of a run: columns of numbers that may be codes."""

from dataclasses import dataclass, field

import pytest

from gsigpu.report.cautions import _codes_as_measurements
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.tables.observations import Choice, read_observations
from tests.support.cohort_tables import measurement_table


@dataclass
class Run:
    """What the warning asks of results."""

    settings: StatisticsSettings = field(
        default_factory=lambda: StatisticsSettings(covariates=("scanner",))
    )


def warnings_of_column(column, tmp_path):
    """column : patient's place -> cell"""
    table = measurement_table(groups=("a", "b"), patients=(8, 8), phases=("AP",), curves=False)
    patients = sorted(table["patient_id"].unique())
    cells = {name: column(k) for k, name in enumerate(patients)}
    table.assign(scanner=table["patient_id"].map(cells)).to_csv(tmp_path / "t.csv", index=False)
    observations = read_observations(tmp_path / "t.csv", Choice(columns=("scanner",)))
    return list(_codes_as_measurements(observations, Run()))


def test_whole_numbers_that_come_back_may_be_codes(tmp_path):
    (warning,) = warnings_of_column(lambda k: 1 + k % 3, tmp_path)
    assert warning.startswith(
        "scanner holds the numbers 1, 2 and 3 and is held equal as a measurement"
    )


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(lambda k: 1 + k % 2, id="one slope of two codes is their difference"),
        pytest.param(lambda k: 40 + 3 * (k % 11), id="ages"),
        pytest.param(lambda k: 0.5 * (k % 4), id="halves"),
        pytest.param(lambda k: f"scanner {k % 3}", id="names"),
        pytest.param(lambda k: "" if k % 2 else 60 + k % 9, id="half of them missing"),
    ],
)
def test_other_columns_are_what_they_look_like(column, tmp_path):
    assert warnings_of_column(column, tmp_path) == []
