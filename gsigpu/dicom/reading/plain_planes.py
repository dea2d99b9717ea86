"""Planes whose bytes lie in their files as they are, several in one call of a compiled loop.

Which planes these are is decided here; whatever else they may be, and every error, is `gsigpu.dicom.reading.pixels`'.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends.compiled_files import read_planes, read_voxels
from gsigpu.dicom.model import PixelFormat, Plane
from gsigpu.dicom.reading.elements import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

NATIVE = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
# What the values of an image are if they are numbers.
GREY = ("MONOCHROME1", "MONOCHROME2")


def is_plain(image: PixelFormat) -> bool:
    """Whether the words of a file are the stored values of one channel, below High Bit."""
    return (
        image.transfer_syntax_uid in NATIVE
        and image.samples_per_pixel == 1
        and image.photometric in GREY
        and image.bits_allocated == 16
        and 0 < image.bits_stored <= image.high_bit + 1 <= 16
    )


def unpacking(image: PixelFormat) -> tuple[int, int, int, int]:
    """How words of a plain file become delivered values: flip the highest bit, shift up, then down, with sign."""
    if image.bias:
        return 1, 0, 0, 0
    if image.bits_stored == 16:
        return 0, 0, 0, 0
    return 0, 15 - image.high_bit, 16 - image.bits_stored, int(image.signed)


def place(plane: Plane, image: PixelFormat) -> tuple[int, int, int, int] | None:
    """Size, time and inode that the file of a plane must have, and the offset of its words.

    None unless the plane is of this format, nothing is known of it but its file, and that goes on far enough.
    """
    state = plane.state
    if (
        (plane.format is not image and plane.format != image)
        or plane.values is not None
        or state is None
        or plane.pixel_length < image.n_bytes
        or plane.pixel_offset + plane.pixel_length > state.size
    ):
        return None
    return state.size, state.mtime_ns, state.inode, plane.pixel_offset


def read_first(planes: Sequence[Plane], out: NDArray[np.int16]) -> int:
    """How many of the first of `planes`, all of one plain format, are in `out` as the words of their files.

    out : (n, rows, columns)
    """
    image = planes[0].format
    if out.shape[1:] != (image.rows, image.columns):
        return 0
    paths, expected = _files_of(planes)
    return read_planes(paths, expected, image.n_bytes, out) if paths else 0


def read_voxels_first(
    planes: Sequence[Plane],
    shape: tuple[int, int],
    indices: NDArray[np.int64],
    out: NDArray[np.int16],
) -> int:
    """As `read_first`, the words of some voxels alone.

    shape : (rows, columns)
    indices : (m,) ascending, of voxels in a plane; at least one
    out : (n, m)
    """
    image = planes[0].format
    if shape != (image.rows, image.columns):
        return 0
    rows = rows_of(indices, image.columns)
    n_before = rows.start * image.columns
    paths, expected = _files_of(planes, n_before=n_before, of_whole_planes=False)
    n_bytes = 2 * image.columns * (rows.stop - rows.start)
    return read_voxels(paths, expected, n_bytes, n_before, indices, out) if paths else 0


def rows_of(indices: NDArray[np.int64], n_columns: int) -> slice:
    """From the first to the last row of a plane in which ascending indices of voxels lie.

    >>> rows_of(np.array([7, 8, 21]), 7)
    slice(1, 4, None)
    """
    return slice(int(indices[0]) // n_columns, int(indices[-1]) // n_columns + 1)


def _files_of(
    planes: Sequence[Plane], *, n_before: int = 0, of_whole_planes: bool = True
) -> tuple[list[bytes], list[int]]:
    """Of the first planes, as far as they are of one plain format: their files, and what the loop expects of each.

    n_before : words of a plane before those that are wanted
    of_whole_planes : else one that only shows as a whole what is padding is none of them
    """
    image = planes[0].format
    paths, expected = list[bytes](), list[int]()
    if not is_plain(image):
        return paths, expected
    for plane in planes:
        of_plane = place(plane, image)
        odd = plane.odd_padding
        if of_plane is None or not (of_whole_planes or odd is None or not odd.only_if_in_corner):
            break
        size, mtime_ns, inode, offset = of_plane
        paths.append(os.fsencode(plane.file_name))
        expected += size, mtime_ns, inode, offset + 2 * n_before
    return paths, expected
