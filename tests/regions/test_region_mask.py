"""Masks as boxes: their union, their parts, and which lesions lie against one another."""

from itertools import product

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from gsigpu.errors import InputError
from gsigpu.regions.region_mask import RegionMask, parts, region_mask, trimmed, union
from gsigpu.regions.shells import lesion_regions

SHAPE = (7, 8, 9)


def whole(mask, shape=SHAPE):
    """The mask on the whole grid."""
    painted = np.zeros(shape, bool)
    painted[mask.box] = mask.voxels
    return painted


def random_mask(seed, share, shape=SHAPE):
    return np.random.default_rng(seed).random(shape) < share


def block(*sides):
    """A filled box from (start, stop) of z, y and x."""
    shape = tuple(stop - start for start, stop in sides)
    return RegionMask("block", 1, tuple(start for start, _ in sides), np.ones(shape, bool))


@pytest.mark.parametrize("seed", range(5))
def test_a_mask_is_its_smallest_box_and_nothing_is_lost(seed):
    mask = random_mask(seed, 0.01)
    mask_in_box = region_mask("a", 3, mask)
    np.testing.assert_array_equal(whole(mask_in_box), mask)
    index = np.argwhere(mask)
    assert mask_in_box.origin == tuple(index.min(axis=0))
    assert mask_in_box.voxels.shape == tuple(np.ptp(index, axis=0) + 1)
    assert (mask_in_box.name, mask_in_box.label, mask_in_box.n_voxels) == ("a", 3, mask.sum())


def test_an_empty_mask_is_refused_by_name():
    with pytest.raises(InputError, match="mask 'HCC' is empty"):
        region_mask("HCC", 1, np.zeros(SHAPE, bool))


def test_trimming_moves_the_origin():
    loose = RegionMask(
        "a", 1, (1, 2, 3), np.pad(np.ones((1, 2, 1), bool), ((1, 0), (0, 2), (3, 1)))
    )
    tight = trimmed(loose)
    assert (tight.origin, tight.voxels.shape) == ((2, 2, 6), (1, 2, 1))
    np.testing.assert_array_equal(whole(tight), whole(loose))


@pytest.mark.parametrize("seed", range(5))
def test_union_has_the_voxels_of_any(seed):
    masks = [random_mask([seed, n], 0.02) for n in range(3)]
    both = union("vessels", [region_mask(f"{n}", n + 1, mask) for n, mask in enumerate(masks)])
    np.testing.assert_array_equal(whole(both), np.any(masks, axis=0))
    assert (both.name, both.label) == ("vessels", 0)


def test_union_leaves_its_members_as_they_are():
    first, second = block((0, 3), (0, 3), (0, 3)), block((1, 4), (1, 4), (1, 4))
    kept = first.voxels.copy()
    union("both", [first, second]).voxels[:] = False
    np.testing.assert_array_equal(first.voxels, kept)
    # One mask alone keeps its label: it is that region by another name.
    assert (union("liver", [first]).name, union("liver", [first]).label) == ("liver", 1)


@pytest.mark.parametrize("step", [step for step in product((0, 1), repeat=3) if any(step)])
def test_voxels_joined_by_a_face_edge_or_corner_are_one_part(step):
    mask = np.zeros(SHAPE, bool)
    mask[2, 2, 2] = mask[tuple(2 + np.array(step))] = True
    assert len(parts(region_mask("a", 1, mask))) == 1
    mask[:] = False
    mask[2, 2, 2] = mask[tuple(2 + 2 * np.array(step))] = True  # a gap of one voxel
    assert len(parts(region_mask("a", 1, mask))) == 2


def test_parts_come_from_the_largest_down_each_at_its_place():
    mask = np.zeros(SHAPE, bool)
    mask[0, 0, 0:2] = True
    mask[3:5, 3:5, 3:5] = True
    mask[6, 7, 7:9] = True  # as large as the first, and after it in the grid
    separate = parts(RegionMask("lesions", 4, (10, 20, 30), mask))
    assert [(part.origin, part.voxels.shape) for part in separate] == [
        ((13, 23, 33), (2, 2, 2)),
        ((10, 20, 30), (1, 1, 2)),
        ((16, 27, 37), (1, 1, 2)),
    ]
    assert all((part.name, part.label) == ("lesions", 4) and part.voxels.all() for part in separate)


def test_a_part_in_the_box_of_another_is_not_in_it():
    """A voxel within a ring: the boxes overlap, the parts do not."""
    mask = np.zeros(SHAPE, bool)
    mask[3, 1:6, 1:6] = True
    mask[3, 2:5, 2:5] = False
    mask[3, 3, 3] = True
    ring, dot = parts(region_mask("a", 1, mask))
    assert (ring.n_voxels, dot.n_voxels) == (16, 1)
    np.testing.assert_array_equal(whole(ring) | whole(dot), mask)


def neighbour_flags(lesion, *others, shape=SHAPE):
    regions = lesion_regions(lesion, (2.0, 1.0, 1.0), shape, others=others)
    return {flag for flag in regions.flags if flag.endswith("-lesion")}


@pytest.mark.parametrize("step", [step for step in product((-1, 0, 1), repeat=3) if any(step)])
def test_lesions_that_share_a_face_edge_or_corner_touch(step):
    lesion = block((4, 6), (4, 6), (5, 7))
    for distance, flags in ((2, {"touches-lesion"}), (3, set())):  # against it; a gap of one voxel
        z, y, x = (o + distance * s for o, s in zip(lesion.origin, step, strict=True))
        other = block((z, z + 2), (y, y + 2), (x, x + 2))
        assert neighbour_flags(lesion, other, shape=(12, 12, 12)) == flags
        assert neighbour_flags(other, lesion, shape=(12, 12, 12)) == flags


def test_lesions_touch_at_the_edge_of_the_grid():
    corner, beside = block((0, 1), (0, 1), (0, 1)), block((0, 1), (0, 1), (1, 2))
    far = block((6, 7), (7, 8), (8, 9))
    assert neighbour_flags(corner, beside) == neighbour_flags(beside, corner) == {"touches-lesion"}
    assert neighbour_flags(far, block((5, 6), (6, 7), (7, 8))) == {"touches-lesion"}
    # Opposite edges of the grid are no neighbours.
    assert neighbour_flags(corner, far) == neighbour_flags(far, corner) == set()


def test_a_lesion_within_another_overlaps_and_one_in_its_hole_touches():
    shell = block((1, 6), (1, 6), (1, 6))
    shell.voxels[1:-1, 1:-1, 1:-1] = False
    assert neighbour_flags(block((3, 4), (3, 4), (3, 4)), shell) == set()
    assert neighbour_flags(block((2, 4), (3, 4), (3, 4)), shell) == {"touches-lesion"}
    inner, outer = block((3, 4), (3, 4), (3, 4)), block((1, 6), (1, 6), (1, 6))
    assert "overlaps-lesion" in neighbour_flags(inner, outer)
    assert neighbour_flags(outer, inner) == {"overlaps-lesion"}


@pytest.mark.parametrize("seed", range(12))
def test_flags_agree_with_dilation_of_the_whole_grid(seed):
    first, second = (random_mask([seed, n], 0.012) for n in range(2))
    if not (first.any() and second.any()):
        pytest.skip("drew an empty mask")
    expected = set()
    if (first & second).any():
        expected.add("overlaps-lesion")
    ring = binary_dilation(first, np.ones((3, 3, 3))) & ~first
    if (ring & second).any():
        expected.add("touches-lesion")
    assert neighbour_flags(region_mask("a", 1, first), region_mask("b", 2, second)) == expected
