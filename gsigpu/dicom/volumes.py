"""Whole series as float volumes, for what needs one series at a time and not the stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import Series
from gsigpu.dicom.pixels import PlaneReader


def read_volume(series: Series, *, slices: Sequence[int] | None = None) -> NDArray[np.float32]:
    """Rescaled values of a series, NaN where it says there are none.

    slices : indices along the slice direction to read; all if None
    Returns (z, y, x) float32, in the unit of the series.
    Raises the problem of the series if it has one, PixelDataError if a file cannot be decoded.
    """
    if series.problem is not None:
        raise series.problem
    planes = series.planes if slices is None else [series.planes[z] for z in slices]
    stored = np.empty((len(planes), planes[0].format.rows, planes[0].format.columns), np.int16)
    PlaneReader().read(planes, stored)
    volume = np.empty(stored.shape, np.float32)
    for plane, values, target in zip(planes, stored, volume, strict=True):
        np.multiply(values, np.float32(plane.slope), out=target)
        np.add(target, np.float32(plane.intercept), out=target)
        if plane.padding is not None:
            low, high = plane.padding
            target[(values >= low) & (values <= high)] = np.nan
    return volume
