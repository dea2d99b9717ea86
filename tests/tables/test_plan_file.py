"""A plan is read as it stands, and what is wrong with it is said."""

import hashlib

import pandas as pd
import pytest

from gsigpu.errors import InputError
from gsigpu.tables.plan_file import read_plan
from gsigpu.tables.planned_exclusions import without_planned
from gsigpu.tables.raw_table import RawTable

PLAN = """
date = 2026-03-01
groups = ["a", "b"]
[directions]
iodine = "a>b"
[exclusions]
flags = ["few-voxels"]
max_diameter_mm = 30
[[family]]
name = "primary"
files = ["pairwise"]
pairs = [["b", "a"]]
parameters = ["iodine"]
"""


def written(folder, text):
    path = folder / "plan.toml"
    path.write_text(text)
    return path


def test_a_plan(tmp_path):
    path = written(tmp_path, PLAN)
    plan = read_plan(path)
    assert plan.date == "2026-03-01"
    assert plan.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert plan.directions == ("iodine=a>b",)
    assert plan.families[0].pairs == (frozenset("ab"),)
    assert plan.all_of("parameters") == ("iodine",)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("date = 2026-03-01", "", "states no date"),
        ("date = 2026-03-01", 'date = "March"', "states no date"),
        ("[[family]]", "[family]", "no \\[\\[family\\]\\]"),
        ('"pairwise"', '"pairs"', "files pairs are none of"),
        ("parameters =", "parameter =", "unknown parameter"),
        ('["b", "a"]', '["b"]', "two groups each"),
        ("max_diameter_mm = 30", 'max_diameter_mm = "30"', "no number"),
        ("groups =", "groups", "cannot be read as a plan in TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, old, new, words):
    path = written(tmp_path, PLAN.replace(old, new))
    with pytest.raises(InputError, match=words):
        read_plan(path)


def test_lesions_that_the_plan_leaves_out(tmp_path):
    plan = read_plan(written(tmp_path, PLAN))
    cells = pd.DataFrame(
        [
            ("p", "1", "core", "iodine", "1.0", ""),
            ("p", "1", "lesion", "longest_axial_diameter", "31", ""),
            ("p", "2", "core", "iodine", "1.1", "few-voxels;noise"),
            ("p", "2", "rim", "iodine", "1.2", ""),
            ("q", "1", "core", "iodine", "1.3", "few-voxels-in-rim"),
            ("q", "", "parenchyma", "iodine", "0.5", ""),
        ],
        columns=["patient_id", "lesion_id", "region", "parameter", "value", "flags"],
    )
    raw = RawTable(cells, tuple(cells.columns), tmp_path, "")
    kept = without_planned(raw, plan)
    assert kept.table.cells.index.tolist() == [4, 5]
    assert {rule: (n.patients, n.lesions) for rule, n in kept.excluded.items()} == {
        "plan: few-voxels": (1, 1),
        "plan: above 30 mm": (1, 1),
    }
    assert kept.whole.lesions == 3
    assert kept.warnings == (
        f"{plan.name} leaves lesions out by diameter, which p 2, q 1 lack: they stay in the tests",
    )


@pytest.mark.parametrize("lacks", ["flags", "longest_axial_diameter"])
def test_a_rule_that_no_lesion_can_be_judged_by_is_refused(tmp_path, lacks):
    """It left nobody out, and said nothing."""
    cells = pd.DataFrame(
        [("p", "1", "core", "iodine", "1.0", ""), ("p", "1", "lesion", "longest_axial_diameter", "31", "")],
        columns=["patient_id", "lesion_id", "region", "parameter", "value", "flags"],
    )  # fmt: skip
    columns = [name for name in cells if name != lacks]
    raw = RawTable(cells[cells["parameter"] != lacks], tuple(columns), tmp_path / "t.csv", "")
    with pytest.raises(InputError, match=f"by {lacks}, which the table does not have"):
        without_planned(raw, read_plan(written(tmp_path, PLAN)))
