"""The stored values of the voxels of regions, gathered where a measurement computes.

On a card the planes, or the rows of them that regions touch, are there only while their voxels are taken: compacted indices
went up once, and a kernel writes each slice's voxels to its columns. Where the card has no room for all that is computed
from them, or loses it on the way, they are gathered on the host, value for value the same.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import backend_for, on_host
from gsigpu.dicom.reading.plain_planes import rows_of
from gsigpu.pipeline.measure.pieces import fits_at_once
from gsigpu.pipeline.measure.processor import Place, Processor

if TYPE_CHECKING:
    from gsigpu.pipeline.map.stream_gpu import CupyDevice


class StoredVoxels:
    """(C, M) int16: M voxels of C series, slice by slice, in the order of their plane.

    starts : (Z + 1,) int64, the column at which each slice of the study begins
    indices : (M,) of the voxels in their planes, ascending in a slice

    Slices are taken in any order and from several threads; one that is taken again has the same values.
    """

    def __init__(
        self,
        n_series: int,
        starts: NDArray[np.int64],
        indices: NDArray[np.intp],
        *,
        processor: Processor | None = None,
        n_rows: int = 0,
    ) -> None:
        """Makes room on the card, if the processor is one that has it.

        processor : the host's where None
        n_rows : float32 rows that are going to be computed from the voxels
        Raises DeviceOutOfMemory.
        """
        self.shape = n_series, indices.size
        self.starts, self.indices = starts, indices
        self._processor = processor
        self._lock = threading.RLock()
        self._host: NDArray[np.int16] | None = None
        self._card: _OnCard | None = None
        self._is_on_card: NDArray[np.bool_] = np.zeros((n_series, len(starts) - 1), bool)
        self._is_on_host = self._is_on_card.copy()
        self._channels: dict[int, NDArray[np.int16]] = {}
        if processor is not None:

            def begin(place: Place) -> _OnCard | None:
                room = place.room_bytes()
                if room is None or not fits_at_once(indices.size, n_series, n_rows, room):
                    return None
                return _OnCard(self.shape, starts, indices, place)

            self._card = processor.run(begin)
            processor.tell_when_left(self)

    def __repr__(self) -> str:
        """How much, and where."""
        where = "host" if self._card is None else "card"
        return f"StoredVoxels({self.shape[0]} series, {self.shape[1]} voxels, {where})"

    @property
    def gathers_on_card(self) -> bool:
        """Whether slices that lie on the card are taken there. What became False stays so."""
        return self._card is not None

    def has_voxels(self, z: int) -> bool:
        """Whether a slice holds any."""
        return bool(self.starts[z] < self.starts[z + 1])

    def rows_in(self, z: int, n_columns: int) -> slice:
        """From the first to the last row of a plane that holds voxels of a slice, which has some."""
        return rows_of(self.indices[self.starts[z] : self.starts[z + 1]], n_columns)

    def on_host(self, z: int) -> tuple[NDArray[np.intp], NDArray[np.int16]]:
        """Of a slice the indices (n,) of its voxels, and where their values (C, n) go that are gathered by the caller.

        Once nothing is gathered on a card.
        """
        columns = slice(self.starts[z], self.starts[z + 1])
        self._is_on_host[:, z] = True
        return self.indices[columns], self._on_host()[:, columns]

    def take(self, z: int, planes: Mapping[int, NDArray[np.int16]]) -> None:
        """The voxels of a slice whose planes are on the host.

        planes : (rows, columns) by series
        """
        if not self.has_voxels(z):
            return
        if self._processor is None or self._card is None:
            self._take_on_host(z, planes)
        else:
            self._processor.run(lambda place: self._take(place, z, planes))

    def _take(self, place: Place, z: int, planes: Mapping[int, NDArray[np.int16]]) -> None:
        if not place.is_card:
            self._take_on_host(z, planes)
            return
        in_plane = self.indices[self.starts[z] : self.starts[z + 1]]
        for series, plane in planes.items():
            rows = rows_of(in_plane, plane.shape[1])
            there = place.put(plane[rows]).reshape(1, -1)
            origin = rows.start * plane.shape[1]
            if not self._take_there(series, z, there, place.stream(), origin=origin):
                self._take_on_host(z, {series: plane})

    def take_uploaded(
        self,
        first: int,
        planes: Mapping[int, tuple[NDArray[np.int16], Any]],
        stream: Any,
    ) -> None:
        """The voxels of slices whose planes lie on the card, in the order of the stream that brought them there.

        planes : by series the planes of slices from `first` on, (S, rows, columns) on the host and (S, N) there
        """
        for series, (host, there) in planes.items():
            n_slices = len(host)
            if self.starts[first] == self.starts[first + n_slices]:
                return
            if not self._take_there(series, first, there, stream):
                for i in range(n_slices):
                    if not self._is_on_host[series, first + i]:
                        self._take_on_host(first + i, {series: host[i]})

    def _take_there(
        self, series: int, first: int, planes: Any, stream: Any, *, origin: int = 0
    ) -> bool:
        """On the card; False where nothing lies there any more."""
        with self._lock:
            if self._card is None:
                return False
            self._card.gather(series, first, planes, stream, origin=origin)
            self._is_on_card[series, first : first + len(planes)] = True
            return True

    def _take_on_host(self, z: int, planes: Mapping[int, NDArray[np.int16]]) -> None:
        stored = self._on_host()
        gather_voxels = backend_for(stored).gather_voxels
        columns = slice(self.starts[z], self.starts[z + 1])
        in_plane, ends = self.indices[columns], np.array([0, columns.stop - columns.start])
        for series, plane in planes.items():
            gather_voxels(plane.reshape(1, -1), ends, in_plane, stored[series, columns])
            self._is_on_host[series, z] = True

    def _on_host(self) -> NDArray[np.int16]:
        with self._lock:
            if self._host is None:
                self._host = np.zeros(self.shape, np.int16)
            return self._host

    def at(self, place: Place) -> Any:
        """(C, M), on the card where it lies there and the place is one, else on the host; once all is taken."""
        with self._lock:
            if self._card is not None and place.is_card and self._host is None:
                self._card.wait()
                return self._card.stored
        self.leave()
        return self._on_host()

    def channel(self, series: int) -> NDArray[np.int16]:
        """(M,) of a series, on the host; once all is taken."""
        if series not in self._channels:
            with self._lock:
                if self._card is None or self._host is not None:
                    self.leave()
                    self._channels[series] = self._on_host()[series]
                else:
                    self._card.wait()
                    self._channels[series] = on_host(self._card.stored[series])
        return self._channels[series]

    def leave(self) -> None:
        """Brings what lies on the card to the host, which needs no memory there, and lets go of it."""
        with self._lock:
            if self._card is None:
                return
            self._card.wait()
            stored, host = on_host(self._card.stored), self._on_host()
            for series, z in np.argwhere(self._is_on_card):
                columns = slice(self.starts[z], self.starts[z + 1])
                host[series, columns] = stored[series, columns]
            self._is_on_host |= self._is_on_card
            self._card = None

    def close(self) -> None:
        """Lets go of the card; what was not brought to the host is lost."""
        with self._lock:
            if self._card is not None:
                self._card.wait()
                self._card = None


class _OnCard:
    """Voxels on the card.

    Several streams write into them, each slice to columns of its own. Each waits for what the one before it did, so that
    waiting for the last one is waiting for all.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        starts: NDArray[np.int64],
        indices: NDArray[np.intp],
        place: Place,
    ) -> None:
        from gsigpu.pipeline.map.stream_gpu import CupyDevice

        self._device: CupyDevice = CupyDevice()
        self._starts, self._indices = place.put(starts), place.put(indices.astype(np.int32))
        self.stored = self._device.zeros(shape, np.int16)
        self._last = self._device.record(place.stream())

    def gather(self, series: int, first: int, planes: Any, stream: Any, *, origin: int) -> None:
        """Queues the voxels of (S, N) planes."""
        self._device.wait_for(self._last, stream)
        self._device.gather_voxels(
            planes,
            self._starts[first : first + len(planes) + 1],
            self._indices,
            self.stored[series],
            origin,
            stream,
        )
        self._last = self._device.record(stream)

    def wait(self) -> None:
        """Until all that was queued is done."""
        self._last.synchronize()
