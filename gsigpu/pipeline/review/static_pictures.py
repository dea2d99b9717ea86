"""Pictures that a study page shows where a browser cannot draw it: small, made with the volumes, of the page's own planes.

A card of every lesion in the slice where it is largest, or of the whole middle slice where a phase has no lesion. Values
and windows are those of the page; nothing is read or computed a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import SpectralStack
from gsigpu.maps.definitions import MapDefinition
from gsigpu.physics import iodine_hu_per_mg_per_ml
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.measure.shown_slices import largest_slice
from gsigpu.pipeline.measure.slice_maps import ANATOMY_KEV, SliceMaps
from gsigpu.pipeline.review.lesion_cards import (
    LesionCard,
    lesion_cards,
    overview_card,
    write_card,
)
from gsigpu.pipeline.review.page_volumes import BASIS
from gsigpu.regions.region_layout import Layout


def static_slices(stack: SpectralStack, layout: Layout | None) -> set[int]:
    """The slices of which pictures will be made."""
    lesions = () if layout is None else layout.lesions
    slices = {largest_slice(laid_out.lesion.mask) for laid_out in lesions}
    return slices or {stack.geometry.shape[0] // 2}


def write_static(
    data: Path,
    key: str,
    stack: SpectralStack,
    measurement: Measurement | None,
    kept: Mapping[int, Sequence[NDArray[np.float32]]],
    definitions: Sequence[MapDefinition],
    redact: Callable[[str], str] = str,
) -> list[dict[str, Any]]:
    """Writes `data`/`key`s/N.jpg.

    kept : planes of the page's maps in the slices of `static_slices`
    redact : takes out of names what leads to the patient
    Returns per picture its file, lesion (empty for a whole slice) and slice, and the maps that it shows.
    """
    folder = data / f"{key}s"
    folder.mkdir()
    entries = []
    for number, card in enumerate(_cards(stack, measurement, kept, definitions), start=1):
        write_card(folder / f"{number}.jpg", card)
        entries.append(
            {
                "image": f"{folder.name}/{number}.jpg",
                "lesion": redact(card.lesion_id),
                "slice": card.slice_number,
                "size": [card.image.shape[1], card.image.shape[0]],
                "kev": ANATOMY_KEV,
                "maps": [definition.name for definition in _shown(definitions)],
            }
        )
    return entries


def _cards(
    stack: SpectralStack,
    measurement: Measurement | None,
    kept: Mapping[int, Sequence[NDArray[np.float32]]],
    definitions: Sequence[MapDefinition],
) -> list[LesionCard]:
    planes = {z: _slice_maps(z, of_slice, definitions) for z, of_slice in kept.items()}
    if measurement is not None and measurement.layout.lesions:
        return lesion_cards(measurement, planes.__getitem__)
    first, *_ = (
        planes.values()
    )  # of several, where lesions were laid out that could not be measured
    return [overview_card(first, stack.geometry.spacing_mm[1:])]


def _slice_maps(
    z: int, planes: Sequence[NDArray[np.float32]], definitions: Sequence[MapDefinition]
) -> SliceMaps:
    """Of the page's planes: the anatomy is drawn from water and iodine, as on the page."""
    vnc, iodine = planes[: len(BASIS)]
    (ratio,) = iodine_hu_per_mg_per_ml([ANATOMY_KEV])
    of_name = {each.name: plane for each, plane in zip(definitions, planes, strict=True)}
    return SliceMaps(
        z=z,
        anatomy=vnc + np.float32(ratio) * iodine,
        anatomy_kev=ANATOMY_KEV,
        maps=tuple((each, of_name[each.name]) for each in _shown(definitions)),
    )


def _shown(definitions: Sequence[MapDefinition]) -> list[MapDefinition]:
    """λHU, or the first map that was asked for, and iodine."""
    _, iodine, *others = definitions
    return [*others[:1], iodine]
