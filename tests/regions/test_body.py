"""The body for pictures: trunk with its lungs, without table and noise around."""

import numpy as np
from scipy.ndimage import binary_dilation, binary_fill_holes, gaussian_filter, label

from gsigpu.regions.body import body_mask, box_of

YY, XX = np.mgrid[:200, :200]


def disc(row, column, radius):
    return np.hypot(YY - row, XX - column) <= radius


def test_trunk_with_lung_without_table():
    plane = np.full((200, 200), -1000.0)
    trunk, lung = disc(90, 100, 60), disc(90, 80, 20)
    plane[trunk] = 40.0
    plane[lung] = -850.0
    plane[170:174, 20:180] = 100.0  # the table
    body = body_mask(plane)
    assert body[trunk].all()
    assert not body[168:176].any()
    # At half the resolution and with a margin of one: no more than five voxels beyond.
    assert not body[~disc(90, 100, 65)].any()


def test_nothing_but_air():
    body = body_mask(np.full((20, 30), np.nan))
    assert not body.any()
    assert box_of(body) is None


def test_box():
    mask = np.zeros((5, 7), bool)
    mask[1:3, 4] = True
    assert box_of(mask) == (slice(1, 3), slice(4, 5))


def test_the_body_is_that_of_scipys_morphology():
    """Holes filled and voxels added as binary_fill_holes and binary_dilation do, on random shapes."""
    rng = np.random.default_rng(8)
    for _ in range(40):
        noise = gaussian_filter(rng.normal(size=(62, 71)), rng.uniform(0.5, 3.0))
        plane = np.where(noise > np.quantile(noise, rng.uniform(0.2, 0.9)), 0.0, -1000.0)
        parts, _ = label(plane[::2, ::2] > -500.0)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        whole = binary_dilation(binary_fill_holes(parts == sizes.argmax()))
        expected = np.repeat(np.repeat(whole, 2, axis=0), 2, axis=1)[:62, :71]
        np.testing.assert_array_equal(body_mask(plane), expected)
