"""Small pictures of lesions for the gallery: anatomy, λHU and iodine side by side, core and rim in outline.

A card is made of pixels alone; names and values stand beside it in the page. Windows are fixed, so that
cards of different patients compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from gsigpu.pictures import ANATOMY_WINDOW, REGION_COLOURS
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.measure.shown_slices import largest_slice
from gsigpu.pipeline.measure.slice_maps import SliceMaps, slice_maps
from gsigpu.regions.region_mask import RegionMask, union_in_slice

# The side of a panel: a lesion of 30 mm with as much liver around it.
_FIELD_MM = 80.0
PANEL_PIXELS = 160
# What a picture may take, so that a gallery of 1,000 lesions stays at 20 MB; those of a phantom take 13 kB at the
# first quality, pure noise 13 kB at the last.
CARD_BYTES = 20_000
_JPEG_QUALITIES = (88, 78, 64, 48, 32, 16)
_OUTLINES = {name: REGION_COLOURS[name] for name in ("core", "rim")}


@dataclass(frozen=True, slots=True)
class LesionCard:
    """The picture of a lesion.

    lesion_id : as in the tables
    image : (PANEL_PIXELS, 3 * PANEL_PIXELS, 3) uint8; anatomy, λHU, iodine from the left
    slice_number : from 1
    """

    lesion_id: str
    image: NDArray[np.uint8]
    slice_number: int


def lesion_cards(
    measurement: Measurement, planes_of: Callable[[int], SliceMaps] | None = None
) -> list[LesionCard]:
    """A card of every lesion that was laid out, in the slice where it is largest.

    planes_of : gives the planes of a slice where they are known already; they are read, if not given
    """
    planes_of = planes_of or partial(slice_maps, measurement)
    regions: dict[str, dict[str, RegionMask]] = {}
    for region in measurement.layout.regions:
        if region.lesion_id and region.region in _OUTLINES:
            regions.setdefault(region.lesion_id, {})[region.region] = region.mask
    planes: dict[int, SliceMaps] = {}
    cards = []
    for laid_out in measurement.layout.lesions:
        mask = laid_out.lesion.mask
        z = largest_slice(mask)
        if z not in planes:
            planes[z] = planes_of(z)
        cards.append(
            LesionCard(
                lesion_id=laid_out.lesion.lesion_id,
                image=_card(
                    planes[z],
                    mask,
                    regions.get(laid_out.lesion.lesion_id, {}),
                    measurement.stack.geometry.spacing_mm[1:],
                ),
                slice_number=z + 1,
            )
        )
    return cards


def overview_card(planes: SliceMaps, pixel_spacing_mm: Sequence[float]) -> LesionCard:
    """A card of a whole slice, for a study without lesions."""
    sides_mm = [size * mm for size, mm in zip(planes.anatomy.shape, pixel_spacing_mm, strict=True)]
    centre = (planes.anatomy.shape[0] / 2, planes.anatomy.shape[1] / 2)
    image = _row(planes, [], centre, pixel_spacing_mm, max(sides_mm))
    return LesionCard(lesion_id="", image=image, slice_number=planes.z + 1)


def write_card(path: Path, card: LesionCard) -> None:
    """Writes the picture as JPEG of at most `CARD_BYTES`, in the best quality that holds them."""
    for quality in _JPEG_QUALITIES:
        encoded = imagecodecs.jpeg8_encode(card.image, level=quality)
        if len(encoded) <= CARD_BYTES:
            break
    path.write_bytes(encoded)


def _card(
    planes: SliceMaps,
    mask: RegionMask,
    regions: dict[str, RegionMask],
    pixel_spacing_mm: Sequence[float],
) -> NDArray[np.uint8]:
    local = planes.z - mask.origin[0]
    rows, columns = np.nonzero(np.asarray(mask.voxels)[local])
    centre = (mask.origin[1] + rows.mean(), mask.origin[2] + columns.mean())
    outlines = [
        (union_in_slice([regions[name]], planes.z, planes.anatomy.shape), colour)
        for name, colour in _OUTLINES.items()
        if name in regions
    ]
    return _row(planes, outlines, centre, pixel_spacing_mm, _FIELD_MM)


def _row(
    planes: SliceMaps,
    outlines: Sequence[tuple[NDArray[np.bool_], tuple[int, int, int]]],
    centre: tuple[float, float],
    pixel_spacing_mm: Sequence[float],
    field_mm: float,
) -> NDArray[np.uint8]:
    """The panels side by side."""
    halves = [max(1, round(field_mm / 2 / size)) for size in pixel_spacing_mm]
    lows = [round(place) - half for place, half in zip(centre, halves, strict=True)]
    # Only what is shown is coloured. Beyond the plane there is no value, which is black, as zero is there in grey.
    local = [(_cropped(mask, lows, halves, False), colour) for mask, colour in outlines]
    panels = [_grey(_cropped(planes.anatomy, lows, halves, np.nan))]
    inside = _cropped(np.ones(planes.anatomy.shape, bool), lows, halves, False)
    for definition, plane in planes.maps:
        values = _cropped(plane, lows, halves, np.nan)
        panels.append(
            np.where(
                inside[..., None],
                _coloured(values, definition.window, definition.colormap),
                np.uint8(0),
            )
        )
    return np.concatenate([_panel(panel, local) for panel in panels], axis=1)


def _grey(plane: NDArray[Any]) -> NDArray[np.uint8]:
    centre, width = ANATOMY_WINDOW
    scaled = np.clip((np.nan_to_num(plane, nan=-1e4) - centre) / width + 0.5, 0.0, 1.0)
    return np.repeat(np.rint(255 * scaled).astype(np.uint8)[..., None], 3, axis=2)


def _coloured(plane: NDArray[Any], window: tuple[float, float], name: str) -> NDArray[np.uint8]:
    from matplotlib import colormaps

    centre, width = window
    scaled = np.clip((np.nan_to_num(plane, nan=-1e9) - centre) / width + 0.5, 0.0, 1.0)
    return np.asarray(colormaps[name](scaled, bytes=True))[..., :3]


def _panel(
    picture: NDArray[np.uint8],
    outlines: Sequence[tuple[NDArray[np.bool_], tuple[int, int, int]]],
) -> NDArray[np.uint8]:
    """A square, enlarged, with outlines one pixel wide."""
    panel = _enlarged(picture)
    for mask, colour in outlines:
        inside = _nearest(mask)
        panel[inside & ~binary_erosion(inside)] = colour
    return panel


def _centres(side: int) -> NDArray[np.float64]:
    """Where the centres of a panel's pixels lie among those of a square of `side` voxels."""
    return (np.arange(PANEL_PIXELS) + 0.5) * side / PANEL_PIXELS - 0.5


