"""Rim, core and surroundings of a lesion, by distance to its boundary.

    rim          depth <= t; t = min(3 mm, half the largest depth) by default
    core         the rest of the lesion
    perilesional distance outside the boundary within a range, inside the liver, outside other lesions
    parenchyma   liver without lesions and 10 mm around them, and without vessels
    profile      shells of signed distance, so that a reader sees where the rim is instead of assuming it

Source: the regions of the study that gsigpu repeats (centre, edge, normal liver), whose readers drew them by hand.
Depth and distance: `gsigpu.regions.boundary`. Oracle: Steiner's formula for the volume that lies deeper than t in
a convex body (tests/regions/test_shells.py), and phantoms with known truth (bench/bench_measure_accuracy.py).
The rim is a layer of constant thickness: where the enhancing edge of a lesion is not, read the profile instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gsigpu.backends import on_host
from gsigpu.errors import SettingsError
from gsigpu.maps.nonlinear import array_namespace
from gsigpu.regions import flags
from gsigpu.regions.boundary import (
    Dimensions,
    SignedDistances,
    chosen_dimensions,
    signed_distance_mm,
)
from gsigpu.regions.region_boxes import label_boxes
from gsigpu.regions.region_mask import (
    RegionMask,
    Spacing,
    boxes_meet,
    cut_out,
    dilated,
    trimmed,
    within,
    without,
)

# A mean of fewer voxels is flagged: at 12 HU of noise its standard error is 4 HU and more.
FEW_VOXELS = 10
# Normal liver keeps this far away from lesions: beyond the perfusion changes around metastases.
LESION_CLEARANCE_MM = 10.0
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
    dimensions : in which depth was measured, `2d` or `3d`
    flags : `core-empty`, `perilesional-empty`, `few-voxels:NAME`, `touches-edge`, `one-slice`, `2d-roi`,
        `overlaps-lesion`, `touches-lesion`, `thick-slices`
    """

    regions: dict[str, RegionMask]
    rim_mm: float
    largest_depth_mm: float
    dimensions: Dimensions
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DistanceField:
    """Distance to the boundary of a lesion, in it and around it.

    box : the lesion in a box with a margin
    signed_mm : (z, y, x) float64 of that box, negative inside
    """

    box: RegionMask
    signed_mm: Any
    dimensions: Dimensions


def distance_field(
    lesion: RegionMask,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    *,
    margin_mm: float,
    dimensions: str = "auto",
    signed: SignedDistances = signed_distance_mm,
) -> DistanceField:
    """Distances to a lesion's boundary, up to a margin around it.

    dimensions : `auto`, `2d` or `3d`, see `gsigpu.regions.boundary.chosen_dimensions`
    signed : computes the distances in a box; it may do so elsewhere, as the result is the same
    """
    chosen = chosen_dimensions(lesion, spacing_mm, dimensions)
    box = grown_box(lesion, margin_mm, spacing_mm, grid_shape, in_plane=chosen == "2d")
    signed_mm = signed(box.voxels, spacing_mm, dimensions=chosen)
    return DistanceField(box=box, signed_mm=signed_mm, dimensions=chosen)


