"""The compiled loops of what JPEG frames hold (kernels/coded_bits.cpp), where they were built.

Their twins say what is computed: `gsigpu.dicom.reading.coded_length.in_numpy` of the bits of an image, and
`gsigpu.dicom.reading.frame_headers.n_coded_in_numpy` of the bytes of a frame.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends.compiled import Loop, choose_loop

NO_END = -1  # of the loop, and of its twin


def coded_bits(
    image: NDArray[np.uint16], lengths: NDArray[np.uint8], selection: int, first_prediction: int
) -> int | None:
    """Bits of an image when it is coded; None where no library was built, or it does not take the array.

    image : (rows, columns); lengths : (17,) bits of a difference of each category
    selection : of the predictor, 1 to 7
    first_prediction : of the first sample
    """
    loop, _ = choose_loop()
    return None if loop is None else run(loop, image, lengths, selection, first_prediction)


def coded_bytes(encoded: bytes | memoryview, start: int) -> int | None:
    """Coded bytes of a frame from `start` to its end marker, without stuffed zeros and fill bytes.

    NO_END where it has no such marker; None where no library was built.
    """
    loop, _ = choose_loop()
    return None if loop is None else run_bytes(loop, encoded, start)


def run(
    loop: Loop,
    image: NDArray[np.uint16],
    lengths: NDArray[np.uint8],
    selection: int,
    first_prediction: int,
) -> int | None:
    """As `coded_bits`, by a given library."""
    item = image.itemsize
    if image.dtype != np.uint16 or image.strides[1] != item or image.strides[0] % item:
        return None
    rows, columns = image.shape
    n_bits: int = _declared(loop).gsigpu_coded_bits(
        loop.number,
        image.ctypes.data,
        rows,
        columns,
        image.strides[0] // item,
        lengths.astype(np.uint8, copy=False).tobytes(),
        selection,
        first_prediction,
    )
    return None if n_bits < 0 else n_bits


def run_bytes(loop: Loop, encoded: bytes | memoryview, start: int) -> int:
    """As `coded_bytes`, by a given library."""
    coded = np.frombuffer(encoded, np.uint8)
    n_bytes: int = _declared(loop).gsigpu_coded_bytes(coded.ctypes.data, start, coded.size)
    return n_bytes


def _declared(loop: Loop) -> ctypes.CDLL:
    """The library of a loop with the types of the functions used here."""
    library = loop.functions
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    if library.gsigpu_coded_bytes.restype is not number:
        library.gsigpu_coded_bits.argtypes = [ctypes.c_int, pointer, *[number] * 3, pointer]
        library.gsigpu_coded_bits.argtypes += [ctypes.c_int, ctypes.c_int]
        library.gsigpu_coded_bits.restype = number
        library.gsigpu_coded_bytes.argtypes = [pointer, number, number]
        library.gsigpu_coded_bytes.restype = number  # the last: from now on all are declared
    return library
