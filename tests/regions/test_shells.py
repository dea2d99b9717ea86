"""Rim, core and shells against closed forms of spheres, and as laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gsigpu.errors import InputError, SettingsError
from gsigpu.regions.boundary import depth_mm
from gsigpu.regions.region_mask import RegionMask, region_mask
from gsigpu.regions.shells import (
    distance_field,
    lesion_regions,
    parenchyma,
    parse_rim,
    profile_shells,
    surroundings,
)

SPACINGS = [(1.0, 1.0, 1.0), (2.5, 0.75, 0.75), (1.25, 0.6, 0.9), (5.0, 0.8, 0.8)]


def sphere(radius_mm, spacing_mm, centre_shift=(0.0, 0.0, 0.0), margin_mm=14.0, radii=None):
    """Boolean mask of a sphere (or ellipsoid) in the middle of a grid; a voxel is in when its centre is."""
    radii = radii or (radius_mm,) * 3
    shape = [2 * int((r + margin_mm) / s) + 1 for r, s in zip(radii, spacing_mm, strict=True)]
    axes = [
        (np.arange(n) - n // 2) * s + shift
        for n, s, shift in zip(shape, spacing_mm, centre_shift, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return (z / radii[0]) ** 2 + (y / radii[1]) ** 2 + (x / radii[2]) ** 2 <= 1


@pytest.mark.parametrize("spacing", SPACINGS)
def test_depth_in_a_sphere(spacing):
    """At distance r from the centre of a sphere of radius R the depth is R - r, within half a voxel diagonal."""
    radius = 12.0
    mask = sphere(radius, spacing)
    depth = depth_mm(mask, spacing)
    index = np.argwhere(mask) - np.array(mask.shape) // 2
    true = radius - np.linalg.norm(index * np.array(spacing), axis=1)
    error = depth[mask] - true
    assert np.abs(error).max() < 0.75 * np.linalg.norm(spacing)
    assert abs(error.mean()) < 0.12 * max(spacing)


def surface_mm2_and_mean_curvature_mm(radii):
    """Of an ellipsoid, as means over 20,000 directions u.

    Surface: four times the mean projected area (Cauchy), which is pi abc |u / a|. Integral of the mean
    curvature: 2 pi times the mean width, which is 2 |a u|.
    """
    k = np.arange(20_000) + 0.5
    cosine, angle = 1 - k / 10_000, np.pi * (1 + np.sqrt(5)) * k
    sine = np.sqrt(1 - cosine**2)
    u = np.column_stack([cosine, sine * np.cos(angle), sine * np.sin(angle)])
    surface = 4 * np.pi * np.prod(radii) * np.linalg.norm(u / radii, axis=1).mean()
    return surface, 4 * np.pi * np.linalg.norm(u * radii, axis=1).mean()


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.4, 0.3, 0.1)])
@pytest.mark.parametrize(
    "radii", [(6, 6, 6), (10, 10, 10), (15, 15, 15), (9, 14, 10), (12, 8, 11), (8, 9, 12)]
)
def test_rim_of_spheres_and_ellipsoids_has_its_closed_form_volume(spacing, shift, radii):
    """Steiner's formula for the body that lies deeper than t, below the least radius of curvature.

    V(t) = V - S t + M t^2 - 4/3 pi t^3
    """
    t = 3.0
    assert t < min(radii) ** 2 / max(radii)
    mask = region_mask("a", 1, sphere(0, spacing, shift, radii=radii))
    regions = lesion_regions(mask, spacing, (999, 999, 999), rim=parse_rim("3mm"))
    assert regions.rim_mm == t
    fraction = regions.regions["rim"].n_voxels / regions.regions["lesion"].n_voxels
    volume = 4 / 3 * np.pi * np.prod(radii)
    surface, curvature = surface_mm2_and_mean_curvature_mm(np.array(radii, float))
    true = (surface * t - curvature * t**2 + 4 / 3 * np.pi * t**3) / volume
    # As thickness of a layer on the surface: within a fifth of a voxel.
    assert abs(fraction - true) * volume / surface < 0.2 * np.mean(spacing)


def test_half_a_ball_at_the_edge_of_the_volume():
    """What is beyond the volume is background: the largest ball in half a ball has half its radius."""
    spacing, radius = (1.0, 1.0, 1.0), 16.0
    half = sphere(radius, spacing)
    half = half[half.shape[0] // 2 :]
    regions = lesion_regions(region_mask("a", 1, half), spacing, half.shape)
    assert regions.largest_depth_mm == pytest.approx(radius / 2, abs=0.75)
    assert "touches-edge" in regions.flags


def test_two_lesions_that_touch_are_measured_apart():
    """Each half of a ball has its own rim along the common face, and no shell in the other."""
    spacing, radius = (1.5, 1.0, 1.0), 16.0
    ball = sphere(radius, spacing)
    halves = [ball.copy(), ball.copy()]
    middle = ball.shape[2] // 2
    halves[0][:, :, middle:] = halves[1][:, :, :middle] = False
    first, second = (region_mask(f"{i}", i, half) for i, half in enumerate(halves, start=1))
    for lesion, other in ((first, second), (second, first)):
        regions = lesion_regions(lesion, spacing, ball.shape, others=[other])
        assert "touches-lesion" in regions.flags
        assert regions.largest_depth_mm == pytest.approx(radius / 2, abs=1.0)
        rim, shell = np.zeros_like(ball), np.zeros_like(ball)
        rim[regions.regions["rim"].box] = regions.regions["rim"].voxels
        shell[regions.regions["perilesional"].box] = regions.regions["perilesional"].voxels
        centre = (ball.shape[0] // 2, ball.shape[1] // 2)
        assert rim[(*centre, middle - 1 if lesion is first else middle)]
        assert not (shell & ball).any()


def test_the_wall_of_a_hole_is_boundary():
    """Between two concentric spheres the depth is at most half the distance between them."""
    spacing, outer, inner = (1.0, 1.0, 1.0), 14.0, 6.0
    mask = sphere(outer, spacing)
    mask &= ~sphere(inner, spacing, margin_mm=14.0 + outer - inner)
    regions = lesion_regions(region_mask("a", 1, mask), spacing, mask.shape, rim=parse_rim("2mm"))
    assert regions.largest_depth_mm == pytest.approx((outer - inner) / 2, abs=0.75)
    rim = np.zeros_like(mask)
    rim[regions.regions["rim"].box] = regions.regions["rim"].voxels
    centre = [side // 2 for side in mask.shape]
    distance = np.linalg.norm(np.argwhere(rim) - centre, axis=1)
    assert (distance < inner + 2.75).any()  # against the hole
    assert not ((distance > inner + 2.75) & (distance < outer - 2.75)).any()


@settings(max_examples=60, deadline=None)
@given(arrays(bool, (4, 6, 5)), st.sampled_from(SPACINGS), st.sampled_from(["auto", "2mm", "30%"]))
def test_rim_and_core_part_the_lesion(voxels, spacing, rim):
    voxels[1, 2, 3] = True
    lesion = region_mask("a", 1, voxels)
    regions = lesion_regions(lesion, spacing, (4, 6, 5), rim=parse_rim(rim))
    painted = np.zeros((4, 6, 5), int)
    for name in ("rim", "core"):
        if name in regions.regions:
            painted[regions.regions[name].box] += regions.regions[name].voxels
    np.testing.assert_array_equal(painted == 1, voxels)
    assert painted.max() == 1


@settings(max_examples=30, deadline=None)
@given(arrays(bool, (4, 5, 6)), st.sampled_from([0, 1, 2]))
def test_depth_does_not_depend_on_the_way_round(voxels, axis):
    spacing = (2.0, 0.7, 1.1)
    depth = depth_mm(voxels, spacing)
    np.testing.assert_allclose(np.flip(depth_mm(np.flip(voxels, axis), spacing), axis), depth)
    np.testing.assert_array_equal(depth > 0, voxels)


def test_auto_rim_is_three_millimetres_or_half_the_depth():
    small, large = (
        lesion_regions(
            region_mask("a", 1, sphere(r, (1.0, 1.0, 1.0))), (1.0, 1.0, 1.0), (99, 99, 99)
        )
        for r in (3.0, 12.0)
    )
    assert small.rim_mm == pytest.approx(small.largest_depth_mm / 2)
    assert large.rim_mm == 3.0
    assert {"rim", "core"} <= set(small.regions)


def test_shell_stays_in_the_liver_and_off_other_lesions():
    spacing = (2.0, 1.0, 1.0)
    mask = sphere(5.0, spacing)
    lesion = region_mask("a", 1, mask)
    liver_mask = np.zeros_like(mask)
    liver_mask[:, :, : mask.shape[2] // 2 + 3] = True
    other = np.zeros_like(mask)
    other[mask.shape[0] // 2, :6, :] = True
    shell = lesion_regions(
        lesion,
        spacing,
        mask.shape,
        others=[region_mask("b", 2, other)],
        liver=region_mask("liver", 1, liver_mask),
    ).regions["perilesional"]
    whole = np.zeros_like(mask)
    whole[shell.box] = shell.voxels
    assert not (whole & (mask | other | ~liver_mask)).any()
    index = np.argwhere(whole) - np.array(mask.shape) // 2
    distance = np.linalg.norm(index * np.array(spacing), axis=1) - 5.0
    assert distance.max() < 5.0 + 1.2
    assert distance.min() > -0.6


def test_parenchyma_keeps_clear_of_lesions_and_vessels():
    spacing = (1.0, 1.0, 1.0)
    mask = sphere(4.0, spacing, margin_mm=20.0)
    vessel = np.zeros_like(mask)
    vessel[:, :3, :] = True
    liver = region_mask("liver", 1, np.ones_like(mask))
    normal = parenchyma(
        liver,
        [region_mask("a", 1, mask)],
        spacing,
        mask.shape,
        vessels=[region_mask("v", 1, vessel)],
    )
    index = np.argwhere(normal.voxels) - np.array(mask.shape) // 2
    assert np.linalg.norm(index, axis=1).min() == pytest.approx(14.0, abs=1.0)
    assert not (normal.voxels & vessel).any()


@pytest.mark.parametrize("margin_mm", [8.0, 10.0, 15.0])
@pytest.mark.parametrize("dimensions", ["2d", "3d"])
def test_known_distances_give_the_same_parenchyma(dimensions, margin_mm):
    """Where they reach as far, in space; where not, they are computed anew."""
    spacing = (2.0, 1.0, 1.5)
    mask = sphere(6.0, spacing, margin_mm=20.0)
    liver, lesion = region_mask("liver", 1, np.ones_like(mask)), region_mask("a", 1, mask)
    field = distance_field(lesion, spacing, mask.shape, margin_mm=margin_mm, dimensions=dimensions)
    near = surroundings(field, 10.0, margin_mm=margin_mm)
    assert (near is not None) == (dimensions == "3d" and margin_mm >= 10.0)
    anew = parenchyma(liver, [lesion], spacing, mask.shape)
    known = parenchyma(liver, [lesion], spacing, mask.shape, around=[near])
    np.testing.assert_array_equal(known.voxels, anew.voxels)


def test_profile_shells_part_the_surroundings():
    spacing = (1.5, 1.0, 1.0)
    mask = sphere(7.0, spacing)
    shells = profile_shells(region_mask("a", 1, mask), spacing, mask.shape)
    middles = [middle for middle, _ in shells]
    assert middles == sorted(middles)
    assert middles[-1] == 9.5
    painted = np.zeros(mask.shape, int)
    for middle, shell in shells:
        painted[shell.box] += shell.voxels
        index = np.argwhere(shell.voxels) + np.array(shell.origin) - np.array(mask.shape) // 2
        distance = np.linalg.norm(index * np.array(spacing), axis=1) - 7.0
        assert abs(distance.mean() - middle) < 0.6
    assert painted.max() == 1
    np.testing.assert_array_equal(painted[mask], 1)


@pytest.mark.parametrize(
    ("voxels", "grid", "flag"),
    [
        (np.ones((1, 4, 4), bool), (9, 9, 9), "one-slice"),
        (np.ones((1, 1, 2), bool), (9, 9, 9), "few-voxels:lesion"),
        (np.ones((3, 4, 9), bool), (9, 9, 9), "touches-edge"),
    ],
)
def test_flags(voxels, grid, flag):
    origin = (4, 3, 0) if flag == "touches-edge" else (4, 3, 2)
    regions = lesion_regions(RegionMask("a", 1, origin, voxels), (1.0, 1.0, 1.0), grid)
    assert flag in regions.flags


def test_a_lesion_that_is_all_rim_has_no_core():
    regions = lesion_regions(
        RegionMask("a", 1, (3, 3, 3), np.ones((2, 2, 2), bool)),
        (1.0, 1.0, 1.0),
        (9, 9, 9),
        rim=parse_rim("3mm"),
    )
    assert "core" not in regions.regions
    assert "core-empty" in regions.flags


@pytest.mark.parametrize("text", ["", "3", "-2mm", "0mm", "130%", "thick"])
def test_bad_rims_are_refused(text):
    with pytest.raises(SettingsError):
        parse_rim(text)


def test_empty_masks_are_refused():
    with pytest.raises(InputError, match="empty"):
        region_mask("a", 1, np.zeros((2, 2, 2), bool))


@pytest.mark.parametrize(("slice_mm", "is_thick"), [(1.0, False), (2.5, False), (5.0, True)])
def test_rim_and_core_that_share_voxels_are_flagged(slice_mm, is_thick):
    spacing = (slice_mm, 0.8, 0.8)
    regions = lesion_regions(region_mask("a", 1, sphere(12.0, spacing)), spacing, (99, 999, 999))
    assert regions.rim_mm == 3.0
    assert ("thick-slices" in regions.flags) == is_thick
