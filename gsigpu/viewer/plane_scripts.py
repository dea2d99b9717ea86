"""Planes of a volume as script files.

A page that is opened by a double click may not read files; it may run scripts. So the planes of a
slice are a script of one call, `gsigpuSlice("PVP/12", [...], "...")`, whose text is the compressed
planes, one character per byte. The page asks for the script with the charset `x-user-defined`, which
keeps bytes 0-127 and moves 128-255 to U+F780-U+F7FF; only what would end or break a quoted text is
escaped.

A plane of int16 is stored as all low bytes, then all high bytes (the high ones hardly vary), and
compressed with deflate, which every current browser decompresses by itself. Planes are cropped to a box.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

CHARSET = "x-user-defined"
# Noise does not compress much further at higher levels: 4.3, 4.2 and 4.1 bits per voxel of a liver CT in
# steps of 1 HU at levels 1, 4 and 6, at a third and a fifth of the speed.
_LEVEL = 1
_ESCAPES = (
    (b"\\", b"\\\\"),
    (b'"', b'\\"'),
    (b"\n", b"\\n"),
    (b"\r", b"\\r"),
    (b"\0", b"\\x00"),
    (b"\x1a", b"\\x1a"),  # ends a text file for some programs
)


def packed(plane: NDArray[Any]) -> bytes:
    """A plane of uint8 or int16, compressed.

    >>> import zlib
    >>> list(zlib.decompress(packed(np.array([[1, 258]], np.int16))))
    [1, 2, 0, 1]
    """
    if plane.dtype == np.int16:
        little = np.ascontiguousarray(plane.astype("<i2", copy=False))
        data = np.ascontiguousarray(little.view(np.uint8).reshape(-1, 2).T).tobytes()
    else:
        data = np.ascontiguousarray(plane, dtype=np.uint8).tobytes()
    return bytes(imagecodecs.deflate_encode(data, level=_LEVEL))


def slice_script(key: str, planes: Sequence[NDArray[Any]], origin: tuple[int, int]) -> bytes:
    """The script of one slice.

    key : of the page's store, ASCII
    planes : of one shape, uint8 or int16
    origin : row and column of the first voxel, in the whole plane
    """
    texts = [packed(plane) for plane in planes]
    shape = planes[0].shape if planes else (0, 0)
    head = {
        "origin": list(origin),
        "shape": list(shape),
        "lengths": [len(text) for text in texts],
        "bytes": [plane.dtype.itemsize for plane in planes],
    }
    text = b"".join(texts)
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return (
        f"gsigpuSlice({json.dumps(key)},{json.dumps(head)},".encode("ascii")
        + b'"'
        + text
        + b'");\n'
    )


def write_slice(
    folder: Path, key: str, planes: Sequence[NDArray[Any]], origin: tuple[int, int] = (0, 0)
) -> None:
    """Writes `folder`/`key`.js; the folders are there."""
    (folder / f"{key}.js").write_bytes(slice_script(key, planes, origin))
