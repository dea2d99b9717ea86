"""Slices are ordered by where they lie, and what makes no regular grid is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsigpu.dicom.study.grid import (
    POSITION_TOLERANCE_MM,
    POSITION_TOLERANCE_RATIO,
    PRINTED_PRECISION_MM,
    grid_of,
    position_error_mm,
)
from gsigpu.errors import (
    DuplicateSlices,
    GantryTilt,
    GeometryError,
    GridMismatch,
    MissingSlices,
    MixedOrientations,
    NonUniformSpacing,
)
from tests.support.planes import FORMAT, evidence, plane


def rotation(angles):
    a, b, c = angles
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


ANGLE = st.floats(-3, 3)


@given(
    st.tuples(ANGLE, ANGLE, ANGLE),
    st.integers(2, 12),
    st.floats(0.3, 10),
    st.tuples(*[st.floats(-500, 500)] * 3),
    st.randoms(use_true_random=False),
)
def test_any_placement_in_any_order_gives_the_same_grid(
    angles, n_slices, spacing_mm, origin, random
):
    turned = rotation(angles)
    row, column, normal = turned.T
    planes = [
        plane(
            z,
            position=tuple(round(float(x), 6) for x in np.array(origin) + z * spacing_mm * normal),
            orientation=tuple(round(float(x), 8) for x in (*row, *column)),
        )
        for z in range(n_slices)
    ]
    shuffled = planes.copy()
    random.shuffle(shuffled)
    grid, ordered = grid_of(shuffled)
    assert list(ordered) == planes
    assert grid.shape == (n_slices, 6, 8)
    np.testing.assert_allclose(grid.spacing_mm, (spacing_mm, 0.8, 0.7), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grid.slice_direction, normal, atol=1e-6)
    np.testing.assert_allclose(
        grid.position_mm(n_slices - 1, 0, 0), planes[-1].position_mm, atol=1e-4
    )


def test_instance_numbers_and_names_do_not_count():
    planes = [plane(z, name=f"{9 - z}", instance_number=9 - z) for z in (3, 1, 2)]
    assert [ordered.position_mm[2] for ordered in grid_of(planes)[1]] == [1, 2, 3]


def test_positions_rounded_by_the_scanner():
    planes = [plane(z, position=(0.0, 0.0, round(0.625 * z, 1))) for z in range(40)]
    assert grid_of(planes)[0].spacing_mm[0] == pytest.approx(0.625, abs=0.002)


@pytest.mark.parametrize(
    ("zs", "message"),
    [((0, 1, 3, 4), r"1 slice is missing.*1\.00 mm.*3\.00 mm"), ((0, 1, 2, 5, 6), "2 slices are missing"), ((0, 1, 3, 4, 6, 7), "2 slices are missing")],
)  # fmt: skip
def test_missing_slices(zs, message):
    with pytest.raises(MissingSlices, match=message):
        grid_of([plane(z) for z in zs])


def test_a_copied_file_and_a_second_image_at_one_place():
    with pytest.raises(
        DuplicateSlices, match=r"a and b claim to be one image, but their files differ.*remove"
    ):
        grid_of([plane(0, name="a"), plane(0, name="b"), plane(1)])
    with pytest.raises(
        DuplicateSlices, match=r"1 slice lies where another is, a and b at 0\.00 mm"
    ):
        grid_of([plane(0, name="a"), plane(0, name="b", sop_instance_uid="9"), plane(1)])


def test_non_uniform_spacing():
    with pytest.raises(NonUniformSpacing, match=r"1\.000 to 1\.400 mm"):
        grid_of([plane(z) for z in (0, 1, 2.4, 3.4)])


def test_mixed_orientations():
    with pytest.raises(MixedOrientations, match="not parallel"):
        grid_of([plane(0), plane(1, orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0))])
    skewed = {"orientation": (1.0, 0.0, 0.0, 0.5, 0.8, 0.0)}
    with pytest.raises(MixedOrientations, match="right angles"):
        grid_of([plane(0, **skewed), plane(1, **skewed)])


@pytest.mark.parametrize("tilt", [None, 12.0])
def test_tilt_is_refused_with_its_angle(tilt):
    header = evidence(gantry_tilt_deg=tilt)
    planes = [
        plane(z, header, position=(0.0, z * np.tan(np.radians(12)), float(z))) for z in range(5)
    ]
    with pytest.raises(GantryTilt, match=r"12\.0°"):
        grid_of(planes)


def test_a_tilt_tag_without_shear_is_no_tilt():
    header = evidence(gantry_tilt_deg=5.0)
    assert grid_of([plane(z, header) for z in range(3)])[0].shape[0] == 3


@pytest.mark.parametrize("missing", ["position_mm", "orientation", "pixel_spacing_mm"])
def test_missing_attributes(missing):
    bad = plane(1)
    values = {missing: None}
    with pytest.raises(GeometryError, match="has no"):
        grid_of([plane(0), replace(bad, **values)])


def test_sizes_spacings_and_frames_that_differ():
    with pytest.raises(GridMismatch, match=r"6 x 8 pixels.*6 x 9"):
        grid_of([plane(0), plane(1, image=replace(FORMAT, columns=9))])
    with pytest.raises(GridMismatch, match="pixel spacings"):
        grid_of([plane(0), plane(1, pixel_spacing_mm=(0.9, 0.7))])
    with pytest.raises(GridMismatch, match="frames of reference"):
        grid_of([plane(0), plane(1, evidence(frame_of_reference_uid="1.8"))])


def test_a_single_slice_has_its_thickness():
    assert grid_of([plane(3)])[0].spacing_mm == (2.5, 0.8, 0.7)
    with pytest.raises(GeometryError, match="Slice Thickness"):
        grid_of([plane(3, slice_thickness_mm=None)])


@given(
    st.integers(3, 40),
    st.floats(0.3, 10.0),
    st.data(),
    st.floats(0.0, 0.3),
)
def test_one_slice_off_its_place_is_taken_or_refused_but_never_an_accident(
    n_slices, spacing_mm, data, off_mm
):
    """Across the band where two tolerances once disagreed, wherever the slice lies."""
    which = data.draw(st.integers(0, n_slices - 1))
    zs = [z * spacing_mm + (off_mm if z == which else 0.0) for z in range(n_slices)]
    planes = [plane(z, name=f"{i}") for i, z in enumerate(zs)]
    # Least squares leaves a slice less than its own distance; the rest moves the grid.
    allowed_mm = min(POSITION_TOLERANCE_MM, POSITION_TOLERANCE_RATIO * spacing_mm)
    try:
        grid, ordered = grid_of(planes)
    except (NonUniformSpacing, MissingSlices, DuplicateSlices):
        assert off_mm > 0.9 * allowed_mm
        return
    assert grid.shape[0] == n_slices
    assert len(ordered) == n_slices
    # However the grid is laid, nothing lies further off than is allowed.
    assert position_error_mm(grid, ordered) <= allowed_mm + 1e-9


@given(
    st.integers(3, 60),
    st.floats(0.3, 5.0),
    st.floats(-500, 500),
    st.sampled_from([0.1, 0.05, 0.01]),
)
def test_positions_rounded_to_a_tenth_of_a_millimetre_are_a_grid(n, spacing_mm, first_mm, step_mm):
    zs = [round((first_mm + z * spacing_mm) / step_mm) * step_mm for z in range(n)]
    grid, ordered = grid_of([plane(z, name=f"{i}") for i, z in enumerate(zs)])
    assert grid.shape[0] == n
    assert grid.spacing_mm[0] == pytest.approx(spacing_mm, abs=2 * step_mm / (n - 1))
    assert position_error_mm(grid, ordered) <= step_mm


@pytest.mark.parametrize("off_mm", [0.06, 0.08, 0.1])
@pytest.mark.parametrize("which", [0, 3, 9])
def test_a_slice_within_a_tenth_of_a_millimetre_is_taken(which, off_mm):
    planes = [plane(z + (off_mm if z == which else 0.0), name=f"{z}") for z in range(10)]
    grid, ordered = grid_of(planes)
    assert grid.spacing_mm[0] == pytest.approx(1.0, abs=0.02)
    assert PRINTED_PRECISION_MM < position_error_mm(grid, ordered) <= 0.1
