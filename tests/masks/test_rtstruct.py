"""Contours filled on the slices they were drawn on, and whose contours are accepted."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from pydicom.dataset import Dataset

from gsigpu.errors import (
    DamagedMask,
    EmptyMask,
    GridMismatch,
    InputError,
    OutsideStudy,
    WrongPatient,
    WrongPhase,
)
from gsigpu.masks import read_masks
from gsigpu.masks.layers import Owner
from gsigpu.volume import VolumeGeometry
from tests.masks.test_read_masks import GRID, chiral, on_grid
from tests.support.dicom_files import save
from tests.support.rtstruct import Drawn, contours_of, drawn_on_slice, structure_set

# Rectangles of (row, column) vertices between voxel centres of GRID.
OUTER = np.array([[0.5, 1.5], [0.5, 14.5], [10.5, 14.5], [10.5, 1.5]])
INNER = np.array([[3.5, 5.5], [3.5, 10.5], [7.5, 10.5], [7.5, 5.5]])


def read(tmp_path, rois, *, geometry=GRID, owner=None, **header):
    path = save(structure_set(rois, **header), tmp_path / "structures.dcm")
    return read_masks(path, geometry, owner=owner)


def lesion(z=2):
    return ("lesion", [drawn_on_slice(INNER, z, GRID)])


def ring():
    """OUTER less INNER on slice 2 of GRID."""
    mask = np.zeros(GRID.shape, bool)
    mask[2, 1:11, 2:15] = True
    mask[2, 4:8, 6:11] = False
    return mask


def test_oblique_chiral_contours_come_back_exactly(tmp_path):
    labels = chiral()
    rois = {n: (f"part {n}", contours_of(labels == n, GRID)) for n in (1, 2)}
    mask_set = read(tmp_path, rois)
    np.testing.assert_array_equal(on_grid(mask_set), labels)
    assert [(mask.name, mask.label) for mask in mask_set.masks] == [("part 1", 1), ("part 2", 2)]
    assert mask_set.warnings == mask_set.problems == ()


def test_structures_may_overlap(tmp_path):
    first = ("first", [drawn_on_slice(OUTER, 2, GRID)])
    mask_set = read(tmp_path, {1: first, 2: lesion()})
    assert [mask.n_voxels for mask in mask_set.masks] == [130, 20]


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_a_contour_within_another_is_a_hole(tmp_path, kind):
    contours = [replace(drawn_on_slice(outline, 2, GRID), kind=kind) for outline in (OUTER, INNER)]
    mask_set = read(tmp_path, {1: ("ring", contours)})
    np.testing.assert_array_equal(on_grid(mask_set) == 1, ring())


def test_contours_of_a_mask_with_a_hole_fill_it_again(tmp_path):
    mask_set = read(tmp_path, {1: ("ring", contours_of(ring(), GRID))})
    np.testing.assert_array_equal(on_grid(mask_set) == 1, ring())


@pytest.mark.parametrize("row", [5.3, 5.0], ids=["between-centres", "through-centres"])
def test_a_keyhole_leaves_its_hole(tmp_path, row):
    # Round the outside, over a bridge of no width to the hole, round it the other way, and back.
    bridge_outer, bridge_inner = [row, 1.5], [row, 5.5]
    outer = [bridge_outer, [0.5, 1.5], [0.5, 14.5], [10.5, 14.5], [10.5, 1.5], bridge_outer]
    inner = [bridge_inner, [7.5, 5.5], [7.5, 10.5], [3.5, 10.5], [3.5, 5.5], bridge_inner]
    keyhole = drawn_on_slice(np.array(outer + inner), 2, GRID)
    mask_set = read(tmp_path, {1: ("keyhole", [keyhole])})
    np.testing.assert_array_equal(on_grid(mask_set) == 1, ring())


def test_two_islands_on_a_slice(tmp_path):
    mask = np.zeros(GRID.shape, bool)
    mask[1:3, 2:5, 2:6] = True
    mask[1:3, 7:11, 9:15] = True
    mask[2, 2:5, 2:6] = False
    mask_set = read(tmp_path, {1: ("islands", contours_of(mask, GRID))})
    np.testing.assert_array_equal(on_grid(mask_set) == 1, mask)


def test_slices_without_a_contour_stay_empty(tmp_path):
    mask = np.zeros(GRID.shape, bool)
    mask[[0, 1, 4], 2:5, 2:6] = True
    mask_set = read(tmp_path, {1: ("gap", contours_of(mask, GRID))})
    np.testing.assert_array_equal(on_grid(mask_set) == 1, mask)
    assert mask_set.warnings == ()


def test_contours_at_half_the_slice_distance_are_resampled_and_told(tmp_path):
    """Slabs of half a slice: the study's slices whose centre lies in one."""
    heights = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    slab_ml = 20 * GRID.voxel_volume_ml * (heights[1] - heights[0])
    contours = [drawn_on_slice(INNER, z, GRID) for z in heights]
    mask_set = read(tmp_path, {1: ("lesion", contours)})
    (mask,) = mask_set.masks
    assert mask.n_voxels == 20 * 3
    after_ml = mask.n_voxels * GRID.voxel_volume_ml
    change = 100 * (after_ml / (len(heights) * slab_ml) - 1) + 0.0
    (warning,) = mask_set.warnings
    assert "lesion was resampled to the study's grid, nearest label" in warning
    assert f"its volume changed by {abs(change):+.1f} % to {after_ml:.2f} mL" in warning


