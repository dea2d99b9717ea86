"""Depth against analytic shapes: spheres, ellipsoids, cylinders, discs; and which masks are 2-D."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from gsigpu.errors import SettingsError
from gsigpu.regions.boundary import cap_heights_mm, chosen_dimensions, depth_mm, signed_distance_mm
from gsigpu.regions.region_mask import RegionMask, region_mask
from gsigpu.regions.shells import lesion_regions

THIN = [(0.625, 0.7, 0.7), (1.0, 1.0, 1.0), (1.25, 0.6, 0.9)]
THICK = [(2.5, 0.75, 0.75), (3.0, 0.8, 0.8), (5.0, 0.8, 0.8)]


def points(spacing_mm, reach_mm, rng):
    """(z, y, x) mm of voxel centres around a shape whose centre lies anywhere between voxels."""
    half = [int(reach_mm / size) + 2 for size in spacing_mm]
    shift = rng.uniform(-0.5, 0.5, 3)
    axes = [(np.arange(-n, n + 1) + s) * size for n, s, size in zip(half, shift, spacing_mm, strict=True)]  # fmt: skip
    return np.meshgrid(*axes, indexing="ij")


def errors_in_spheres(spacing_mm, radius_mm, *, n=12):
    """(depth, error, polar) of voxels, over places of the centre; positive is deeper than true."""
    rng = np.random.default_rng(7)
    collected = []
    for _ in range(n):
        z, y, x = points(spacing_mm, radius_mm + 6.0, rng)
        true = radius_mm - np.sqrt(z**2 + y**2 + x**2)
        error = -signed_distance_mm(true >= 0, spacing_mm) - true
        polar = np.abs(z) > 0.7 * (radius_mm - true)
        collected.append(np.stack([true, error, polar])[:, np.abs(true) < 4.0])
    return np.concatenate(collected, axis=1)


@pytest.mark.parametrize("spacing", [*THIN, *THICK])
@pytest.mark.parametrize("radius", [5.0, 7.5, 10.0, 15.0])
def test_depth_in_spheres_is_unbiased_at_the_poles_too(spacing, radius):
    true, error, polar = errors_in_spheres(spacing, radius)
    inside = true > 0
    assert abs(error[inside].mean()) < 0.08
    assert abs(error[inside & (polar == 1)].mean()) < 0.1
    assert error[inside].std() < (0.26 if spacing[0] < 5.0 else 0.31)


@pytest.mark.parametrize("spacing", [*THIN, *THICK])
@pytest.mark.parametrize("radius", [7.5, 10.0, 15.0])
def test_distance_outside_spheres_is_unbiased(spacing, radius):
    true, error, _ = errors_in_spheres(spacing, radius)
    assert abs(error[true < 0].mean()) < 0.12


@pytest.mark.parametrize("spacing", THICK)
@pytest.mark.parametrize(("radius", "half"), [(6.0, 10.0), (10.0, 7.0)])
def test_depth_below_the_flat_ends_of_cylinders(spacing, radius, half):
    """Nothing tells where between two slices they end, and no lesion ends so: within a sixth of a slice on average."""
    rng = np.random.default_rng(8)
    errors = []
    for _ in range(30):
        z, y, x = points(spacing, 12.0, rng)
        end, side = half - np.abs(z), radius - np.hypot(y, x)
        true = np.minimum(end, side)
        error = depth_mm(true >= 0, spacing) - true
        errors.append(error[(true > 0) & (end < side)])
    assert abs(np.concatenate(errors).mean()) < spacing[0] / 6.0


@pytest.mark.parametrize("spacing", THICK)
def test_a_tilted_ellipsoid_has_its_closed_form_core(spacing):
    """Supersampled: the voxels deeper than 3 mm hold the volume that lies deeper than 3 mm."""
    rng = np.random.default_rng(9)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    semi_axes = np.array([13.0, 10.0, 9.0])
    fractions = []
    for _ in range(8):
        grid = np.stack(points(spacing, 14.0, rng), axis=-1)
        mask = (((grid @ turn) / semi_axes) ** 2).sum(-1) <= 1
        fractions.append((depth_mm(mask, spacing) > 3.0).sum() / mask.sum())
    fine = np.stack(np.meshgrid(*(np.arange(-14, 14, 0.5) + 0.25,) * 3, indexing="ij"), axis=-1)
    inside = (((fine @ turn) / semi_axes) ** 2).sum(-1) <= 1
    # On half-millimetre voxels the transform itself is the truth, to 0.1 mm.
    true = (depth_mm(inside, (0.5, 0.5, 0.5)) > 3.0).sum() / inside.sum()
    assert np.mean(fractions) == pytest.approx(true, abs=0.025)


@pytest.mark.parametrize("spacing", [(1.0, 0.6, 0.6), (0.625, 0.8, 0.8), (5.0, 0.7, 0.95)])
@pytest.mark.parametrize("radius", [3.0, 5.0, 10.0, 15.0])
def test_depth_in_discs_is_unbiased_whatever_the_slices(spacing, radius):
    rng = np.random.default_rng(10)
    errors = []
    for _ in range(20):
        _, y, x = points(spacing, radius + 5.0, rng)
        true = (radius - np.hypot(y, x))[:1]
        error = -signed_distance_mm(true >= 0, spacing, dimensions="2d") - true
        errors.append(error[np.abs(true) < 4.0])
    assert abs(np.concatenate(errors).mean()) < 0.05


@pytest.mark.parametrize("spacing", [*THIN, *THICK])
@pytest.mark.parametrize("n_slices", [1, 2])
@pytest.mark.parametrize("radius", [11.0, 15.0])
def test_a_mask_on_one_or_two_slices_has_the_rim_and_core_of_its_disc(spacing, n_slices, radius):
    """The fault that was: the neighbour slices counted as boundary, and no core or no rim was left."""
    rng = np.random.default_rng(11)
    fractions = []
    for _ in range(8):
        _, y, x = points(spacing, radius + 1.0, rng)
        disc = (np.hypot(y, x) <= radius)[:1]
        mask = region_mask("a", 1, np.repeat(disc, n_slices, axis=0))
        parts = lesion_regions(mask, spacing, (99, 99, 99))
        assert "2d-roi" in parts.flags
        assert parts.dimensions == "2d"
        assert parts.rim_mm == 3.0
        assert parts.largest_depth_mm == pytest.approx(radius, abs=1.0)
        fractions.append(parts.regions["core"].n_voxels / parts.regions["lesion"].n_voxels)
    assert np.mean(fractions) == pytest.approx((1 - 3.0 / radius) ** 2, abs=0.03)


@pytest.mark.parametrize("spacing", [*THIN, *THICK, (10.0, 0.8, 0.8)])
@pytest.mark.parametrize("radius", [2.5, 4.0, 5.0, 7.5, 10.0, 15.0])
def test_a_sphere_is_never_a_2d_region_of_interest(spacing, radius):
    rng = np.random.default_rng(12)
    for _ in range(40):
        z, y, x = points(spacing, radius, rng)
        mask = z**2 + y**2 + x**2 <= radius**2
        if mask.any():
            assert chosen_dimensions(region_mask("a", 1, mask), spacing) == "3d"


@pytest.mark.parametrize("spacing", [*THIN, *THICK])
@pytest.mark.parametrize("flattening", [0.7, 0.85])
def test_flat_lesions_are_whole_lesions(spacing, flattening):
    """Ellipsoids from 0.7 times as high as wide."""
    rng = np.random.default_rng(13)
    for radius in (7.5, 10.0, 15.0):
        for _ in range(20):
            z, y, x = points(spacing, radius, rng)
            mask = (z / flattening) ** 2 + y**2 + x**2 <= radius**2
            assert chosen_dimensions(region_mask("a", 1, mask), spacing) == "3d"


def test_a_stack_of_equal_slices_through_a_lesion_is_2d():
    disc = np.hypot(*np.mgrid[-14:15, -14:15]) <= 13.0
    mask = RegionMask("a", 1, (9, 9, 9), np.repeat(disc[None], 4, axis=0))
    assert chosen_dimensions(mask, (0.625, 0.8, 0.8)) == "2d"
    assert chosen_dimensions(mask, (0.625, 0.8, 0.8), "3d") == "3d"
    # Two slices with a gap between them are two slices, however far apart.
    apart = np.zeros((9, *disc.shape), bool)
    apart[0] = apart[8] = disc
    assert chosen_dimensions(region_mask("a", 1, apart), (2.5, 0.8, 0.8)) == "2d"
    with pytest.raises(SettingsError, match="auto, 2d, 3d"):
        chosen_dimensions(mask, (1.0, 1.0, 1.0), "4d")


def test_the_rule_that_is_asked_for_is_used():
    ball = np.sqrt(sum(axis**2 for axis in np.mgrid[-9:10, -9:10, -9:10])) <= 8.0
    mask = region_mask("a", 1, ball)
    in_space, in_plane = (
        lesion_regions(mask, (1.0, 1.0, 1.0), (99, 99, 99), dimensions=rule)
        for rule in ("auto", "2d")
    )
    assert in_space.dimensions == "3d"
    assert "2d-roi" in in_plane.flags
    # Within slices the caps of a ball are deep in the middle.
    assert in_plane.regions["core"].n_voxels > in_space.regions["core"].n_voxels
    shell, lesion = in_plane.regions["perilesional"], in_plane.regions["lesion"]
    assert shell.box[0] == lesion.box[0]


@pytest.mark.parametrize("slice_mm", [2.5, 5.0])
def test_cap_heights_of_an_ellipsoid(slice_mm):
    """Its slices' areas are a quadratic in z, whatever its axes: three areas give the pole."""
    rng = np.random.default_rng(14)
    for _ in range(10):
        z, y, x = points((slice_mm, 0.4, 0.4), 14.0, rng)
        mask = (z / 14.0) ** 2 + (y / 9.0) ** 2 + (x / 7.0) ** 2 <= 1
        planes = np.flatnonzero(mask.any(axis=(1, 2)))
        low, high = z[planes[0], 0, 0], z[planes[-1], 0, 0]
        below, above = cap_heights_mm(mask[planes[0] : planes[-1] + 1], (slice_mm, 0.4, 0.4))
        assert below == pytest.approx(14.0 + low, abs=0.5)
        assert above == pytest.approx(14.0 - high, abs=0.5)


