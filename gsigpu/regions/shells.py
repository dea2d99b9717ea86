"""Rim, core and surroundings of a lesion, by distance to its boundary.

Definitions. Depth is the distance in mm of a voxel's centre from the boundary of the mask. A distance
transform measures to the nearest background centre, which lies beyond the boundary by half a voxel along
an axis and less on a slope; 0.37 times the cube root of the voxel's volume is what makes spheres of 5 to
15 mm radius unbiased (design/009). Outside the volume counts as background.

    rim          depth <= t
    core         the rest of the lesion
    perilesional distance outside the boundary within a range, inside the liver, outside other lesions
    parenchyma   liver without lesions and 10 mm around them, and without vessels
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gsigpu.errors import SettingsError
from gsigpu.maps.nonlinear import array_namespace
from gsigpu.regions.region_mask import RegionMask, Spacing, trimmed

FEW_VOXELS = 10
LESION_CLEARANCE_MM = 10.0
_BOUNDARY_OFFSET = 0.37  # of the cube root of the voxel volume
_LEAST_DEPTH = 0.1  # of the smallest spacing: a voxel inside is never at depth 0
_RULE = re.compile(r"(?P<value>\d+(?:\.\d+)?)\s*(?P<unit>mm|%)")


@dataclass(frozen=True, slots=True)
class RimRule:
    """How thick the rim is.

    thickness_mm : at most so much, None for no limit in mm
    fraction : at most this fraction of the lesion's largest depth
    """

    thickness_mm: float | None
    fraction: float

    def of(self, largest_depth_mm: float) -> float:
        """Thickness for a lesion, mm."""
        by_fraction = self.fraction * largest_depth_mm
        return by_fraction if self.thickness_mm is None else min(self.thickness_mm, by_fraction)


AUTO_RIM = RimRule(3.0, 0.5)


def parse_rim(text: str) -> RimRule:
    """A rim rule from its name: `auto` (3 mm, at most half the largest depth), `2mm`, `30%`.

    Raises SettingsError for anything else.

    >>> parse_rim("auto").of(4.0), parse_rim("2mm").of(4.0), parse_rim("30%").of(4.0)
    (2.0, 2.0, 1.2)
    """
    name = text.strip().lower()
    if name == "auto":
        return AUTO_RIM
    match = _RULE.fullmatch(name)
    if match is None or float(match["value"]) <= 0:
        raise SettingsError(
            f"unknown rim {text!r}",
            remedy="use auto, a thickness such as 2mm, or a share such as 30%",
        )
    value = float(match["value"])
    if match["unit"] == "mm":
        return RimRule(value, 1.0)
    if value > 100:
        raise SettingsError(f"rim {text!r} is more than the lesion", remedy="use 1-100 %")
    return RimRule(None, value / 100.0)


@dataclass(frozen=True, slots=True)
class LesionRegions:
    """A lesion and what is measured around it.

    regions : lesion, rim, core, perilesional; one that would be empty is absent and flagged
    rim_mm : the thickness used
    largest_depth_mm : of the lesion
    flags : `core-empty`, `perilesional-empty`, `few-voxels:NAME`, `touches-edge`, `one-slice`,
        `overlaps-lesion`, `touches-lesion`
    """

    regions: dict[str, RegionMask]
    rim_mm: float
    largest_depth_mm: float
    flags: tuple[str, ...]


def depth_mm(voxels: Any, spacing_mm: Spacing) -> Any:
    """Depth of every voxel of a mask below its boundary; 0 outside.

    voxels : (z, y, x) bool, NumPy or CuPy; what lies beyond the array is background
    Returns (z, y, x) float64, mm.

    >>> depth_mm(np.ones((1, 1, 3), bool), (1.0, 1.0, 1.0)).round(2)
    array([[[0.63, 0.63, 0.63]]])
    """
    padded = array_namespace(voxels).pad(voxels, 1)
    return _beyond_boundary(padded, spacing_mm)[1:-1, 1:-1, 1:-1]


def _beyond_boundary(mask: Any, spacing_mm: Spacing) -> Any:
    """Distance of the True voxels from the boundary, 0 at False; by SciPy or cupyx, whichever array came in."""
    xp = array_namespace(mask)
    if xp is np:
        from scipy.ndimage import distance_transform_edt
    else:
        from cupyx.scipy.ndimage import distance_transform_edt
    beyond_centre = distance_transform_edt(mask, sampling=spacing_mm)
    offset = _BOUNDARY_OFFSET * float(np.cbrt(np.prod(spacing_mm)))
    least = _LEAST_DEPTH * min(spacing_mm)
    return xp.where(mask, xp.maximum(beyond_centre - offset, least), 0.0)


def lesion_regions(
    lesion: RegionMask,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    *,
    rim: RimRule = AUTO_RIM,
    others: Sequence[RegionMask] = (),
    liver: RegionMask | None = None,
    perilesional_mm: tuple[float, float] = (0.0, 5.0),
) -> LesionRegions:
    """Rim, core and perilesional shell of a lesion.

    others : the other lesions; their voxels are never perilesional
    liver : the shell stays inside it, if given
    perilesional_mm : (from, to) outside the boundary
    """
    depth = depth_mm(lesion.voxels, spacing_mm)
    largest_depth_mm = float(depth.max())
    rim_mm = rim.of(largest_depth_mm)
    in_rim = lesion.voxels & (depth <= rim_mm)
    shell = _shell(lesion, spacing_mm, grid_shape, perilesional_mm)
    for other in others:
        shell = _without(shell, other)
    if liver is not None:
        shell = _within(shell, liver)
    candidates = {
        "lesion": lesion,
        "rim": RegionMask("rim", lesion.label, lesion.origin, in_rim),
        "core": RegionMask("core", lesion.label, lesion.origin, lesion.voxels & ~in_rim),
        "perilesional": shell,
    }
    regions, flags = {}, []
    for name, region in candidates.items():
        if region.n_voxels == 0:
            flags.append(f"{name}-empty")
            continue
        regions[name] = trimmed(region)
        if region.n_voxels < FEW_VOXELS:
            flags.append(f"few-voxels:{name}")
    flags += _placement_flags(lesion, grid_shape)
    flags += _neighbour_flags(lesion, others)
    return LesionRegions(regions, rim_mm, largest_depth_mm, tuple(flags))


def _placement_flags(lesion: RegionMask, grid_shape: tuple[int, int, int]) -> list[str]:
    flags = []
    at_edge = any(
        side.start == 0 or side.stop == n for side, n in zip(lesion.box, grid_shape, strict=True)
    )
    if at_edge:
        flags.append("touches-edge")
    if lesion.voxels.shape[0] == 1:
        flags.append("one-slice")
    return flags


def _neighbour_flags(lesion: RegionMask, others: Sequence[RegionMask]) -> list[str]:
    """Whether another lesion shares voxels with this one, or lies against it by a face, edge or corner."""
    flags = []
    if any(_within(lesion, other).n_voxels for other in others):
        flags.append("overlaps-lesion")
    dilated = _dilated(lesion)
    if any(_within(_without(dilated, lesion), other).n_voxels for other in others):
        flags.append("touches-lesion")
    return flags


def _dilated(mask: RegionMask) -> RegionMask:
    """The mask and the 26 neighbours of its voxels; its box may reach beyond the grid."""
    xp = array_namespace(mask.voxels)
    voxels = xp.pad(mask.voxels, 1)
    for axis in range(3):
        spread = voxels.copy()
        ahead = [slice(None)] * 3
        behind = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        spread[tuple(ahead)] |= voxels[tuple(behind)]
        spread[tuple(behind)] |= voxels[tuple(ahead)]
        voxels = spread
    z, y, x = mask.origin
    return RegionMask(mask.name, mask.label, (z - 1, y - 1, x - 1), voxels)


def grown_box(
    mask: RegionMask, margin_mm: float, spacing_mm: Spacing, grid_shape: tuple[int, int, int]
) -> RegionMask:
    """The same region in a box with a margin, cut at the edge of the grid."""
    xp = array_namespace(mask.voxels)
    margins = [int(np.ceil(margin_mm / size)) + 1 for size in spacing_mm]
    lows = [max(side.start - m, 0) for side, m in zip(mask.box, margins, strict=True)]
    highs = [
        min(side.stop + m, n) for side, m, n in zip(mask.box, margins, grid_shape, strict=True)
    ]
    voxels = xp.zeros([high - low for low, high in zip(lows, highs, strict=True)], dtype=bool)
    inner = tuple(
        slice(side.start - low, side.stop - low) for side, low in zip(mask.box, lows, strict=True)
    )
    voxels[inner] = mask.voxels
    return RegionMask(mask.name, mask.label, (lows[0], lows[1], lows[2]), voxels)


def outside_mm(mask: RegionMask, spacing_mm: Spacing) -> Any:
    """Distance of the voxels of the mask's box from its surface; 0 inside."""
    return _beyond_boundary(~mask.voxels, spacing_mm)


