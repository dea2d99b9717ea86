"""What a run of `map` writes: one file or folder per map, plane after plane."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gsigpu.maps.definitions import MapDefinition
from gsigpu.output.portable_names import portable_name

# Of a Parametric Map, which is one file.
PARAMETRIC_MAP_SUFFIX = ".dcm"


def file_name(map_name: str) -> str:
    """A map's name as the name of a file or folder on any system.

    >>> file_name("lambda-hu[fit:40-100]"), file_name("lambda-hu[60-100/60]")
    ('lambda-hu_fit-40-100', 'lambda-hu_60-100_60')
    """
    plain = re.sub(r"[^A-Za-z0-9.-]+", lambda match: "-" if match[0] == ":" else "_", map_name)
    return portable_name(plain.strip("_"))


def plane_bytes(plane: NDArray[Any]) -> memoryview:
    """The values of a plane in rows, little endian."""
    contiguous: Any = np.ascontiguousarray(plane, plane.dtype.newbyteorder("<"))
    return memoryview(contiguous).cast("B")


class PlaneWriter(Protocol):
    """Writes the planes of one map; `write` is called from several threads, in any order of z."""

    def write(self, z: int, plane: NDArray[Any]) -> None:
        """Plane z."""

    def finish(self) -> None:
        """After the last plane of a run that went well: completes what depends on all of them."""

    def close(self) -> None:
        """After the last plane, or after an error."""


class MapFiles:
    """The output of a run: a writer per map.

    names : map name -> its file or folder inside the output folder
    dtype : of the planes, int16 (value / step, -32768 where there is none) or float32 (NaN there)
    writers : in the order of the maps
    """

    def __init__(
        self,
        definitions: Iterable[MapDefinition],
        writers: Sequence[PlaneWriter],
        *,
        suffix: str = "",
        dtype: type[np.int16 | np.float32] = np.float32,
    ) -> None:
        self.names = map_names(definitions, suffix=suffix)
        self.writers = tuple(writers)
        self.dtype: np.dtype[Any] = np.dtype(dtype)

    def write(self, z: int, planes: Sequence[NDArray[Any]]) -> None:
        """Planes of slice z, (rows, columns) of `dtype`, one per map."""
        for writer, plane in zip(self.writers, planes, strict=True):
            writer.write(z, plane)

    def __enter__(self) -> MapFiles:
        """Nothing to do: the writers are open."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Completes the files, unless there was an error, and closes them."""
        try:
            if error is None:
                # Side by side: a series writes its names into each of its files.
                with ThreadPoolExecutor(max(1, len(self.writers)), "gsigpu-finish") as pool:
                    for finished in [pool.submit(writer.finish) for writer in self.writers]:
                        finished.result()
        finally:
            for writer in self.writers:
                writer.close()


def map_names(definitions: Iterable[MapDefinition], *, suffix: str = "") -> dict[str, str]:
    """Map name -> the name of its file or folder."""
    return {definition.name: file_name(definition.name) + suffix for definition in definitions}


class PlaneFile:
    """One file: a header, then planes of equal size, written in any order and from several threads."""

    def __init__(
        self, path: Path, header: bytes, *, n_plane_bytes: int, order: Sequence[int] | None = None
    ) -> None:
        """Creates the file with its header.

        order : the place of plane z among the planes of the file; z itself if None
        """
        self._file = path.open("xb", buffering=0)
        self._start, self._n_plane_bytes, self._order = len(header), n_plane_bytes, order
        self._lock = threading.Lock()
        self._write(0, memoryview(header))

    def write(self, z: int, plane: NDArray[Any]) -> None:
        """Plane z."""
        pixels = plane_bytes(plane)
        assert pixels.nbytes == self._n_plane_bytes
        place = z if self._order is None else self._order[z]
        self._write(self._start + place * self._n_plane_bytes, pixels)

    def finish(self) -> None:
        """Nothing to do."""

    def rewrite_header(self, header: bytes) -> None:
        """Another header of the same length."""
        assert len(header) == self._start
        self._write(0, memoryview(header))

    def _write(self, offset: int, data: memoryview) -> None:
        with self._lock:
            self._file.seek(offset)
            while data:
                data = data[self._file.write(data) :]

    def close(self) -> None:
        """After the last plane."""
        self._file.close()