@pytest.mark.parametrize("slices", [(1, 3), (0, 2, 4), (0, 4), (0, 2, 3)])
def test_a_contour_fills_its_own_slice_and_no_other(tmp_path, slices):
    """Whatever the distances are; drawn on no two neighbours, it is told, and filled where asked."""
    rois = {1: ("lesion", [drawn_on_slice(INNER, z, GRID) for z in slices])}
    mask_set = read(tmp_path, rois)
    labels = on_grid(mask_set)
    assert np.flatnonzero(labels.any(axis=(1, 2))).tolist() == list(slices)
    assert {int(n) for n in (labels == 1).sum(axis=(1, 2))} == {0, 20}
    if slices != (0, 2, 3):
        (warning,) = mask_set.warnings
        assert f"drawn on {len(slices)} slices that are no neighbours" in warning
        assert "--fill-between fills them" in warning
    path = tmp_path / "structures.dcm"
    whole = read_masks(path, GRID, fill_between=True)
    n_between = slices[-1] - slices[0] + 1 - len(slices)
    (warning,) = whole.warnings
    assert f"{n_between} slices between drawn ones were filled" in warning
    assert on_grid(whole).sum() == 20 * (slices[-1] - slices[0] + 1)


def test_a_contour_on_a_series_of_the_study_is_as_thick_as_its_slices(tmp_path):
    """Drawn on every slice of a reconstruction twice as thick as the one that is measured."""
    thick = replace(GRID, shape=(3, 12, 17), spacing_mm=(8.0, 0.9, 1.3))
    contours = [drawn_on_slice(INNER, z, GRID) for z in (0, 2, 4)]
    owner = Owner(grid_of_series={"1.5.9": thick})
    mask_set = read(tmp_path, {1: ("lesion", contours)}, series_uids=["1.5.9"], owner=owner)
    assert np.flatnonzero(on_grid(mask_set).any(axis=(1, 2))).tolist() == [0, 1, 2, 3, 4]
    # The same by the images alone that the contours name.
    ds = structure_set({1: ("lesion", contours)})
    for number, item in enumerate(ds.ROIContourSequence[0].ContourSequence):
        image = Dataset()
        image.ReferencedSOPInstanceUID = f"1.6.{number}"
        item.ContourImageSequence = [image]
    save(ds, tmp_path / "images.dcm")
    by_image = replace(owner, series_of_image={"1.6.0": "1.5.9"})
    assert on_grid(read_masks(tmp_path / "images.dcm", GRID, owner=by_image)).any(axis=(1, 2)).all()
    # And on a series of the measured grid, they fill one slice each.
    owner = Owner(grid_of_series={"1.5.9": GRID})
    mask_set = read(tmp_path, {1: ("lesion", contours)}, series_uids=["1.5.9"], owner=owner)
    assert np.flatnonzero(on_grid(mask_set).any(axis=(1, 2))).tolist() == [0, 2, 4]


@pytest.mark.parametrize("heights", [(0.2, 1.2, 1.7, 2.1), (0.25, 2.25), (0.3, 1.6, 2.9)])
def test_contours_between_the_slices_that_nothing_says_the_thickness_of_fail_alone(
    tmp_path, heights
):
    contours = [drawn_on_slice(INNER, z, GRID) for z in heights]
    mask_set = read(tmp_path, {1: ("odd", contours), 2: lesion()})
    assert [mask.name for mask in mask_set.masks] == ["lesion"]
    (problem,) = mask_set.problems
    assert "structures.dcm: odd: has contours between the study's slices" in str(problem.error)
    assert "--fill-between" in problem.error.remedy
    filled = read_masks(tmp_path / "structures.dcm", GRID, fill_between=True)
    assert {mask.name for mask in filled.masks} == {"odd", "lesion"}
    assert filled.problems == ()


