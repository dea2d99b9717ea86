"""Label volumes as NIfTI, plane by plane, so that no volume is held in memory."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gsigpu.volume import VolumeGeometry
from gsigpu.volume_files import nifti_header

WritePlane = Callable[[NDArray[np.uint8]], int]


@contextmanager
def mask_writers(
    paths: Mapping[str, Path], geometry: VolumeGeometry
) -> Iterator[Mapping[str, WritePlane]]:
    """For each `.nii.gz` path a function that takes its planes (y, x) uint8, in order of z."""
    header = nifti_header(geometry, np.uint8)
    with ExitStack() as stack:
        writers: dict[str, WritePlane] = {}
        for name, path in paths.items():
            raw = stack.enter_context(path.open("wb"))
            # No time and no name in the gzip header: the same phantom gives the same bytes.
            packed = stack.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0))
            packed.write(header)
            writers[name] = lambda plane, file=packed: file.write(plane.tobytes())  # type: ignore[misc]  # binds the loop's file
        yield writers
