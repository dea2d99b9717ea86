"""A region of voxels, kept as its bounding box.

Lesions fill a millionth of a study; a mask is therefore the box around it and the voxels within.
Masks may overlap, as DICOM segments may.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import InputError
from gsigpu.maps.nonlinear import array_namespace
from gsigpu.regions.region_boxes import Box, box_of_set

Spacing = tuple[float, float, float]  # mm, (z, y, x)


@dataclass(frozen=True, slots=True, repr=False)
class RegionMask:
    """Voxels of one region on the grid of a study.

    name : what it is called: the segment's name, or `label 3`
    label : its integer in the source; 0 where it has none
    origin : (z, y, x) index in the study's grid of the box's first voxel
    voxels : (z, y, x) bool, the box; NumPy or CuPy
    """

    name: str
    label: int
    origin: tuple[int, int, int]
    voxels: Any

    def __repr__(self) -> str:
        """Where and how large; the name may be a person's."""
        return f"RegionMask(label={self.label}, origin={self.origin}, {self.n_voxels} voxels)"

    @property
    def box(self) -> Box:
        """The box as slices of the study's grid."""
        z, y, x = (slice(o, o + n) for o, n in zip(self.origin, self.voxels.shape, strict=True))
        return (z, y, x)

    @property
    def n_voxels(self) -> int:
        """Voxels in the region."""
        return int(array_namespace(self.voxels).count_nonzero(self.voxels))


def region_mask(name: str, label: int, mask: NDArray[np.bool_]) -> RegionMask:
    """The bounding box of a mask on the whole grid.

    mask : (z, y, x) bool
    Raises InputError if it is empty.

    >>> region_mask("lesion", 1, np.pad(np.ones((1, 2, 2), bool), 3)).origin
    (3, 3, 3)
    """
    if not mask.any():
        raise InputError(f"mask {name!r} is empty", remedy="draw it on this study, or leave it out")
    return trimmed(RegionMask(name=name, label=label, origin=(0, 0, 0), voxels=mask))


def trimmed(mask: RegionMask) -> RegionMask:
    """The same region in the smallest box that holds it; it may not be empty."""
    box = box_of_set(mask.voxels)
    assert box is not None  # as it is not empty
    return cut_out(mask, box)


def cut_out(mask: RegionMask, box: Box) -> RegionMask:
    """What of a region lies in a box within its own."""
    z, y, x = (o + side.start for o, side in zip(mask.origin, box, strict=True))
    return replace(mask, origin=(z, y, x), voxels=mask.voxels[box])


def union(name: str, masks: Sequence[RegionMask]) -> RegionMask:
    """The voxels of any of several masks, as one.

    >>> one = RegionMask("a", 1, (0, 0, 0), np.ones((1, 1, 1), bool))
    >>> union("both", [one, RegionMask("b", 2, (0, 0, 2), one.voxels)]).voxels
    array([[[ True, False,  True]]])
    """
    if len(masks) == 1:
        return replace(masks[0], name=name)
    lows = [min(mask.origin[axis] for mask in masks) for axis in range(3)]
    highs = [max(mask.box[axis].stop for mask in masks) for axis in range(3)]
    xp = array_namespace(masks[0].voxels)
    voxels = xp.zeros([high - low for low, high in zip(lows, highs, strict=True)], dtype=bool)
    for mask in masks:
        inner = tuple(
            slice(side.start - low, side.stop - low)
            for side, low in zip(mask.box, lows, strict=True)
        )
        voxels[inner] |= mask.voxels
    return RegionMask(name=name, label=0, origin=(lows[0], lows[1], lows[2]), voxels=voxels)


def without(region: RegionMask, *others: RegionMask) -> RegionMask:
    """`region` less the voxels of others; itself where their boxes do not meet."""
    voxels: Any = None
    for other in others:
        if (overlap := _overlap(region, other)) is not None:
            in_region, in_other = overlap
            voxels = region.voxels.copy() if voxels is None else voxels
            voxels[in_region] &= ~other.voxels[in_other]
    return region if voxels is None else replace(region, voxels=voxels)


def within(region: RegionMask, other: RegionMask) -> RegionMask:
    """The voxels of `region` that are of `other` too."""
    xp = array_namespace(region.voxels)
    voxels = xp.zeros_like(region.voxels)
    if (overlap := _overlap(region, other)) is not None:
        in_region, in_other = overlap
        voxels[in_region] = region.voxels[in_region] & other.voxels[in_other]
    return replace(region, voxels=voxels)


def boxes_meet(region: RegionMask, other: RegionMask, *, apart: int = 0) -> bool:
    """Whether two boxes share voxels, or lie at most so many apart: else the regions do neither."""
    return all(
        a.start < b.stop + apart and b.start < a.stop + apart
        for a, b in zip(region.box, other.box, strict=True)
    )


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


def dilated(mask: RegionMask) -> RegionMask:
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
    return replace(mask, origin=(z - 1, y - 1, x - 1), voxels=voxels)


def parts(mask: RegionMask) -> list[RegionMask]:
    """The separate parts of a mask, voxels joined by faces, edges or corners, from the largest down.

    mask : on the host
    """
    from scipy.ndimage import find_objects, label

    labels, n = label(mask.voxels, structure=np.ones((3, 3, 3), int))
    if n <= 1:
        return [mask]
    separate = []
    for number, box in enumerate(find_objects(labels), start=1):
        z, y, x = (o + side.start for o, side in zip(mask.origin, box, strict=True))
        separate.append(replace(mask, origin=(z, y, x), voxels=labels[box] == number))
    return sorted(separate, key=lambda part: (-part.n_voxels, part.origin))


def union_in_slice(
    masks: Iterable[RegionMask], z: int, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """(y, x) bool, where a slice of `shape` lies in any of the regions."""
    union = np.zeros(shape, bool)
    for mask in masks:
        _, rows, columns = mask.box
        local = z - mask.origin[0]
        if 0 <= local < mask.voxels.shape[0]:
            union[rows, columns] |= mask.voxels[local]
    return union
