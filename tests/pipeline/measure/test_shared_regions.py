"""Phases of one grid share masks and regions, and get what each would have got alone."""

import numpy as np
import pytest

from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import select_stack
from gsigpu.errors import GsigpuError, WrongPhase
from gsigpu.pipeline.measure import carried_masks
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.shared_regions import SharedRegions
from gsigpu.pipeline.measure.study_masks import collect_masks
from gsigpu.regions.region_layout import RegionSettings
from tests.support.mask_places import FIRST, SECOND, WIDE, Place, written_study

SETTINGS = RegionSettings()


def place_of(folder, arterial_shift_mm):
    study, geometry, datasets = written_study(folder / "dicom", arterial_shift_mm=arterial_shift_mm)
    return Place(folder, study, geometry, datasets)


@pytest.fixture(scope="module")
def one_grid(tmp_path_factory):
    return place_of(tmp_path_factory.mktemp("one-grid"), 0.0)


@pytest.fixture(scope="module")
def two_grids(tmp_path_factory):
    return place_of(tmp_path_factory.mktemp("two-grids"), 1.7)


@pytest.fixture
def readings(monkeypatch):
    """The phases for which masks were read."""
    phases = []

    def counted(files, study, stack, **how):
        phases.append(stack.phase)
        return collect_masks(files, study, stack, **how)

    monkeypatch.setattr(carried_masks, "collect_masks", counted)
    return phases


def volumes(place):
    """NIfTI masks on the grid of the portal venous phase."""
    place.nifti("lesions.nii.gz", {1: FIRST, 2: SECOND})
    place.nifti("liver.nii.gz", {1: WIDE})
    return MaskFiles((place.file("lesions.nii.gz"),), liver=place.file("liver.nii.gz"))


def regions(layout):
    return [
        (region.lesion_id, region.region, region.mask.origin, np.asarray(region.mask.voxels))
        for region in layout.regions
    ]


def of_phase(place, shared, phase):
    study = read_study(place.study)
    return shared.of(study, select_stack(study, phase=phase))


def assert_as_alone(place, files, shared, phase):
    _, layout = of_phase(place, shared, phase)
    _, alone = of_phase(place, SharedRegions(files, SETTINGS), phase)
    for made, expected in zip(regions(layout), regions(alone), strict=True):
        assert made[:3] == expected[:3]
        np.testing.assert_array_equal(made[3], expected[3])


def test_one_grid_is_one_reading(one_grid, readings):
    files = volumes(one_grid)
    shared = SharedRegions(files, SETTINGS)
    first, second = (of_phase(one_grid, shared, phase) for phase in ("AP", "PVP"))
    assert readings == ["AP"]
    assert first[1] is second[1]
    assert_as_alone(one_grid, files, shared, "PVP")


def test_another_grid_has_regions_of_its_own(two_grids, readings):
    two_grids.nifti("m.nii.gz", {1: FIRST})
    files = MaskFiles((two_grids.file("m.nii.gz"),), any_phase=True)
    shared = SharedRegions(files, SETTINGS)
    for phase in ("AP", "PVP", "AP"):
        of_phase(two_grids, shared, phase)
    assert readings == ["AP", "PVP"]
    assert_as_alone(two_grids, files, shared, "AP")


@pytest.mark.parametrize("drawn_on", ["AP", "PVP"])
def test_a_mask_of_one_phase_is_refused_on_the_other_in_either_order(one_grid, drawn_on):
    one_grid.seg("one.dcm", phase=drawn_on)
    files = MaskFiles((one_grid.file("one.dcm"),))
    other = {"AP": "PVP", "PVP": "AP"}[drawn_on]
    for phases in ((drawn_on, other), (other, drawn_on)):
        shared = SharedRegions(files, SETTINGS)
        for phase in phases:
            if phase == other:
                with pytest.raises(WrongPhase):
                    of_phase(one_grid, shared, phase)
            else:
                assert_as_alone(one_grid, files, shared, phase)


def test_what_one_phase_refuses_beside_others_the_next_gets(one_grid):
    """The file is a failure of one phase, which goes on with the other file, and a lesion of the other phase."""
    one_grid.seg("two.dcm", phase="PVP", box=SECOND)
    one_grid.nifti("first.nii.gz", {1: FIRST})
    files = MaskFiles((one_grid.file("first.nii.gz"), one_grid.file("two.dcm")))
    shared = SharedRegions(files, SETTINGS)
    refused, _ = of_phase(one_grid, shared, "AP")
    taken, _ = of_phase(one_grid, shared, "PVP")
    assert [len(collected.masks.lesions) for collected in (refused, taken)] == [1, 2]
    assert isinstance(refused.failures[0].error, WrongPhase)
    again, _ = of_phase(one_grid, shared, "AP")
    assert len(again.masks.lesions) == 1


def test_masks_read_at_once_are_those_read_in_turn(one_grid):
    """In the same order, with the same failures; the first that must be raised is raised."""
    one_grid.seg("other.dcm", phase="AP", box=SECOND)
    volumes(one_grid)
    names = ("lesions.nii.gz", "other.dcm")
    files = MaskFiles(tuple(map(one_grid.file, names)), liver=one_grid.file("liver.nii.gz"))
    study = read_study(one_grid.study)
    stack = select_stack(study, phase="PVP")
    in_turn, at_once = (collect_masks(files, study, stack, n_workers=n) for n in (1, 3))
    for collected in (in_turn, at_once):
        assert [lesion.lesion_id for lesion in collected.masks.lesions] == ["1", "2"]
    assert [str(failure.error) for failure in at_once.failures] == [
        str(failure.error) for failure in in_turn.failures
    ]
    assert (at_once.files, at_once.parts, at_once.digests, at_once.warnings) == (
        in_turn.files, in_turn.parts, in_turn.digests, in_turn.warnings,
    )  # fmt: skip
    one_grid.file("cut.nii.gz").write_bytes(one_grid.file("liver.nii.gz").read_bytes()[:-20])
    errors = []
    for n_workers in (1, 3):
        cut = MaskFiles((one_grid.file("other.dcm"),), liver=one_grid.file("cut.nii.gz"))
        with pytest.raises(GsigpuError) as raised:
            collect_masks(cut, study, stack, n_workers=n_workers)
        errors.append(str(raised.value))
    assert errors[0] == errors[1]
