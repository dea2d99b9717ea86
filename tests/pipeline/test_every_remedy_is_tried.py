"""Each remedy that the sources around masks and regions can print stands in a line that a test follows."""

import re

import pytest

from gsigpu import errors
from tests import test_plug_ins as of_plug_ins
from tests.cli.test_several_studies import OF_SEVERAL
from tests.pipeline.cohort_run import test_setting_remedies as of_cohort
from tests.pipeline.measure import test_automatic_regions as of_automatic
from tests.pipeline.measure import test_carried_masks as of_carried
from tests.pipeline.measure import test_measure_phases as of_phases
from tests.pipeline.measure import test_named_regions as of_named
from tests.pipeline.measure import test_remedies as of_masks
from tests.pipeline.measure import test_setting_remedies as of_settings
from tests.pipeline.measure.printed_lines import PRINTED
from tests.pipeline.measure.test_masks_in_memory import TURNED
from tests.support.remedies import PACKAGE, errors_without_remedy, printed_remedies

SOURCES = [
    *sorted((PACKAGE / "masks").glob("*.py")),
    *sorted((PACKAGE / "automatic_masks").glob("*.py")),
    *sorted((PACKAGE / "regions").glob("*.py")),
    *sorted((PACKAGE / "registration").glob("*.py")),
    # But for a GPU without room, which tests/pipeline/measure/test_backend.py has.
    *(path for path in sorted((PACKAGE / "pipeline/measure").glob("*.py")) if path.name != "processor.py"),
    *sorted((PACKAGE / "pipeline/review").glob("*.py")),
    *(PACKAGE / "pipeline/cohort_run" / f"{name}.py" for name in ("checks", "doubled_lesions", "inclusion_rules", "mask_grids")),
    *(PACKAGE / "cli" / f"{name}.py" for name in ("measure_command", "measure_options", "mask_options", "review_command", "cohort_run")),
]  # fmt: skip
# Texts that name an option and are no remedies: why a mask lies where it lies, and what was not written.
NOTES = (
    "no presentation state with --dicom",
    "lies where its file says",
    "lies where its",
    "lies on the series voxel by voxel",
)
# The same in the tables of a cohort, where the words of `measure` are turned into columns of the manifest:
# tests/pipeline/cohort_run/test_mask_remedies.py follows these.
IN_COHORT = (
    "write `lesion: [2]` in the file of the manifest's column roles",
    "use --phase AP, or accept the shift between breaths with --any-mask-phase",
)
# tests/pipeline/measure/test_dicom_results.py asks for an energy that is there.
OF_REFERENCES = "SEG, SR and presentation state refer to the series at 60 keV: the stack has none at 70 keV; their energy is chosen with --ct-value"
# tests/test_vmi_volumes.py writes the table without it.
OF_VOLUMES = "--dicom needs the study's DICOM files, and the images were read from vmi_40.nii.gz; leave --dicom out"
LINES = [
    OF_REFERENCES,
    OF_SEVERAL,
    TURNED,
    OF_VOLUMES,
    *PRINTED.values(),
    *(problem.line for problem in of_settings.PROBLEMS.values()),
    *(line for _, line, _ in of_settings.OF_PYTHON.values()),
    *(problem.line for problem in of_cohort.PROBLEMS.values()),
    of_cohort.OF_PYTHON,
    *IN_COHORT,
    *of_automatic.LINES,
    *of_carried.LINES,
    *of_phases.LINES,
    *of_named.LINES,
    *of_plug_ins.LINES.values(),
]
REMEDIES = {
    place: pattern
    for place, pattern in printed_remedies(SOURCES).items()
    if not any(pattern.startswith(re.escape(note)) for note in NOTES)
}


def test_the_search_sees_them():
    assert len(REMEDIES) > 80
    assert set(PRINTED) == set(of_masks.SCENARIOS)


def test_every_remedy_is_in_a_line_that_a_test_follows():
    untried = {
        place: pattern
        for place, pattern in REMEDIES.items()
        if not any(re.search(pattern, line) for line in LINES)
    }
    assert untried == {}


def test_every_error_has_a_remedy():
    assert errors_without_remedy(SOURCES) == []


SOURCE = '''
def check(rule, has_liver):
    """A docstring that names --no-option."""
    way = "use --a" if rule else "use --b"
    if has_liver:
        raise SettingsError(f"rule {rule} is none", remedy=way)
    warn(f"no liver: give --liver-mask for {rule}")
    raise MaskError("is none")
'''


def test_a_new_error_is_seen(tmp_path, monkeypatch):
    """Each form of a remedy, a warning that names an option, and an error that names no way out."""
    monkeypatch.setattr("tests.support.remedies.PACKAGE", tmp_path)
    path = tmp_path / "new.py"
    path.write_text(SOURCE)
    patterns = printed_remedies([path]).values()
    for line in ("rule 7 is none; use --a", "rule 7 is none; use --b", "no liver: give --liver-mask for 7"):  # fmt: skip
        assert sum(bool(re.search(pattern, line)) for pattern in patterns) == 1
    assert len(patterns) == 3
    assert errors_without_remedy([path]) == ["new.py: MaskError('is none')"]


@pytest.mark.parametrize("name", ["MaskError", "SettingsError"])
def test_the_errors_that_are_looked_for_exist(name):
    assert issubclass(getattr(errors, name), errors.GsigpuError)
