"""The compiled loop of JPEG Lossless' coded length (kernels/coded_bits.cpp), where it was built.

Its NumPy twin is `gsigpu.dicom.reading.coded_length.in_numpy`, which says what is computed.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends.compiled import Loop, choose_loop


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
    function = loop.functions.gsigpu_coded_bits
    function.restype = ctypes.c_int64
    function.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    function.argtypes += [ctypes.c_int, ctypes.c_int]
    n_bits: int = function(
        image.ctypes.data,
        *image.shape,
        image.strides[0] // item,
        np.ascontiguousarray(lengths, np.uint8).ctypes.data,
        selection,
        first_prediction,
    )
    return None if n_bits < 0 else n_bits
