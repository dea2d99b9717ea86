"""Decoders of compressed frames: one entry per transfer syntax, all from imagecodecs.

imagecodecs releases the GIL while it decodes, so threads scale; pydicom's plugins are the fallback.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import PixelFormat
from gsigpu.dicom.reading import card_frames
from gsigpu.dicom.reading.card_frames import Samples
from gsigpu.dicom.reading.coded_length import check_coded_length
from gsigpu.dicom.reading.frame_headers import (
    Encoded,
    check_jpeg_2000,
    check_jpeg_lossless,
    check_jpeg_ls,
    check_rle,
)
from gsigpu.dicom.reading.transfer_syntaxes import COMPRESSED_SYNTAXES, LOSSLESS_SYNTAXES
from gsigpu.errors import TruncatedPixelData, UnsupportedPixelData

_RLE_PADDING = 64


def _rle(encoded: Encoded, image: PixelFormat, out: NDArray[np.int16]) -> NDArray[Any]:
    dtype = np.dtype(f"<u{image.bits_allocated // 8}")
    check_rle(encoded, dtype.itemsize)
    stored = out if dtype.itemsize == 2 else np.empty(out.shape, dtype)
    target, frame = memoryview(cast("Any", stored)).cast("B"), cast("bytes", encoded)
    try:
        decoded = imagecodecs.dicomrle_decode(frame, dtype=dtype, out=target)
    except imagecodecs.DicomrleError:
        # Padding behind the last run reads like one more run, of a few pixels.
        room = bytearray(len(target) + min(_RLE_PADDING, image.columns * dtype.itemsize - 1))
        decoded = imagecodecs.dicomrle_decode(frame, dtype=dtype, out=room)[: len(target)]
        target[: len(decoded)] = decoded
    if len(decoded) < len(target):
        raise TruncatedPixelData(f"{len(decoded)} of {len(target)} bytes")
    return stored


def _jpeg_lossless(encoded: Encoded, image: PixelFormat, out: NDArray[np.int16]) -> NDArray[Any]:
    """By libjpeg-turbo.

    imagecodecs' `ljpeg_decode`, which is liblj92, is as fast, but a damaged byte can kill the process.
    """
    frame = check_jpeg_lossless(encoded, image.rows, image.columns)
    decoded = _by_card(encoded, image, Samples(frame.bits, is_signed=False), out)
    if decoded is None:
        decoded = _into(out, imagecodecs.jpeg8_decode, encoded)
    unsigned = decoded.view(f"u{decoded.itemsize}")
    check_coded_length(frame.tables, frame.scan, frame.bits, frame.n_bytes, unsigned)
    return decoded


def _jpeg_ls(encoded: Encoded, image: PixelFormat, out: NDArray[np.int16]) -> NDArray[Any]:
    check_jpeg_ls(encoded, image.rows, image.columns)
    return _into(out, imagecodecs.jpegls_decode, encoded)


def _jpeg_2000(encoded: Encoded, image: PixelFormat, out: NDArray[np.int16]) -> NDArray[Any]:
    """By OpenJPEG, high-throughput frames too.

    imagecodecs' `htj2k_decode`, which is OpenJPH, is faster by a third, but loses the errors it
    meets: a damaged frame comes back half decoded, as if nothing were wrong.
    """
    samples = Samples(*check_jpeg_2000(encoded, image.rows, image.columns))
    decoded = _by_card(encoded, image, samples, out)
    if decoded is None:
        decoded = _into(out, imagecodecs.jpeg2k_decode, encoded, numthreads=1)
    return decoded


def _by_card(
    encoded: Encoded, image: PixelFormat, samples: Samples, out: NDArray[np.int16]
) -> NDArray[Any] | None:
    """On a card, where that is asked for and can be done; else None."""
    if image.transfer_syntax_uid not in LOSSLESS_SYNTAXES:
        return None
    return card_frames.decoded(encoded, (image.rows, image.columns), samples, out)


def _into(
    out: NDArray[np.int16], decode: Callable[..., Any], encoded: Encoded, **options: int
) -> NDArray[Any]:
    """Decoded straight into `out`, whatever the sign; elsewhere if its type is another."""
    try:
        decoded = decode(encoded, out=out, **options)
    except ValueError:
        decoded = decode(encoded, **options)
    return np.asarray(decoded)


Decoder = Callable[[Encoded, PixelFormat, NDArray[np.int16]], NDArray[Any]]

# Keyed by imagecodecs' name of the codec.
_DECODERS: dict[str, Decoder] = {
    "DICOMRLE": _rle,
    "JPEG8": _jpeg_lossless,
    "JPEGLS": _jpeg_ls,
    "JPEG2K": _jpeg_2000,
}

CODECS: dict[str, Decoder] = {
    uid: _DECODERS[syntax.codec] for uid, syntax in COMPRESSED_SYNTAXES.items()
}


def decode_frame(encoded: Encoded, image: PixelFormat, out: NDArray[np.int16]) -> NDArray[Any]:
    """Stored values of one frame.

    encoded : the frame's fragments, joined; read before this returns
    out : (rows, columns), C-contiguous, to decode into; fresh memory for each frame would cost more
        than copying it
    Returns `out`, or another array where the frame is of 8 bits or not what the header says.
    Raises UnsupportedPixelData where imagecodecs cannot decode what may still be good data,
    TruncatedPixelData where the end is missing, PixelDataError where its header is not that of the
    image, and whatever the codec raises on broken data.
    """
    try:
        decoded = CODECS[image.transfer_syntax_uid](encoded, image, out)
    except ImportError as error:  # imagecodecs was built without this codec
        raise UnsupportedPixelData(str(error)) from error
    if decoded.dtype.kind not in "iu" or decoded.dtype.itemsize > 2:
        raise UnsupportedPixelData(f"decodes to {decoded.dtype}")
    return decoded
