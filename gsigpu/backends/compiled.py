"""The compiled loops of the CPU (kernels/*.cpp), where they were built: linear maps, maps in colour, and
`compiled_bootstrap`.

They are called through ctypes, without the GIL. Which set of instructions it uses is decided here, once: the widest
that the processor has, or the one that the environment variable GSIGPU_CPU_LOOP names. `numpy` there, or no library,
means the NumPy twins in `gsigpu.backends.cpu`, `gsigpu.dicom.writing.overlay` and those of the bootstrap, which are the truth that they are
tested against.
"""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsigpu.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VARIABLE = "GSIGPU_CPU_LOOP"
_LIBRARY = Path(__file__).with_name("_loops.so")
_INTERFACE = 20  # gsigpu_interface() in kernels/linear_maps.cpp
# Numbers of the sets in kernels/linear_maps.cpp, the best first.
_SETS = {"avx512": 2, "avx2": 1, "neon": 3, "sse2": 0}


class Loop:
    """A loaded library and the set of instructions to use for maps."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        """`name` : of a set that `sets_of` gives."""
        self.name = name
        self.functions = library
        self.number = _SETS[name]
        self._run = library.gsigpu_linear_maps
        self._run.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 5, ctypes.c_int]
        self._run.argtypes += [*[ctypes.c_int64] * 4, ctypes.c_void_p]
        self._overlay = library.gsigpu_overlay
        self._overlay.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 3]
        self._overlay.argtypes += [ctypes.c_void_p, ctypes.c_float, ctypes.c_int]
        self._overlay.restype = None

    def linear_maps(
        self,
        stored: NDArray[np.int16],
        weights: NDArray[np.float32],
        offsets: NDArray[np.float32],
        out: NDArray[Any],
        padding: NDArray[np.int16] | None,
    ) -> NDArray[np.int64] | None:
        """As `gsigpu.backends.Backend.linear_maps`; None where the arrays are not laid out as it needs them."""
        import numpy as np  # not by the module: `gsigpu info` tells the loop, and needs no arrays

        arrays = (stored, weights, offsets, out, *(() if padding is None else (padding,)))
        types = (np.int16, np.float32, np.float32, out.dtype, np.int16)
        if out.dtype not in (np.int16, np.float32) or not all(
            array.flags.c_contiguous and array.flags.aligned and array.dtype == dtype
            for array, dtype in zip(arrays, types, strict=False)
        ):
            return None
        n_slices, n_energies, n_voxels = stored.shape
        n_maps = weights.shape[1]
        n_clipped = np.zeros(n_maps, np.int64)
        failed = self._run(
            self.number,
            stored.ctypes.data,
            # The address of an array takes a microsecond, a copy of some numbers a tenth of it.
            weights.tobytes(),
            offsets.tobytes(),
            None if padding is None else padding.tobytes(),
            out.ctypes.data,
            out.dtype == np.int16,
            n_slices,
            n_energies,
            n_maps,
            n_voxels,
            n_clipped.ctypes.data,
        )
        return None if failed else n_clipped

    def overlay(
        self,
        anatomy_hu: NDArray[np.float32],
        values: NDArray[np.float32],
        table: NDArray[np.uint32],
        lines: NDArray[np.float32],
        least_hu: float | None,
        out: NDArray[np.uint8],
    ) -> bool:
        """As `gsigpu.dicom.writing.overlay.in_numpy`; False where the arrays are not laid out as it needs them."""
        import numpy as np

        rows, columns = values.shape
        if not (
            all(array.flags.c_contiguous for array in (anatomy_hu, values, table, lines))
            and anatomy_hu.dtype == values.dtype == np.float32
            and out.strides[1:] == (3, 1)
        ):
            return False
        self._overlay(
            self.number,
            *(array.ctypes.data for array in (anatomy_hu, values, table, out)),
            rows,
            columns,
            out.strides[0],
            lines.ctypes.data,
            0.0 if least_hu is None else least_hu,
            least_hu is None,
        )
        return True


def load(path: Path) -> ctypes.CDLL:
    """The library at `path`.

    Raises OSError if it cannot be loaded, or is that of another version.
    """
    library = ctypes.CDLL(str(path))
    interface = getattr(library, "gsigpu_interface", None)
    if interface is None or interface() != _INTERFACE:
        raise OSError("was built for another version; install gsigpu again")
    return library


def sets_of(library: ctypes.CDLL) -> list[str]:
    """The sets of instructions that library and processor have, the best first."""
    return [name for name, number in _SETS.items() if library.gsigpu_has_set(number)]


@lru_cache(maxsize=1)
def choose_loop() -> tuple[Loop | None, str]:
    """The loop of this process, None for NumPy; and one line that says which, and why.

    Raises SettingsError if GSIGPU_CPU_LOOP names none that can be used here.
    """
    choice = os.environ.get(VARIABLE, "auto") or "auto"
    if choice == "numpy":
        return None, f"NumPy, as {VARIABLE} says"
    try:
        library = load(_LIBRARY)
    except OSError as error:
        why = (
            str(error) if _LIBRARY.exists() else "it was not built: no C++ compiler at installation"
        )
        if choice != "auto":
            raise SettingsError(
                f"{VARIABLE}={choice}, but there is no compiled loop ({why})",
                remedy=f"unset {VARIABLE}",
            ) from error
        return None, f"NumPy; no compiled loop ({why})"
    sets = sets_of(library)
    if choice != "auto" and choice not in sets:
        raise SettingsError(
            f"{VARIABLE}={choice} is not usable here",
            remedy=f"use auto, numpy or {' or '.join(sets)}",
        )
    name = sets[0] if choice == "auto" else choice
    return Loop(library, name), f"compiled loop, {name}"
