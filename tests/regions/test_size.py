"""Sizes against analytic shapes and SimpleITK."""

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from gsigpu.regions import size
from gsigpu.regions.region_mask import RegionMask, region_mask
from gsigpu.regions.size import feret_diameter_mm, longest_axial_diameter_mm, volume_ml

SPACINGS = [(1.0, 1.0, 1.0), (2.5, 0.75, 0.75), (1.25, 0.6, 0.9), (5.0, 0.8, 0.8)]


def ellipsoid(semi_axes_mm, spacing_mm, rng, *, axes=None):
    """Mask of an ellipsoid at a random place between voxels; a voxel is in when its centre is.

    axes : (3, 3) directions of the semi-axes as rows, (z, y, x); along the grid if not given
    """
    axes = np.eye(3) if axes is None else axes
    half = [int(max(semi_axes_mm) / s) + 2 for s in spacing_mm]
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in half), indexing="ij"), axis=-1)
    points = (grid + rng.uniform(-0.5, 0.5, 3)) * spacing_mm
    return region_mask("a", 1, (((points @ axes.T) / semi_axes_mm) ** 2).sum(-1) <= 1.0)


def turned_in_plane(rng):
    angle = rng.uniform(0.0, np.pi)
    return np.array(
        [[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]]
    )


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("radius", [2.5, 5.0, 10.0, 15.0])
def test_axial_diameter_of_cylinders_and_spheres_is_unbiased(radius, spacing):
    """Mean error over places of the centre, a slice through the middle given: a tenth of a pixel from 10 mm up."""
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(20):
        ball = ellipsoid((radius,) * 3, (0.2 * spacing[1], *spacing[1:]), rng)
        errors.append(
            longest_axial_diameter_mm(ball, (0.2 * spacing[1], *spacing[1:])) - 2 * radius
        )
    assert abs(np.mean(errors)) < (0.12 if radius >= 5.0 else 0.25) * max(spacing[1:])
    assert np.max(np.abs(errors)) < 0.6 * max(spacing[1:])


@pytest.mark.parametrize("pixel", [0.5, 0.8])
@pytest.mark.parametrize("long_mm", [5.0, 15.0])
@pytest.mark.parametrize("ratio", [0.5, 0.7, 0.9])
def test_axial_diameter_of_ellipses_is_unbiased(ratio, long_mm, pixel):
    """Without the expected deficit they are 0.3 to 0.75 pixels too short, with a constant one up to 0.35."""
    semi_axes = (1.0, long_mm, ratio * long_mm)
    rng = np.random.default_rng(2)
    errors = [
        longest_axial_diameter_mm(
            ellipsoid(semi_axes, (0.1, pixel, pixel), rng, axes=turned_in_plane(rng)),
            (0.1, pixel, pixel),
        )
        - 2 * max(semi_axes)
        for _ in range(40)
    ]
    # Three standard errors of the mean, the spread being 0.27 pixels, and 0.1 pixels.
    assert abs(np.mean(errors)) < (0.1 + 3 * 0.27 / 40**0.5) * pixel


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("radius", [7.5, 10.0, 15.0])
def test_feret_diameter_of_spheres_is_unbiased_on_thick_slices_too(radius, spacing):
    rng = np.random.default_rng(3)
    errors = [
        feret_diameter_mm(ellipsoid((radius,) * 3, spacing, rng), spacing) - 2 * radius
        for _ in range(20)
    ]
    assert abs(np.mean(errors)) < 0.3 * max(spacing[1:])


@pytest.mark.parametrize("spacing", SPACINGS)
def test_feret_diameter_of_an_ellipsoid_along_z(spacing):
    """Its poles lie between slices."""
    rng = np.random.default_rng(4)
    errors = [
        feret_diameter_mm(ellipsoid((14.0, 8.0, 7.0), spacing, rng), spacing) - 28.0
        for _ in range(20)
    ]
    assert abs(np.mean(errors)) < 0.1 * spacing[0] + 0.1


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("radii", [(9.0, 14.0, 7.0), (14.0, 9.0, 7.0), (6.0, 8.0, 13.0)])
def test_volume_of_an_ellipsoid(spacing, radii):
    rng = np.random.default_rng(5)
    volumes = [volume_ml(ellipsoid(radii, spacing, rng), spacing) for _ in range(10)]
    assert np.mean(volumes) == pytest.approx(4 / 3 * np.pi * np.prod(radii) / 1000, rel=0.02)


