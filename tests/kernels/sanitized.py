"""A CUDA source run as C++ under the address and undefined-behaviour sanitizers, in a process of its own.

Every array lies in a heap block of just its bytes, so reading or writing one byte beyond it ends the process. (In the
test's own process the address sanitizer cannot be loaded, and arrays would lie in NumPy's larger blocks.)
"""

from __future__ import annotations

import os
import subprocess
from functools import lru_cache

import numpy as np

from tests.support.host_cupy.kernels import build, three_of, translated

FLAGS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

# Input: grid, block and the number of arguments; for each its kind (1: array), its size and its bytes; last the fault to inject.
# Output: the arrays' bytes, in the same order.
DRIVER = """
#include <cstdio>
#include <cstdlib>
static void get(void *to, unsigned long long size, FILE *file) {
    if (size && std::fread(to, 1, size, file) != size) std::exit(3);
}
int main() {
    unsigned grid[3], block[3], n;
    get(grid, sizeof grid, stdin);
    get(block, sizeof block, stdin);
    get(&n, sizeof n, stdin);
    void *memory[64], *args[64];
    unsigned kinds[64];
    unsigned long long sizes[64];
    for (unsigned i = 0; i < n; ++i) {
        get(kinds + i, sizeof *kinds, stdin);
        get(sizes + i, sizeof *sizes, stdin);
        memory[i] = std::malloc(sizes[i]);
        get(memory[i], sizes[i], stdin);
        args[i] = kinds[i] ? (void *)(memory + i) : memory[i];
    }
    get(&fault, sizeof fault, stdin);
    run(grid, block, args);
    for (unsigned i = 0; i < n; ++i)
        if (kinds[i] && std::fwrite(memory[i], 1, sizes[i], stdout) != sizes[i]) std::exit(4);
    for (unsigned i = 0; i < n; ++i) std::free(memory[i]);
}
"""


class SanitizerError(Exception):
    """What the sanitizer wrote as it ended the process."""


@lru_cache(maxsize=64)
def program(source, name, options):
    """The program that runs the kernel `name`; `fault` is an int that a source with injected faults may ask."""
    text = f"static int fault;\n{translated(source, name)}{DRIVER}"
    return build(text, FLAGS, options)


def run(source, name, options, grid, block, arguments, *, fault=0):
    """Runs a kernel; arrays are changed in place.

    arguments : NumPy arrays of more than one dimension or item by address, `bytes` by value
    Raises SanitizerError with the report.
    """
    head = [np.uint32([*three_of(grid), *three_of(block), len(arguments)]).tobytes()]
    for argument in arguments:
        content = argument if isinstance(argument, bytes) else argument.tobytes()
        head += [np.uint32(not isinstance(argument, bytes)).tobytes()]
        head += [np.uint64(len(content)).tobytes(), content]
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    done = subprocess.run(
        [program(source, name, options)],
        input=b"".join([*head, np.int32(fault).tobytes()]),
        capture_output=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        raise SanitizerError(done.stderr.decode(errors="replace"))
    start = 0
    for argument in arguments:
        if not isinstance(argument, bytes):
            argument[...] = np.frombuffer(
                done.stdout, argument.dtype, argument.size, start
            ).reshape(argument.shape)
            start += argument.nbytes
    assert start == len(done.stdout)