def lesion_regions(
    lesion: RegionMask,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    *,
    rim: RimRule = AUTO_RIM,
    others: Sequence[RegionMask] = (),
    liver: RegionMask | None = None,
    perilesional_mm: tuple[float, float] = (0.0, 5.0),
    dimensions: str = "auto",
    field: DistanceField | None = None,
) -> LesionRegions:
    """Rim, core and perilesional shell of a lesion.

    others : the other lesions; their voxels are never perilesional
    liver : the shell stays inside it, if given
    perilesional_mm : (from, to) outside the boundary
    dimensions : of the depth, `auto`, `2d` or `3d`
    field : the distances, where they are known already, with a margin of `perilesional_mm` at least
    """
    low_mm, high_mm = perilesional_mm
    if field is None:
        field = distance_field(
            lesion, spacing_mm, grid_shape, margin_mm=high_mm, dimensions=dimensions
        )
    box, signed_mm = field.box, field.signed_mm
    largest_depth_mm = float(-signed_mm.min())
    rim_mm = rim.of(largest_depth_mm)
    in_rim = box.voxels & (signed_mm >= -rim_mm)
    in_shell = ~box.voxels & (signed_mm > low_mm) & (signed_mm <= high_mm)
    shell = _clear_of(replace(box, name="perilesional", voxels=in_shell), others, liver)
    candidates = {
        "lesion": lesion,
        "rim": replace(box, name="rim", voxels=in_rim),
        "core": replace(box, name="core", voxels=box.voxels & ~in_rim),
        "perilesional": shell,
    }
    regions: dict[str, RegionMask] = {}
    region_flags: list[str] = []
    for name, region in candidates.items():
        if region.n_voxels == 0:
            region_flags.append(flags.empty(name))
            continue
        regions[name] = trimmed(region)
        if region.n_voxels < FEW_VOXELS:
            region_flags.append(f"{flags.FEW_VOXELS}:{name}")
    region_flags += _placement_flags(lesion, grid_shape)
    if field.dimensions == "2d":
        region_flags.append(flags.IN_PLANE)
    # Voxels of rim and core share each other's tissue then, whatever the depth of their centres. At 5 mm slices the
    # core of a 10 mm lesion keeps a third of its difference to the rim (design/009).
    if spacing_mm[0] > rim_mm:
        region_flags.append(flags.THICK_SLICES)
    region_flags += _neighbour_flags(lesion, others)
    return LesionRegions(
        regions=regions,
        rim_mm=rim_mm,
        largest_depth_mm=largest_depth_mm,
        dimensions=field.dimensions,
        flags=tuple(region_flags),
    )


def _clear_of(
    region: RegionMask, others: Sequence[RegionMask], liver: RegionMask | None
) -> RegionMask:
    """A region around a lesion, outside the other lesions and inside the liver, if that is given."""
    region = without(region, *others)
    return region if liver is None else within(region, liver)


def _placement_flags(lesion: RegionMask, grid_shape: tuple[int, int, int]) -> list[str]:
    placement = []
    at_edge = any(
        side.start == 0 or side.stop == n for side, n in zip(lesion.box, grid_shape, strict=True)
    )
    if at_edge:
        placement.append(flags.TOUCHES_EDGE)
    if lesion.voxels.shape[0] == 1:
        placement.append(flags.ONE_SLICE)
    return placement


def _neighbour_flags(lesion: RegionMask, others: Sequence[RegionMask]) -> list[str]:
    """Whether another lesion shares voxels with this one, or lies against it by a face, edge or corner."""
    neighbours = []
    if any(within(lesion, other).n_voxels for other in others if boxes_meet(lesion, other)):
        neighbours.append(flags.OVERLAPS_LESION)
    close = [other for other in others if boxes_meet(lesion, other, apart=1)]
    around = without(dilated(lesion), lesion) if close else lesion
    if any(within(around, other).n_voxels for other in close):
        neighbours.append(flags.TOUCHES_LESION)
    return neighbours


def grown_box(
    mask: RegionMask,
    margin_mm: float,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    *,
    in_plane: bool = False,
) -> RegionMask:
    """The same region in a box with a margin, cut at the edge of the grid.

    in_plane : no margin along z
    """
    xp = array_namespace(mask.voxels)
    margins = [int(np.ceil(margin_mm / size)) + 1 for size in spacing_mm]
    if in_plane:
        margins[0] = 0
    lows = [max(side.start - m, 0) for side, m in zip(mask.box, margins, strict=True)]
    highs = [
        min(side.stop + m, n) for side, m, n in zip(mask.box, margins, grid_shape, strict=True)
    ]
    voxels = xp.zeros([high - low for low, high in zip(lows, highs, strict=True)], dtype=bool)
    inner = tuple(
        slice(side.start - low, side.stop - low) for side, low in zip(mask.box, lows, strict=True)
    )
    voxels[inner] = mask.voxels
    return replace(mask, origin=(lows[0], lows[1], lows[2]), voxels=voxels)


