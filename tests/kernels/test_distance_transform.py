"""kernels/distance_transform.cu compiles for every card and, run as C++, gives the exact distances, to the bit; so does SciPy."""

import numpy as np
import pytest

from gsigpu.backends import DISTANCE_UNIT_MM, cpu
from gsigpu.backends.kernel_source import kernel_source
from gsigpu.regions.boundary import _on_lattice
from tests.kernels import sanitized
from tests.kernels.device_code import ARCHITECTURES, cubin
from tests.support.host_cupy.kernels import compiled

# The last one makes near ties: five slices are as far as sixteen pixels, but for a unit or two.
SPACINGS = [
    (5.0, 0.78125, 0.78125),
    (2.5, 0.7, 0.9),
    (0.7, 0.7, 0.7),
    (3.2 + 6e-6, 1.0 - 3e-6, 1.0),
]


@pytest.mark.parametrize("architecture", ARCHITECTURES[::3])
def test_nvrtc_compiles_it(architecture):
    assert b"distance_transform" in cubin("distance_transform", architecture, ())


def on_host(mask, spacing_mm, *, threads=7, under_sanitizers=False):
    """As `gsigpu.backends.gpu.distance_transform` launches it, on host arrays."""
    squared = np.where(mask, np.inf, 0.0)
    source = kernel_source("distance_transform")
    for axis, step in enumerate(spacing_mm, start=mask.ndim - len(spacing_mm)):
        other = np.full_like(squared, np.nan)
        stride = int(np.prod(mask.shape[axis + 1 :], dtype=np.int64))
        sizes = [np.int64(n).tobytes() for n in (mask.size, mask.shape[axis], stride)]
        sizes.append(np.float64(step).tobytes())
        if under_sanitizers:
            arguments = [squared, other, *sizes]
            sanitized.run(source, "distance_transform", (), (3,), (threads,), arguments)
        else:
            pointers = [np.uint64(array.ctypes.data).tobytes() for array in (squared, other)]
            kernel = compiled(source, "distance_transform", ())
            kernel.run((3,), (threads,), [*pointers, *sizes])
        squared = other
    return np.sqrt(squared)


def exact(mask, spacing_mm):
    """Every voxel against every voxel of the background, in whole units."""
    units = np.array([round(size / DISTANCE_UNIT_MM) for size in spacing_mm])
    voxels, background = np.argwhere(mask) * units, np.argwhere(~mask) * units
    squares = ((voxels[:, None] - background) ** 2).sum(axis=2).min(axis=1)
    distances = np.zeros(mask.shape)
    distances[mask] = np.sqrt(squares.astype(np.float64) * DISTANCE_UNIT_MM**2)
    return distances


@pytest.mark.parametrize("spacing", SPACINGS)
def test_distances_are_exact_to_the_bit_on_both(spacing):
    spacing = _on_lattice(spacing, 1)
    rng = np.random.default_rng(3)
    for n_outside in (1, 4, 30, 600):
        mask = np.ones((7, 19, 22), bool)
        mask.flat[rng.choice(mask.size, n_outside, replace=False)] = False
        expected = exact(mask, spacing)
        np.testing.assert_array_equal(on_host(mask, spacing), expected)
        np.testing.assert_array_equal(cpu.distance_transform(mask, spacing), expected)


def test_planes_by_themselves_and_what_has_no_background():
    mask = np.random.default_rng(5).random((4, 9, 8)) < 0.8
    mask[1], mask[2] = True, False
    spacing = _on_lattice((1.0, 0.7, 0.8), 1)[1:]
    planes = [exact(plane, spacing) if z != 1 else np.full(plane.shape, np.inf) for z, plane in enumerate(mask)]  # fmt: skip
    np.testing.assert_array_equal(on_host(mask, spacing), planes)
    np.testing.assert_array_equal(cpu.distance_transform(mask, spacing), planes)


def test_no_byte_beyond_an_array_and_no_undefined_behaviour():
    mask = np.ones((3, 5, 6), bool)
    mask[0, 0, 0] = mask[2, 4, 5] = False
    spacing = _on_lattice((2.5, 0.7, 0.7), 1)
    for threads in (1, 64):
        distances = on_host(mask, spacing, threads=threads, under_sanitizers=True)
        np.testing.assert_array_equal(distances, exact(mask, spacing))
