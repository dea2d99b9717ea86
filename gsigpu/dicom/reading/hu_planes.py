"""Planes as floats in the unit of their series, for what does not need the stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import Plane, Series
from gsigpu.dicom.reading.pixels import PlaneReader


def read_volume(series: Series, *, slices: Sequence[int] | None = None) -> NDArray[np.float32]:
    """Rescaled values of a series, NaN where it says there are none.

    slices : indices along the slice direction to read; all if None
    Returns (z, y, x) float32, in the unit of the series.
    Raises the problem of the series if it has one, PixelDataError if a file cannot be decoded.
    """
    if series.problem is not None:
        raise series.problem
    planes = series.planes if slices is None else [series.planes[z] for z in slices]
    return read_planes(PlaneReader(), planes)


def read_planes(reader: PlaneReader, planes: Sequence[Plane]) -> NDArray[np.float32]:
    """Planes of one size, rescaled; (n, rows, columns) float32, NaN where there is no value.

    Raises PixelDataError if a file cannot be decoded.
    """
    stored = np.empty((len(planes), planes[0].format.rows, planes[0].format.columns), np.int16)
    reader.read(planes, stored)
    return rescaled(planes, stored)


def rescaled(
    planes: Sequence[Plane], stored: Sequence[NDArray[np.int16]] | NDArray[np.int16]
) -> NDArray[np.float32]:
    """Delivered values of planes in the unit of their series, NaN where there is no value.

    stored : an array of one shape for each plane
    Returns (n, *shape) float32.
    """
    values = np.empty((len(planes), *stored[0].shape), np.float32)
    for plane, raw, target in zip(planes, stored, values, strict=True):
        np.multiply(raw, np.float32(plane.slope), out=target)
        np.add(target, np.float32(plane.intercept), out=target)
        if plane.padding is not None:
            low, high = plane.padding
            target[(raw >= low) & (raw <= high)] = np.nan
    return values
