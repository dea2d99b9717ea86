"""Whether a JPEG Lossless frame holds as many bits as its image needs.

libjpeg-turbo decodes what is there and fills up what is missing; so do pydicom's decoders, and nothing
is said. The image itself tells how long it is when coded: each difference from its prediction has a
known number of bits under the frame's Huffman table (ITU-T T.81 H.1.2). A frame that was cut, or lost
bytes, is shorter. A changed bit that leaves the length alone stays unseen: the format has no checksum.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends.compiled_bits import coded_bits
from gsigpu.errors import PixelDataError, TruncatedPixelData

# Encoders fill the last byte; some write one or two more.
_MOST_SPARE_BYTES = 2
_NO_CODE = 0xFF  # bits of a difference that the table has no code for: more than any has

# Rows at a time: what they need stays in the processor's cache.
_BLOCK = 64


def _half_difference(first: Any, second: Any) -> Any:
    """floor((first - second) / 2) modulo 65,536, in 16 bits."""
    return (first >> 1) - (second >> 1) - (second & ~first & 1)


# (left, above, above left) -> prediction, by the selection value of the scan (T.81 table H.1); only
# its difference modulo 65,536 matters.
_PREDICTORS: dict[int, Callable[[Any, Any, Any], Any]] = {
    1: lambda left, _above, _corner: left,
    2: lambda _left, above, _corner: above,
    3: lambda _left, _above, corner: corner,
    4: lambda left, above, corner: left + above - corner,
    5: lambda left, above, corner: left + _half_difference(above, corner),
    6: lambda left, above, corner: above + _half_difference(left, corner),
    7: lambda left, above, _corner: (left >> 1) + (above >> 1) + (left & above & 1),
}


def check_coded_length(
    tables: bytes, scan: bytes, bits: int, n_bytes: int, image: NDArray[np.unsignedinteger]
) -> None:
    """Raise TruncatedPixelData if a decoded image needs more bits than were there, or fewer.

    tables : bodies of the frame's Huffman table segments, joined
    scan : body of its scan header
    bits : precision of its samples
    n_bytes : of its coded data, without stuffed zeros and fill bytes
    image : (rows, columns) unsigned, decoded of it
    """
    n_bits = _bits_of(_code_lengths(tables, scan[2] >> 4), scan[3], bits, image)
    n_needed = -(-n_bits // 8)
    if not n_needed <= n_bytes <= n_needed + _MOST_SPARE_BYTES:
        raise TruncatedPixelData(
            f"its image needs {n_needed} bytes of coded data, there are {n_bytes}"
        )


@lru_cache(maxsize=16)  # as a rule one table per series
def _code_lengths(tables: bytes, table_id: int) -> NDArray[np.uint8]:
    """(17,) bits of a difference of each category: its code, and what follows (T.81 F.1.2.1)."""
    lengths = np.full(17, _NO_CODE, np.uint8)
    position = 0
    while position + 17 <= len(tables):
        counts = tables[position + 1 : position + 17]
        symbols = tables[position + 17 : position + 17 + sum(counts)]
        if len(symbols) < sum(counts):
            break
        if tables[position] == table_id:  # class 0, as all of lossless JPEG
            by_length = [length for length, n in enumerate(counts, start=1) for _ in range(n)]
            lengths[:] = _NO_CODE
            for symbol, length in zip(symbols, by_length, strict=True):
                if symbol > 16:
                    raise PixelDataError(f"Huffman table with a category {symbol}")
                lengths[symbol] = length + (symbol if symbol < 16 else 0)
        position += 17 + len(symbols)
    return lengths


@cache
def _categories() -> NDArray[np.intp]:
    """(65536,) the category of each difference modulo 65,536: the bits of its magnitude, 0 to 16."""
    magnitude = np.abs(np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32))
    return np.frexp(magnitude.astype(np.float64))[1].astype(np.intp)  # 0 of 0, else 1 + floor(log2)


def _bits_of(
    lengths: NDArray[np.uint8], selection: int, bits: int, image: NDArray[np.unsignedinteger]
) -> int:
    if selection not in _PREDICTORS:
        raise PixelDataError(f"claims a predictor {selection}")
    samples = image.astype(np.uint16, copy=False)
    first_prediction = 1 << (bits - 1)
    n_bits = coded_bits(samples, lengths, selection, first_prediction)
    return in_numpy(samples, lengths, selection, first_prediction) if n_bits is None else n_bits


def in_numpy(
    image: NDArray[np.uint16], lengths: NDArray[np.uint8], selection: int, first_prediction: int
) -> int:
    """Bits of an image when it is coded, by NumPy: the truth that the compiled loop is tested against.

    The arguments are those of `gsigpu.backends.compiled_bits.coded_bits`.
    """
    predict, samples = _PREDICTORS[selection], cast("Any", image)
    lengths = lengths[_categories()]
    first_line = np.empty(samples.shape[1], np.uint16)
    first_line[1:] = samples[0, 1:] - samples[0, :-1]
    first_line[0] = (int(samples[0, 0]) - first_prediction) & 0xFFFF
    n_bits = _sum_of(lengths, first_line) + _sum_of(lengths, samples[1:, 0] - samples[:-1, 0])
    for row in range(1, len(samples), _BLOCK):
        here, above = samples[row : row + _BLOCK], samples[row - 1 : row + _BLOCK - 1]
        above = above[: len(here)]
        predicted = predict(here[:, :-1], above[:, 1:], above[:, :-1])
        n_bits += _sum_of(lengths, here[:, 1:] - predicted)
    return n_bits


def _sum_of(lengths: NDArray[np.uint8], differences: NDArray[np.uint16]) -> int:
    return int(np.take(lengths, differences).sum(dtype=np.int64))
