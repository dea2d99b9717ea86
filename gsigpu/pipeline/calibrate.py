"""Maps whose definition depends on the stack: measured on a few slices before the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gsigpu.caution import Caution
from gsigpu.maps.definitions import Energies, MapDefinition

# Spread over the stack; noise differs between slices, its correlation hardly.
_SAMPLE_SLICES = 5
# HU near 70 keV of organs with contrast medium, with their noise: no air, no lung, no bone.
_SOFT_TISSUE_HU = (-200.0, 300.0)
_SOFT_TISSUE_KEV = 70.0


def calibrated(
    definitions: Sequence[MapDefinition],
    energies_kev: Energies,
    n_slices: int,
    read_hu: Callable[[int], NDArray[np.float32]],
) -> tuple[tuple[MapDefinition, ...], list[Caution]]:
    """The definitions for a stack, and what a person should know of them.

    energies_kev : that `read_hu` delivers, among them those of the definitions
    read_hu : slice z -> (E, y, x) HU
    """
    if all(definition.calibrate is None for definition in definitions):
        return tuple(definitions), []
    places = np.unique(np.linspace(0, n_slices - 1, _SAMPLE_SLICES + 2).round().astype(int))
    inner = places[1:-1] if len(places) > 2 else places
    hu = np.stack([read_hu(int(z)) for z in inner], axis=1)
    tissue = hu[int(np.argmin(np.abs(np.asarray(energies_kev) - _SOFT_TISSUE_KEV)))]
    lowest, highest = _SOFT_TISSUE_HU
    soft_tissue = (tissue > lowest) & (tissue < highest)
    for_stack = tuple(
        _calibrated(definition, energies_kev, hu, soft_tissue) for definition in definitions
    )
    return for_stack, [
        Caution("not-calibrated", definition.caution)
        for definition in for_stack
        if definition.caution
    ]


def _calibrated(
    definition: MapDefinition,
    energies_kev: Energies,
    hu: NDArray[np.float32],
    soft_tissue: NDArray[np.bool_],
) -> MapDefinition:
    if definition.calibrate is None:
        return definition
    used = definition.energies_for(energies_kev)
    rows = definition.rows(used)
    images = hu[[energies_kev.index(kev) for kev in used]]
    planes = np.tensordot(rows.weights, images, axes=1) + rows.offsets[:, None, None, None]
    return definition.calibrate(planes.astype(np.float32), soft_tissue)
