"""The voxels inside planar contours of one slice.

A voxel belongs to a contour if its centre lies inside by the even-odd rule, which leaves the hole of a
keyhole contour. Several contours of a slice:

    CLOSEDPLANAR_XOR   even-odd of all of them, as DICOM defines it (PS3.3 C.8.8.6.3)
    CLOSED_PLANAR      as they nest: one that lies within another is its hole, one within the hole an island;
                       contours that overlap or touch are joined; a contour that is there twice counts once

DICOM leaves CLOSED_PLANAR contours within one another open. Holes are what planning systems mean by them and
what rt-utils and dicompyler make of them; plastimatch joins all. Against all three: `tests/masks/test_contours.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gsigpu.optional_packages import named_where_absent

# Tolerances.
#   _ON_OUTLINE     pixels: a vertex nearer to another contour's outline lies on it, neither in nor out
#   _SAME_AREA      contours that fill the same pixels, and differ in area by less than this share, are one
#                   drawn twice; a wall a hundredth of a pixel thin round a 20-pixel lesion differs by more
_ON_OUTLINE = 0.05
_SAME_AREA = 1e-3

Outline = NDArray[np.float64]  # (n, 2) row and column


def filled(
    outlines: Sequence[Outline], shape: tuple[int, int], *, is_xor: bool
) -> NDArray[np.bool_]:
    """(y, x) bool: the pixels inside the contours of one slice.

    outlines : (n, 2) vertices in pixels, (0, 0) is the centre of the first
    is_xor : of CLOSEDPLANAR_XOR contours
    """
    with named_where_absent("an RT Structure Set"):
        from skimage.draw import polygon2mask

    rasters = [
        np.asarray(polygon2mask(shape, outline), dtype=np.bool_)  # type: ignore[no-untyped-call]  # skimage has few types
        for outline in outlines
    ]
    inside = np.zeros(shape, bool)
    if is_xor:
        for raster in rasters:
            inside ^= raster
        return inside
    areas = [_area(outline) for outline in outlines]
    order = sorted(range(len(outlines)), key=lambda index: -areas[index])
    kept: list[int] = []
    for index in order:
        is_double = any(
            abs(areas[index] - areas[other]) <= _SAME_AREA * areas[other]
            and np.array_equal(rasters[index], rasters[other])
            for other in kept
        )
        if is_double:
            continue
        depth = sum(_lies_within(outlines[index], outlines[other]) for other in kept)
        if depth % 2 == 0:
            inside |= rasters[index]
        else:
            inside &= ~rasters[index]
        kept.append(index)
    return inside


def _area(outline: Outline) -> float:
    """Area that an outline encloses (shoelace formula)."""
    y, x = outline.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2.0


def _lies_within(inner: Outline, outer: Outline) -> bool:
    """Whether no vertex of `inner` lies outside `outer`, and not all on its outline."""
    from skimage.measure import points_in_poly

    if (inner.max(axis=0) > outer.max(axis=0) + _ON_OUTLINE).any() or (
        inner.min(axis=0) < outer.min(axis=0) - _ON_OUTLINE
    ).any():
        return False
    is_inside = np.asarray(points_in_poly(inner, outer), dtype=np.bool_)  # type: ignore[no-untyped-call]  # skimage has few types
    is_on = np.array([_distance(vertex, outer) <= _ON_OUTLINE for vertex in inner])
    return bool((is_inside | is_on).all() and (is_inside & ~is_on).any())


def _distance(point: NDArray[np.float64], outline: Outline) -> float:
    """From a point to the nearest place on a closed outline."""
    starts, sides = outline, np.roll(outline, -1, axis=0) - outline
    lengths = np.maximum((sides**2).sum(axis=1), 1e-12)
    along = np.clip(((point - starts) * sides).sum(axis=1) / lengths, 0.0, 1.0)
    return float(np.linalg.norm(starts + along[:, None] * sides - point, axis=1).min())
