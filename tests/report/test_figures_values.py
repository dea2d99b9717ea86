"""Figures of values where there is little to draw, and where there is much."""

import numpy as np
import pytest

from gsigpu.report import figures_values
from gsigpu.report.cohort_results import StatisticsSettings
from gsigpu.report.figure_style import SERIES, house_style
from gsigpu.tables.observations import Choice, read_observations
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


def test_dots_of_an_image_are_each_value_once(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    measurement_table(groups=("lung", "breast"), patients=(7, 4), phases=("PVP",)).to_csv(path)
    observations = read_observations(path, Choice(regions=("rim",), parameters=("iodine",)))
    monkeypatch.setattr(figures_values, "MOST_VECTOR_MARKS", 5)
    with house_style():
        (drawing,) = figures_values.distributions(observations)
    (axis,) = drawing.figure.axes
    stamps = [line for line in axis.lines if line.get_rasterized()]
    assert {line.get_markersize() for line in stamps} == {3.0}  # as the dots of a small figure
    assert {line.get_markerfacecolor() for line in stamps} == {"#ffffff", *SERIES[:2]}
    drawn = np.concatenate([line.get_ydata() for line in stamps])
    np.testing.assert_allclose(np.sort(drawn), np.sort(observations.table["value"]))
    assert not axis.collections
