"""DICOM SEG of every type, and whose segmentations are accepted."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest

from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import DamagedMask, EmptyMask, MaskError, WrongPatient, WrongPhase
from gsigpu.masks import read_masks
from gsigpu.masks.layers import Owner
from gsigpu.volume import VolumeGeometry
from tests.masks.test_read_masks import REAL, chiral, on_grid
from tests.support.segmentations import segmentation

KINDS = ["BINARY", "FRACTIONAL", "LABELMAP"]


def pixels_of(labels, kind, numbers):
    """Labels as highdicom wants them for a type of SEG."""
    if kind == "FRACTIONAL":
        return np.stack([labels == number for number in numbers], axis=-1).astype(np.float32)
    return labels


def written(ct, path, labels, kind, names, **header):
    _, datasets = ct
    seg = segmentation(datasets, pixels_of(labels, kind, names), kind, names)
    for keyword, value in header.items():
        setattr(seg, keyword, value)
    seg.save_as(path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_oblique_chiral_mask_in_every_type(ct, tmp_path, kind):
    geometry, _ = ct
    path = written(ct, tmp_path / "seg.dcm", chiral(), kind, {1: "HCC", 2: "satellite"})
    mask_set = read_masks(path, geometry)
    np.testing.assert_array_equal(on_grid(mask_set, geometry), chiral())
    assert [mask.name for mask in mask_set.masks] == ["HCC", "satellite"]
    assert mask_set.warnings == mask_set.problems == ()


def test_segment_numbers_of_a_label_map_may_have_gaps(ct, tmp_path):
    geometry, _ = ct
    labels = np.array([0, 3, 7], np.uint8)[chiral()]
    path = written(ct, tmp_path / "seg.dcm", labels, "LABELMAP", {3: "HCC", 7: "satellite"})
    mask_set = read_masks(path, geometry)
    np.testing.assert_array_equal(on_grid(mask_set, geometry), labels)
    assert [(mask.name, mask.label) for mask in mask_set.masks] == [("HCC", 3), ("satellite", 7)]


def test_the_background_of_a_label_map_is_no_region(ct, tmp_path):
    """Not every program says by a pixel padding value that its segment 0 is the background."""
    geometry, datasets = ct
    seg = segmentation(datasets, chiral(), "LABELMAP", {1: "HCC", 2: "satellite"})
    background = next((item for item in seg.SegmentSequence if item.SegmentNumber == 0), None)
    assert background is not None
    assert seg.PixelPaddingValue == 0
    del seg.PixelPaddingValue
    seg.save_as(tmp_path / "seg.dcm")
    mask_set = read_masks(tmp_path / "seg.dcm", geometry)
    np.testing.assert_array_equal(on_grid(mask_set, geometry), chiral())
    assert mask_set.problems == ()


@pytest.mark.parametrize("kind", KINDS)
def test_slices_without_a_frame_are_empty(ct, tmp_path, kind):
    geometry, _ = ct
    labels = chiral()
    labels[2] = 0
    path = written(ct, tmp_path / "seg.dcm", labels, kind, {1: "HCC", 2: "satellite"})
    assert pydicom.dcmread(path).NumberOfFrames == 3
    np.testing.assert_array_equal(on_grid(read_masks(path, geometry), geometry), labels)


@pytest.mark.parametrize("kind", KINDS)
def test_a_segment_on_one_slice_lies_on_that_slice(ct, tmp_path, kind):
    geometry, _ = ct
    labels = chiral()
    labels[[0, 1, 2, 4]] = 0
    path = written(ct, tmp_path / "seg.dcm", labels, kind, {1: "HCC"})
    mask_set = read_masks(path, geometry)
    np.testing.assert_array_equal(on_grid(mask_set, geometry), labels)
    assert mask_set.warnings == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_segment_without_frames_is_told_and_the_other_kept(ct, tmp_path, kind):
    geometry, _ = ct
    labels = (chiral() == 1).astype(np.uint8)
    path = written(ct, tmp_path / "seg.dcm", labels, kind, {1: "HCC", 2: "forgotten"})
    mask_set = read_masks(path, geometry)
    assert [mask.name for mask in mask_set.masks] == ["HCC"]
    (problem,) = mask_set.problems
    assert (problem.name, problem.label, type(problem.error)) == ("forgotten", 2, EmptyMask)


def test_another_patient_is_refused_without_naming_either(ct, tmp_path):
    path = written(
        ct, tmp_path / "seg.dcm", chiral(), "BINARY", {1: "a", 2: "b"}, PatientID="SECRET-7"
    )
    with pytest.raises(WrongPatient, match=r"seg\.dcm: belongs to another patient") as told:
        read_masks(path, ct[0], owner=Owner(patient_id="SECRET-8"))
    assert "SECRET" not in str(told.value)
    assert read_masks(path, ct[0], owner=Owner(patient_id="SECRET-7")).masks


def test_a_segmentation_of_another_phase_is_refused_unless_any_is_accepted(ct, tmp_path):
    geometry, datasets = ct
    path = written(ct, tmp_path / "seg.dcm", chiral(), "BINARY", {1: "a", 2: "b"})
    owner = Owner(phase="PVP", phase_of_series={datasets[0].SeriesInstanceUID: "AP"})
    with pytest.raises(
        WrongPhase, match=r"seg\.dcm: was drawn on phase AP, and phase PVP is measured"
    ):
        read_masks(path, geometry, owner=owner)
    assert read_masks(path, geometry, owner=replace(owner, any_phase=True)).masks
    assert read_masks(path, geometry, owner=replace(owner, phase="AP")).masks


def test_real_overlapping_segments_have_the_voxels_of_their_frames():
    seg = pydicom.dcmread(REAL / "partial_overlaps.dcm")
    shared = seg.SharedFunctionalGroupsSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    orientation = [*map(float, shared.PlaneOrientationSequence[0].ImageOrientationPatient)]
    frames = seg.PerFrameFunctionalGroupsSequence
    origins = {
        tuple(map(float, frame.PlanePositionSequence[0].ImagePositionPatient)) for frame in frames
    }
    geometry = VolumeGeometry(
        (len(origins), seg.Rows, seg.Columns),
        (float(measures.SpacingBetweenSlices), *map(float, measures.PixelSpacing)),
        min(origins, key=lambda origin: origin[2]),
        tuple(orientation[:3]),
        tuple(orientation[3:]),
        frame_of_reference_uid=seg.FrameOfReferenceUID,
    )
    assert geometry.same_grid(read_study(REAL).series[0].geometry)
    names = {item.SegmentNumber: item.SegmentLabel for item in seg.SegmentSequence}
    expected = dict.fromkeys(names.values(), 0)
    for groups, frame in zip(frames, seg.pixel_array, strict=True):
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        expected[names[number]] += int(frame.sum())
    mask_set = read_masks(REAL / "partial_overlaps.dcm", geometry)
    assert {mask.name: mask.n_voxels for mask in mask_set.masks} == expected
    assert mask_set.warnings == mask_set.problems == ()
    times = np.zeros(geometry.shape, int)
    for mask in mask_set.masks:
        times[mask.box] += mask.voxels
    assert times.max() > 1  # they do overlap


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slices", [(1, 3), (0, 2, 4), (0, 4)])
@pytest.mark.parametrize("has_spacing", [True, False])
def test_a_frame_fills_its_own_slice_and_no_other(ct, tmp_path, kind, slices, has_spacing):
    geometry, datasets = ct
    labels = np.zeros(geometry.shape, np.uint8)
    labels[list(slices), 3:8, 4:9] = 1
    seg = segmentation(datasets, pixels_of(labels, kind, {1: "a"}), kind, {1: "a"})
    if not has_spacing:
        del seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    seg.save_as(tmp_path / "seg.dcm")
    mask_set = read_masks(tmp_path / "seg.dcm", geometry)
    np.testing.assert_array_equal(on_grid(mask_set, geometry), labels)
    (warning,) = mask_set.warnings
    assert "no neighbours" in warning
    whole = read_masks(tmp_path / "seg.dcm", geometry, fill_between=True)
    assert on_grid(whole, geometry).sum() == 25 * (slices[-1] - slices[0] + 1)


def test_a_frame_on_a_series_of_the_study_is_as_thick_as_its_slices(ct, tmp_path):
    """Drawn on a series twice as thick as the one that is measured: by the images that the frames name."""
    geometry, datasets = ct
    labels = np.zeros((3, *geometry.shape[1:]), np.uint8)
    labels[:, 3:8, 4:9] = 1
    seg = segmentation(datasets[::2], labels, "BINARY", {1: "a"})
    del seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    seg.save_as(tmp_path / "seg.dcm")
    images = [dataset.SOPInstanceUID for dataset in datasets[::2]]
    thick = replace(geometry, shape=(3, *geometry.shape[1:]), spacing_mm=(8.0, 0.9, 1.3))
    owner = Owner(grid_of_series={"thick": thick}, series_of_image=dict.fromkeys(images, "thick"))
    mask_set = read_masks(tmp_path / "seg.dcm", geometry, owner=owner)
    assert np.flatnonzero(on_grid(mask_set, geometry).any(axis=(1, 2))).tolist() == [0, 1, 2, 3, 4]
    alone = read_masks(tmp_path / "seg.dcm", geometry)
    assert np.flatnonzero(on_grid(alone, geometry).any(axis=(1, 2))).tolist() == [0, 2, 4]


@pytest.mark.parametrize("change", ["frames", "pixels", "segment", "place"])
def test_a_seg_that_does_not_hold_what_it_says_is_damaged(ct, tmp_path, change):
    geometry, datasets = ct
    seg = segmentation(datasets, chiral(), "BINARY", {1: "a", 2: "b"})
    if change == "frames":
        seg.PerFrameFunctionalGroupsSequence = seg.PerFrameFunctionalGroupsSequence[:-1]
    elif change == "pixels":
        seg.PixelData = seg.PixelData[:-2]
    elif change == "segment":
        seg.SegmentSequence = seg.SegmentSequence[:1]
    else:
        del seg.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
    pydicom.dcmwrite(tmp_path / "seg.dcm", seg)
    with pytest.raises(DamagedMask, match=r"seg\.dcm: is damaged"):
        read_masks(tmp_path / "seg.dcm", geometry)


def test_a_frame_without_a_place_is_damage(ct, tmp_path):
    geometry, _ = ct
    path = written(ct, tmp_path / "seg.dcm", chiral(), "BINARY", {1: "HCC", 2: "satellite"})
    seg = pydicom.dcmread(path)
    seg.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0].ImagePositionPatient = [
        0.0,
        0.0,
    ]
    pydicom.dcmwrite(path, seg)
    with pytest.raises(DamagedMask, match="a frame has no place"):
        read_masks(path, geometry)


@pytest.mark.parametrize("of_first", [True, False])
def test_a_frame_that_alone_says_its_rows_is_compared(ct, tmp_path, of_first):
    """Frames that share their rows are not compared one by one; those beside them are."""
    geometry, _ = ct
    path = written(ct, tmp_path / "seg.dcm", chiral(), "BINARY", {1: "HCC", 2: "satellite"})
    seg = pydicom.dcmread(path)
    turned = pydicom.Dataset()
    turned.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
    seg.PerFrameFunctionalGroupsSequence[0 if of_first else 2].PlaneOrientationSequence = [turned]
    pydicom.dcmwrite(path, seg)
    with pytest.raises(MaskError, match="not parallel"):
        read_masks(path, geometry)
