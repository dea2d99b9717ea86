"""kernels/segment_moments.cu compiles for every card and, run as C++, gives the sums of exact fractions."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from gsigpu.backends import cpu
from gsigpu.backends.kernel_source import kernel_source
from tests.kernels import sanitized
from tests.kernels.device_code import ARCHITECTURES, cubin
from tests.support.host_cupy.kernels import compiled

RNG = np.random.default_rng(12)


@pytest.mark.parametrize("order", [1, 4])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvrtc_compiles_it(architecture, order):
    assert b"segment_moments" in cubin("segment_moments", architecture, (f"-DORDER={order}",))


def on_host(values, starts, centres, order, *, lanes=7, under_sanitizers=False):
    """As `gsigpu.backends.gpu.segment_moments` launches it, on host arrays."""
    sums = np.full((*centres.shape, lanes, order + 1), np.nan)
    arrays = (values, starts, centres, sums)
    n_values = np.int64(values.shape[1]).tobytes()
    grid = (centres.shape[1], centres.shape[0])
    source, options = kernel_source("segment_moments"), (f"-DORDER={order}",)
    if under_sanitizers:
        arguments = [*arrays, n_values]
        sanitized.run(source, "segment_moments", options, grid, (lanes,), arguments)
    else:
        pointers = [np.uint64(array.ctypes.data).tobytes() for array in arrays]
        compiled(source, "segment_moments", options).run(grid, (lanes,), [*pointers, n_values])
    return sums.sum(axis=2)


def problem():
    values = RNG.normal(900, 3, (3, 500)).astype(np.float32)
    values[1, 100:130] = np.nan
    starts = np.array([0, 1, 1, 6, 100, 128, 500], np.int64)
    return values, starts, RNG.normal(900, 1, (3, 6))


def test_sums_are_those_of_exact_fractions():
    values, starts, centres = problem()
    for sums in (on_host(values, starts, centres, 4), cpu.segment_moments(values, starts, centres, order=4)):  # fmt: skip
        for p, row in enumerate(values):
            for s, (first, end) in enumerate(pairwise(starts)):
                valid = [float(x) for x in row[first:end] if not np.isnan(x)]
                deviations = [Fraction(x) - Fraction(float(centres[p, s])) for x in valid]
                for j in range(5):
                    exact = sum(d**j for d in deviations)
                    size = float(sum(abs(d) ** j for d in deviations))
                    assert sums[p, s, j] == pytest.approx(float(exact), abs=1e-13 * size)


def test_no_byte_beyond_an_array_no_undefined_behaviour_and_lanes_change_nothing_but_the_last_bits():
    values, starts, centres = problem()
    few = on_host(values, starts, centres, 2, lanes=1, under_sanitizers=True)
    many = on_host(values, starts, centres, 2, lanes=64)
    np.testing.assert_array_equal(few[..., 0], many[..., 0])
    np.testing.assert_allclose(few, many, rtol=1e-12, atol=1e-9)