@pytest.mark.parametrize("heights", [(0.3, 1.3, 2.3), (1.3,)])
def test_contours_beside_the_slices_fill_the_nearest(tmp_path, heights):
    mask_set = read(tmp_path, {1: ("lesion", [drawn_on_slice(INNER, z, GRID) for z in heights])})
    filled = np.flatnonzero(on_grid(mask_set).any(axis=(1, 2))).tolist()
    assert filled == [round(z) for z in heights]
    assert "resampled" in mask_set.warnings[0]


def test_a_circle_has_its_closed_form_area(tmp_path):
    fine = VolumeGeometry(
        (3, 90, 90), (5.0, 0.7, 0.7), (-31.0, -31.0, 0.0), frame_of_reference_uid="1.2.9"
    )
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    radius_mm, centre_mm = 15.0, np.array([0.3, -0.4, 5.0])
    circle = centre_mm + radius_mm * np.column_stack([np.cos(angle), np.sin(angle), 0 * angle])
    (mask,) = read(tmp_path, {1: ("circle", [Drawn(circle)])}, geometry=fine).masks
    assert mask.n_voxels * 0.7**2 == pytest.approx(np.pi * radius_mm**2, rel=0.02)


@pytest.mark.parametrize("seed", range(8))
def test_filling_agrees_with_matplotlib(tmp_path, seed):
    """Random star-shaped polygons, against matplotlib's test of every voxel centre."""
    rng = np.random.default_rng(seed)
    flat = VolumeGeometry(
        (1, 40, 50), (3.0, 0.8, 0.6), (7.0, -9.0, 2.0), frame_of_reference_uid="1.2.9"
    )
    n = int(rng.integers(3, 40))
    angle = np.sort(rng.uniform(0, 2 * np.pi, n))
    radius = rng.uniform(2, 18, n)
    vertices = [20.2, 24.7] + radius[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])
    centres = np.indices(flat.shape[1:]).reshape(2, -1).T
    expected = Polygon(vertices).contains_points(centres).reshape(flat.shape)
    mask_set = read(tmp_path, {1: ("star", [drawn_on_slice(vertices, 0, flat)])}, geometry=flat)
    np.testing.assert_array_equal(on_grid(mask_set, flat) == 1, expected)


def test_points_are_left_out_and_told(tmp_path):
    name, contours = lesion()
    point = Drawn(contours[0].points_mm[:1], "POINT")
    mask_set = read(tmp_path, {1: (name, [*contours, point])})
    assert [mask.n_voxels for mask in mask_set.masks] == [20]
    assert mask_set.warnings[0].endswith("lesion: 1 contours that enclose nothing are left out")


@pytest.mark.parametrize("contours", [[], None], ids=["no-contour", "no-item"])
def test_a_structure_without_contours_is_told_and_the_other_kept(tmp_path, contours):
    mask_set = read(tmp_path, {1: ("forgotten", contours), 2: lesion()})
    assert [mask.name for mask in mask_set.masks] == ["lesion"]
    (problem,) = mask_set.problems
    assert (problem.name, problem.label, type(problem.error)) == ("forgotten", 1, EmptyMask)


def test_a_structure_may_have_the_number_0(tmp_path):
    mask_set = read(tmp_path, {0: ("lesion", lesion()[1]), 1: ("other", lesion(3)[1])})
    assert {mask.name: (mask.origin[0], mask.n_voxels) for mask in mask_set.masks} == {
        "lesion": (2, 20),
        "other": (3, 20),
    }


@pytest.mark.parametrize("change", ["points", "data", "number"])
def test_what_is_broken_is_refused_by_name(tmp_path, change):
    ds = structure_set({1: lesion()})
    item = ds.ROIContourSequence[0]
    if change == "points":
        item.ContourSequence[0].ContourData = ["1", "2", "3", "4"]
    elif change == "data":
        del item.ContourSequence[0].ContourData
    else:
        del item.ReferencedROINumber
    save(ds, tmp_path / "structures.dcm")
    if change == "number":
        with pytest.raises(
            InputError, match=r"structures\.dcm: cannot be read as RT Structure Set"
        ):
            read_masks(tmp_path / "structures.dcm", GRID)
        return
    mask_set = read_masks(tmp_path / "structures.dcm", GRID)
    assert mask_set.masks == ()
    (problem,) = mask_set.problems
    assert isinstance(problem.error, DamagedMask)
    assert "structures.dcm: lesion: is damaged (contour 1 cannot be read" in str(problem.error)


