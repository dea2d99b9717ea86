"""Figures of values where there is little to draw."""

import pytest

from gsigpu.report import figures_values
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.report.figure_style import house_style
from gsigpu.tables.observations import Choice
from tests.support.cohort_tables import measurement_table
from tests.support.compared import compared


@pytest.mark.parametrize(("n_patients", "drawn"), [(1, False), (3, True)])
def test_a_shell_of_one_patient_has_no_mean_and_no_figure(tmp_path, n_patients, drawn):
    table = measurement_table(
        groups=("lung", "breast"), patients=(n_patients, n_patients), phases=("PVP",), curves=False
    )
    cohort = compared(
        table,
        tmp_path,
        choice=Choice(regions=("rim",), parameters=("iodine",)),
        settings=StatisticsSettings(replicates=100),
    )
    with house_style():
        drawing = figures_values.profiles(cohort.observations, cohort.results)
    assert (drawing is not None) == drawn
