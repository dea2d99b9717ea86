"""One picture per measured row: the largest lesion's slice, with λHU and iodine, and its outline."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gsigpu.dicom.reading.hu_planes import read_planes
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.maps.plan import maps_of_hu, plan_maps
from gsigpu.pictures import ANATOMY_WINDOW, Panel, save_panels
from gsigpu.pipeline.measure.measurement import Measurement

_BODY_HU = -300.0
_ANATOMY_KEV = 70.0


def save_picture(path: Path, found: Measurement) -> None:
    """A PNG of the slice in which the largest lesion is widest; lesions in outline."""
    stack = found.stack
    largest = max((one.lesion.mask for one in found.layout.lesions), key=lambda one: one.n_voxels)
    z = largest.origin[0] + int(largest.voxels.sum(axis=(1, 2)).argmax())
    definitions = [
        one for one in found.measurand.definitions if one.name in ("lambda-hu", "iodine")
    ]
    plan = plan_maps(definitions, stack.energies_kev)
    shown = min(range(len(stack.series)), key=lambda i: abs(stack.energies_kev[i] - _ANATOMY_KEV))
    needed = sorted({stack.energies_kev.index(kev) for kev in plan.energies_kev} | {shown})
    hu = read_planes(PlaneReader(), [stack.series[i].planes[z] for i in needed])
    anatomy = hu[needed.index(shown)]
    maps = maps_of_hu(
        plan, hu[[needed.index(stack.energies_kev.index(kev)) for kev in plan.energies_kev]]
    )
    body_mask = np.nan_to_num(anatomy, nan=-1000.0) > _BODY_HU
    outline = np.zeros(anatomy.shape, bool)
    for one in found.layout.lesions:
        _, rows, columns = one.lesion.mask.box
        local = z - one.lesion.mask.origin[0]
        if 0 <= local < one.lesion.mask.voxels.shape[0]:
            outline[rows, columns] |= one.lesion.mask.voxels[local]
    panels = [
        Panel(
            anatomy,
            f"VMI {stack.energies_kev[shown]:g} keV",
            "HU",
            ANATOMY_WINDOW,
            "gray",
            outline_mask=outline,
        ),
        *(
            Panel(
                maps[one.name],
                one.title.replace("Lambda HU", "λHU"),
                one.unit.display,
                one.window,
                one.colormap,
                overlay_on=anatomy,
                shown_mask=body_mask,
                outline_mask=outline,
            )
            for one in definitions
        ),
    ]
    save_panels(
        path,
        panels,
        pixel_spacing_mm=stack.geometry.spacing_mm[1:],
        caption=f"{found.labels.case_id} {found.labels.phase}, slice {z + 1} of {stack.geometry.shape[0]}",
    )
