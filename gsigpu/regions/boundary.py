"""Where the surface of a mask lies between voxels, and how far voxels are from it.

A mask says of voxel centres whether they lie in a region. Its surface lies somewhere between the last centre
inside and the first one outside, and every distance depends on where.

    3d, thin slices    A Euclidean distance transform measures to the nearest centre on the other side. The
                       surface is nearer by 0.37 times the cube root of the voxel's volume on average.
    3d, thick slices   From slices twice as thick as pixels are wide, that offset is wrong where the surface faces
                       the slices: at the poles. The mask is first divided into thinner slices. Between two
                       slices the signed in-plane distances are interpolated (shape-based interpolation, Raya and
                       Udupa, IEEE Trans Med Imaging 1990;9:32-42), with the curvature of the slices beyond;
                       beyond the last slice stands a cap whose height follows from the areas of the last slices,
                       which on an ellipsoid are a quadratic in z.
    2d                 For a region of interest that was drawn on one or two slices through a larger lesion, the
                       neighbouring slices are no boundary. Distances are taken within each slice.

Oracle: analytic spheres, ellipsoids, cylinders and discs (tests/regions/test_boundary.py, design/009). Where a
surface is known better than by voxels, as a mesh or contours, measure on that instead: at 5 mm slices the error of
a single voxel's depth is 0.2 mm (one standard deviation), of a region on a single slice unknown.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import DISTANCE_UNIT_MM, backend_for, on_host
from gsigpu.errors import SettingsError
from gsigpu.maps.nonlinear import array_namespace
from gsigpu.regions.region_mask import RegionMask, Spacing

Dimensions = Literal["2d", "3d"]


class SignedDistances(Protocol):
    """`signed_distance_mm`, wherever it is computed."""

    def __call__(self, voxels: Any, spacing_mm: Spacing, *, dimensions: Dimensions = "3d") -> Any:
        """(z, y, x) float64, mm, where the voxels are."""


RIM_DIMENSIONS = ("auto", "2d", "3d")

# Of the cube root of a voxel's volume (the square root of a pixel's area in 2-D): from the surface to the nearest
# centre beyond it. Spheres of 5 to 15 mm radius are unbiased with it.
_BOUNDARY_OFFSET = 0.37
# Of the smallest spacing: a voxel inside is never at depth 0.
_LEAST_DEPTH = 0.1
# Slice spacing over pixel size from which slices are divided. Below it the offset alone is unbiased to 0.05 mm.
_THICK_SLICES = 2.0
# Lesions are taken to be at least this high along z, in parts of their width. An ellipsoid of height h has voxels
# on n slices s apart with (n + 1) s > h, wherever it lies between them: a mask on fewer is no whole lesion.
_LEAST_HEIGHT = 0.7
# On three slices or more, a flat mask is a region of interest only if it ends abruptly: of an ellipsoid on three
# slices, an end has 75 % of the largest area at most.
_ABRUPT_END = 0.8
# On so few slices it cannot be seen whether a mask tapers.
_FEW_SLICES = 2
# A cap cannot reach the next slice, which is empty; an estimate beyond this says that the region is no ellipsoid.
_HIGHEST_CAP = 1.25
# Height of a cap of which nothing is known: the surface lies half-way to the next slice, on average.
_UNKNOWN_CAP = 0.5
# In slices: a cap is never lower, so that the last slice stays inside.
_LOWEST_CAP = 0.05
# Of a millimetre, or a slice: what is nearer to a surface lies on it, so that rounding does not decide.
_ROUNDING = 1e-9


def chosen_dimensions(mask: RegionMask, spacing_mm: Spacing, rule: str = "auto") -> Dimensions:
    """In how many dimensions the depth of a mask is measured.

    rule : `2d` or `3d` as they say. `auto` takes 2d for a mask that cannot be a whole lesion: it is on fewer slices
        than an ellipsoid 0.7 times as high as wide has, wherever that lies between them (n slices s apart, width
        w: (n + 1) s < 0.7 w, with w the diameter of a circle with the area of the largest slice), and it is on
        one or two slices, or ends abruptly, with 80 % of the largest area or more at both ends.
    Raises SettingsError for another rule.

    >>> roi = RegionMask("a", 1, (5, 0, 0), np.ones((1, 12, 12), bool))
    >>> chosen_dimensions(roi, (2.5, 0.8, 0.8)), chosen_dimensions(roi, (5.0, 0.8, 0.8))
    ('2d', '3d')
    """
    if rule not in RIM_DIMENSIONS:
        raise SettingsError(
            f"unknown dimensions {rule!r} of the rim", remedy=f"use {', '.join(RIM_DIMENSIONS)}"
        )
    if rule != "auto":
        return "2d" if rule == "2d" else "3d"
    areas = _areas_mm2(mask.voxels, spacing_mm)
    areas = areas[areas > 0]
    width_mm = 2.0 * float(np.sqrt(areas.max() / np.pi))
    if (len(areas) + 1) * spacing_mm[0] >= _LEAST_HEIGHT * width_mm:
        return "3d"
    ends_abruptly = min(areas[0], areas[-1]) >= _ABRUPT_END * areas.max()
    return "2d" if len(areas) <= _FEW_SLICES or ends_abruptly else "3d"


def depth_mm(voxels: Any, spacing_mm: Spacing, *, dimensions: Dimensions = "3d") -> Any:
    """Depth of every voxel of a mask below its surface; 0 outside.

    voxels : (z, y, x) bool, NumPy or CuPy; what lies beyond the array is background
    Returns (z, y, x) float64, mm.

    >>> depth_mm(np.ones((1, 1, 3), bool), (1.0, 1.0, 1.0)).round(2)
    array([[[0.63, 0.63, 0.63]]])
    """
    xp = array_namespace(voxels)
    return xp.maximum(-signed_distance_mm(voxels, spacing_mm, dimensions=dimensions), 0.0)


def signed_distance_mm(voxels: Any, spacing_mm: Spacing, *, dimensions: Dimensions = "3d") -> Any:
    """Distance of every voxel of a box from the surface of a mask in it, negative inside.

    voxels : (z, y, x) bool, NumPy or CuPy; what lies beyond the array is background
    Returns (z, y, x) float64, mm; never 0; infinite in 2d on slices without the mask.

    >>> signed_distance_mm(np.eye(1, 4, dtype=bool)[None], (1.0, 1.0, 1.0)).round(2)
    array([[[-0.63,  0.63,  1.63,  2.63]]])
    """
    xp = array_namespace(voxels)
    if dimensions == "2d":
        return _signed_in_planes(voxels, _on_lattice(spacing_mm, 1))
    padded = xp.pad(voxels, 1)
    n_parts = _n_parts(spacing_mm)
    spacing_mm = _on_lattice(spacing_mm, n_parts)
    if n_parts > 1:
        padded = _divided(padded, spacing_mm, n_parts)
    spacing_mm = (spacing_mm[0] / n_parts, *spacing_mm[1:])
    # The slices' own centres: every n-th of the thin slices, from the middle of the first.
    centres = slice(n_parts + n_parts // 2, padded.shape[0] - n_parts, n_parts)
    return _signed(padded, spacing_mm)[centres, 1:-1, 1:-1]


def cap_heights_mm(voxels: Any, spacing_mm: Spacing) -> tuple[float, float]:
    """How far a mask is likely to reach beyond the centres of its first and of its last slice, mm.

    The area of an ellipsoid's slices is a quadratic in z, so that the areas of the last three slices tell where it
    becomes 0; the areas of two, where the region is taken for round. Half a slice where neither tells.

    voxels : (z, y, x) bool, without empty slices at its ends
    """
    areas = _areas_mm2(voxels, spacing_mm)
    below, above = (_cap_height(list(ends), spacing_mm[0]) for ends in (areas[:3], areas[::-1][:3]))
    return below * spacing_mm[0], above * spacing_mm[0]


def _on_lattice(spacing_mm: Spacing, n_parts: int) -> Spacing:
    """The nearest spacing, by 2 nm per part at most, whose squares and their sums float64 holds: no processor rounds then.

    n_parts : into so many a slice is divided; the parts lie on the lattice too
    """
    units = (DISTANCE_UNIT_MM * n_parts, DISTANCE_UNIT_MM, DISTANCE_UNIT_MM)
    z, y, x = (
        max(round(size / unit), 1) * unit for size, unit in zip(spacing_mm, units, strict=True)
    )
    return (z, y, x)


def _edt(mask: Any, spacing_mm: tuple[float, ...]) -> Any:
    """Distance of the True voxels to the nearest False one, where the mask lies."""
    return backend_for(mask).distance_transform(mask, spacing_mm)


def _signed(mask: Any, spacing_mm: tuple[float, ...]) -> Any:
    """Of a mask with background around it, in as many dimensions as it has."""
    xp = array_namespace(mask)
    offset = _BOUNDARY_OFFSET * float(np.prod(spacing_mm)) ** (1.0 / len(spacing_mm))
    least = _LEAST_DEPTH * min(spacing_mm)
    signed = xp.maximum(_edt(~mask, spacing_mm) - offset, least)
    # No background beyond the voxels around the mask is nearer to one inside than these are.
    box = _box_with_background(mask, len(spacing_mm))
    inside = xp.maximum(_edt(mask[box], spacing_mm) - offset, least)
    signed[box] = xp.where(mask[box], -inside, signed[box])
    return signed


def _box_with_background(mask: Any, n_axes: int) -> tuple[slice, ...]:
    """The part of an array on the host that holds a mask and the voxels around it, along the last axes; all on a card.

    mask : with background around it along these axes
    """
    everything = tuple(slice(None) for _ in mask.shape)
    if array_namespace(mask) is not np or not mask.any():
        return everything
    box = list(everything)
    for axis in range(mask.ndim - n_axes, mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        box[axis] = slice(int(hit[0]) - 1, int(hit[-1]) + 2)
    return tuple(box)


def _signed_in_planes(voxels: Any, spacing_mm: Spacing) -> Any:
    """Each slice by itself."""
    xp = array_namespace(voxels)
    signed = _signed(xp.pad(voxels, ((0, 0), (1, 1), (1, 1))), spacing_mm[1:])
    return signed[:, 1:-1, 1:-1]


def _n_parts(spacing_mm: Spacing) -> int:
    """Into how many a slice is divided: an odd number, so that its centre is a centre of the parts."""
    ratio = spacing_mm[0] / float(np.sqrt(spacing_mm[1] * spacing_mm[2]))
    return max(2 * round((ratio - 1.0) / 2.0) + 1, 3) if ratio >= _THICK_SLICES else 1


def _divided(mask: Any, spacing_mm: Spacing, n_parts: int) -> Any:
    """The mask on slices of 1/n of the thickness; at the slices' own centres it is the same.

    mask : (z, y, x) bool, with background around it
    """
    xp = array_namespace(mask)
    n_slices = mask.shape[0]
    # Distances between pixel centres on either side: the surface is where they cross 0.
    has_voxels = on_host(mask.any(axis=(1, 2)))
    between_centres = _edt(mask, spacing_mm[1:]) - _edt(~mask, spacing_mm[1:])
    heights: list[Any] = [
        height if has_any else None
        for height, has_any in zip(between_centres, has_voxels, strict=True)
    ]
    # -inf where a slice has no voxel
    peaks = [float(peak) for peak in on_host(between_centres.max(axis=(1, 2)))]
    for z, height in enumerate(heights):
        if height is not None:
            # A part that ends here ends half-way to the next slice, however far other parts are there.
            beside = max([peaks[i] for i in (z - 1, z + 1) if 0 <= i < n_slices])
            heights[z] = height if beside == -np.inf else xp.maximum(height, -beside)
    areas = list(_areas_mm2(mask, spacing_mm))
    divided = xp.zeros((n_slices * n_parts, *mask.shape[1:]), dtype=bool)
    middle = n_parts // 2
    for z in range(n_slices):
        divided[z * n_parts + middle] = mask[z]
        if z == n_slices - 1:
            break
        for part in range(1, n_parts):
            share = part / n_parts
            target = z * n_parts + middle + part
            if heights[z] is not None and heights[z + 1] is not None:
                divided[target] = _between(heights, z, share) > _ROUNDING
            elif heights[z] is not None:
                ends = [areas[i] for i in (z, z - 1, z - 2) if i >= 0]
                divided[target] = _cap(heights[z], ends, spacing_mm[0], share)
            elif heights[z + 1] is not None:
                ends = [areas[i] for i in (z + 1, z + 2, z + 3) if i < n_slices]
                divided[target] = _cap(heights[z + 1], ends, spacing_mm[0], 1.0 - share)
    return divided


def _between(heights: list[Any], z: int, share: float) -> Any:
    """Signed distances at a share of the way from slice z to the next.

    Straight interpolation makes a cone of a ball. The second difference over the slices beyond, where it is
    negative as on a convex body, rounds it off.
    """
    xp = array_namespace(heights[z])
    here, there = heights[z], heights[z + 1]
    bends = []
    if z > 0 and heights[z - 1] is not None:
        bends.append(heights[z - 1] - 2.0 * here + there)
    if z + 2 < len(heights) and heights[z + 2] is not None:
        bends.append(here - 2.0 * there + heights[z + 2])
    straight = (1.0 - share) * here + share * there
    if not bends:
        return straight
    bend = xp.minimum(sum(bends) / len(bends), 0.0)
    return straight - 0.5 * share * (1.0 - share) * bend


def _cap(height: Any, areas_mm2: list[float], slice_mm: float, share: float) -> Any:
    """Whether a voxel lies in the cap beyond the last slice, at a share of the way to the empty one.

    The cap is a paraboloid over the slice: full height in the middle, none at the edge.
    """
    inward = array_namespace(height).clip(height / height.max(), 0.0, 1.0)
    return share + _ROUNDING < _cap_height(areas_mm2, slice_mm) * (2.0 - inward) * inward


def _cap_height(areas_mm2: list[float], slice_mm: float) -> float:
    """In slices, from the areas of the last slice, the one before, and the one before that (fewer where none are)."""
    last, before, earlier = (*(float(area) for area in areas_mm2), 0.0, 0.0)[:3]
    if before <= 0.0:
        return max(min(_UNKNOWN_CAP, float(np.sqrt(last / np.pi)) / slice_mm), _LOWEST_CAP)
    # area(t) = last + slope t + bend t², t slices beyond the last.
    bend = (earlier - 2.0 * before + last) / 2.0 if earlier > 0.0 else -np.pi * slice_mm**2
    slope = last - before + bend
    discriminant = slope**2 - 4.0 * last * bend
    if discriminant < 0.0 or bend == 0.0:
        return _UNKNOWN_CAP
    height = (-slope - float(np.sqrt(discriminant))) / (2.0 * bend)
    if not 0.0 < height <= _HIGHEST_CAP:
        return _UNKNOWN_CAP
    return float(np.clip(height, _LOWEST_CAP, 1.0))


def _areas_mm2(voxels: Any, spacing_mm: Spacing) -> NDArray[np.float64]:
    """Of the slices, on the host."""
    counts = on_host(voxels.sum(axis=(1, 2)))
    return np.asarray(counts, np.float64) * spacing_mm[1] * spacing_mm[2]