@pytest.mark.parametrize("spacing", THICK)
def test_slices_of_their_own_stay_inside_and_empty_ones_outside(spacing):
    """A thick mask with a gap, a hole and two parts: the sign of the distance is the mask."""
    rng = np.random.default_rng(15)
    mask = rng.random((7, 14, 15)) < 0.6
    mask[3] = False
    signed = signed_distance_mm(mask, spacing)
    np.testing.assert_array_equal(signed < 0, mask)


@pytest.mark.parametrize("dimensions", ["2d", "3d"])
@pytest.mark.parametrize("spacing_mm", [(1.0, 0.75, 0.75), (5.0, 0.8, 0.8)])
def test_background_far_from_a_mask_changes_no_depth(dimensions, spacing_mm):
    """To the bit, for masks of any shape: depth is looked for near the mask alone."""
    rng = np.random.default_rng(5)
    for share in (0.02, 0.3, 0.9):
        mask = rng.random((6, 9, 8)) < share
        wide = np.pad(mask, ((0, 0), (7, 3), (1, 11)))
        near = signed_distance_mm(mask, spacing_mm, dimensions=dimensions)
        far = signed_distance_mm(wide, spacing_mm, dimensions=dimensions)[:, 7:-3, 1:-11]
        assert np.array_equal(near[mask], far[mask])
        if dimensions == "3d" and spacing_mm[0] < 2:
            sampling = [round(size * 2**18) / 2**18 for size in spacing_mm]
            depth = distance_transform_edt(np.pad(mask, 1), sampling=sampling)[1:-1, 1:-1, 1:-1]
            offset = 0.37 * np.prod(sampling) ** (1 / 3)
            assert np.array_equal(-near[mask], np.maximum(depth - offset, 0.1 * min(sampling))[mask])  # fmt: skip
