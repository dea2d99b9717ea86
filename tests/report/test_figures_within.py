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
    (mean,) = lung.get_lines()
    assert _lines_of(lung) == [[1.0, 2.0, 9.0], [2.0, 4.0, 9.0]]
    assert mean.get_ydata().tolist() == [1.5, 3.0, 9.0]
    (mean,) = breast.get_lines()
    # The lesion without a rim has no line between regions, only values.
    assert len(_lines_of(breast)) == 1
    assert mean.get_ydata().tolist() == [5.0, 6.0, 7.0]
    assert breast.get_title(loc="left") == "AP breast\n1 lesion"
    assert "lung 1.50, 3.00, 9.00; breast 5.00, 6.00, 7.00" in drawing.alt


def _lines_of(axis):
    """Values of each line of a lesion, of which one with a gap has none."""
    (lines,) = axis.collections
    return [
        path.vertices[:, 1].tolist()
        for path in lines.get_paths()
        if np.isfinite(path.vertices).all()
    ]


def test_every_value_lies_inside_its_panel(rows):
    with house_style():
        (drawing,) = paired_lines(observed(rows))
    for axis in drawing.figure.axes:
        low, high = axis.get_ylim()
        assert low < 1.0
        assert high > 9.0


def test_a_panel_of_many_lesions_shows_bands_and_some_lines():
    """Bands hold the share of lesions that they name, and the lines are whole lesions from the lowest to the highest."""
    rng = np.random.default_rng(0)
    n = 500
    level = rng.exponential(1.0, n)
    many = pd.DataFrame(
        {
            "patient_id": [f"p{k}" for k in range(n)] * 2, "lesion_id": "1", "group": "lung", "phase": "AP",
            "parameter": "iodine", "region": np.repeat(["core", "rim"], n), "value": np.r_[level, 2 * level],
        }
    )  # fmt: skip
    with house_style():
        (drawing,) = paired_lines(observed(many))
    lung, _breast = (axis for axis in drawing.figure.axes if axis.get_visible())
    *bands, lines = lung.collections
    assert len(bands) == 2
    for band, share in zip(bands, (0.9, 0.5), strict=True):
        edge = band.get_paths()[0].vertices
        ends = edge[edge[:, 0] == 0, 1]
        inside = (level >= ends.min()) & (level <= ends.max())
        assert inside.mean() == pytest.approx(share, abs=0.01)
    drawn = [path.vertices[:, 1] for path in lines.get_paths()]
    assert len(drawn) == 25
    assert {value for value, _ in drawn} <= set(level)
    # The lowest and the highest are among them, and no patient's values were mixed.
    assert min(value for value, _ in drawn) == level.min()
    assert max(value for value, _ in drawn) == level.max()
    assert all(rim == 2 * core for core, rim in drawn)
    (mean,) = lung.get_lines()
    assert mean.get_ydata() == pytest.approx([level.mean(), 2 * level.mean()])
    assert "25 of them are drawn" in drawing.caption
    assert "middle 50 and 90 %" in drawing.caption


def test_few_lesions_have_no_bands(rows):
    with house_style():
        (drawing,) = paired_lines(observed(rows))
    assert "band" not in drawing.caption


def test_one_region_is_no_comparison(rows):
    assert paired_lines(observed(rows[rows["region"] == "core"])) == []


def test_no_complete_lesion_has_no_mean(rows):
    with house_style():
        (drawing,) = paired_lines(observed(rows[rows["patient_id"] == "q"]))
    assert drawing.alt == "0 lesions have core, rim and parenchyma."