def test_feret_diameter_agrees_with_simpleitk():
    rng = np.random.default_rng(6)
    mask = ellipsoid((5.0, 11.0, 8.0), (1.0, 1.0, 1.0), rng)
    reference = SimpleITK.LabelShapeStatisticsImageFilter()
    reference.ComputeFeretDiameterOn()
    reference.Execute(SimpleITK.GetImageFromArray(mask.voxels.astype(np.uint8)))
    # SimpleITK measures between centres.
    ours = feret_diameter_mm(mask, (1.0, 1.0, 1.0))
    assert ours - reference.GetFeretDiameter(1) == pytest.approx(0.4, abs=0.1)


@settings(max_examples=60, deadline=None)
@given(arrays(bool, (3, 5, 6)), st.sampled_from(SPACINGS))
def test_axial_diameter_is_that_of_all_voxel_centres(voxels, spacing):
    """Brute force over all pairs of centres: not all pixels are looked at, but none is missed."""
    longest = 0.0
    for plane in voxels:
        centres = np.argwhere(plane) * spacing[1:]
        if len(centres):
            longest = max(longest, cdist(centres, centres).max())
    diameter = longest_axial_diameter_mm(RegionMask("a", 1, (0, 0, 0), voxels), spacing)
    if longest == 0.0:
        assert diameter == (np.sqrt(spacing[1] * spacing[2]) if voxels.any() else 0.0)
    else:
        assert longest < diameter <= longest + np.sqrt(spacing[1] * spacing[2]) + 1e-9


@pytest.mark.parametrize("n_few", [0, 10_000])
def test_the_diameter_is_that_of_the_first_of_the_farthest_pairs(monkeypatch, n_few):
    """Of points on a grid many pairs are as far apart, and what is added depends on the direction; with hull and without."""
    monkeypatch.setattr(size, "_FEW_POINTS", n_few)
    rng = np.random.default_rng(8)
    for _ in range(40):
        points = rng.integers(0, rng.integers(2, 12), (rng.integers(5, 90), 3)) * (2.5, 0.75, 0.75)
        points = np.unique(points, axis=0)
        distances = cdist(points, points)
        first, second = np.unravel_index(distances.argmax(), distances.shape)
        longest_mm = distances[first, second]
        added = 0.4 * (points[first] - points[second]) / longest_mm * (0.0, 0.75, 0.75)
        expected = longest_mm + float(np.linalg.norm(added))
        assert size._diameter(points, np.array([0.0, 0.75, 0.75])) == pytest.approx(
            expected, rel=1e-15
        )
        assert size._longest_mm(points[:, 1:]) == cdist(points[:, 1:], points[:, 1:]).max()


def test_a_known_axial_diameter_is_not_computed_again():
    mask = ellipsoid((9.0, 12.0, 7.0), (2.5, 0.75, 0.75), np.random.default_rng(9))
    axial_mm = longest_axial_diameter_mm(mask, (2.5, 0.75, 0.75))
    assert feret_diameter_mm(mask, (2.5, 0.75, 0.75), axial_mm=axial_mm) == feret_diameter_mm(
        mask, (2.5, 0.75, 0.75)
    )


def test_one_voxel_is_one_voxel_wide():
    mask = RegionMask("a", 1, (0, 0, 0), np.ones((1, 1, 1), bool))
    assert longest_axial_diameter_mm(mask, (5.0, 3.0, 3.0)) == pytest.approx(3.0)


def test_a_region_of_interest_on_a_slice_has_no_extent_along_z():
    mask = RegionMask("a", 1, (0, 0, 0), np.ones((1, 1, 9), bool))
    assert feret_diameter_mm(mask, (5.0, 1.0, 1.0), dimensions="2d") == pytest.approx(9.0)
