"""How large a region is.

A mask's outermost voxel centres lie inside its outline, so the longest line between centres is too short. How much is
expected follows from the shape (`_expected_deficit_mm`): on a circle some direction nearly always has centres close to
the edge, on an ellipse the long axis has one way to go. Within a slice this much is added; discs and ellipses of 5 to
30 mm and axis ratios of 0.5 to 1 come out right to a tenth of a pixel (design/009). Between outer corners of pixels discs
are 1.2 pixels too long, between centres ellipses are up to a pixel too short. In space 0.4 of a voxel's extent within the
slice is added, midway between balls and tilted ellipsoids.
Oracle: analytic discs, ellipses, spheres and ellipsoids; SimpleITK's Feret diameter, which runs between centres
(tests/regions/test_size.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gamma

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import on_host
from gsigpu.regions.boundary import Dimensions, cap_heights_mm
from gsigpu.regions.region_mask import RegionMask, Spacing, trimmed

# Of a voxel's extent along the diameter in space, for both ends together: midway between balls and ellipsoids.
_BEYOND_CENTRES = 0.4
# Of a pixel: no outline reaches further beyond its outermost centres than half a pixel at each end, on average.
_LARGEST_DEFICIT = 1.0
# Up to so many points all distances are faster than the hull that leaves few of them: 0.2 ms.
_FEW_POINTS = 400


def volume_ml(mask: RegionMask, spacing_mm: Spacing) -> float:
    """Voxels times their volume, mL.

    Unbiased for masks drawn by voxel centres. Of a region of interest on one slice it is not the lesion's.
    """
    return mask.n_voxels * float(np.prod(spacing_mm)) / 1000.0


@dataclass(frozen=True, slots=True)
class AxialLine:
    """A line within a slice.

    z : the slice
    start, end : (row, column) in voxel indices, a centre being a whole number
    length_mm : as `longest_axial_diameter_mm` gives it
    """

    z: int
    start: tuple[float, float]
    end: tuple[float, float]
    length_mm: float


def longest_axial_diameter_mm(mask: RegionMask, spacing_mm: Spacing) -> float:
    """The longest line within one slice (RECIST 1.1: Eisenhauer et al., Eur J Cancer 2009;45:228-47), mm.

    Between the outermost centres of pixels, and what such a line is expected to lack (`_expected_deficit_mm`).

    Returns 0 for an empty mask, and at least a pixel's size for any other.
    """
    line = longest_axial_line(mask, spacing_mm)
    return 0.0 if line is None else line.length_mm


def longest_axial_line(mask: RegionMask, spacing_mm: Spacing) -> AxialLine | None:
    """Where the longest axial diameter runs, in the volume's indices; None for an empty mask.

    The first slice of several that are equal. A single voxel's line is a pixel's size along the row.
    """
    pixel_mm = np.array(spacing_mm[1:])
    voxels = on_host(mask.voxels)
    slices = [
        (local, _row_ends(voxels[local]) * pixel_mm)
        for local in np.flatnonzero(voxels.any(axis=(1, 2))).tolist()
    ]
    if not slices:
        return None
    # No line is longer than the box's diagonal: with the largest boxes first, most slices need no hull.
    bounds_mm = {z: float(np.linalg.norm(np.ptp(c, axis=0))) + max(pixel_mm) for z, c in slices}
    slices.sort(key=lambda entry: (-bounds_mm[entry[0]], entry[0]))
    least_mm = float(np.sqrt(np.prod(pixel_mm)))
    first, centres = min(slices, key=lambda entry: entry[0])
    longest_mm, lacking_of_longest_mm, best, centres_of_best = least_mm, 0.0, first, centres[:1]
    for local, centres in slices:
        if bounds_mm[local] < longest_mm:
            break
        between_mm = _longest_mm(centres)
        area_mm2 = float(np.count_nonzero(voxels[local]) * np.prod(pixel_mm))
        lacking_mm = _expected_deficit_mm(between_mm, area_mm2, float(np.prod(pixel_mm)))
        length_mm = between_mm + lacking_mm
        is_longer = length_mm > longest_mm or (length_mm == longest_mm and local < best)
        if between_mm > 0.0 and is_longer:
            longest_mm, lacking_of_longest_mm = length_mm, lacking_mm
            best, centres_of_best = local, centres
    between_mm, start, end = _longest(centres_of_best, np.zeros(2))
    beyond = np.array([0.0, -least_mm / 2])
    if between_mm > 0.0:
        beyond = (start - end) / between_mm * lacking_of_longest_mm / 2
    start, end = start + beyond, end - beyond
    z0, *corner = mask.origin
    (y0, x0), (y1, x1) = (np.array(corner) + place / pixel_mm for place in (start, end))
    return AxialLine(
        z=z0 + best,
        start=(float(y0), float(x0)),
        end=(float(y1), float(x1)),
        length_mm=longest_mm,
    )


def _expected_deficit_mm(between_mm: float, area_mm2: float, pixel_mm2: float) -> float:
    """By how much the longest line between pixel centres is expected to be shorter than the outline's.

    between_mm : that line; area_mm2 : of the slice; pixel_mm2 : of a pixel, p²

    The outline is taken for an ellipse of half axes a and b = area / (π a), with radius of curvature ρ = b²/a at the
    ends of the long axis, and centres for points scattered at one per p². A pair of points at depths s below the
    outline and u along it, one at each end, is shorter than 2a by s1 + s2 + (u1² + u2²) / 2ρ - (u1 - u2)² / 4a. The
    expected number of pairs that lack less than d is then
        π ρ d³ / (3 ε p⁴)            on an ellipse of eccentricity ε
        16 π a^1.5 d^2.5 / (15 p⁴)   on a circle, where the pair may lie in any direction
    and the mean of the least d, with pairs as a Poisson process, is Γ(4/3) (3 ε p⁴ / π ρ)^(1/3), and
    Γ(7/5) (15 p⁴ / 16 π a^1.5)^(2/5). Near a circle the second, which is the larger, holds.
    Oracle: analytic circles and ellipses at random places (tests/regions/test_size.py). Of an outline that is no
    ellipse (a rectangle, a lobed lesion) it is a guess of the same size, at most a pixel.
    """
    half_mm = between_mm / 2.0
    if half_mm <= 0.0:
        return 0.0
    other_mm = min(area_mm2 / (np.pi * half_mm), half_mm)
    curvature_mm = other_mm**2 / half_mm
    eccentricity = float(np.sqrt(1.0 - (other_mm / half_mm) ** 2))
    on_ellipse_mm = gamma(4 / 3) * (3.0 * eccentricity * pixel_mm2**2 / (np.pi * curvature_mm)) ** (1 / 3)  # fmt: skip
    on_circle_mm = gamma(7 / 5) * (15.0 * pixel_mm2**2 / (16.0 * np.pi * half_mm**1.5)) ** (2 / 5)
    expected_mm = float(max(on_ellipse_mm, on_circle_mm))
    return min(expected_mm, _LARGEST_DEFICIT * float(np.sqrt(pixel_mm2)))


def feret_diameter_mm(
    mask: RegionMask,
    spacing_mm: Spacing,
    *,
    dimensions: Dimensions = "3d",
    axial_mm: float | None = None,
) -> float:
    """The longest distance between two points of the region in space, mm; 0 for an empty mask.

    Along z the region ends where the areas of its last slices say (`boundary.cap_heights_mm`); the outer faces of
    5 mm slices would make it up to 5 mm longer.
    dimensions : `2d` for a region of interest on a slice, which has no extent along z
    axial_mm : its longest axial diameter, where that is known; it is never shorter
    """
    if mask.n_voxels == 0:
        return 0.0
    voxels = on_host(trimmed(mask).voxels)
    points = _row_ends(voxels) * spacing_mm
    if dimensions == "3d":
        points = np.concatenate([points, _poles_mm(voxels, spacing_mm)])
    if axial_mm is None:
        axial_mm = longest_axial_diameter_mm(mask, spacing_mm)
    return max(_diameter(points, np.array([0.0, *spacing_mm[1:]])), axial_mm)


def _poles_mm(voxels: NDArray[np.bool_], spacing_mm: Spacing) -> NDArray[np.float64]:
    """(2, 3) mm: above the middle of the first slice and below that of the last, on the way the middles take."""
    poles = []
    n = len(voxels)
    for end, inward, height_mm in zip((0, n - 1), (1, -1), cap_heights_mm(voxels, spacing_mm), strict=True):  # fmt: skip
        middle = np.argwhere(voxels[end]).mean(axis=0)
        before = voxels[end + inward] if n > 1 else voxels[end]
        drift = middle - np.argwhere(before).mean(axis=0) if before.any() else np.zeros(2)
        y_mm, x_mm = (middle + drift * height_mm / spacing_mm[0]) * spacing_mm[1:]
        poles.append((end * spacing_mm[0] - inward * height_mm, y_mm, x_mm))
    return np.array(poles)


def _row_ends(voxels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, d) index of the first and last voxel of every row: all that can be on the hull.

    voxels : (..., x) bool of d axes
    """
    rows = np.argwhere(voxels.any(axis=-1))
    filled = voxels[tuple(rows.T)]
    first = filled.argmax(axis=1)
    last = filled.shape[1] - 1 - filled[:, ::-1].argmax(axis=1)
    return np.concatenate([np.column_stack([rows, x]) for x in (first, last)]).astype(np.float64)


