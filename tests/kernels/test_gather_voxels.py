"""kernels/gather_voxels.cu compiles for every card within few registers and, run as C++, takes what NumPy's indexing takes."""

import numpy as np
import pytest

from gsigpu.backends import cpu
from gsigpu.backends.kernel_source import kernel_source
from tests.kernels import sanitized
from tests.kernels.device_code import ARCHITECTURES, READ_ARCHITECTURES, cubin
from tests.kernels.test_disassembly import disassembled, most_registers
from tests.support.host_cupy.kernels import compiled

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvrtc_compiles_it(architecture):
    assert b"gather_voxels" in cubin("gather_voxels", architecture, ())


@pytest.mark.parametrize("architecture", READ_ARCHITECTURES)
def test_every_thread_of_a_multiprocessor_has_its_registers_and_none_is_spilled(
    tmp_path, architecture
):
    """What waits for memory needs them all: 2048 threads of 65536 registers, 1536 on sm_120, in steps of eight."""
    text, kinds = disassembled(tmp_path, "gather_voxels", architecture, ())
    assert most_registers(text, "gather_voxels") <= (40 if architecture == 120 else 32)
    assert not {"LDL", "STL"} & set(kinds), "registers are spilled"


def on_host(planes, starts, indices, out, *, origin=0, blocks=2, threads=7, under_sanitizers=False):
    """As `gsigpu.backends.gpu.gather_voxels` launches it, on host arrays."""
    sizes = [np.int64(size).tobytes() for size in (planes.strides[0] // planes.itemsize, origin)]
    arrays, grid = (planes, starts, indices, out), (blocks, len(planes))
    source = kernel_source("gather_voxels")
    if under_sanitizers:
        sanitized.run(source, "gather_voxels", (), grid, (threads,), [*arrays, *sizes])
    else:
        pointers = [np.uint64(array.ctypes.data).tobytes() for array in arrays]
        compiled(source, "gather_voxels", ()).run(grid, (threads,), [*pointers, *sizes])


def problem():
    """Three planes, the middle one without voxels; the first and the last voxel of a plane are among those taken."""
    planes = RNG.integers(-32768, 32768, (3, 60)).astype(np.int16)
    chosen = np.sort(RNG.choice(np.arange(1, 59), 20, replace=False))
    indices = np.concatenate([[0], chosen[:9], chosen, [59]]).astype(np.int32)
    return planes, np.array([4, 14, 14, 35], np.int64), np.concatenate([np.zeros(4, np.int32), indices])  # fmt: skip


@pytest.mark.parametrize("under_sanitizers", [False, True])
def test_voxels_are_those_of_numpys_indexing_and_nothing_else_is_written(under_sanitizers):
    planes, starts, indices = problem()
    expected = np.full(len(indices), 77, np.int16)
    for s in range(3):
        expected[starts[s] : starts[s + 1]] = planes[s][indices[starts[s] : starts[s + 1]]]
    for run in (cpu.gather_voxels, lambda *args: on_host(*args, under_sanitizers=under_sanitizers)):
        out = np.full(len(indices), 77, np.int16)
        run(planes, starts, indices, out)
        np.testing.assert_array_equal(out, expected)


def test_rows_of_a_plane_and_planes_that_lie_apart():
    """`origin` values of the plane are not here; the planes of a series lie among those of others."""
    rows = RNG.integers(0, 9000, 30).astype(np.int16)
    indices, starts = np.array([100, 107, 129], np.int32), np.array([0, 3], np.int64)
    several = RNG.integers(0, 9000, (2, 3, 40)).astype(np.int16)
    at, ends = np.array([0, 39, 5, 6], np.int32), np.array([0, 2, 4], np.int64)
    for run in (cpu.gather_voxels, on_host):
        out = np.zeros(3, np.int16)
        run(rows.reshape(1, -1), starts, indices, out, origin=100)
        np.testing.assert_array_equal(out, rows[[0, 7, 29]])
        out = np.zeros(4, np.int16)
        run(several[:, 1], ends, at, out)
        np.testing.assert_array_equal(out, [*several[0, 1, [0, 39]], *several[1, 1, [5, 6]]])


def test_an_index_beyond_what_is_here_is_seen_by_the_sanitizer():
    """So that the test above means something."""
    planes, starts, indices = problem()
    indices[-1] = 180
    with pytest.raises(sanitized.SanitizerError, match="heap-buffer-overflow"):
        on_host(planes, starts, indices, np.zeros(len(indices), np.int16), under_sanitizers=True)
