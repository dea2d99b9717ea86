"""One slice of a program, on the processor where its stored values are."""

from __future__ import annotations

from typing import Any

import numpy as np

from gsigpu.backends import backend_for
from gsigpu.maps.nonlinear import array_namespace
from gsigpu.pipeline.map.program import MapProgram


def evaluate(
    program: MapProgram, z: int, stored: Any, *, linear: Any = None, rows: Any = None
) -> tuple[list[Any], list[Any]]:
    """The planes of slice z in the order of the definitions, and how many values of each were clipped.

    stored : (E, y, x) int16, NumPy or CuPy, C-contiguous
    linear, rows : memory for the linear maps (K1, y, x) in the program's type, and for what the nonlinear ones
        start from (R, y, x) float32; new where None
    """
    xp, backend = array_namespace(stored), backend_for(stored)
    n_energies, *shape = stored.shape
    padding = None if program.padding is None else program.padding[z : z + 1]

    def maps(block: Any, out: Any, dtype: Any) -> tuple[Any, Any]:
        out = xp.empty((block.n_rows, *shape), dtype) if out is None else out
        n_clipped = backend.linear_maps(
            stored.reshape(1, n_energies, -1),
            block.weights[z : z + 1],
            block.offsets[z : z + 1],
            out.reshape(1, block.n_rows, -1),
            padding=padding,
        )
        return out, n_clipped

    planes, clipped, finished, finished_clipped = (), (), (), ()
    if program.linear is not None:
        planes, clipped = maps(program.linear, linear, program.dtype)
    if program.nonlinear is not None:
        of_rows, _ = maps(program.nonlinear, rows, np.float32)
        finished, finished_clipped = program.finish(of_rows)
    return program.in_order(planes, finished), program.in_order(clipped, finished_clipped)
