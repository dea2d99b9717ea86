"""Warnings carry their kind from where they are raised."""

import ast
import json
import pickle

from gsigpu.caution import KINDS, Caution
from gsigpu.pipeline.cohort_run.failure_kinds import PASSING
from gsigpu.pipeline.cohort_run.row_warnings import AS_NUMBER
from tests.support.places import ROOT


def kinds_raised():
    """Kind -> files of the package that raise it, as constants; one that is no constant is that of another warning."""
    raised = {}
    for path in sorted((ROOT / "gsigpu").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_call = isinstance(node, ast.Call) and _name(node.func) in ("Caution", "_warn")
            if is_call and isinstance(node.args[0], ast.Constant):
                raised.setdefault(node.args[0].value, set()).add(path.name)
    return raised


def _name(function):
    return getattr(function, "id", getattr(function, "attr", ""))


def test_every_kind_has_a_source_and_no_source_another_kind():
    assert set(kinds_raised()) == set(KINDS)


def test_every_kind_is_on_the_page_of_the_tables():
    page = (ROOT / "docs/reference/cohort-files.md").read_text("utf-8")
    assert [kind for kind in (*KINDS, PASSING, AS_NUMBER) if f"`{kind}`" not in page] == []


def test_kind_and_lesion_go_with_the_text_to_other_processes():
    told = Caution("gaps", "m.nii: three slices stay empty").of_lesion("2")
    again = pickle.loads(pickle.dumps(told))
    assert (again, again.kind, again.lesion_id) == (told, "gaps", "2")
    assert json.loads(json.dumps([told])) == ["m.nii: three slices stay empty"]
    assert next(iter(dict.fromkeys([told]))).kind == "gaps"
