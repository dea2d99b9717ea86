"""Covariates in the mixed model and in areas, against lme4, clubSandwich and pROC."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gsigpu.cohort_statistics.frames import ADJUSTED_COLUMNS, SENSITIVITY_COLUMNS
from gsigpu.cohort_statistics.groups.adjusted import adjusted_area, adjusted_tests
from gsigpu.cohort_statistics.groups.group_frames import group_tests
from gsigpu.cohort_statistics.groups.sensitivity import sensitivity_analyses
from gsigpu.cohort_statistics.roc.clustered import obuchowski
from gsigpu.errors import InputError
from tests.support.places import GOLDEN as GOLDEN_FOLDER

GOLDEN = json.loads((Path(GOLDEN_FOLDER) / "adjusted.json").read_text())
ROWS = pd.DataFrame(GOLDEN["rows"])


def adjusted(rows, names=("age", "site", "size")):
    return adjusted_tests(
        rows["value"], rows["group"], rows["patient"], rows[list(names)], order=["a", "b", "c"]
    )


def test_adjusted_differences_are_clubsandwichs():
    frame = adjusted(ROWS)
    assert tuple(frame.columns) == ADJUSTED_COLUMNS
    overall = frame.iloc[0]
    for column, key in (("statistic", "f"), ("df1", "df1"), ("df2", "df2"), ("p", "p")):
        assert overall[column] == pytest.approx(GOLDEN[key], rel=1e-5)
    for test, r in (("adjusted", GOLDEN["pairs"]), ("covariate", GOLDEN["covariates"])):
        rows = frame[frame["test"] == test]
        np.testing.assert_allclose(rows["difference"].astype(float), r["difference"], rtol=1e-5)
        np.testing.assert_allclose(rows["df2"].astype(float), r["df"], rtol=1e-4)
        se = rows["difference"].astype(float) / rows["statistic"].astype(float)
        np.testing.assert_allclose(se, r["se"], rtol=1e-5)
    names = frame.loc[frame["test"] == "covariate", ["group_a", "group_b"]].values.tolist()
    assert names == [["age", ""], ["site", "y against x"], ["size", ""]]


def test_lesions_without_a_covariate_are_left_out_and_counted():
    gaps = ROWS.assign(
        age=ROWS["age"].where(ROWS.index != 4), site=ROWS["site"].where(ROWS.index != 9)
    )
    frame = adjusted(gaps)
    assert (frame["n_incomplete"] == 2).all()
    assert frame.iloc[0]["p"] == adjusted(ROWS.drop([4, 9])).iloc[0]["p"]


def test_an_adjusted_area_says_what_there_is_too_little_of():
    """It blamed the negatives whatever was missing."""
    rng = np.random.default_rng(3)

    def note(patients_x, patients_y, ages_y, n_covariates=1):
        x, y = rng.normal(1, 1, len(patients_x)), rng.normal(0, 1, len(patients_y))
        z = [rng.normal(size=(len(side), n_covariates)) for side in (x, y)]
        if ages_y is not None:
            z[1][:, 0] = ages_y
        result = adjusted_area(x, y, patients_x, patients_y, *z)
        assert np.isnan(result.p)
        return result.note.removeprefix("cannot be tested: ")

    assert note([1, 1, 1], [2, 3, 4, 5], None) == "a group has one patient: no standard error"
    assert note([1, 2, 3], [4, 4, 4], None) == "a group has one patient: no standard error"
    assert "too alike" in note([1, 2, 3], [4, 5, 6, 7], [50.0, 50, 50, 50])
    assert "rests on one patient" in note([1, 2, 3], [4, 5, 6, 7], [50.0, 50, 50, 60])
    assert note([1, 2], [4, 4, 4, 5, 5, 5], None, 2) != ""
    assert note([1, 2], [4, 4, 4, 5, 5, 5], None, 2).startswith("no more patients")


def test_a_pair_with_a_group_of_one_patient_is_not_tested_with_the_others_scatter():
    """His residuals are 0 whatever he is like, and the variance was that of the other group alone."""
    kept = ROWS[
        (ROWS["group"] != "a")
        | (ROWS["patient"] == ROWS.loc[ROWS["group"] == "a", "patient"].iloc[0])
    ]
    frame = adjusted(kept, names=("age",))
    pairs = frame[frame["test"] == "adjusted"].set_index(["group_a", "group_b"])
    assert pairs["p"].notna().tolist() == [False, False, True]
    assert np.isnan(frame.iloc[0]["p"])
    assert "a mean rests on one patient" in frame.iloc[0]["note"]


def test_groups_that_are_their_site_cannot_be_adjusted_for_it():
    frame = adjusted(ROWS.assign(site=ROWS["group"]), names=("site",))
    assert frame["p"].isna().all()
    assert frame["note"].str.contains("cannot be told apart from the covariates").all()
    with pytest.raises(InputError, match="one row per value"):
        adjusted_tests(
            [1.0, 2.0], ["a", "b"], [1, 2], pd.DataFrame({"age": [1.0]}), order=["a", "b"]
        )


def test_the_adjusted_area_is_that_of_residuals_among_the_negatives():
    a, b = (ROWS[ROWS["group"] == name] for name in "ab")
    names = ["age", "size"]
    result = adjusted_area(a["value"], b["value"], a["patient"], b["patient"], a[names], b[names])
    assert result.auc == pytest.approx(GOLDEN["adjusted_area"], abs=1e-12)
    # With nothing to take out it is the plain area, and the jackknife nears Obuchowski's error.
    nothing = adjusted_area(
        a["value"], b["value"], a["patient"], b["patient"],
        np.zeros((len(a), 0)), np.zeros((len(b), 0)),
    )  # fmt: skip
    plain = obuchowski(a["value"], b["value"], a["patient"], b["patient"])
    assert nothing.auc == pytest.approx(plain.auc)
    assert nothing.se == pytest.approx(plain.se, rel=0.1)
    few = adjusted_area([1.0, 2], [0.0, 1], [1, 2], [3, 4], [[1.0], [2]], [[1.0], [2]])
    assert few.note.startswith("cannot be tested")


def lesions(n_readers=1):
    rng = np.random.default_rng(9)
    patients = np.repeat(np.arange(24), rng.integers(1, 4, 24))
    name = np.concatenate([np.arange(n) for n in np.bincount(patients)]).astype(str)
    table = pd.DataFrame(
        {
            "patient_id": patients,
            "lesion_id": name,
            "group": np.array(list("abc"))[patients % 3],
            "value": rng.normal(size=24)[patients] + rng.normal(size=patients.size),
            "diameter_mm": rng.permutation(patients.size) + 5.0,
            "flags": np.where(np.arange(patients.size) % 7 == 0, "few-voxels", ""),
        }
    )
    parts = [
        table.assign(reader=reader, value=table["value"] + 0.1 * rng.normal(size=len(table)))
        for reader in "AB"[:n_readers]
    ]
    return table, pd.concat(parts)


def test_each_sensitivity_analysis_is_the_primary_test_on_its_lesions():
    table, by_reader = lesions(2)
    frame = sensitivity_analyses(
        table,
        order="abc",
        by_reader=by_reader,
        others={"another slope": table.assign(value=-table["value"])},
    )
    assert tuple(frame.columns) == SENSITIVITY_COLUMNS
    largest = table.loc[table.groupby("patient_id")["diameter_mm"].idxmax()]
    expected = {
        "all lesions": table,
        "without flagged lesions": table[table["flags"] == ""],
        "largest lesion of each patient": largest,
        "reader A alone": by_reader[by_reader["reader"] == "A"],
        "reader B alone": by_reader[by_reader["reader"] == "B"],
        "another slope": table.assign(value=-table["value"]),
    }
    assert frame["analysis"].drop_duplicates().tolist() == list(expected)
    for name, rows in expected.items():
        tests = group_tests(rows["value"], rows["group"], rows["patient_id"], order="abc")
        mine = frame[frame["analysis"] == name].set_index("test")
        assert mine.loc["mixed-overall", "p"] == tests.omnibus.set_index("test").loc["mixed", "p"]
        pairs = tests.pairwise[tests.pairwise["test"] == "mixed"]
        assert mine.loc["mixed", "p_holm"].tolist() == pairs["p_holm"].tolist()
        assert (mine["n_left_out"] == max(len(table) - len(rows), 0)).all()
    with pytest.raises(InputError, match="lack value"):
        sensitivity_analyses(table.drop(columns="value"), order="abc")
