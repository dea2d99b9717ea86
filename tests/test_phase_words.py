"""A phase that nothing names is said to have no name, wherever one is printed."""

import ast
from dataclasses import replace

import pytest

import gsigpu
from gsigpu.dicom.study.stack import select_stack
from gsigpu.masks.layers import Owner
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.choose_stack import phases_of
from tests.support.places import ROOT

PACKAGE = ROOT / "gsigpu"
# Where a phase is printed by itself, and always has a name: one that the user wrote, or that chose the row.
ALWAYS_NAMED = {
    "dicom/study/overrides.py": "phase {self.phase} given by --phase-of",
    "masks/layers.py": "use --phase {phase}, or accept the shift between breaths with --any-mask-phase",
    "phantom/slices.py": "{phase}/lesions",
    "phantom/truth.py": "masks/{phase}/lesions.nii.gz",
    "phantom/write_phantom.py": "{phase}/lesions",
    # text of a header, which has no blank at its end
    "dicom/writing/derived.py": "{self.definition.title} {self.stack.phase}",
    "pipeline/demo/demo_study.py": "{n} {kind} {phase}",
    # what Python prints of a value
    "pipeline/measure/measurement_rows.py": "CaseLabels(group={self.group!r}, phase={self.phase!r}, ",
}  # fmt: skip


def bare_phases(tree):
    """f-strings that hold a phase as it is, where no condition looks whether it has a name."""
    questioned = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.IfExp | ast.If) and "phase" in ast.unparse(node.test):
            questioned.update(map(id, ast.walk(node)))
    # `phase = f", phase {stack.phase}" if stack.phase else ""` is a part of a sentence, not a phase.
    parts = {
        node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp) and isinstance(node.targets[0], ast.Name)
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and id(node) not in questioned:
            for part in node.values:
                value = getattr(part, "value", None)
                name = getattr(value, "attr", getattr(value, "id", ""))
                if (
                    isinstance(part, ast.FormattedValue)
                    and name == "phase"
                    and getattr(value, "id", "") not in parts
                ):
                    yield ast.unparse(node)[2:-1]


def test_no_source_prints_a_phase_that_may_have_no_name_as_nothing():
    bare = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        for text in bare_phases(ast.parse(path.read_text("utf-8"))):
            if not text.startswith(ALWAYS_NAMED.get(place, "\0")):
                bare[place] = text
    assert not bare


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    settings = PhantomSettings(shape=(3, 48, 64), spacing_mm=(40.0, 5.5, 5.5), n_lesions=1, diameter_mm=(29.0, 30.0),
                               energies_kev=(60.0, 100.0), extras=())  # fmt: skip
    truth = write_phantom(tmp_path_factory.mktemp("phases") / "phantom", settings)
    whole = gsigpu.scan(truth.dicom_folder)
    unnamed = [
        replace(series, phase="") if series.phase == "AP" else series for series in whole.series
    ]
    return replace(whole, series=tuple(unnamed)), truth


def test_all_phases_cannot_be_told_apart_where_one_has_no_name(study, tmp_path):
    study, truth = study
    with pytest.raises(
        gsigpu.AmbiguousStack, match="2 series are of the phase without a name, beside PVP"
    ) as told:
        phases_of(study)
    for call in (
        lambda: gsigpu.map_phases(study, tmp_path / "maps"),
        lambda: gsigpu.measure_phases(study, truth.lesion_mask),
        lambda: gsigpu.review(study, tmp_path / "page"),
    ):
        with pytest.raises(gsigpu.AmbiguousStack) as raised:
            call()
        assert str(raised.value) == str(told.value)
    assert not list(tmp_path.iterdir())
    option = told.value.remedy.split()[4].rstrip(",")
    given = dict(pair.split("=") for pair in option.split(","))
    named = gsigpu.scan(truth.dicom_folder, phase_overrides=given)
    assert phases_of(named) == ["AP", "PVP"]  # the remedy, taken


def test_sentences_say_that_it_has_no_name(study):
    study, _ = study
    with pytest.raises(gsigpu.NoSpectralStack, match="there are PVP, phase without a name"):
        select_stack(study, phase="delayed")
    with pytest.raises(
        gsigpu.AmbiguousStack, match=r"2 spectral stacks fit: .*the phase without a"
    ):
        select_stack(study)
    unnamed = replace(study, series=tuple(series for series in study.series if not series.phase))
    stack = select_stack(unnamed)
    assert repr(stack).startswith("<SpectralStack: phase without a name; 60, 100 keV")
    assert Owner(phase="").accepts(frozenset({"AP"}))  # so a refusal always has two names