def surroundings(
    field: DistanceField, clearance_mm: float, *, margin_mm: float
) -> RegionMask | None:
    """A lesion and what lies within `clearance_mm` of it in space; None where its distances do not tell.

    margin_mm : that the field was made with
    """
    if field.dimensions != "3d" or margin_mm < clearance_mm:
        return None
    return replace(field.box, voxels=field.signed_mm <= clearance_mm)


def parenchyma(
    liver: RegionMask,
    lesions: Sequence[RegionMask],
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    *,
    vessels: Sequence[RegionMask] = (),
    clearance_mm: float = LESION_CLEARANCE_MM,
    around: Sequence[RegionMask | None] = (),
    signed: SignedDistances = signed_distance_mm,
) -> RegionMask:
    """Liver clear of lesions by `clearance_mm`, and of vessels.

    around : what `surroundings` gave for each lesion; () where it was not asked
    signed : computes the other distances
    Distances are in space, also from a region of interest on one slice: the lesion goes on around it.
    """
    not_normal: list[RegionMask] = []
    for lesion, known in zip(lesions, around or [None] * len(lesions), strict=True):
        near = known
        if near is None:
            field = distance_field(
                lesion,
                spacing_mm,
                grid_shape,
                margin_mm=clearance_mm,
                dimensions="3d",
                signed=signed,
            )
            near = surroundings(field, clearance_mm, margin_mm=clearance_mm)
        assert near is not None  # a field in space with this margin
        not_normal.append(near)
    return without(replace(liver, name="parenchyma", label=0), *not_normal, *vessels)


def profile_shells(
    lesion: RegionMask,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    *,
    step_mm: float = 1.0,
    outer_mm: float = 10.0,
    others: Sequence[RegionMask] = (),
    liver: RegionMask | None = None,
    dimensions: str = "auto",
    field: DistanceField | None = None,
) -> list[tuple[float, RegionMask]]:
    """Shells of signed distance to the boundary, negative inside, outermost last.

    liver : shells outside the lesion stay inside it, if given
    field : the distances, where they are known already, with a margin of `outer_mm` at least
    Returns (distance of the shell's middle in mm, region) for every shell that has voxels. Other
    lesions are left out.
    """
    if field is None:
        field = distance_field(
            lesion, spacing_mm, grid_shape, margin_mm=outer_mm, dimensions=dimensions
        )
    box = field.box
    xp = array_namespace(box.voxels)
    steps = xp.minimum(field.signed_mm, outer_mm + step_mm)
    steps /= step_mm
    xp.ceil(steps, out=steps)  # k, of (k - 1) step < distance <= k step
    n_inside, n_outside = 1 - int(steps.min()), int(np.ceil(outer_mm / step_mm))
    # Numbered from the innermost: 1 … n_inside within the lesion, those beyond it up to n_inside + n_outside.
    steps += n_inside
    n_shells = n_inside + n_outside
    # Those farther out have one number more, or two.
    numbers = steps.astype(np.uint8 if n_shells < 2**8 - 2 else np.int32)
    everywhere = replace(box, name="profile", voxels=xp.ones_like(box.voxels))
    inside = _clear_of(box, others, None)
    outside = _clear_of(everywhere, others, liver)
    numbers *= xp.where(box.voxels, inside.voxels, outside.voxels)
    numbers *= numbers <= n_shells
    return [
        (
            (number - n_inside - 0.5) * step_mm,
            replace(cut_out(everywhere, of_shell), voxels=numbers[of_shell] == number),
        )
        for number, _, of_shell in label_boxes(on_host(numbers))
    ]
