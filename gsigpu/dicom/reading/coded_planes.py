"""Compressed frames of planes, read some ahead of their decoding.

Decoding for a millisecond leaves the caches cold for what opens and reads a file, which then takes twice to four times as
long. So the files of a slice are read one behind the other, by a compiled loop into memory that is used again and again:
fresh memory for each frame costs more than reading it. Which planes these are is decided here; whatever else they may be,
and every error, is `gsigpu.dicom.reading.pixels`'.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends.compiled_files import read_frames
from gsigpu.dicom.model import Plane
from gsigpu.dicom.reading.codecs import CODECS
from gsigpu.dicom.reading.fragments import read_only_frame
from gsigpu.dicom.reading.frame_headers import Encoded
from gsigpu.errors import GsigpuError
from gsigpu.file_state import open_unchanged

# Those of a slice of eleven energies among them.
_FRAMES_AHEAD = 12
# Behind the header of a file: a compressed image is no larger than it is uncompressed, but for some bytes.
_MOST_BESIDE_IMAGE = 2**16
# Of a thread: twelve images of 1024 x 1024. What does not fit is read by itself.
_MOST_ROOM = 2**25

_rooms = threading.local()


def is_coded(plane: Plane) -> bool:
    """Whether a frame of it is one that `gsigpu.dicom.reading.codecs` decodes."""
    return plane.pixel_length < 0 and plane.format.transfer_syntax_uid in CODECS


def frames_ahead(planes: Sequence[Plane]) -> Iterator[Encoded | None]:
    """The compressed frame of each plane, good until the next is asked; None where there is none, or only its reading by itself tells what is wrong."""
    for first in range(0, len(planes), _FRAMES_AHEAD):
        together = planes[first : first + _FRAMES_AHEAD]
        frames = _read_together(together)
        yield from frames
        yield from [_frame_or_none(plane) for plane in together[len(frames) :]]


def _read_together(planes: Sequence[Plane]) -> list[memoryview]:
    """Frames of the first of some planes, in this thread's room until it is asked again."""
    paths, expected, n_room = list[bytes](), list[int](), 0
    for plane in planes:
        state = plane.state
        if state is None or not _is_only_frame(plane):
            break
        n_bytes = state.size - plane.pixel_offset
        most = min(plane.format.n_bytes + _MOST_BESIDE_IMAGE, _MOST_ROOM - n_room)
        if not 0 < n_bytes <= most:
            break
        n_room += n_bytes
        paths.append(os.fsencode(plane.file_name))
        expected += state.size, state.mtime_ns, state.inode, plane.pixel_offset
    return read_frames(paths, expected, _room(n_room)) if paths else []


def _room(n_bytes: int) -> NDArray[np.uint8]:
    room: NDArray[np.uint8] | None = getattr(_rooms, "room", None)
    if room is None or room.size < n_bytes:
        room = _rooms.room = np.empty(n_bytes, np.uint8)
    return room


def _frame_or_none(plane: Plane) -> bytes | None:
    if not _is_only_frame(plane):
        return None
    try:
        with open_unchanged(plane.path, plane.state) as file:
            return read_only_frame(file, plane.path, plane.pixel_offset)
    except (OSError, GsigpuError):
        return None


def _is_only_frame(plane: Plane) -> bool:
    return plane.evidence.n_frames == 1 and plane.values is None and is_coded(plane)
