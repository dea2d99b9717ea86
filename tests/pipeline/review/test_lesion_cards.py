"""A card's panels are SciPy's enlargement of the same square, and black where the plane has ended."""

import numpy as np
import pytest
from scipy.ndimage import zoom

from gsigpu.maps.registry import define
from gsigpu.pipeline.measure.slice_maps import SliceMaps
from gsigpu.pipeline.review.lesion_cards import (
    PANEL_PIXELS,
    _enlarged,
    _nearest,
    overview_card,
)


@pytest.mark.parametrize("shape", [(2, 2), (37, 54), (100, 160), (220, 301)])
def test_panels_are_enlarged_as_scipy_does(shape):
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    factors = [PANEL_PIXELS / side for side in shape]
    expected = zoom(
        picture.astype(np.float64), (*factors, 1), order=1, grid_mode=True, mode="nearest"
    )
    np.testing.assert_allclose(_enlarged(picture), expected, atol=0.51)
    mask = rng.random(shape) > 0.5
    nearest = zoom(mask, factors, order=0, grid_mode=True, mode="nearest")
    # A pixel on the border of two voxels may be of either.
    assert (_nearest(mask) != nearest).mean() < 0.01


def test_what_lies_beyond_the_plane_is_black():
    """A plane twice as wide as high, in a square: above and below it there is nothing."""
    plane = np.full((40, 80), 100.0, np.float32)
    maps = tuple((define(name), plane) for name in ("lambda-hu", "iodine"))
    planes = SliceMaps(z=0, anatomy=plane, anatomy_kev=70.0, maps=maps)
    image = overview_card(planes, (1.0, 1.0)).image
    assert image.shape == (PANEL_PIXELS, 3 * PANEL_PIXELS, 3)
    assert not image[: PANEL_PIXELS // 5].any()
    assert not image[-PANEL_PIXELS // 5 :].any()
    assert image[PANEL_PIXELS // 2].any(axis=-1).all()
