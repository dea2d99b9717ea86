"""The stored values and the HU of a stack, slice by slice, each plane read once."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import Plane, Series, SpectralStack
from gsigpu.dicom.reading.hu_planes import rescaled
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.maps.spectral_direction import block_means
from gsigpu.pipeline.kept_memory import MOST_KEPT_BYTES


class PlaneStore:
    """Reads planes; what was looked at before the pass over a study is kept until the pass takes it.

    Safe to share between threads, between the jobs of one pass, and between the passes over the phases of a study.
    """

    def __init__(self, *, of_phases: bool = False) -> None:
        """`of_phases` : whether several phases are read from it, one after the other; see `look`."""
        self._reader = PlaneReader()
        self._of_phases = of_phases
        self._kept: dict[tuple[str, int], NDArray[np.int16]] = {}
        self._staying: set[tuple[str, int]] = set()
        self._n_bytes = 0
        self._lock = threading.Lock()

    def take(self, plane: Plane, out: NDArray[np.int16], *, rows: slice | None = None) -> None:
        """Stored values of a plane into `out`, (rows, columns) int16; nothing of it is kept after this.

        rows : see `PlaneReader.read_plane`
        """
        with self._lock:
            kept = self._taken(plane)
        if kept is None:
            self._reader.read_plane(plane, out, rows=rows)
        else:
            out[...] = kept

    def take_all(self, planes: Sequence[Plane], out: NDArray[np.int16]) -> None:
        """As `take`, of several planes of one size, whose files are read together: (n, rows, columns) int16."""
        with self._lock:
            kept = [self._taken(plane) for plane in planes]
        if all(values is None for values in kept):
            self._reader.read(planes, out)
            return
        for plane, values, target in zip(planes, kept, out, strict=True):
            if values is None:
                self._reader.read_plane(plane, target)
            else:
                target[...] = values

    def take_voxels(
        self,
        planes: Sequence[Plane],
        shape: tuple[int, int],
        indices: NDArray[np.int64],
        out: NDArray[np.int16],
    ) -> None:
        """As `take_all`, of some voxels alone; see `PlaneReader.read_voxels`."""
        with self._lock:
            kept = [self._taken(plane) for plane in planes]
        if all(values is None for values in kept):
            self._reader.read_voxels(planes, shape, indices, out)
            return
        for i, values in enumerate(kept):
            if values is None:
                self._reader.read_voxels(planes[i : i + 1], shape, indices, out[i : i + 1])
            else:
                out[i] = values.ravel()[indices]

    def holds(self, planes: Sequence[Plane]) -> bool:
        """Whether one of them was looked at and not yet taken."""
        with self._lock:
            return bool(self._kept) and any(plane.place in self._kept for plane in planes)

    def look(self, planes: Sequence[Plane], *, stays: bool = False) -> list[NDArray[np.int16]]:
        """Stored values of planes that the pass is going to take too.

        stays : where several phases are read, they are kept to the last one, which may look at them again
        """
        return [self._look(plane, stays=stays and self._of_phases) for plane in planes]

    def _look(self, plane: Plane, *, stays: bool) -> NDArray[np.int16]:
        key = plane.place
        with self._lock:
            kept = self._kept.get(key)
        if kept is None:
            kept = np.empty((plane.format.rows, plane.format.columns), np.int16)
            self._reader.read_plane(plane, kept)
            with self._lock:
                if key not in self._kept and self._n_bytes + kept.nbytes <= MOST_KEPT_BYTES:
                    self._kept[key] = kept
                    self._n_bytes += kept.nbytes
        if stays:
            with self._lock:
                self._staying.add(key)
        return kept

    def keep_only(self, planes: Iterable[Plane]) -> None:
        """Forgets what was looked at and is none of these, which the pass takes, but for what stays."""
        if not self._kept:
            return
        taken = {plane.place for plane in planes}
        with self._lock:
            for key in self._kept.keys() - taken - self._staying:
                self._n_bytes -= self._kept.pop(key).nbytes

    def _taken(self, plane: Plane) -> NDArray[np.int16] | None:
        key = plane.place
        if key in self._staying:
            return self._kept.get(key)
        kept = self._kept.pop(key, None)
        self._n_bytes -= 0 if kept is None else kept.nbytes
        return kept


def looked_at(
    series: Series, store: PlaneStore, slices: Iterable[int] | None = None
) -> NDArray[np.float32]:
    """A series before the pass over its study: what `read_volume` gives, with its planes kept for the pass.

    slices : indices along the slice direction; all if None
    Returns (z, y, x) float32, in the unit of the series.
    Raises the problem of the series if it has one, PixelDataError if a file cannot be decoded.
    """
    if series.problem is not None:
        raise series.problem
    planes = series.planes if slices is None else [series.planes[z] for z in slices]
    size = planes[0].format
    volume = np.empty((len(planes), size.rows, size.columns), np.float32)
    for plane, target in zip(planes, volume, strict=True):
        target[...] = rescaled([plane], store.look([plane]))[0]
    return volume


class StackSource:
    """Delivers the stored values of a stack, slice by slice.

    store : that the jobs of a pass share; one of its own if None
    """

    def __init__(self, stack: SpectralStack, store: PlaneStore | None = None) -> None:
        self._stack = stack
        self.store = store or PlaneStore()

    def read(self, z: int, out: NDArray[np.int16]) -> None:
        """Slice z at all energies into (E, rows, columns) int16."""
        self.store.take_all(self.planes(z), out)

    def planes(self, z: int) -> list[Plane]:
        """Slice z at all energies."""
        return [series.planes[z] for series in self._stack.series]

    def rescale(self) -> dict[str, Any]:
        """(Z, E) slopes and intercepts, and padding ranges, of the delivered values."""
        return rescale_of([series.planes for series in self._stack.series])

    def read_hu(self, z: int) -> NDArray[np.float32]:
        """Slice z in HU before the pass, (E, rows, columns) float32, NaN where there is no value."""
        planes = self.planes(z)
        return rescaled(planes, self.store.look(planes))

    def read_blocks_hu(self, z: int) -> NDArray[np.float64]:
        """The means over blocks of slice z in HU before the pass, (E, rows / 4, columns / 4); see `block_means`."""
        planes = self.planes(z)
        looked_at = zip(planes, self.store.look(planes), strict=True)
        # Plane by plane, in memory that is taken once: a slice of eleven as floats has thousands of new pages.
        return np.stack([block_means(rescaled([plane], [raw])[0]) for plane, raw in looked_at])


def rescale_of(channels: Sequence[Sequence[Plane]]) -> dict[str, Any]:
    """How delivered values become those of the series, as `compile_program` takes it.

    channels : E sequences of Z planes
    Returns slopes and intercepts, (Z, E) float64, and the padding ranges, Z x E.
    """
    rows = list(zip(*channels, strict=True))
    return {
        "slopes": np.array([[plane.slope for plane in row] for row in rows]),
        "intercepts": np.array([[plane.intercept for plane in row] for row in rows]),
        "padding": [[plane.padding for plane in row] for row in rows],
    }
