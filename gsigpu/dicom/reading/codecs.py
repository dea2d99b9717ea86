"""Decoders of compressed frames: one entry per transfer syntax, all from imagecodecs.

imagecodecs releases the GIL while it decodes, so threads scale; pydicom's plugins are the fallback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from gsigpu.dicom.model import PixelFormat
from gsigpu.dicom.reading.coded_length import check_coded_length
from gsigpu.dicom.reading.frame_headers import (
    check_jpeg_2000,
    check_jpeg_lossless,
    check_jpeg_ls,
    check_rle,
)
from gsigpu.errors import TruncatedPixelData, UnsupportedPixelData

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


_RLE_PADDING = 64


def _rle(encoded: bytes, image: PixelFormat, out: NDArray[np.int16]) -> NDArray[Any]:
    dtype = np.dtype(f"<u{image.bits_allocated // 8}")
    check_rle(encoded, dtype.itemsize)
    stored = out if dtype.itemsize == 2 else np.empty(out.shape, dtype)
    target = memoryview(cast("Any", stored)).cast("B")
    try:
        decoded = imagecodecs.dicomrle_decode(encoded, dtype=dtype, out=target)
    except imagecodecs.DicomrleError:
        # Padding behind the last run reads like one more run, of a few pixels.
        room = bytearray(len(target) + min(_RLE_PADDING, image.columns * dtype.itemsize - 1))
        decoded = imagecodecs.dicomrle_decode(encoded, dtype=dtype, out=room)[: len(target)]
        target[: len(decoded)] = decoded
    if len(decoded) < len(target):
        raise TruncatedPixelData(f"{len(decoded)} of {len(target)} bytes")
    return stored


def _jpeg_lossless(encoded: bytes, image: PixelFormat, out: NDArray[np.int16]) -> NDArray[Any]:
    """By libjpeg-turbo.

    imagecodecs' `ljpeg_decode`, which is liblj92, is as fast, but a damaged byte can kill the process.
    """
    frame = check_jpeg_lossless(encoded, image.rows, image.columns)
    decoded = _into(out, imagecodecs.jpeg8_decode, encoded)
    unsigned = decoded.view(f"u{decoded.itemsize}")
    check_coded_length(frame.tables, frame.scan, frame.bits, frame.coded, unsigned)
    return decoded


def _jpeg_ls(encoded: bytes, image: PixelFormat, out: NDArray[np.int16]) -> NDArray[Any]:
    check_jpeg_ls(encoded, image.rows, image.columns)
    return _into(out, imagecodecs.jpegls_decode, encoded)


def _jpeg_2000(encoded: bytes, image: PixelFormat, out: NDArray[np.int16]) -> NDArray[Any]:
    """By OpenJPEG, high-throughput frames too.

    imagecodecs' `htj2k_decode`, which is OpenJPH, is faster by a third, but loses the errors it
    meets: a damaged frame comes back half decoded, as if nothing were wrong.
    """
    check_jpeg_2000(encoded, image.rows, image.columns)
    return _into(out, imagecodecs.jpeg2k_decode, encoded, numthreads=1)


def _into(
    out: NDArray[np.int16], decode: Callable[..., Any], encoded: bytes, **options: int
) -> NDArray[Any]:
    """Decoded straight into `out`, whatever the sign; elsewhere if its type is another."""
    try:
        decoded = decode(encoded, out=out, **options)
    except ValueError:
        decoded = decode(encoded, **options)
    return np.asarray(decoded)


class Codec(NamedTuple):
    """A decoder, and the name under which imagecodecs describes it."""

    decode: Callable[[bytes, PixelFormat, NDArray[np.int16]], NDArray[Any]]
    name: str

    @property
    def available(self) -> bool:
        """Whether this imagecodecs was built with it."""
        return bool(getattr(imagecodecs, self.name).available)


_RLE = Codec(_rle, "DICOMRLE")
_JPEG = Codec(_jpeg_lossless, "JPEG8")
_JPEG_LS = Codec(_jpeg_ls, "JPEGLS")
_JPEG_2000 = Codec(_jpeg_2000, "JPEG2K")

CODECS: dict[str, Codec] = {
    RLE_LOSSLESS: _RLE,
    JPEG_LOSSLESS: _JPEG,
    JPEG_LOSSLESS_SV1: _JPEG,
    JPEG_LS_LOSSLESS: _JPEG_LS,
    JPEG_LS_NEAR_LOSSLESS: _JPEG_LS,
    JPEG_2000_LOSSLESS: _JPEG_2000,
    JPEG_2000: _JPEG_2000,
    HTJ2K_LOSSLESS: _JPEG_2000,
    HTJ2K_LOSSLESS_RPCL: _JPEG_2000,
    HTJ2K: _JPEG_2000,
}


def decode_frame(encoded: bytes, image: PixelFormat, out: NDArray[np.int16]) -> NDArray[Any]:
    """Stored values of one frame.

    encoded : the frame's fragments, joined
    out : (rows, columns), C-contiguous, to decode into; fresh memory for each frame would cost more
        than copying it
    Returns `out`, or another array where the frame is of 8 bits or not what the header says.
    Raises UnsupportedPixelData where imagecodecs cannot decode what may still be good data,
    TruncatedPixelData where the end is missing, PixelDataError where its header is not that of the
    image, and whatever the codec raises on broken data.
    """
    try:
        decoded = CODECS[image.transfer_syntax_uid].decode(encoded, image, out)
    except ImportError as error:  # imagecodecs was built without this codec
        raise UnsupportedPixelData(str(error)) from error
    if decoded.dtype.kind not in "iu" or decoded.dtype.itemsize > 2:
        raise UnsupportedPixelData(f"decodes to {decoded.dtype}")
    return decoded


def available_codecs() -> dict[str, str]:
    """Transfer syntax name -> what decodes it here."""
    return {
        UID(uid).name: f"imagecodecs {imagecodecs.__version__}"
        if codec.available
        else "pydicom's plugins, if any"
        for uid, codec in CODECS.items()
    }
