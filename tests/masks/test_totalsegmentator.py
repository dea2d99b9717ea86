"""What gsigpu knows of TotalSegmentator, against the program's own parser and classes (golden/make_totalsegmentator.py)."""

import argparse
import json

import pytest

from gsigpu.automatic_masks.totalsegmentator import TASKS
from gsigpu.masks.roles import Role, known_role
from tests.support import totalsegmentator_stand_in as stand_in
from tests.support.places import ROOT

PROGRAM = json.loads((ROOT / "tests" / "golden" / "totalsegmentator.json").read_text("utf-8"))
# Tasks that draw what lies beside the liver, so that their files may lie beside a mask of lesions.
OF_THE_TRUNK = (
    "total", "total_v3", "total_mr", "body", "tissue_types", "tissue_4_types", "heartchambers_highres", "lung_vessels",
    "pleural_pericard_effusion", "liver_vessels", "liver_segments", "liver_lesions", "kidney_cysts", "lung_nodules",
    "trunk_cavities", "abdominal_muscles", "renal_arteries", "vertebrae_body",
)  # fmt: skip


def as_the_program_parses():
    """A parser with the options of the program: their names, how many values each takes, and which."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    for option in PROGRAM["options"]:
        if option["values"] == "none":
            parser.add_argument(*option["names"], action="store_true")
        else:
            n_values = None if option["values"] == "one" else option["values"]
            parser.add_argument(*option["names"], nargs=n_values, choices=option["choices"])
    return parser


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_program_takes_what_it_is_called_with(task):
    known = PROGRAM["tasks"][task.name]
    names = [name for name, _ in task.classes]
    assert set(names) <= set(known["classes"])
    assert not known["licence"]
    taken = as_the_program_parses().parse_args(["-i", "ct.nii", "-o", "out", *task.arguments])
    assert (taken.i, taken.o) == ("ct.nii", "out")
    assert taken.task == task.name
    assert taken.roi_subset == (names if task.is_subset else None)
    # The program raises for a subset of any other task than these.
    assert not task.is_subset or task.name in ("total", "total_mr")
    for name, role in task.classes:
        assert known_role(name) == role


def test_the_stand_in_has_no_option_class_or_task_that_the_program_has_not():
    options = {name: option for option in PROGRAM["options"] for name in option["names"]}
    parser, _ = stand_in.parsed([])
    for action in parser._actions:
        for name in action.option_strings:
            values = "none" if action.nargs == 0 else (action.nargs or "one")
            assert values == options[name]["values"], name
            assert set(action.option_strings) <= set(options[name]["names"])
    for task, classes in stand_in.CLASSES.items():
        assert set(classes) <= set(PROGRAM["tasks"][task]["classes"])
    assert stand_in.CLASSES["liver_lesions"] == PROGRAM["tasks"]["liver_lesions"]["classes"]
    assert PROGRAM["version"] == "2.18.0"


@pytest.mark.parametrize("task", OF_THE_TRUNK)
def test_every_structure_beside_the_liver_is_known_and_none_is_a_lesion(task):
    roles = {name: known_role(name) for name in PROGRAM["tasks"][task]["classes"]}
    assert [name for name, role in roles.items() if role is None] == []
    lesions = {name for name, role in roles.items() if role == Role.LESION}
    assert lesions <= {"liver_lesions", "liver_tumor"}
