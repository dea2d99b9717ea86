"""The compiled loops of regions against SciPy and NumPy, to the last bit, with every set of instructions and under UBSan."""

import numpy as np
import pytest

from gsigpu.backends import DISTANCE_UNIT_MM, compiled_regions, cpu
from gsigpu.regions import region_boxes, region_voxels
from gsigpu.regions.region_mask import RegionMask

RNG = np.random.default_rng(27)


def on_lattice(*spacing_mm):
    return tuple(round(step / DISTANCE_UNIT_MM) * DISTANCE_UNIT_MM for step in spacing_mm)


THIN, CUBE, LONG = on_lattice(5.0, 0.71, 0.83), on_lattice(1.0, 1.0, 1.0), on_lattice(0.5, 2.5, 1.3)
# Beside and over the lines that are taken at once (8 and 16).
SHAPES = [
    ((1, 1, 1), CUBE), ((1, 7, 9), THIN), ((5, 1, 33), LONG), ((4, 6, 1), THIN), ((9, 8, 15), CUBE),
    ((12, 17, 16), THIN), ((7, 31, 40), LONG), ((3, 20, 17), (0.75, 0.75)), ((2, 5, 9), (1.5,)),
    ((33, 18), LONG[1:]), ((40,), (0.25,)), ((2, 3, 6, 19), THIN),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "spacing_mm"), SHAPES)
def test_distances_are_those_of_scipy(loop, shape, spacing_mm):
    """Without background, and without anything else; here and there, and nearly everywhere."""
    for share in (0.0, 0.03, 0.5, 0.97, 0.999, 0.999, 1.0):
        mask = RNG.random(shape) < share
        distances = compiled_regions.transformed(loop, mask, spacing_mm)
        assert distances is not None
        assert distances.tobytes() == cpu.distance_by_scipy(mask, spacing_mm).tobytes()


def test_a_lesion_with_its_margin(loop):
    """Of the size that lesions have, from inside and from outside; and rows that are no neighbours in memory."""
    z, y, x = np.ogrid[-14:15, -40:41, -39:44]
    lesion = (z * 1.4) ** 2 + (y * 0.8) ** 2 + (x * 0.7 - y * 0.2) ** 2 <= 14.0**2
    lesion &= RNG.random(lesion.shape) < 0.99
    spacing_mm = on_lattice(1.44, 0.75, 0.75)
    for mask in (lesion, ~lesion, lesion[::2, :, 3:], lesion[:, ::-1, ::3], lesion.transpose(0, 2, 1)):  # fmt: skip
        distances = compiled_regions.transformed(loop, mask, spacing_mm)
        assert distances.tobytes() == cpu.distance_by_scipy(mask, spacing_mm).tobytes()


def test_what_may_be_rounded_otherwise_is_left_to_scipy(loop):
    mask = np.ones((2, 3, 4), bool)
    assert compiled_regions.transformed(loop, mask, (1.0, 0.7, 0.7)) is None  # no lattice
    assert compiled_regions.transformed(loop, mask, (1.0, 1.0, 64.0)) is None  # too long
    assert compiled_regions.transformed(loop, mask[0, 0], (1.0, 1.0)) is None  # fewer axes


def region(shape, origin, share=0.5):
    return RegionMask("made up", 1, origin, RNG.random(shape) < share)


