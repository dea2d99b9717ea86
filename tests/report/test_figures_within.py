"""Paired lines: a line for every lesion, the mean of those with every region, normal liver of the patient at each."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from gsigpu.report.figure_style import house_style
from gsigpu.report.figures_within import by_lesion, paired_lines

VALUES = {
    # patient, lesion, group: core, rim; normal liver of the patient
    ("p", "1", "lung"): (1.0, 2.0),
    ("p", "2", "lung"): (2.0, 4.0),
    ("q", "1", "breast"): (3.0, np.nan),
    ("r", "1", "breast"): (5.0, 6.0),
}
LIVER = {"p": 9.0, "q": 8.0, "r": 7.0}


@pytest.fixture
def rows():
    made = []
    for (patient, lesion, group), values in VALUES.items():
        base = {"patient_id": patient, "group": group, "phase": "AP", "parameter": "iodine"}
        for region, value in zip(("core", "rim"), values, strict=True):
            made.append(base | {"lesion_id": lesion, "region": region, "value": value})
    for patient, value in LIVER.items():
        group = next(group for name, _, group in VALUES if name == patient)
        made.append(
            {"patient_id": patient, "group": group, "phase": "AP", "parameter": "iodine",
             "lesion_id": "", "region": "parenchyma", "value": value}
        )  # fmt: skip
    return pd.DataFrame(made)


def observed(rows):
    return SimpleNamespace(
        within=rows, parameters=("iodine",), phases=("AP",), groups=("lung", "breast"),
        units={"iodine": "mg/mL"},
    )  # fmt: skip


def test_normal_liver_stands_beside_each_lesion_of_its_patient(rows):
    wide = by_lesion(rows, ["core", "rim", "parenchyma"]).droplevel("group")
    assert wide.loc[("p", "1")].tolist() == [1.0, 2.0, 9.0]
    assert wide.loc[("p", "2"), "parenchyma"] == 9.0
    assert np.isnan(wide.loc[("q", "1"), "rim"])


def test_every_lesion_has_a_line_and_the_mean_is_of_the_complete(rows):
    with house_style():
        (drawing,) = paired_lines(observed(rows))
    lung, breast = (axis for axis in drawing.figure.axes if axis.get_visible())
    *lines, mean = lung.get_lines()
    assert [line.get_ydata().tolist() for line in lines] == [[1.0, 2.0, 9.0], [2.0, 4.0, 9.0]]
    assert mean.get_ydata().tolist() == [1.5, 3.0, 9.0]
    *lines, mean = breast.get_lines()
    assert len(lines) == 2
    assert mean.get_ydata().tolist() == [5.0, 6.0, 7.0]
    assert breast.get_title(loc="left") == "AP breast\n1 lesion"
    assert "lung 1.50, 3.00, 9.00; breast 5.00, 6.00, 7.00" in drawing.alt


def test_one_region_is_no_comparison(rows):
    assert paired_lines(observed(rows[rows["region"] == "core"])) == []


def test_no_complete_lesion_has_no_mean(rows):
    with house_style():
        (drawing,) = paired_lines(observed(rows[rows["patient_id"] == "q"]))
    assert drawing.alt == "0 lesions have core, rim and parenchyma."
