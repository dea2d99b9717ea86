"""The stored values and the HU of a stack, slice by slice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import SpectralStack
from gsigpu.dicom.reading.hu_planes import read_planes
from gsigpu.dicom.reading.pixels import PlaneReader


class StackSource:
    """Delivers the stored values of a stack, slice by slice."""

    def __init__(self, stack: SpectralStack) -> None:
        self._stack = stack
        self._reader = PlaneReader()

    def read(self, z: int, out: NDArray[np.int16]) -> None:
        """Slice z at all energies into (E, rows, columns) int16."""
        self._reader.read([series.planes[z] for series in self._stack.series], out)

    def rescale(self) -> dict[str, Any]:
        """(Z, E) slopes and intercepts, and padding ranges, of the delivered values."""
        rows = list(zip(*(series.planes for series in self._stack.series), strict=True))
        return {
            "slopes": np.array([[plane.slope for plane in row] for row in rows]),
            "intercepts": np.array([[plane.intercept for plane in row] for row in rows]),
            "padding": [[plane.padding for plane in row] for row in rows],
        }

    def read_hu(self, z: int) -> NDArray[np.float32]:
        """Slice z in HU, (E, rows, columns) float32, NaN where there is no value."""
        return read_planes(self._reader, [series.planes[z] for series in self._stack.series])