GRID = (6, 23, 37)
LAYOUTS = {
    "none": [],
    "one voxel": [region((1, 1, 1), (5, 22, 36), 1.0)],
    "nested, and one twice": [region((6, 23, 37), (0, 0, 0)), *[region((2, 9, 17), (3, 4, 5))] * 2],
    "one without voxels": [region((2, 3, 8), (1, 1, 1), 0.0), region((3, 8, 9), (2, 15, 28))],
    "full, and apart": [region((2, 5, 16), (0, 0, 0), 1.0), region((1, 6, 21), (5, 17, 16), 1.0)],
    "an empty box": [region((0, 0, 0), (0, 0, 0)), region((1, 4, 4), (1, 1, 1))],
    "slices of larger arrays": [
        RegionMask("cut", 1, (1, 2, 3), (RNG.random((8, 30, 40)) < 0.6)[1:5, 3:20:2, 5:30]),
        RegionMask("turned", 2, (0, 0, 0), (RNG.random((20, 9, 5)) < 0.6).transpose(2, 1, 0)),
    ],
    "many": [region((3, 1 + i, 2 * i + 1), (i % 4, i, i), 0.1 * i) for i in range(11)],
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_voxels_of_regions_are_those_of_numpy(loop, name, monkeypatch):
    masks = LAYOUTS[name]
    monkeypatch.setattr(compiled_regions, "choose_loop", lambda: (loop, ""))
    fast, truth = region_voxels.region_voxels(masks, GRID), region_voxels.in_numpy(masks, GRID)
    assert fast.slices == truth.slices
    for z in range(-1, GRID[0] + 1):
        assert fast.regions_in(z) == truth.regions_in(z)
    assert fast.indices.dtype == truth.indices.dtype
    assert fast.indices.tolist() == truth.indices.tolist()
    assert fast.sizes.tolist() == truth.sizes.tolist()
    assert len(fast.columns) == len(truth.columns)
    for columns, expected in zip(fast.columns, truth.columns, strict=True):
        assert columns.dtype == expected.dtype
        assert columns.tolist() == expected.tolist()


def test_a_region_that_reaches_beyond_the_grid_is_left_to_numpy(loop):
    beyond = np.ones((1, 2, 2), bool)
    assert compiled_regions.columns_of(loop, [(beyond, (0, 22, 0))], GRID) is None
    assert compiled_regions.columns_of(loop, [(beyond, (-1, 0, 0))], GRID) is None


def of_type(dtype, shape=(5, 9, 41), share=0.1, largest=5):
    return ((RNG.random(shape) < share) * RNG.integers(1, largest + 1, shape)).astype(dtype)


VOLUMES = {
    "bool": RNG.random((4, 7, 33)) < 0.02,
    "bytes": of_type(np.uint8),
    "words": of_type(np.uint16, largest=700),
    "the other byte order": of_type(">u2"),
    "signed": of_type(np.int16) - np.int16(1),
    "integers": of_type(np.int32, (3, 4, 9), 0.5, 60000),
    "nothing": np.zeros((3, 4, 50), np.uint8),
    "everything": np.ones((3, 4, 50), np.uint8),
    "the last voxel": np.pad(np.ones((1, 1, 1), np.uint8), ((2, 0), (3, 0), (64, 0))),
    "the first voxel": np.pad(np.ones((1, 1, 1), np.uint16), ((0, 2), (0, 3), (0, 63))),
    "a label that is missing": np.pad(np.uint8([[[1, 1, 7, 7, 7, 1]]]), 9),
    "long runs": np.repeat(of_type(np.uint8, (3, 5, 6), 0.5), 40, axis=2),
    "a part of another": of_type(np.uint8, (9, 20, 60), 0.01)[1:7, ::-2, 7:51],
    "columns of another": of_type(np.uint8, (5, 6, 40))[:, :, ::3],
    "no voxels": np.zeros((0, 3, 4), np.uint8),
    "empty rows": np.zeros((2, 3, 0), np.uint8),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_boxes_are_those_of_numpy_and_scipy(loop, name, monkeypatch):
    values = VOLUMES[name]
    monkeypatch.setattr(compiled_regions, "choose_loop", lambda: (loop, ""))
    assert region_boxes.box_of_set(values) == region_boxes.box_in_numpy(values)
    if values.dtype != bool:
        assert region_boxes.label_boxes(values) == region_boxes.labels_in_scipy(values)


@pytest.mark.parametrize(
    "place", [(z, y, x) for z in (0, 3) for y in (0, 4) for x in (0, 7, 31, 70)]
)
def test_a_box_grows_to_every_side(loop, place):
    values = np.zeros((4, 5, 71), bool)
    values[1:3, 2, 20:33] = True
    values[place] = True
    box = region_boxes.box_in_numpy(values)
    ends = [[side.start, side.stop] for side in box]
    assert compiled_regions.ends_of(loop, values).reshape(3, 2).tolist() == ends


def test_a_label_beyond_the_largest_is_no_label(loop):
    """As where the file is written to meanwhile: nothing beyond the arrays is touched."""
    assert compiled_regions.numbers_of(loop, np.uint8([[[0, 3]]]), 2) is None
    assert compiled_regions.numbers_of(loop, np.int32([[[0, -3]]]), 2) is None