def _shell(
    lesion: RegionMask,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    range_mm: tuple[float, float],
) -> RegionMask:
    low_mm, high_mm = range_mm
    box = grown_box(lesion, high_mm, spacing_mm, grid_shape)
    distance = outside_mm(box, spacing_mm)
    shell = ~box.voxels & (distance > low_mm) & (distance <= high_mm)
    return RegionMask("perilesional", lesion.label, box.origin, shell)


def _overlap(
    region: RegionMask, other: RegionMask
) -> tuple[tuple[slice, ...], tuple[slice, ...]] | None:
    """Where two boxes meet, as slices of each; None where they do not."""
    in_region, in_other = [], []
    for a, b in zip(region.box, other.box, strict=True):
        low, high = max(a.start, b.start), min(a.stop, b.stop)
        if low >= high:
            return None
        in_region.append(slice(low - a.start, high - a.start))
        in_other.append(slice(low - b.start, high - b.start))
    return tuple(in_region), tuple(in_other)


def _without(region: RegionMask, other: RegionMask) -> RegionMask:
    """`one` less the voxels of `other`."""
    overlap = _overlap(region, other)
    if overlap is None:
        return region
    in_region, in_other = overlap
    voxels = region.voxels.copy()
    voxels[in_region] &= ~other.voxels[in_other]
    return RegionMask(region.name, region.label, region.origin, voxels)


