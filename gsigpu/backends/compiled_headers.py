"""The compiled loop over headers that are alike (kernels/alike_headers.cpp), where it was built."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends.compiled import Loop, choose_loop

_Pointer = ctypes.c_void_p
_Number = ctypes.c_int64
# Roles of elements whose values are not wanted: any will do, or any that does not speak of keV.
ANY, QUIET = -1, -2


class Piece(NamedTuple):
    """Bytes that must be there, then an element of which only the tag and VR are known.

    run : ends behind the tag and VR of the element; in the last piece where the value of Pixel Data begins
    n_length : bytes of the element's length, 2 or 4; 0 in the last piece
    role : the place of its value among those that are wanted, from 0; ANY or QUIET
    """

    run: bytes
    n_length: int
    role: int


class _Pattern(ctypes.Structure):
    _fields_ = (
        ("n_pieces", _Number),
        *((name, _Pointer) for name in ("runs", "n_run", "n_length", "role")),
    )


class Patterns:
    """Patterns as the loop takes them; none where no library was built."""

    def __init__(self, patterns: Sequence[Sequence[Piece]], n_wanted: int, loop: Loop) -> None:
        """`n_wanted` : values of each."""
        self._alike = _declared(loop).gsigpu_alike_headers
        self._n_places = 1 + 2 * n_wanted
        self._kept = [
            _as_arrays(pattern) for pattern in patterns
        ]  # as long as the structures point to them
        self._patterns = (_Pattern * len(patterns))(
            *(
                _Pattern(len(pattern), *(ctypes.addressof(array) for array in arrays))
                for pattern, arrays in zip(patterns, self._kept, strict=True)
            )
        )

    def fitting(
        self, heads: NDArray[np.uint8], n_read: NDArray[np.int64], start: int
    ) -> tuple[list[int], list[list[int]]]:
        """Of each head the pattern that it fits, or -1; and where the last run ends, then offset and length of each wanted value.

        heads : (n, n_bytes) C-contiguous, of which `n_read` (n,) are there; -1 of none
        start : byte of a head at which all patterns begin
        """
        n = len(heads)
        which, places = np.empty(n, np.int64), np.zeros((n, self._n_places), np.int64)
        self._alike(
            n,
            heads.ctypes.data,
            heads.strides[0],
            n_read.ctypes.data,
            start,
            self._patterns,
            len(self._patterns),
            self._n_places,
            which.ctypes.data,
            places.ctypes.data,
        )
        return which.tolist(), places.tolist()


def patterns_for(patterns: Sequence[Sequence[Piece]], n_wanted: int) -> Patterns | None:
    """As `Patterns`; None where no library was built."""
    loop, _ = choose_loop()
    return None if loop is None else Patterns(patterns, n_wanted, loop)


def _as_arrays(pattern: Sequence[Piece]) -> tuple[ctypes.Array[Any], ...]:
    runs, n_length, roles = zip(*pattern, strict=True)
    n = len(pattern)
    return (
        (ctypes.c_char_p * n)(*runs),
        (_Number * n)(*map(len, runs)),
        (_Number * n)(*n_length),
        (_Number * n)(*roles),
    )


def _declared(loop: Loop) -> ctypes.CDLL:
    """The library of a loop with the types of the function used here."""
    library = loop.functions
    library.gsigpu_alike_headers.argtypes = [
        _Number,
        _Pointer,
        _Number,
        _Pointer,
        _Number,
        _Pointer,
    ]
    library.gsigpu_alike_headers.argtypes += [_Number, _Number, _Pointer, _Pointer]
    library.gsigpu_alike_headers.restype = None
    return library
