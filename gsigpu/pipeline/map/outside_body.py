"""Maps with what lies outside the body left blank: there they are noise over noise, and nobody measures there.

The body is that of `gsigpu.regions.body`, found in the monoenergetic image nearest to 70 keV, which is computed as one
plane more. Series that are measured are written whole unless a person asks; pictures (rgb) are blank outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gsigpu.maps.definitions import MapDefinition
from gsigpu.pipeline.map.stream import Sink
from gsigpu.regions.body import body_mask

Outside = Literal["blank", "keep"]
# What an integer plane holds where it has no value.
NO_VALUE = -32768
_AIR_HU = np.float32(-1000.0)


def told_blank(definition: MapDefinition) -> MapDefinition:
    """The definition of a map that is blank outside the body; the header and the provenance say its formula."""
    return replace(definition, formula=f"{definition.formula}; blank outside the body")


def body_in_plane(plane: NDArray[Any], step: float) -> NDArray[np.bool_]:
    """The body in a plane of HU as a sink gets it.

    plane : (rows, columns) int16, HU / step, or float32, HU
    """
    if plane.dtype == np.int16:
        return body_mask(np.where(plane != NO_VALUE, plane * np.float32(step), _AIR_HU))
    return body_mask(plane)


class BlankOutside:
    """Hands planes on to a sink, with what lies outside the body left blank; called from several threads.

    anatomy_step : of the last plane, the anatomy, where planes are integers
    with_anatomy : whether the sink takes that plane too; it gets it as it is
    """

    def __init__(self, sink: Sink, *, anatomy_step: float, with_anatomy: bool) -> None:
        self._sink = sink
        self._step = anatomy_step
        self._with_anatomy = with_anatomy

    def write(self, z: int, planes: Sequence[NDArray[Any]]) -> None:
        """Planes of slice z: the maps, then the anatomy."""
        *maps, anatomy = planes
        body = body_in_plane(anatomy, self._step)
        blanked = [
            np.where(body, plane, plane.dtype.type(NO_VALUE if plane.dtype == np.int16 else np.nan))
            for plane in maps
        ]
        self._sink.write(z, [*blanked, anatomy] if self._with_anatomy else blanked)