def _within(region: RegionMask, other: RegionMask) -> RegionMask:
    """The voxels of `one` that are of `other` too."""
    xp = array_namespace(region.voxels)
    voxels = xp.zeros_like(region.voxels)
    if (overlap := _overlap(region, other)) is not None:
        in_region, in_other = overlap
        voxels[in_region] = region.voxels[in_region] & other.voxels[in_other]
    return RegionMask(region.name, region.label, region.origin, voxels)


def parenchyma(
    liver: RegionMask,
    lesions: Sequence[RegionMask],
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    *,
    vessels: Sequence[RegionMask] = (),
    clearance_mm: float = LESION_CLEARANCE_MM,
) -> RegionMask:
    """Liver clear of lesions by `clearance_mm`, and of vessels."""
    normal = RegionMask("parenchyma", 0, liver.origin, liver.voxels)
    for lesion in lesions:
        box = grown_box(lesion, clearance_mm, spacing_mm, grid_shape)
        near = outside_mm(box, spacing_mm) <= clearance_mm
        normal = _without(normal, RegionMask(lesion.name, lesion.label, box.origin, near))
    for vessel in vessels:
        normal = _without(normal, vessel)
    return normal


def profile_shells(
    lesion: RegionMask,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    *,
    step_mm: float = 1.0,
    outer_mm: float = 10.0,
    others: Sequence[RegionMask] = (),
) -> list[tuple[float, RegionMask]]:
    """Shells of signed distance to the boundary, negative inside, outermost last.

    Returns (distance of the shell's middle in mm, region) for every shell that has voxels. Other
    lesions are left out.
    """
    box = grown_box(lesion, outer_mm, spacing_mm, grid_shape)
    signed = outside_mm(box, spacing_mm) - depth_mm(box.voxels, spacing_mm)
    xp = array_namespace(signed)
    steps = xp.ceil(signed / step_mm).astype(int)  # (k - 1) step < distance <= k step
    free = RegionMask("profile", lesion.label, box.origin, xp.ones_like(box.voxels))
    for other in others:
        free = _without(free, other)
    shells = []
    for k in range(int(steps[box.voxels].min()), int(np.ceil(outer_mm / step_mm)) + 1):
        inside_mask = (k <= 0) == box.voxels
        voxels = (steps == k) & inside_mask & free.voxels
        shell = RegionMask("profile", lesion.label, box.origin, voxels)
        if shell.n_voxels:
            shells.append(((k - 0.5) * step_mm, trimmed(shell)))
    return shells
