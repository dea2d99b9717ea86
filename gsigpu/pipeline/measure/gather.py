"""The voxels of regions out of the slices that they touch, and out of no other.

One pass over those slices: each is read once, at all the series, and every region takes its
voxels from it. What is kept is as large as the regions, not as the study.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import Series
from gsigpu.dicom.reading.hu_planes import read_planes
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.errors import PixelDataError
from gsigpu.pipeline.progress import Progress
from gsigpu.regions.region_mask import RegionMask

# (C, y, x) values of a slice -> further (K, y, x) planes of it.
MorePlanes = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, repr=False)
class Gathered:
    """Voxels of regions.

    values : per region (C, n) float32 in the units of the series, voxels in the order of `np.nonzero` of
        the mask; NaN where a series has no value
    errors : per region None, or why a slice of it could not be read; its values there are NaN
    slices : indices of the slices that were read
    """

    values: tuple[NDArray[np.float32], ...]
    errors: tuple[PixelDataError | None, ...]
    slices: tuple[int, ...]

    def __repr__(self) -> str:
        """How much there is."""
        n_voxels = sum(array.shape[1] for array in self.values)
        return f"Gathered({len(self.values)} regions, {n_voxels} voxels, {len(self.slices)} slices)"


def gather(
    series: Sequence[Series],
    masks: Sequence[RegionMask],
    *,
    more_planes: MorePlanes | None = None,
    n_more: int = 0,
    n_workers: int = 1,
    progress: Progress = lambda _done, _total: None,
) -> Gathered:
    """The voxels of `masks` in `series`, which share the masks' grid.

    more_planes, n_more : computes further planes of a slice, for what needs whole planes
    """
    n_channels = len(series) + n_more
    touched = _touched(masks)
    offsets = [_offsets(mask) for mask in masks]
    values = [np.full((n_channels, int(ends[-1])), np.nan, np.float32) for ends in offsets]
    errors: list[PixelDataError | None] = [None] * len(masks)
    reader = PlaneReader()

    def take(z: int) -> None:
        try:
            planes = read_planes(reader, [channel.planes[z] for channel in series])
        except PixelDataError as error:
            for index in touched[z]:
                errors[index] = error
            return
        if more_planes is not None:
            planes = np.concatenate([planes, more_planes(planes)])
        for index in touched[z]:
            mask, ends = masks[index], offsets[index]
            local = z - mask.origin[0]
            _, rows, columns = mask.box
            values[index][:, ends[local] : ends[local + 1]] = planes[:, rows, columns][
                :, mask.voxels[local]
            ]

    slices = sorted(touched)
    with ThreadPoolExecutor(n_workers) as pool:
        for done, _ in enumerate(pool.map(take, slices), start=1):
            progress(done, len(slices))
    return Gathered(tuple(values), tuple(errors), tuple(slices))


def _touched(masks: Sequence[RegionMask]) -> dict[int, list[int]]:
    """Slice -> the masks that have voxels in it."""
    touched: dict[int, list[int]] = {}
    for index, mask in enumerate(masks):
        for local in np.flatnonzero(mask.voxels.any(axis=(1, 2))):
            touched.setdefault(mask.origin[0] + int(local), []).append(index)
    return touched


def _offsets(mask: RegionMask) -> NDArray[Any]:
    """(n_z + 1,) where the voxels of each slice of the box begin."""
    counts = mask.voxels.sum(axis=(1, 2))
    return np.concatenate([[0], np.cumsum(counts)])
