"""Several series with a file per slice: the files of a slice are written together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends.compiled_files import write_files
from gsigpu.dicom.writing.content_names import digest_of_sum, multipliers
from gsigpu.dicom.writing.slice_files import SliceFiles
from gsigpu.map_files import MapFiles, plane_bytes
from gsigpu.maps.definitions import MapDefinition


class SeriesFiles(MapFiles):
    """The output of a run whose maps are series: a `SliceFiles` per map.

    The files of a slice are written in one call of the compiled loop where there is one; else, and from the first file
    on that it could not write, by the series themselves.
    """

    def __init__(
        self,
        definitions: Iterable[MapDefinition],
        series: Sequence[SliceFiles],
        *,
        dtype: type[np.int16 | np.float32] = np.float32,
    ) -> None:
        super().__init__(definitions, series, dtype=dtype)
        self.series = tuple(series)

    def write(self, z: int, planes: Sequence[NDArray[Any]]) -> None:
        """Planes of slice z, one per series."""
        n_written = self._write_first(z, planes)
        for series, plane in zip(self.series[n_written:], planes[n_written:], strict=True):
            series.write(z, plane)

    def hold_as_they_are(self, n_bytes: int) -> bool:
        """Whether the bytes of a plane are those of its file, in all series."""
        return all(series.holds_as_they_are(n_bytes) for series in self.series)

    def _write_first(self, z: int, planes: Sequence[NDArray[Any]]) -> int:
        """How many of the first series have their file by the compiled loop."""
        sizes = {plane.nbytes for plane in planes}
        n_bytes = planes[0].nbytes
        if len(sizes) != 1 or not self.hold_as_they_are(n_bytes):
            return 0
        headers = [series.header_bytes(z) for series in self.series]
        arrays = [np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")) for plane in planes]
        sums = write_files(
            [os.fsencode(series.path(z)) for series in self.series],
            headers,
            arrays,
            multipliers(n_bytes // 8),
        )
        for series, header, array, total in zip(self.series, headers, arrays, sums, strict=False):
            series.note(z, header, digest_of_sum(total, plane_bytes(array)))
        return len(sums)
