"""Outlines along the edges of voxels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path

from gsigpu.regions.outline import outlines

MASKS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def signed_area(polygon):
    """Shoelace; positive where the region lies on the right, rows counting downwards."""
    rows, columns = polygon.T.astype(float)
    return 0.5 * float(np.sum(columns * np.roll(rows, -1) - np.roll(columns, -1) * rows))


@given(mask=MASKS)
def test_areas_sum_up_to_the_voxels(mask):
    assert sum(signed_area(polygon) for polygon in outlines(mask)) == pytest.approx(mask.sum())


@given(mask=MASKS)
def test_what_the_polygons_enclose_is_the_mask(mask):
    """The even-odd rule at the centres, by matplotlib."""
    centres = np.argwhere(np.ones_like(mask)) + 0.5
    enclosed = np.zeros(mask.size, int)
    for polygon in outlines(mask):
        enclosed += Path(np.vstack([polygon, polygon[:1]])).contains_points(centres)
    np.testing.assert_array_equal((enclosed % 2 == 1).reshape(mask.shape), mask)


@given(mask=MASKS)
def test_every_edge_is_straight_and_turns_at_its_ends(mask):
    for polygon in outlines(mask):
        steps = np.roll(polygon, -1, axis=0) - polygon
        assert ((steps == 0).sum(axis=1) == 1).all()
        assert ((np.roll(steps, -1, axis=0) * steps).sum(axis=1) == 0).all()


def test_voxels_that_touch_at_a_corner_are_apart():
    first, second = outlines(np.eye(2, dtype=bool))
    assert first.tolist() == [[0, 0], [0, 1], [1, 1], [1, 0]]
    assert second.tolist() == [[1, 1], [1, 2], [2, 2], [2, 1]]


def test_a_hole_is_a_polygon_of_its_own():
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    outer, hole = outlines(ring)
    assert signed_area(outer) == 9.0
    assert signed_area(hole) == -1.0


def test_nothing_has_no_outline():
    assert outlines(np.zeros((3, 3), bool)) == []
