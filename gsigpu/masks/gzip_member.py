"""A file that is one gzip member, unpacked at once and proved in the same pass.

libdeflate unpacks the zeros of a mask thirty times as fast as zlib, and compares CRC-32 and length of what it gives. It
says nothing of what follows the member: that nothing does is seen because the file without its last byte is no member.
Whatever is not one whole member of the expected length is left to zlib, block by block, which says what is wrong with it
or reads several members (`gsigpu.masks.integrity`).
"""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

# Of deflate: no code of it gives more than 258 bytes for two bits. A header that asks for more is no reason to make room.
_MOST_BYTES_PER_BYTE = 1032
# Unpacked bytes that are held at once. 1,000 slices of 1,024 x 1,024 in one byte per voxel; larger files go block by block.
MOST_BYTES = 2**30

# What is wrong inside a member, and what does not begin as one.
_decode: Any = imagecodecs.gzip_decode  # takes any buffer, which its types do not say
_NO_MEMBER = (imagecodecs.DeflateError, ValueError)


def unpacked(packed: bytes, n_bytes: int) -> NDArray[np.uint8] | None:
    """The content of a gzip member of `n_bytes`, proved by its checksum; None where `packed` is not just that.

    n_bytes : that are expected; no more memory than this is taken

    >>> import gzip
    >>> unpacked(gzip.compress(b"abc"), 3), unpacked(gzip.compress(b"abc") + b"more", 3)
    (array([97, 98, 99], dtype=uint8), None)
    """
    if not 0 < n_bytes <= min(MOST_BYTES, _MOST_BYTES_PER_BYTE * len(packed)):
        return None
    content = np.empty(n_bytes, np.uint8)
    try:
        n_bytes_found = len(_decode(packed, out=content))
    except _NO_MEMBER:
        return None
    return content if n_bytes_found == n_bytes and _ends_with_member(packed, content) else None


def length_told(packed: bytes) -> int:
    """How many bytes a gzip member says that it holds, modulo 2^32; 0 where it is too short to say it."""
    return int.from_bytes(packed[-4:], "little") if len(packed) > 18 else 0  # header and trailer


def _ends_with_member(packed: bytes, content: NDArray[np.uint8]) -> bool:
    """Whether nothing follows the first member, whose content gets the same bytes once more."""
    try:
        _decode(memoryview(packed)[:-1], out=content)
    except _NO_MEMBER:
        return True
    return False
