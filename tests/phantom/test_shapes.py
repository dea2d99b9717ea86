"""Shapes: depth against distances known in closed form, and laws of combining."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsigpu.phantom.shapes import Below, Blend, Column, Common, Ellipsoid, Tube

coordinate = st.floats(-60.0, 60.0)
point = st.tuples(coordinate, coordinate, coordinate)
SHAPES = [
    Ellipsoid((3.0, -4.0, 5.0), (20.0, 12.0, 30.0)),
    Ellipsoid((0.0, 0.0, 0.0), (20.0, 12.0, 30.0), 5.0),
    Column((5.0, -5.0), (25.0, 14.0), 2.4),
    Tube(((-20.0, 0.0, 0.0), (10.0, 15.0, 5.0), (10.0, 15.0, 30.0)), (8.0, 5.0, 2.0)),
]


def depth(shape, at):
    return float(np.asarray(shape.depth_mm(*(np.array([v]) for v in at))).item())


@given(point)
def test_depth_in_a_sphere_is_the_distance_to_its_surface(at):
    ball = Ellipsoid((1.0, 2.0, 3.0), (25.0, 25.0, 25.0))
    assert depth(ball, at) == pytest.approx(
        25.0 - np.linalg.norm(np.subtract(at, (1, 2, 3))), abs=1e-6
    )


@given(point)
def test_depth_in_a_tube_is_the_distance_to_its_line(at):
    tube = Tube(((-10.0, 0.0, 0.0), (30.0, 0.0, 0.0)), (7.0, 7.0))
    nearest = (min(max(at[0], -10.0), 30.0), 0.0, 0.0)
    assert depth(tube, at) == pytest.approx(
        7.0 - np.linalg.norm(np.subtract(at, nearest)), abs=1e-9
    )


@given(point)
def test_an_ellipsoid_is_what_its_equation_says(at):
    ellipsoid = SHAPES[0]
    scaled = np.subtract(at, ellipsoid.centre_mm) / ellipsoid.radii_mm
    assert (depth(ellipsoid, at) >= 0.0) == (np.sum(scaled**2) <= 1.0)


@given(point, st.sampled_from(SHAPES))
def test_nothing_lies_outside_the_box(at, shape):
    low, high = shape.box
    if depth(shape, at) > 0.0:
        assert all(a <= v <= b for a, v, b in zip(low, at, high, strict=True))


@given(point, st.sampled_from(SHAPES), st.sampled_from(SHAPES), st.sampled_from([0.0, 6.0]))
def test_a_blend_holds_its_parts_and_fills_the_seam_a_little(at, first, second, smooth_mm):
    parts = max(depth(first, at), depth(second, at))
    blend = Blend((first, second), smooth_mm)
    assert parts <= depth(blend, at) <= parts + smooth_mm / 4.0
    low, high = blend.box
    if depth(blend, at) > 0.0:
        assert all(a <= v <= b for a, v, b in zip(low, at, high, strict=True))


@given(point, st.sampled_from(SHAPES), st.sampled_from(SHAPES))
def test_common_is_inside_one_and_not_the_other(at, first, second):
    inside, outside = depth(first, at), depth(second, at)
    assert depth(Common((first,), (second,)), at) == min(inside, -outside)
    assert depth(Common((first, second)), at) == min(inside, outside)


def test_depth_below_a_plane_is_the_distance_to_it():
    assert depth(Below(10.0, (0.0, 0.75)), (5.0, 4.0, 3.0)) == pytest.approx(8.0)  # 10 / 1.25
