"""The compiled loops over the files of a slice (kernels/plain_files.cpp), where they were built.

A call does the first of its files until one is not as it must be, without the GIL, and says how many are done. It tells
no errors: the caller goes on with the next file the Python way, which is the truth that these are tested against, and
which raises what is to be raised. So a result of 0 means no more than "not here", also where no library was built.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends.compiled import Loop, choose_loop

_Pointer = ctypes.c_void_p
_Number = ctypes.c_int64


class Heads(NamedTuple):
    """The first bytes of some files, and their states from before they were read.

    heads : (n, n_bytes) uint8
    states : (n, 3) int64, size, time of the last change in ns, and inode, whose upper half is negative
    n_read : (n,) int64, -1 for a file that could not be read
    """

    heads: NDArray[np.uint8]
    states: NDArray[np.int64]
    n_read: NDArray[np.int64]

    def since(self, at: int) -> Heads:
        """Those from one on."""
        return Heads(self.heads[at:], self.states[at:], self.n_read[at:])


def read_heads(paths: Sequence[bytes], n_bytes: int) -> Heads | None:
    """The first `n_bytes` of each file; None where no library was built."""
    functions = _functions()
    if functions is None:
        return None
    n = len(paths)
    of_files = Heads(
        np.empty((n, n_bytes), np.uint8), np.empty((n, 3), np.int64), np.empty(n, np.int64)
    )
    functions.gsigpu_read_heads(
        n, texts(paths), n_bytes, *(_Pointer(array.ctypes.data) for array in of_files)
    )
    return of_files


def read_planes(
    paths: Sequence[bytes], expected: Sequence[int], n_bytes: int, out: NDArray[np.int16]
) -> int:
    """`n_bytes` of each file into the planes of `out`: how many of the first are delivered.

    expected : for each file, one after the other, size, time of the last change in ns and inode that it must have, and
        the offset of its bytes
    out : (n, rows, columns) of `n_bytes` each, C-contiguous; what is not delivered is undefined
    """
    functions = _functions()
    if functions is None or not out.flags.c_contiguous or out.nbytes < n_bytes * len(paths):
        return 0
    n_done: int = functions.gsigpu_read_planes(
        len(paths),
        texts(paths),
        (_Number * len(expected))(*expected),
        n_bytes,
        _Pointer(out.ctypes.data),
    )
    return n_done


def read_voxels(
    paths: Sequence[bytes],
    expected: Sequence[int],
    n_bytes: int,
    origin: int,
    indices: NDArray[np.int64],
    out: NDArray[np.int16],
) -> int:
    """Of `n_bytes` of each file the int16 at some indices: of how many of the first they are delivered.

    expected : as for `read_planes`
    indices : (m,) ascending, of which `origin` is the first int16 of those bytes; all lie within them
    out : (n, m), each row contiguous; what is not delivered is undefined
    """
    functions = _functions()
    if (
        functions is None
        or indices.dtype != np.int64
        or not (indices.flags.c_contiguous and indices.flags.aligned)
        or out.strides[1] != out.itemsize
    ):
        return 0
    room = np.empty(n_bytes // 2, np.int16)
    n_done: int = functions.gsigpu_read_voxels(
        len(paths),
        texts(paths),
        (_Number * len(expected))(*expected),
        n_bytes,
        origin,
        _Pointer(indices.ctypes.data),
        indices.size,
        _Pointer(room.ctypes.data),
        _Pointer(out.ctypes.data),
        out.strides[0] // out.itemsize,
    )
    return n_done


def read_frames(
    paths: Sequence[bytes], expected: Sequence[int], room: NDArray[np.uint8]
) -> list[memoryview]:
    """The compressed frames of the first of some files that hold one each, as far as it is one fragment.

    expected : as for `read_planes`, the offset that of the value of Pixel Data
    room : (n,) with place for each file from there to its end; the frames lie in it
    """
    functions = _functions()
    if functions is None:
        return []
    places = (_Number * (2 * len(paths)))()
    n_done = functions.gsigpu_read_frames(
        len(paths),
        texts(paths),
        (_Number * len(expected))(*expected),
        _Pointer(room.ctypes.data),
        room.size,
        places,
    )
    bytes_read = room.data
    return [
        bytes_read[start : start + length]
        for start, length in zip(places[: 2 * n_done : 2], places[1 : 2 * n_done : 2], strict=True)
    ]


def write_files(
    paths: Sequence[bytes],
    headers: Sequence[bytes],
    pixels: Sequence[NDArray[Any]],
    multipliers: NDArray[np.uint64],
) -> list[int]:
    """New files, each of a header and the bytes of an array behind it.

    pixels : C-contiguous, all of one size; little endian
    multipliers : of their 64-bit words
    Returns of the first, as far as they are written, Σ word · multiplier mod 2⁶⁴; the next is not there, unless it was.
    """
    functions = _functions()
    if functions is None or not all(array.flags.c_contiguous for array in pixels):
        return []
    digests = (ctypes.c_uint64 * len(paths))()
    n_done = functions.gsigpu_write_files(
        len(paths),
        texts(paths),
        texts(headers),
        (_Number * len(headers))(*map(len, headers)),
        (_Pointer * len(pixels))(*(array.ctypes.data for array in pixels)),
        pixels[0].nbytes,
        _Pointer(multipliers.ctypes.data),
        digests,
    )
    return digests[:n_done]


def write_headers(paths: Sequence[bytes], headers: Sequence[bytes]) -> int:
    """Other headers of the same length over those of files: how many of the first have theirs."""
    functions = _functions()
    if functions is None:
        return 0
    n_done: int = functions.gsigpu_write_headers(
        len(paths), texts(paths), texts(headers), (_Number * len(headers))(*map(len, headers))
    )
    return n_done


class Slices(ctypes.Structure):
    """What a run of linear maps needs for some slices; `Slices` in kernels/plain_files.cpp says what each is."""

    _fields_ = (
        *((name, _Number) for name in ("set", "n_slices", "n_energies", "n_maps", "n_voxels", "n_apart")),
        *(
            (name, _Pointer)
            for name in (
                "in_paths", "expected", "unpack", "weights", "offsets", "padding", "stored", "maps",
                "out_paths", "headers", "n_header", "multipliers", "digests", "n_clipped", "spent",
            )
        ),
    )  # fmt: skip


def map_slices(functions: ctypes.CDLL, slices: Slices) -> int:
    """Reads, computes and writes: how many of the first slices are done. Of the next there is no file, unless there was."""
    n_done: int = functions.gsigpu_map_slices(ctypes.byref(slices))
    return n_done


def texts(given: Sequence[bytes]) -> Any:
    """Pointers to bytes, which live as long as the call."""
    return (ctypes.c_char_p * len(given))(*given)


def _functions() -> ctypes.CDLL | None:
    loop, _ = choose_loop()
    return None if loop is None else declared(loop)


def declared(loop: Loop) -> ctypes.CDLL:
    """The library of a loop with the types of the functions used here."""
    library = loop.functions
    if library.gsigpu_read_planes.restype is not _Number:
        library.gsigpu_read_heads.argtypes = [_Number, _Pointer, _Number, *[_Pointer] * 3]
        library.gsigpu_read_heads.restype = None
        library.gsigpu_write_files.argtypes = [_Number, *[_Pointer] * 4, _Number, *[_Pointer] * 2]
        library.gsigpu_write_headers.argtypes = [_Number, *[_Pointer] * 3]
        library.gsigpu_read_planes.argtypes = [_Number, *[_Pointer] * 2, _Number, _Pointer]
        library.gsigpu_read_voxels.argtypes = [_Number, *[_Pointer] * 2, *[_Number] * 2]
        library.gsigpu_read_voxels.argtypes += [_Pointer, _Number, *[_Pointer] * 2, _Number]
        library.gsigpu_read_frames.argtypes = [_Number, *[_Pointer] * 3, _Number, _Pointer]
        library.gsigpu_map_slices.argtypes = [_Pointer]
        for function in (
            library.gsigpu_map_slices,
            library.gsigpu_write_files,
            library.gsigpu_write_headers,
            library.gsigpu_read_voxels,
            library.gsigpu_read_frames,
            library.gsigpu_read_planes,
        ):
            function.restype = _Number
    return library
