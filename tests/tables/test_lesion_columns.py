"""Covariates, subgroups and sites: where they are looked up, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from gsigpu.tables.lesion_columns import lesion_columns

LESIONS = pd.DataFrame(
    [("a", "1", "AP"), ("a", "1", "PVP"), ("a", "2", "AP"), ("b", "1", "AP")],
    columns=["patient_id", "lesion_id", "phase"],
)
SIZES = pd.DataFrame(
    [("a", "1", 12.0), ("b", "1", 20.0)], columns=["patient_id", "lesion_id", "diameter_mm"]
)


def looked_up(names, cells=None, patients=None):
    cells = LESIONS if cells is None else cells
    return lesion_columns(LESIONS, names, cells=cells, patients=patients, sizes=SIZES)


def test_numbers_are_numbers_and_text_is_text():
    cells = LESIONS.assign(age=["61Y", "61", "61", "n/a"], sex=["female", "F", "f", "M"])
    frame, problems = looked_up(["age", "sex"], cells)
    assert not problems
    assert frame["age"].tolist()[:3] == [61.0] * 3
    assert np.isnan(frame["age"].iloc[3])
    assert frame["sex"].tolist() == ["F", "F", "F", "M"]


def test_a_value_may_depend_on_the_phase_or_the_lesion():
    cells = LESIONS.assign(scanner=["x", "y", "x", "y"], grade=["1", "1", "2", "1"])
    frame, problems = looked_up(["scanner", "grade"], cells)
    assert not problems
    assert frame["scanner"].tolist() == ["x", "y", "x", "y"]
    assert frame["grade"].tolist() == [1.0, 1.0, 2.0, 1.0]


def test_a_list_of_patients_fills_what_the_table_lacks():
    cells = LESIONS.assign(site=["", "", "", "north"])
    patients = pd.DataFrame({"patient_id": ["a", "b"], "site": ["south", "west"]})
    frame, _ = looked_up(["site"], cells, patients)
    assert frame["site"].tolist() == ["south"] * 3 + ["north"]


def test_size_is_the_diameter():
    frame, _ = looked_up(["size"])
    assert frame["size"].tolist()[:2] == [12.0, 12.0]
    assert np.isnan(frame["size"].iloc[2])


def test_two_values_of_one_patient_and_unknown_columns_are_named():
    patients = pd.DataFrame({"patient_id": ["a", "a"], "age": ["60", "61"]})
    _, problems = looked_up(["age", "bmi"], patients=patients)
    assert problems == [
        "a has several values of age: 60, 61",
        "no column 'bmi' in the table or in the list of patients",
    ]


def test_classes_that_differ_by_case_or_blanks_are_refused():
    """A site of two spellings was two sites."""
    cells = LESIONS.assign(site=["North", "North", "north  west", "North West"])
    _, problems = looked_up(["site"], cells)
    assert problems == ["site is spelled in several ways: 'north  west', 'North West'"]


@pytest.mark.parametrize("name", ["patient_id", "group", "phase", "value", "reader"])
def test_what_tells_values_apart_is_no_covariate(name):
    _, problems = looked_up([name])
    assert len(problems) == 1
    assert repr(name) in problems[0]


@pytest.mark.parametrize("texts", [["1", "2", "x", "3"], ["", "", "", ""]])
def test_a_column_is_numbers_only_where_every_cell_is(texts):
    frame, _ = looked_up(["c"], LESIONS.assign(c=texts))
    assert frame["c"].tolist() == texts
