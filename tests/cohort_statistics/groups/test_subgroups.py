"""Whether groups differ alike in every level of another column."""

import numpy as np
import pandas as pd
import pytest

from gsigpu.cohort_statistics.groups.subgroups import MOST_LEVELS, cut_at, subgroup_tests
from gsigpu.errors import InputError


def study(rng, *, twist=0.0, n=40):
    patient = np.repeat(np.arange(n), rng.integers(1, 4, n))
    group, level = np.array(list("ab"))[patient % 2], np.array(list("xy"))[patient // 2 % 2]
    value = rng.normal(size=n)[patient] + rng.normal(size=patient.size)
    return value + twist * ((group == "a") & (level == "x")), group, patient, level


def interaction(data):
    frame = subgroup_tests(*data, order=["a", "b"], column="sex")
    return frame[frame["test"] == "mixed-interaction"].iloc[0]


def test_with_one_lesion_per_patient_and_equal_cells_it_is_the_welch_contrast():
    """Four independent cells: the difference of differences over the root of the summed squared errors."""
    rng = np.random.default_rng(1)
    value = rng.normal(size=48)
    group, level = (
        np.array(list("ab"))[np.arange(48) % 2],
        np.array(list("xy"))[np.arange(48) // 2 % 2],
    )
    row = interaction((value, group, np.arange(48), level))
    cells = [
        value[(group == g) & (level == v)]
        for g, v in (("a", "x"), ("b", "x"), ("a", "y"), ("b", "y"))
    ]
    contrast = cells[0].mean() - cells[1].mean() - cells[2].mean() + cells[3].mean()
    squares = np.array([cell.var(ddof=1) / cell.size for cell in cells])
    assert row["statistic"] == pytest.approx(contrast**2 / squares.sum(), rel=1e-9)
    df = squares.sum() ** 2 / (squares**2 / 11).sum()
    # Satterthwaite's degrees of freedom are those of equal variances: at most the sum of the cells'.
    assert row["df2"] == pytest.approx(44.0, rel=1e-9)
    assert df <= 44.0


def test_an_interaction_is_seen():
    rng = np.random.default_rng(2)
    assert interaction(study(rng, twist=8.0))["p"] < 0.001


def test_what_cannot_be_tested_says_so():
    value, group, patient, level = study(np.random.default_rng(3))
    lonely = np.where(group == "a", "x", level)
    assert interaction((value, group, patient, lonely))["note"].startswith("cannot be tested")


def test_classes_between_cut_points_come_in_their_order():
    """pandas cuts the same way; names alone would put `below` last."""
    value, group, patient, _ = study(np.random.default_rng(5))
    ages = np.where(patient == 3, np.nan, 40.0 + patient)
    levels, names = cut_at(ages, [50, 65.5])
    expected = pd.cut(ages, [-np.inf, 50, 65.5, np.inf], right=False, labels=False)
    assert [*levels] == ["" if np.isnan(code) else names[int(code)] for code in expected]
    assert levels[list(ages).index(50.0)] == "50 to below 65.5"
    frame = subgroup_tests(
        value, group, patient, levels, order=["a", "b"], column="age", level_order=names
    )
    assert [*dict.fromkeys(frame["level"])] == ["", *names]


@pytest.mark.parametrize("cuts", [[], [65, 50], [50, 50], [float("nan")]])
def test_cut_points_that_do_not_increase_are_refused(cuts):
    with pytest.raises(InputError, match="cut points"):
        cut_at([1.0, 2.0], cuts)


def test_a_measurement_is_no_class():
    rng = np.random.default_rng(4)
    value, group, patient, _ = study(rng)
    ages = pd.Series(40 + patient).astype(str)
    assert ages.nunique() > MOST_LEVELS
    with pytest.raises(InputError, match="too many"):
        subgroup_tests(value, group, patient, ages, order=["a", "b"], column="age")
