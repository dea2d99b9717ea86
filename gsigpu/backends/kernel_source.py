"""CUDA sources and the options they are compiled with.

Kept apart from CuPy, so that tests can compile every kernel with NVRTC, and run it as C++, on
machines without a GPU.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

# More accumulators than this would spill registers; a launch makes so many maps at most.
MOST_MAPS_PER_LAUNCH = 8
VOXELS_PER_THREAD = 8


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


def map_groups(n_maps: int) -> list[tuple[int, int]]:
    """(first map, number of maps) of each launch for K maps.

    >>> map_groups(11)
    [(0, 8), (8, 3)]
    """
    return [
        (first, min(MOST_MAPS_PER_LAUNCH, n_maps - first))
        for first in range(0, n_maps, MOST_MAPS_PER_LAUNCH)
    ]
