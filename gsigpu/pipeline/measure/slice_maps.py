"""One slice of a measured stack as pictures show it: anatomy, λHU and iodine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import Plane
from gsigpu.dicom.reading.hu_planes import read_planes, rescaled
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.maps.definitions import MapDefinition
from gsigpu.maps.plan import maps_of_hu, plan_maps
from gsigpu.pipeline.measure.gather import KeptPlanes
from gsigpu.pipeline.measure.measurement import Measurement

ANATOMY_KEV = 70.0
SHOWN_MAPS = ("lambda-hu", "iodine")


@dataclass(frozen=True, slots=True)
class SliceMaps:
    """Planes of a slice.

    anatomy : (rows, columns) float32, HU at `anatomy_kev`, NaN where there is no value
    maps : of the measurement's definitions of λHU and iodine, each with its plane
    """

    z: int
    anatomy: NDArray[np.float32]
    anatomy_kev: float
    maps: tuple[tuple[MapDefinition, NDArray[Any]], ...]


def slice_maps(measurement: Measurement, z: int) -> SliceMaps:
    """What one slice's pictures need: the energies of the maps, and the one nearest to 70 keV.

    Planes that the measurement kept are taken from there, others are read.
    """
    stack = measurement.stack
    definitions = [
        definition
        for definition in measurement.measurand.definitions
        if definition.name in SHOWN_MAPS
    ]
    plan = plan_maps(definitions, stack.energies_kev)
    shown = min(range(len(stack.series)), key=lambda i: abs(stack.energies_kev[i] - ANATOMY_KEV))
    needed = sorted({stack.energies_kev.index(kev) for kev in plan.energies_kev} | {shown})
    hu = _planes_in_hu([stack.series[i].planes[z] for i in needed], measurement.kept_planes)
    maps = maps_of_hu(
        plan, hu[[needed.index(stack.energies_kev.index(kev)) for kev in plan.energies_kev]]
    )
    return SliceMaps(
        z=z,
        anatomy=hu[needed.index(shown)],
        anatomy_kev=stack.energies_kev[shown],
        maps=tuple((definition, maps[definition.name]) for definition in definitions),
    )


def _planes_in_hu(planes: Sequence[Plane], kept: KeptPlanes) -> NDArray[np.float32]:
    """(n, rows, columns) float32, NaN where there is no value."""
    stored = [kept.get(plane.place) for plane in planes]
    known = [raw for raw in stored if raw is not None]
    return (
        rescaled(planes, known) if len(known) == len(planes) else read_planes(PlaneReader(), planes)
    )
