"""Which slices pictures of a measurement show: they are kept when the measurement reads them, so that no file is opened again."""

from __future__ import annotations

from collections.abc import Callable

from gsigpu.regions.region_layout import Layout
from gsigpu.regions.region_mask import RegionMask

# A slice of eleven energies has 6 MB; what is beyond these is read again.
MOST_KEPT = 16
# The slices of these regions that somebody will ask for after the measurement.
ShownSlices = Callable[[Layout], frozenset[int]]


def largest_slice(mask: RegionMask) -> int:
    """The slice of the study in which a region has most voxels; the first of equals."""
    return mask.origin[0] + int(mask.voxels.sum(axis=(1, 2)).argmax())


def outlined_masks(layout: Layout) -> list[RegionMask]:
    """What the picture of a row outlines: its lesions, or its regions where it has none."""
    return [laid_out.lesion.mask for laid_out in layout.lesions] or [
        region.mask for region in layout.regions
    ]


def pictured_slice(layout: Layout) -> int:
    """The slice that the picture of a row shows: where its largest lesion, or region, is widest."""
    return largest_slice(max(outlined_masks(layout), key=lambda mask: mask.n_voxels))


def shown_slices(layout: Layout, *, picture: bool, cards: bool) -> frozenset[int]:
    """The slices of a row's picture and of the cards of its lesions, up to MOST_KEPT."""
    if not outlined_masks(layout):
        return frozenset()
    slices = [pictured_slice(layout)] if picture else []
    if cards:
        slices += [largest_slice(laid_out.lesion.mask) for laid_out in layout.lesions]
    return frozenset(list(dict.fromkeys(slices))[:MOST_KEPT])
