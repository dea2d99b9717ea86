"""The pass over plain files in the compiled loop: several slices in a call, from their files to the files of their maps.

It does what `gsigpu.pipeline.map.stream` does slice by slice, without coming back to Python between the files: between
megabytes of pixels, even a little Python finds the caches cold and takes three times as long. Only what is plain goes
this way: linear maps as integers, of uncompressed files, into uncompressed CT series. The slice at which a call ends,
because of any fault of its files or of the disk, is done again by the stream, which tells what it is.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends.compiled import Loop, choose_loop
from gsigpu.backends.compiled_files import Slices, declared, map_slices, texts
from gsigpu.dicom.model import PixelFormat, Plane
from gsigpu.dicom.reading.plain_planes import is_plain, place, unpacking
from gsigpu.dicom.writing.content_names import digest_of_sum, multipliers
from gsigpu.dicom.writing.series_files import SeriesFiles
from gsigpu.pipeline.map.program import Block, MapProgram
from gsigpu.pipeline.stack_source import StackSource
from gsigpu.pipeline.workers import Stopwatch

# In a call: few enough that threads end together, enough that Python between them costs nothing.
_MOST_SLICES = 8
# Values between planes in memory. Planes of 512 x 512 would lie a power of two apart, and throw each other out of the
# caches.
_GAP = 64
_STAGES = ("read", "compute", "write")


class CompiledPass:
    """Runs slices of a program; called from several threads, each slice by one."""

    def __init__(
        self, loop: Loop, program: MapProgram, linear: Block, source: StackSource, sink: SeriesFiles
    ) -> None:
        self._loop, self._functions = loop, declared(loop)
        self._program, self._linear, self._source, self._sink = program, linear, source, sink
        self._formats = [plane.format for plane in source.planes(0)]
        n_voxels = program.plane_shape[0] * program.plane_shape[1]
        self._n_voxels, self._n_apart = n_voxels, n_voxels + _GAP
        self._unpack = np.array([unpacking(image) for image in self._formats], np.int64)
        self._multipliers = multipliers(n_voxels * 2 // 8)
        self._of_thread = threading.local()

    @classmethod
    def of(cls, program: MapProgram, source: object, sink: object) -> CompiledPass | None:
        """The pass of a run; None where there is no compiled loop, or the run is not as plain as that."""
        loop, _ = choose_loop()
        if (
            loop is None
            or type(source) is not StackSource
            or type(sink) is not SeriesFiles
            or program.linear is None
            or program.nonlinear is not None
            or program.dtype != np.int16
        ):
            return None
        n_bytes = program.plane_shape[0] * program.plane_shape[1] * 2
        if n_bytes % 8 or not sink.hold_as_they_are(n_bytes):
            return None  # digests are of whole words
        if not all(_fits(plane.format, program.plane_shape) for plane in source.planes(0)):
            return None
        return cls(loop, program, program.linear, source, sink)

    def slices_at_once(self, n_workers: int) -> int:
        """How many to take in a call, so that all workers have several calls."""
        return max(1, min(_MOST_SLICES, self._program.n_slices // (4 * n_workers)))

    def run(self, first: int, end: int, watch: Stopwatch) -> tuple[int, NDArray[np.int64]]:
        """As many slices from `first` on as go this way, `end` excluded.

        Returns how many, and (K,) how many of their values were clipped.
        """
        inputs, expected = self._inputs(first, end)
        n_slices = len(inputs) // len(self._formats)
        n_maps = self._linear.n_rows
        n_clipped = np.zeros((n_slices, n_maps), np.int64)
        if not n_slices:
            return 0, n_clipped.sum(axis=0)
        outputs = [
            (z, series) for z in range(first, first + n_slices) for series in self._sink.series
        ]
        headers = [series.header_bytes(z) for z, series in outputs]
        digests, spent = (ctypes.c_uint64 * len(outputs))(), np.zeros(len(_STAGES), np.int64)
        last, padding = first + n_slices, self._program.padding
        arrays: dict[str, Any] = {
            "in_paths": texts(inputs),
            "expected": (ctypes.c_int64 * len(expected))(*expected),
            "unpack": self._unpack,
            "weights": np.ascontiguousarray(self._linear.weights[first:last], np.float32),
            "offsets": np.ascontiguousarray(self._linear.offsets[first:last], np.float32),
            "padding": None if padding is None else np.ascontiguousarray(padding[first:last]),
            "out_paths": texts([os.fsencode(series.path(z)) for z, series in outputs]),
            "headers": texts(headers),
            "n_header": np.array([len(header) for header in headers], np.int64),
            "multipliers": self._multipliers,
            "digests": digests,
            "n_clipped": n_clipped,
            "spent": spent,
            **self._memory(),
        }
        numbers = {
            "set": self._loop.number,
            "n_slices": n_slices,
            "n_energies": len(self._formats),
            "n_maps": n_maps,
            "n_voxels": self._n_voxels,
            "n_apart": self._n_apart,
        }
        pointers = {name: _address(array) for name, array in arrays.items()}
        n_done = map_slices(self._functions, Slices(**numbers, **pointers))
        for (z, series), header, total in zip(
            outputs[: n_done * n_maps], headers, digests, strict=False
        ):
            series.note(z, header, digest_of_sum(total))
        for stage, nanoseconds in zip(_STAGES, spent, strict=True):
            watch.add(stage, float(nanoseconds) * 1e-9)
        return n_done, n_clipped[:n_done].sum(axis=0)

    def _inputs(self, first: int, end: int) -> tuple[list[bytes], list[int]]:
        """Files of the first slices that are plain, and what each must be: size, time, inode and offset."""
        paths, expected = list[bytes](), list[int]()
        for z in range(first, end):
            planes = self._source.planes(z)
            if self._source.store.holds(planes):
                break
            of_slice = _places(planes, self._formats)
            if of_slice is None:
                break
            paths += of_slice[0]
            expected += of_slice[1]
        return paths, expected

    def _memory(self) -> dict[str, NDArray[np.int16]]:
        """A thread's stored values and maps of a slice."""
        if not hasattr(self._of_thread, "memory"):
            self._of_thread.memory = {
                "stored": np.empty(len(self._formats) * self._n_apart, np.int16),
                "maps": np.empty(self._linear.n_rows * self._n_voxels, np.int16),
            }
        memory: dict[str, NDArray[np.int16]] = self._of_thread.memory
        return memory


def _fits(image: PixelFormat, plane_shape: tuple[int, int]) -> bool:
    return is_plain(image) and (image.rows, image.columns) == plane_shape


def _places(
    planes: Sequence[Plane], formats: Sequence[PixelFormat]
) -> tuple[list[bytes], list[int]] | None:
    """Files of a slice and what they must be; None where a plane is not plain."""
    paths, expected = list[bytes](), list[int]()
    for plane, image in zip(planes, formats, strict=True):
        of_plane = None if plane.odd_padding is not None else place(plane, image)
        if of_plane is None:
            return None
        paths.append(os.fsencode(plane.file_name))
        expected += of_plane
    return paths, expected


def _address(array: Any) -> int | None:
    if array is None:
        return None
    if isinstance(array, np.ndarray):
        return int(array.ctypes.data)
    return ctypes.addressof(array)
