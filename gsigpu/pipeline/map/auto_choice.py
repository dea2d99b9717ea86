"""What `auto` runs a program on where a GPU is usable: the one place of the rule.

The rule is **not measured**: no card was at hand when it was written. It takes the GPU for every program that the kernel
can hold. `bench/gpu.py` measures from which size on the card is faster, and says whether that agrees with the number here;
results in `bench/results/gpu-*.md` are what justifies another.
"""

from __future__ import annotations

from typing import Literal

from gsigpu.backends.kernel_source import map_groups
from gsigpu.errors import BackendError
from gsigpu.pipeline.map.program import MapProgram

# Stored values (voxels times energies) from which on the GPU is taken. 0: not measured, so size decides nothing.
LEAST_STORED_VALUES = 0


def processor_for(program: MapProgram) -> tuple[Literal["cpu", "gpu"], str | None]:
    """The processor for a program, where a GPU is usable.

    Returns it, and a line for the user where the GPU cannot take the program at all; a program that is only too small
    to pay goes to the CPU without a word, as the report names the backend.
    """
    try:
        for block in (program.linear, program.nonlinear):
            if block is not None:
                map_groups(block.n_rows, program.n_energies)
    except BackendError as error:
        return "cpu", f"computed on the CPU: {error.what}"
    rows, columns = program.plane_shape
    n_values = program.n_slices * program.n_energies * rows * columns
    return ("gpu" if n_values >= LEAST_STORED_VALUES else "cpu"), None
