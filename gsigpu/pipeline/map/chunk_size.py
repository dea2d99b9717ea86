"""How many slices go to the GPU at once."""

from __future__ import annotations

from gsigpu.pipeline.map.program import MapProgram

N_SLOTS = 3  # one is filled, one is on the card, one is emptied
# A copy over PCI Express reaches its rate with some megabytes; more only takes memory.
_CHUNK_BYTES = 8 << 20
# Of the free memory of the card. The rest is for CuPy's temporaries and for other programs.
_SHARE_OF_CARD = 0.25
# Planes of float32 that finishing the nonlinear maps of a slice takes beside its rows (sort of the sigma maps).
_TEMPORARY_PLANES = 12


def chunk_size(program: MapProgram, n_workers: int, free_bytes: int) -> int:
    """Slices per chunk.

    Enough for a copy at full rate (8 MiB) and for every reader thread to have a slice of its own; three chunks
    take at most a quarter of the card's free memory.

    free_bytes : of the card; where several processes share it, the part of this one
    """
    y, x = program.plane_shape
    bytes_in = 2 * program.n_energies * y * x
    n_rows = 0 if program.nonlinear is None else program.nonlinear.n_rows + _TEMPORARY_PLANES
    per_slice = bytes_in + y * x * (program.n_maps * program.dtype.itemsize + 4 * n_rows)
    useful = max(-(-_CHUNK_BYTES // bytes_in), n_workers)
    fitting = int(_SHARE_OF_CARD * free_bytes) // (N_SLOTS * per_slice)
    return max(min(useful, fitting, program.n_slices), 1)