def _enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A square of colours as large as a panel, straight between the centres of voxels, first along one side, then the other."""
    values = picture.astype(np.float32)
    for axis in range(2):
        side = values.shape[axis]
        places = np.clip(_centres(side), 0, side - 1)
        low = np.minimum(places.astype(int), max(side - 2, 0))
        share = (places - low).astype(np.float32).reshape((-1, *[1] * (2 - axis)))
        high = np.minimum(low + 1, side - 1)
        values = (1 - share) * values.take(low, axis) + share * values.take(high, axis)
    return np.rint(values).astype(np.uint8)


def _nearest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A square mask as large as a panel, voxel by voxel."""
    rows, columns = (np.floor(_centres(side) + 0.5).astype(int) for side in mask.shape)
    return np.asarray(mask[np.ix_(rows, columns)])


def _cropped(
    plane: NDArray[Any], lows: Sequence[int], halves: Sequence[int], beyond: float
) -> NDArray[Any]:
    """From `lows` on, twice `halves` wide; `beyond` where the plane has ended."""
    square = np.full((2 * halves[0], 2 * halves[1]), beyond, plane.dtype)
    sides = [
        (max(0, low), min(size, low + 2 * half))
        for low, half, size in zip(lows, halves, plane.shape[:2], strict=True)
    ]
    (top, bottom), (left, right) = sides
    square[top - lows[0] : bottom - lows[0], left - lows[1] : right - lows[1]] = plane[
        top:bottom, left:right
    ]
    return square
