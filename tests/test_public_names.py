"""Whatever a user may have to name can be named as gsigpu.NAME."""

import ast
import inspect
from pathlib import Path

import gsigpu
from gsigpu import errors
from tests.support.places import ROOT

# Of settings that a user does not make: what a run keeps, and how the command line speaks.
_INTERNAL = {"PlanSettings"}


def test_every_error_can_be_caught_by_name():
    classes = {
        name for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, (Exception, Warning)) and kind.__module__ == errors.__name__
    }  # fmt: skip
    assert classes <= set(gsigpu.__all__)


def test_every_class_of_settings_can_be_made_by_name():
    named = set()
    for path in (ROOT / "gsigpu").rglob("*.py"):
        if path.relative_to(ROOT / "gsigpu").parts[0] == "cli":
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith(
                ("Settings", "Options", "Rules")
            ):
                named.add(node.name)
    assert len(named) > 8
    assert {name for name in named if not name.startswith("_")} - _INTERNAL <= set(gsigpu.__all__)


def test_all_names_are_there_once_and_resolve():
    assert len(set(gsigpu.__all__)) == len(gsigpu.__all__)
    for name in gsigpu.__all__:
        assert getattr(gsigpu, name) is not None
    assert dir(gsigpu) == gsigpu.__all__


def test_files_of_masks_may_be_strings():
    files = gsigpu.MaskFiles("lesions.nii.gz", liver="liver.nii.gz")
    assert files.lesions == (Path("lesions.nii.gz"),)
    assert files.liver == Path("liver.nii.gz")
    several = gsigpu.MaskFiles(["a.nii", Path("b.nii")])
    assert several.lesions == (Path("a.nii"), Path("b.nii"))