def test_a_contour_with_fewer_points_than_it_says_fails_alone(tmp_path):
    ds = structure_set({1: lesion(), 2: ("other", lesion(3)[1])})
    item = ds.ROIContourSequence[0].ContourSequence[0]
    item.ContourData = list(item.ContourData)[:-3]
    save(ds, tmp_path / "structures.dcm")
    mask_set = read_masks(tmp_path / "structures.dcm", GRID)
    assert [mask.name for mask in mask_set.masks] == ["other"]
    assert "has 3 points, not 4" in str(mask_set.problems[0].error)


def test_contours_across_the_slices_fail_alone(tmp_path):
    sagittal = drawn_on_slice(INNER, 2, GRID).points_mm[:, ::-1]
    mask_set = read(tmp_path, {1: ("odd", [Drawn(sagittal)]), 2: lesion()})
    assert [mask.name for mask in mask_set.masks] == ["lesion"]
    (problem,) = mask_set.problems
    assert "structures.dcm: odd: has contours that are not parallel to the slices" in str(
        problem.error
    )


def test_a_structure_outside_is_told_and_the_other_kept(tmp_path):
    far = Drawn(lesion()[1][0].points_mm + 160 * np.array(GRID.slice_direction))
    mask_set = read(tmp_path, {1: ("far", [far]), 2: lesion()})
    assert [mask.name for mask in mask_set.masks] == ["lesion"]
    (problem,) = mask_set.problems
    assert (problem.name, type(problem.error)) == ("far", OutsideStudy)


def test_another_frame_of_reference_is_refused(tmp_path):
    with pytest.raises(GridMismatch, match=r"structures\.dcm: has another frame of reference"):
        read(tmp_path, {1: lesion()}, frame_uid="1.2.10")


def test_a_structure_in_another_frame_of_reference_is_never_laid_over_the_study(tmp_path):
    rois = {1: lesion(), 2: ("on the PET", lesion()[1])}
    mask_set = read(tmp_path, rois, frame_of_roi={2: "1.2.10"})
    assert [mask.name for mask in mask_set.masks] == ["lesion"]
    (problem,) = mask_set.problems
    assert (problem.name, type(problem.error)) == ("on the PET", OutsideStudy)
    assert "another frame of reference" in str(problem.error)


def test_another_patient_is_refused_without_naming_either(tmp_path):
    with pytest.raises(WrongPatient, match=r"structures\.dcm: belongs to another patient") as told:
        read(tmp_path, {1: lesion()}, patient_id="SECRET-7", owner=Owner(patient_id="SECRET-8"))
    assert "SECRET" not in str(told.value)


def test_another_study_is_refused_only_where_no_frame_of_reference_says_they_share_a_space(
    tmp_path,
):
    owner = Owner(patient_id="P1", study_uid="1.2.4")
    assert read(tmp_path, {1: lesion()}, owner=owner).masks
    with pytest.raises(WrongPatient, match="another study"):
        read(tmp_path, {1: lesion()}, frame_uid="", owner=owner)


def test_another_phase_is_refused_unless_any_is_accepted(tmp_path):
    owner = Owner("P1", "1.2.3", "PVP", {"1.5.1": "AP", "1.5.2": "PVP", "1.5.3": ""})
    with pytest.raises(WrongPhase, match="was drawn on phase AP, and phase PVP is measured"):
        read(tmp_path, {1: lesion()}, series_uids=["1.5.1"], owner=owner)
    any_phase = replace(owner, any_phase=True)
    assert read(tmp_path, {1: lesion()}, series_uids=["1.5.1"], owner=any_phase).masks
    # Of the same phase, of an unknown phase, and of no series of the study.
    for series in (["1.5.1", "1.5.2"], ["1.5.3"], ["1.5.4"]):
        assert read(tmp_path, {1: lesion()}, series_uids=series, owner=owner).masks


@pytest.mark.parametrize("far_mm", [1e5, 1e7])
def test_a_contour_kilometres_wide_fails_alone_and_at_once(tmp_path, far_mm):
    """A damaged digit: it would be filled pixel by pixel (found by the fuzz)."""
    drawn = drawn_on_slice(INNER, 2, GRID)
    points = drawn.points_mm.copy()
    points[1] += far_mm * np.array(GRID.row_direction)
    mask_set = read(tmp_path, {1: ("far", [Drawn(points)]), 2: lesion()})
    assert [mask.label for mask in mask_set.masks] == [2]
    assert len(mask_set.problems) == 1
