"""One picture per measured row: the slice of the largest lesion, or region where there is none, with λHU and iodine, and its outline."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gsigpu.phase_words import phase_name
from gsigpu.pictures import ANATOMY_WINDOW, Panel, save_panels
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.measure.shown_slices import outlined_masks, pictured_slice
from gsigpu.pipeline.measure.slice_maps import slice_maps
from gsigpu.regions.region_mask import union_in_slice

_BODY_HU = -300.0


def save_picture(path: Path, measurement: Measurement) -> None:
    """A PNG of the slice in which the largest lesion is widest; lesions in outline. Without lesions the same of the regions."""
    stack = measurement.stack
    outlined, z = outlined_masks(measurement.layout), pictured_slice(measurement.layout)
    planes = slice_maps(measurement, z)
    anatomy = planes.anatomy
    body_mask = np.nan_to_num(anatomy, nan=-1000.0) > _BODY_HU
    outline = union_in_slice(outlined, z, anatomy.shape)
    panels = [
        Panel(
            plane=anatomy,
            title=f"VMI {planes.anatomy_kev:g} keV",
            unit="HU",
            window=ANATOMY_WINDOW,
            colormap="gray",
            outline_mask=outline,
        ),
        *(
            Panel(
                plane=plane,
                title=definition.shown_title,
                unit=definition.unit.display,
                window=definition.window,
                colormap=definition.colormap,
                overlay_on=anatomy,
                shown_mask=body_mask,
                outline_mask=outline,
            )
            for definition, plane in planes.maps
        ),
    ]
    save_panels(
        path,
        panels,
        geometry=stack.geometry,
        caption=f"{measurement.labels.case_id}, {phase_name(measurement.labels.phase)}, slice {z + 1} of {stack.geometry.shape[0]}",
    )
