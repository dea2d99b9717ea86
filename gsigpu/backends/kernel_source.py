"""CUDA sources and the options they are compiled with.

Kept apart from CuPy, so that tests can compile every kernel with NVRTC, and run it as C++, on
machines without a GPU.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import BackendError

# More accumulators than this would spill registers; a launch makes so many maps at most.
MOST_MAPS_PER_LAUNCH = 8
VOXELS_PER_THREAD = 8
# A kernel's parameters may take 4 KiB on every card and driver; pointers and sizes are part of them.
_TABLE_BYTES = 4096 - 64


@lru_cache(maxsize=8)
def kernel_source(name: str) -> str:
    """Source of `kernels/<name>.cu`, with a line directive so that compiler errors name the file."""
    text = files("gsigpu.kernels").joinpath(f"{name}.cu").read_text("utf-8")
    return f'#line 1 "{name}.cu"\n{text}'


def linear_maps_options(
    *, n_maps: int, n_energies: int, quantised: bool, has_padding: bool, vector: bool
) -> tuple[str, ...]:
    """Macros of one specialisation of linear_maps.cu.

    vector : rows are aligned to 16 bytes, N is a multiple of 8
    """
    return (
        f"-DN_MAPS={n_maps}",
        f"-DN_ENERGIES={n_energies}",
        f"-DQUANTISED={int(quantised)}",
        f"-DHAS_PADDING={int(has_padding)}",
        f"-DVECTOR={int(vector)}",
    )


def map_groups(n_maps: int, n_energies: int = 1) -> list[tuple[int, int]]:
    """(first map, number of maps) of each launch for K maps of E energies.

    Raises BackendError where the tables of one map are larger than a kernel's parameters may be.

    >>> map_groups(11)
    [(0, 8), (8, 3)]
    >>> map_groups(8, 101)
    [(0, 7), (7, 1)]
    """
    room = (_TABLE_BYTES // 4 - 2 * n_energies) // (n_energies + 1)
    if room < 1:
        raise BackendError(
            f"the GPU takes at most {(_TABLE_BYTES // 4 - 1) // 3} energies, not {n_energies}",
            remedy="use --backend cpu, or fewer energies",
        )
    most = min(MOST_MAPS_PER_LAUNCH, room)
    return [(first, min(most, n_maps - first)) for first in range(0, n_maps, most)]


def linear_maps_tables(
    weights: NDArray[np.float32],
    offsets: NDArray[np.float32],
    padding: NDArray[np.int16] | None,
) -> NDArray[np.void]:
    """The `Tables` of a launch, which go to the kernel by value.

    weights : (K, E); offsets : (K,); padding : (E, 2) closed ranges, low > high for none
    Returns a structured array of one item, which CuPy passes as a struct. A range becomes its middle
    and half its width, exact in float32; none has a negative one.

    >>> linear_maps_tables(np.zeros((1, 2)), np.zeros(1), np.int16([[-5, 4], [1, 0]]))["halves"]
    array([[ 4.5, -1. ]], dtype=float32)
    """
    n_maps, n_energies = weights.shape
    fields: list[tuple[str, str, tuple[int, ...]]] = [
        ("weights", "f4", (n_maps, n_energies)),
        ("offsets", "f4", (n_maps,)),
    ]
    if padding is not None:
        fields += [("middles", "f4", (n_energies,)), ("halves", "f4", (n_energies,))]
    tables = np.zeros(1, np.dtype(fields))
    tables["weights"], tables["offsets"] = weights, offsets
    if padding is not None:
        low, high = padding.astype(np.float32).T
        tables["middles"] = (low + high) / 2
        tables["halves"] = np.where(low <= high, (high - low) / 2, np.float32(-1))
    return tables


def runs_of_equal_slices(*tables: NDArray[Any] | None) -> list[tuple[int, int]]:
    """(first, last + 1) of the slices in a row whose tables are all equal; each is (S, …).

    >>> runs_of_equal_slices(np.array([1, 1, 2]), None)
    [(0, 2), (2, 3)]
    """
    given = [table for table in tables if table is not None]
    n_slices = len(given[0])
    differs = np.zeros(max(n_slices - 1, 0), bool)
    for table in given:
        rows = table.reshape(n_slices, -1)
        differs |= (rows[1:] != rows[:-1]).any(axis=1)
    changes = [int(s) + 1 for s in np.flatnonzero(differs)]
    return list(zip([0, *changes], [*changes, n_slices], strict=True))
