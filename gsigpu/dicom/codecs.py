"""Decoders of compressed frames: one entry per transfer syntax, all from imagecodecs.

imagecodecs releases the GIL while it decodes, so threads scale; pydicom's plugins are the fallback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from gsigpu.dicom.model import PixelFormat
from gsigpu.errors import UnsupportedPixelData

RLE_LOSSLESS = "1.2.840.10008.1.2.5"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR_LOSSLESS = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"


def _rle(encoded: bytes, image: PixelFormat) -> NDArray[Any]:
    dtype = np.dtype(f"<u{image.bits_allocated // 8}")
    decoded = imagecodecs.dicomrle_decode(encoded, dtype=dtype)
    n_pixels = image.rows * image.columns
    return np.frombuffer(decoded, dtype=dtype, count=n_pixels).reshape(image.rows, image.columns)


def _jpeg_lossless(encoded: bytes, _image: PixelFormat) -> NDArray[Any]:
    return _array(imagecodecs.ljpeg_decode(encoded))


def _jpeg_ls(encoded: bytes, _image: PixelFormat) -> NDArray[Any]:
    return _array(imagecodecs.jpegls_decode(encoded))


def _jpeg_2000(encoded: bytes, _image: PixelFormat) -> NDArray[Any]:
    return _array(imagecodecs.jpeg2k_decode(encoded, numthreads=1))


def _htj2k(encoded: bytes, _image: PixelFormat) -> NDArray[Any]:
    return _array(imagecodecs.htj2k_decode(encoded))


def _array(decoded: Any) -> NDArray[Any]:
    return np.asarray(decoded)


CODECS: dict[str, Callable[[bytes, PixelFormat], NDArray[Any]]] = {
    RLE_LOSSLESS: _rle,
    JPEG_LOSSLESS: _jpeg_lossless,
    JPEG_LOSSLESS_SV1: _jpeg_lossless,
    JPEG_LS_LOSSLESS: _jpeg_ls,
    JPEG_LS_NEAR_LOSSLESS: _jpeg_ls,
    JPEG_2000_LOSSLESS: _jpeg_2000,
    JPEG_2000: _jpeg_2000,
    HTJ2K_LOSSLESS: _htj2k,
    HTJ2K_LOSSLESS_RPCL: _htj2k,
    HTJ2K: _htj2k,
}


def decode_frame(encoded: bytes, image: PixelFormat) -> NDArray[Any]:
    """Stored values of one frame.

    encoded : the frame's fragments, joined
    Returns (rows, columns) of an 8- or 16-bit integer type.
    Raises UnsupportedPixelData where the codec's result is of another type, and whatever the codec
    raises on broken data.
    """
    decoded = CODECS[image.transfer_syntax_uid](encoded, image)
    if decoded.dtype.kind not in "iu" or decoded.dtype.itemsize > 2:
        raise UnsupportedPixelData(f"decodes to {decoded.dtype}")
    return decoded


def available_codecs() -> dict[str, str]:
    """Transfer syntax name -> what decodes it here."""
    codecs = {
        _rle: imagecodecs.DICOMRLE,
        _jpeg_lossless: imagecodecs.LJPEG,
        _jpeg_ls: imagecodecs.JPEGLS,
        _jpeg_2000: imagecodecs.JPEG2K,
        _htj2k: imagecodecs.HTJ2K,
    }
    return {
        UID(uid).name: f"imagecodecs {imagecodecs.__version__}"
        if codecs[decode].available
        else "pydicom's plugins, if any"
        for uid, decode in CODECS.items()
    }
