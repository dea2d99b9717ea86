"""Masks under transforms whose effect is known."""

import numpy as np
import pytest

from gsigpu.errors import OutsideStudy
from gsigpu.regions.region_mask import region_mask
from gsigpu.registration.carry import carried
from gsigpu.registration.images import image_of, sitk
from gsigpu.registration.register import Registration
from gsigpu.volume import VolumeGeometry

GRID = VolumeGeometry((24, 40, 40), (3.0, 1.5, 1.5), (-30.0, -30.0, -36.0))
FINER = VolumeGeometry((36, 60, 60), (2.0, 1.0, 1.0), (-30.0, -30.0, -36.0))


def ball(radius_mm, grid=GRID, centre=(0.0, 0.0, 0.0)):
    z, y, x = np.indices(grid.shape)
    places = [
        origin + mm * index - c
        for origin, mm, index, c in zip(
            grid.origin_mm, grid.spacing_mm[::-1], (x, y, z), centre, strict=True
        )
    ]
    return region_mask("label 1", 1, sum(p**2 for p in places) <= radius_mm**2)


def along(transform):
    """A registration that found this transform."""
    image = image_of(np.zeros(GRID.shape, np.float32), GRID, (0.0, 0.0, 0.0))
    return Registration(fixed=image, moving=image, rigid=transform, transform=transform)


def test_a_mask_that_does_not_move_stays_as_it_is():
    lesion = ball(9.0)
    laid = carried(lesion, GRID, GRID, along(sitk.Transform(3, sitk.sitkIdentity)))
    assert laid.mask.origin == lesion.origin
    np.testing.assert_array_equal(laid.mask.voxels, lesion.voxels)
    assert laid.moved_mm == pytest.approx((0.0, 0.0, 0.0))
    assert laid.volume_ratio == 1.0


def test_whole_voxels_are_a_shift_of_the_box():
    lesion = ball(9.0)
    # From a point here to the tissue's place there: what lies at p + t there lies at p here.
    laid = carried(lesion, GRID, GRID, along(sitk.TranslationTransform(3, (3.0, -1.5, 6.0))))
    z, y, x = lesion.origin
    assert laid.mask.origin == (z - 2, y + 1, x - 2)
    np.testing.assert_array_equal(laid.mask.voxels, lesion.voxels)
    assert laid.moved_mm == pytest.approx((-3.0, 1.5, -6.0))


@pytest.mark.parametrize("scale", [0.8, 1.25])
def test_the_volume_follows_the_stretch_also_of_small_lesions(scale):
    transform = sitk.ScaleTransform(3, (scale,) * 3)
    for radius_mm in (4.0, 9.0):
        laid = carried(ball(radius_mm), GRID, GRID, along(transform))
        voxel = 1.0 / ball(radius_mm).n_voxels
        assert laid.volume_ratio == pytest.approx(scale**-3, abs=voxel)


def test_onto_another_grid_the_volume_stays():
    laid = carried(ball(8.0), GRID, FINER, along(sitk.TranslationTransform(3, (0.7, 0.2, 1.1))))
    assert laid.volume_ratio == pytest.approx(1.0, abs=0.002)
    there = ball(8.0, FINER, centre=(-0.7, -0.2, -1.1))
    z, y, x = np.argwhere(laid.mask.voxels).mean(axis=0) + laid.mask.origin
    middle = np.argwhere(there.voxels).mean(axis=0) + there.origin
    np.testing.assert_allclose((z, y, x), middle, atol=0.5)


@pytest.mark.parametrize("way_mm", [(45.0, 0.0, 0.0), (0.0, 0.0, -32.0)])
def test_a_lesion_that_leaves_the_images_is_refused(way_mm):
    with pytest.raises(OutsideStudy, match="label 1 does not lie whole within the images"):
        carried(ball(9.0), GRID, GRID, along(sitk.TranslationTransform(3, way_mm)))