def _diameter(points: NDArray[np.float64], voxel_mm: NDArray[np.float64]) -> float:
    """Largest distance between two of the points, and the part of a voxel beyond them.

    voxel_mm : (d,) extent of a voxel along each axis
    The first of several pairs that are as far apart, in the order of the points.
    """
    far = _far_out(points)
    if len(far) > _FEW_POINTS:
        return _longest(far, voxel_mm)[0]
    largest_mm, i, j = _farthest_pair(far)
    if largest_mm == 0.0:
        return 0.0
    along = (far[i] - far[j]) / largest_mm
    return largest_mm + _BEYOND_CENTRES * float(np.linalg.norm(along * voxel_mm))


def _longest_mm(points: NDArray[np.float64]) -> float:
    """Largest distance between two of the points."""
    return _farthest_pair(points if len(points) <= _FEW_POINTS // 2 else _far_out(points))[0]


def _far_out(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Those of the points that can belong to the pair that is farthest apart, in their order.

    What lies r from the middle is at most r and the largest r from any other, and less than some pair that was met
    is not farthest. Rounding lets more in, never fewer.
    """
    from scipy.spatial.distance import cdist

    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    radii = np.linalg.norm(points - middle, axis=1)
    corners = points[
        np.concatenate([[radii.argmax()], points.argmin(axis=0), points.argmax(axis=0)])
    ]
    reached = float(cdist(corners, points).max()) * (1.0 - 1e-9)
    is_far: NDArray[np.bool_] = radii + radii.max() >= reached
    return points[is_far]


def _farthest_pair(points: NDArray[np.float64]) -> tuple[float, int, int]:
    """Distance and indices of the two points that are farthest apart, the first of several such pairs."""
    from scipy.spatial.distance import cdist

    distances = cdist(points, points)
    i, j = np.unravel_index(distances.argmax(), distances.shape)
    return float(distances[i, j]), int(i), int(j)


def _longest(
    points: NDArray[np.float64], voxel_mm: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """The diameter of some points, and its ends, mm."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = points[ConvexHull(points).vertices]
    except QhullError:  # all on a line or in a plane
        hull = points
    largest, i, j = _farthest_pair(hull)
    if largest == 0.0:
        return 0.0, hull[0], hull[0]
    along = (hull[i] - hull[j]) / largest
    beyond = _BEYOND_CENTRES * float(np.linalg.norm(along * voxel_mm))
    return largest + beyond, hull[i] + along * beyond / 2, hull[j] - along * beyond / 2
