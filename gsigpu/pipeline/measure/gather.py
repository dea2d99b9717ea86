"""The voxels of regions out of the slices that they touch, and out of no other.

One pass over those slices: each is read once, at all the series, and its voxels that lie in any region are kept as
they are stored, where the measurement computes (`stored_voxels`). What is kept is as large as the regions together, not as the study; a voxel of several regions is
kept once, and the regions are columns of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import Series
from gsigpu.dicom.reading.hu_planes import rescaled
from gsigpu.errors import PixelDataError
from gsigpu.pipeline.measure.processor import Processor
from gsigpu.pipeline.measure.stored_voxels import StoredVoxels
from gsigpu.pipeline.progress import Progress
from gsigpu.pipeline.stack_source import PlaneStore
from gsigpu.regions.region_mask import RegionMask
from gsigpu.regions.region_voxels import region_voxels

# (slice, its C stored planes, indices of voxels in them) -> (K, n) values there of what needs whole planes.
MorePlanes = Callable[[int, Sequence[NDArray[np.int16]], NDArray[np.intp]], NDArray[np.float32]]
# (path, frame) -> stored values of a whole plane.
KeptPlanes = Mapping[tuple[str, int], NDArray[np.int16]]


@dataclass(frozen=True, slots=True, repr=False)
class Gathered:
    """Voxels of regions.

    series : C series, the channels
    stored : (C, M), stored values of the voxels of any region, slice by slice, in the order of their plane
    more : (K, M) float32, what needs whole planes
    voxels : per region the columns of its voxels, in the order of `np.nonzero` of its mask
    errors : per region None, or why a slice of it could not be read; its values mean nothing then
    slices : indices of the slices that were read
    starts : (len(slices) + 1,) the column at which each of them begins
    kept : the planes of slices that were to be kept
    """

    series: tuple[Series, ...]
    stored: StoredVoxels
    more: NDArray[np.float32]
    voxels: tuple[NDArray[np.integer[Any]], ...]
    errors: tuple[PixelDataError | None, ...]
    slices: tuple[int, ...]
    starts: NDArray[np.int64]
    kept: KeptPlanes

    def __repr__(self) -> str:
        """How much there is."""
        n_regions, n_voxels = len(self.voxels), self.stored.shape[1]
        return f"Gathered({n_regions} regions, {n_voxels} voxels, {len(self.slices)} slices)"

    def values(self, region: int, channel: int) -> NDArray[np.float32]:
        """(n,) of a region in the unit of a series, NaN where it has no value."""
        columns = self.voxels[region]
        values = np.empty(len(columns), np.float32)
        ends = np.searchsorted(columns, self.starts)
        stored = self.stored.channel(channel)
        planes = self.series[channel].planes
        for z, first, end in zip(self.slices, ends, ends[1:], strict=False):
            if end > first:
                of_slice = stored[columns[first:end]]
                values[first:end] = rescaled([planes[z]], [of_slice])[0]
        return values


class Gatherer:
    """Takes the voxels of regions from slices, in any order and from several threads."""

    def __init__(
        self,
        series: Sequence[Series],
        masks: Sequence[RegionMask],
        *,
        store: PlaneStore | None = None,
        more_planes: MorePlanes | None = None,
        n_more: int = 0,
        processor: Processor | None = None,
        n_rows: int = 0,
        keep: Collection[int] = (),
    ) -> None:
        """`series` lie on the grid of the masks; `more_planes` gives `n_more` values a voxel.

        processor, n_rows : see `StoredVoxels`
        keep : slices whose planes are wanted afterwards; of those that no region touches nothing is read
        """
        self._keep = frozenset(keep)
        self._kept: dict[tuple[str, int], NDArray[np.int16]] = {}
        self._series = tuple(series)
        self._store = store or PlaneStore()
        self._more_planes = more_planes
        image = self._series[0].planes[0].format
        self._plane_shape = image.rows, image.columns
        voxels = region_voxels(masks, (len(self._series[0].planes), *self._plane_shape))
        self.slices, self._regions_in, self._voxels = (
            voxels.slices,
            voxels.regions_in,
            voxels.columns,
        )
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(voxels.sizes)])
        in_planes = voxels.indices
        self._stored = StoredVoxels(
            len(self._series), starts, in_planes, processor=processor, n_rows=n_rows
        )
        self._more = np.full((n_more, in_planes.size), np.nan, np.float32)
        self._errors: list[PixelDataError | None] = [None] * len(masks)
        self._of_thread = threading.local()

    def take(
        self,
        z: int,
        given: Mapping[int, NDArray[np.int16]] | None = None,
        *,
        goes_up: bool = False,
    ) -> None:
        """The voxels of slice z.

        given : stored planes of it that are read already, by channel; the others are read here
        goes_up : whether the given ones are on their way to a card, where `take_uploaded` finds them
        """
        if not self._stored.has_voxels(z):
            return
        # Maps of a voxel's neighbours need whole planes, and so do pictures.
        is_whole = self._more_planes is not None or z in self._keep
        if given is None and not is_whole and not self._stored.gathers_on_card:
            self._take_from_files(z)
            return
        if not hasattr(self._of_thread, "buffers"):
            shape = (len(self._series), *self._plane_shape)
            self._of_thread.buffers = np.empty(shape, np.int16)
        planes: list[NDArray[np.int16]] = list(self._of_thread.buffers)
        rows = None if is_whole else self._stored.rows_in(z, self._plane_shape[1])
        try:
            for channel, series in enumerate(self._series):
                if given is not None and channel in given:
                    planes[channel] = given[channel]
                else:
                    self._store.take(series.planes[z], planes[channel], rows=rows)
        except PixelDataError as error:
            self._fail(z, error)
            return
        if z in self._keep:
            for series, plane in zip(self._series, planes, strict=True):
                self._kept[series.planes[z].place] = plane.copy()
        by_channel = dict(enumerate(planes))
        if goes_up and self._stored.gathers_on_card:
            by_channel = {c: plane for c, plane in by_channel.items() if c not in (given or ())}
        self._stored.take(z, by_channel)
        if self._more_planes is not None:
            columns = slice(self._stored.starts[z], self._stored.starts[z + 1])
            self._more[:, columns] = self._more_planes(z, planes, self._stored.indices[columns])

    def _take_from_files(self, z: int) -> None:
        """Of slice z no more than its voxels, which go from the files to where they stay."""
        indices, target = self._stored.on_host(z)
        planes = [series.planes[z] for series in self._series]
        try:
            self._store.take_voxels(planes, self._plane_shape, indices, target)
        except PixelDataError as error:
            self._fail(z, error)

    def _fail(self, z: int, error: PixelDataError) -> None:
        for index in self._regions_in(z):
            self._errors[index] = error

    def take_uploaded(
        self, first: int, planes: Mapping[int, tuple[NDArray[np.int16], Any]], stream: Any
    ) -> None:
        """The voxels of slices that lie on a card; see `StoredVoxels.take_uploaded`."""
        self._stored.take_uploaded(first, planes, stream)

    def close(self) -> None:
        """Lets go of the card."""
        self._stored.close()

    def result(self) -> Gathered:
        """What was taken."""
        return Gathered(
            series=self._series,
            stored=self._stored,
            more=self._more,
            voxels=tuple(self._voxels),
            errors=tuple(self._errors),
            slices=self.slices,
            starts=self._stored.starts[[*self.slices, len(self._stored.starts) - 1]],
            kept=self._kept,
        )


def gather(
    gatherer: Gatherer,
    *,
    n_workers: int = 1,
    progress: Progress = lambda _done, _total: None,
) -> Gathered:
    """Of every slice that the regions touch, reads the rows that they touch; compressed ones whole."""
    if n_workers == 1:  # a thread for it would only be waited for
        for done, z in enumerate(gatherer.slices, start=1):
            gatherer.take(z)
            progress(done, len(gatherer.slices))
        return gatherer.result()
    with ThreadPoolExecutor(n_workers) as pool:
        for done, _ in enumerate(pool.map(gatherer.take, gatherer.slices), start=1):
            progress(done, len(gatherer.slices))
    return gatherer.result()
