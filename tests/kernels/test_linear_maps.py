"""The CUDA source compiles for every card and, run as C++, gives what NumPy gives."""

from importlib.resources import files

import numpy as np
import pytest

from gsigpu.backends import cpu
from gsigpu.backends.kernel_source import kernel_source, linear_maps_options, linear_maps_tables
from tests.kernels import host, sanitized
from tests.kernels.device_code import ARCHITECTURES, READ_ARCHITECTURES, cubin

RNG = np.random.default_rng(3)
# The default specialisations, and those with more maps or rows that are not aligned. Nothing in the source depends on
# the architecture: the oldest, the newest and one between show that these compile.
DEFAULTS = [(1, 2, True, True, True), (4, 11, True, True, True)]
OTHERS = [(8, 11, False, True, True), (3, 5, True, False, False), (2, 11, False, False, False)]


def aligned(shape, dtype):
    """C-contiguous memory that begins on a multiple of 16 bytes, as device memory does."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(n_bytes + 16, np.uint8)
    start = -raw.ctypes.data % 16
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


def problem(n_slices, n_energies, n_maps, n_voxels, dtype, *, scale=1.0):
    stored = aligned((n_slices, n_energies, n_voxels), np.int16)
    stored[:] = RNG.integers(-2000, 3000, stored.shape)
    weights = (scale * RNG.normal(size=(n_slices, n_maps, n_energies))).astype(np.float32)
    offsets = (scale * RNG.normal(size=(n_slices, n_maps)) * 1000).astype(np.float32)
    return stored, weights, offsets, aligned((n_slices, n_maps, n_voxels), dtype)


def exact(stored, weights, offsets):
    return weights.astype(float) @ stored.astype(float) + offsets[..., None].astype(float)


def test_every_kernel_has_a_test_here():
    names = {
        source.name for source in files("gsigpu.kernels").iterdir() if source.name.endswith(".cu")
    }
    assert names == {
        "distance_transform.cu",
        "gather_voxels.cu",
        "linear_maps.cu",
        "segment_moments.cu",
    }


@pytest.mark.parametrize(
    ("architecture", "specialisation"),
    [
        *((architecture, default) for architecture in sorted({*ARCHITECTURES} - {*READ_ARCHITECTURES}) for default in DEFAULTS),
        *((architecture, other) for architecture in (75, 90, 120) for other in OTHERS),
    ],
)  # fmt: skip
def test_nvrtc_compiles_it(architecture, specialisation):
    names = ("n_maps", "n_energies", "quantised", "has_padding", "vector")
    options = linear_maps_options(**dict(zip(names, specialisation, strict=True)))
    assert b"linear_maps" in cubin("linear_maps", architecture, options)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
@pytest.mark.parametrize("n_voxels", [1, 7, 8, 13, 64, 1000, 1003])
@pytest.mark.parametrize(("n_energies", "n_maps"), [(2, 1), (11, 4), (3, 9)])
def test_source_run_as_cpp_equals_numpy(n_energies, n_maps, n_voxels, dtype):
    stored, weights, offsets, out = problem(2, n_energies, n_maps, n_voxels, dtype)
    expected = np.empty_like(out)
    n_expected = cpu.in_numpy(stored, weights, offsets, expected)
    n_clipped = host.linear_maps(stored, weights, offsets, out)
    true = exact(stored, weights, offsets)
    if dtype == np.float32:
        np.testing.assert_allclose(out, true, rtol=1e-5, atol=0.02)
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=0.02)
    else:
        # Both round float32 sums; where these fall near a half they may part by one step.
        assert np.abs(out - np.clip(true, -32767, 32767)).max() <= 0.52
        assert np.abs(out.astype(int) - expected).max() <= 1
        np.testing.assert_array_equal(n_clipped, n_expected)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
@pytest.mark.parametrize("n_voxels", [16, 19])
def test_padding_of_any_energy(n_voxels, dtype):
    stored, weights, offsets, out = problem(3, 4, 2, n_voxels, dtype)
    padding = np.empty((3, 4, 2), np.int16)
    padding[:] = (1, 0)
    padding[0, 1] = (-2000, -1500)
    padding[2, 3] = (2999, 32767)
    stored[0, 1, 5] = -2000
    stored[0, 1, 6] = -1500
    stored[1, 1, 5] = -2000  # not padding in that slice
    stored[2, 3, n_voxels - 1] = 2999
    expected = np.empty_like(out)
    cpu.in_numpy(stored, weights, offsets, expected, padding=padding)
    host.linear_maps(stored, weights, offsets, out, padding=padding)
    low, high = padding[..., :1], padding[..., 1:]
    padded_mask = ((stored >= low) & (stored <= high)).any(axis=1)
    assert padded_mask[0, 5]
    assert padded_mask[0, 6]
    for array in (out, expected):
        missing = np.isnan(array) if dtype == np.float32 else array == -32768
        np.testing.assert_array_equal(missing, np.broadcast_to(padded_mask[:, None], array.shape))


def test_clipped_values_are_counted_once_and_padded_ones_never():
    stored, weights, offsets, out = problem(2, 3, 10, 1003, np.int16, scale=20.0)
    padding = np.tile(np.int16([-2000, -1000]), (2, 3, 1))
    true = exact(stored, weights, offsets)
    padded_mask = ((stored >= -2000) & (stored <= -1000)).any(axis=1)[:, None]
    beyond = (np.abs(np.rint(true.astype(np.float32))) > 32767) & ~padded_mask
    expected = np.empty_like(out)
    for n_clipped in (
        host.linear_maps(stored, weights, offsets, out, padding=padding),
        cpu.in_numpy(stored, weights, offsets, expected, padding=padding),
    ):
        np.testing.assert_allclose(n_clipped, beyond.sum(axis=(0, 2)), atol=1)
        assert n_clipped.sum() > 1000
    assert out.max() == 32767
    assert out[out != -32768].min() == -32767


@pytest.mark.parametrize("n_voxels", [24, 29])
def test_extremes_under_sanitizers(n_voxels):
    stored, weights, offsets, out = problem(2, 2, 3, n_voxels, np.int16, scale=1e6)
    stored[:, :, 0], stored[:, :, 1] = 32767, -32768
    padding = np.tile(np.int16([-32768, -32768]), (2, 2, 1))
    host.linear_maps(stored, weights, offsets, out, padding=padding, run=host.under_sanitizers)
    assert (out[:, :, 1] == -32768).all()


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
@pytest.mark.parametrize("n_voxels", [65536, 65539])
def test_every_stored_value_under_sanitizers(n_voxels, dtype):
    """Weights are quarters, so float32 is exact: equal to the bit, halves and clipped values too."""
    every = np.resize(np.arange(-32768, 32768, dtype=np.int16), n_voxels)
    stored = aligned((1, 2, n_voxels), np.int16)
    stored[0] = every, np.roll(every[::-1], 12345)
    weights = np.float32([[[1, 0], [0, 0.5], [1.25, -0.75]]])
    offsets = np.float32([[0.5, 0, 0.25]])  # 32767 becomes 32767.5, the first that is clipped
    padding = np.int16([[[-32768, -32760], [32000, 32001]]])
    expected, out = (aligned((1, 3, n_voxels), dtype) for _ in range(2))
    n_expected = cpu.in_numpy(stored, weights, offsets, expected, padding=padding)
    n_clipped = host.linear_maps(
        stored, weights, offsets, out, padding=padding, run=host.under_sanitizers
    )
    np.testing.assert_array_equal(out, expected)
    if dtype == np.int16:
        np.testing.assert_array_equal(n_clipped, n_expected)
        assert n_clipped[0] >= 1
        assert n_clipped[2] > 1000


FAULTS_OF_BOUNDS = {
    1: ("j < n ? (unsigned short)from[j]", "j < n || fault == 1 ? (unsigned short)from[j]"),
    2: ("if (j < n) to[j]", "if (j < n || fault == 2) to[j]"),
    3: ("n_voxels - first < VOXELS ? (int)(n_voxels - first)", "n_voxels - first < VOXELS ? (int)(n_voxels - first) + (fault == 3)"),
    4: ("n_clipped + first_map + k", "n_clipped + first_map + k + (fault == 4)"),
    5: ("slice + e * n_voxels", "slice + (e + (fault == 5)) * n_voxels"),
}  # fmt: skip


@pytest.mark.parametrize("fault", [0, *FAULTS_OF_BOUNDS])
def test_the_sanitizer_sees_a_byte_beyond_an_array(fault):
    """Faults are injected into the source, and asked for when it runs: one compilation serves all."""
    source = kernel_source("linear_maps")
    for before, after in FAULTS_OF_BOUNDS.values():
        assert source.count(before) >= 1, f"the source has changed: {before!r}"
        source = source.replace(before, after)
    stored, weights, offsets, out = problem(1, 2, 1, 29, np.int16, scale=1e6)
    n_clipped = np.zeros(1, np.uint64)
    options = linear_maps_options(
        n_maps=1, n_energies=2, quantised=True, has_padding=False, vector=False
    )
    tables = linear_maps_tables(weights[0], offsets[0], None)
    sizes = (np.int64(29), np.int32(1), np.int32(0), tables)
    arguments = [stored, out, n_clipped, *(size.tobytes() for size in sizes)]

    def run():
        sanitized.run(source, "linear_maps", options, (3, 1), (2,), arguments, fault=fault)

    if fault:
        with pytest.raises(sanitized.SanitizerError, match="heap-buffer-overflow"):
            run()
    else:
        run()
        assert n_clipped[0] > 0


def test_result_does_not_depend_on_the_launch():
    stored, weights, offsets, out = problem(2, 5, 3, 777, np.float32)
    host.linear_maps(stored, weights, offsets, out, blocks=1, threads=1)
    other = np.empty_like(out)
    host.linear_maps(stored, weights, offsets, other, blocks=50, threads=32)
    np.testing.assert_array_equal(out, other)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
@pytest.mark.parametrize("n_voxels", [8, 13, 512 * 512])
@pytest.mark.parametrize(("n_energies", "n_maps"), [(2, 1), (11, 4), (3, 9)])
def test_the_card_equals_numpy(n_energies, n_maps, n_voxels, dtype):
    import cupy

    from gsigpu.backends import gpu

    stored, weights, offsets, expected = problem(2, n_energies, n_maps, n_voxels, dtype)
    padding = np.tile(np.int16([-2000, -1990]), (2, n_energies, 1))
    n_expected = cpu.in_numpy(stored, weights, offsets, expected, padding=padding)
    out = cupy.empty(expected.shape, dtype)
    arrays = [cupy.asarray(array) for array in (stored, weights, offsets)]
    n_clipped = gpu.linear_maps(*arrays, out, padding=cupy.asarray(padding)).get()
    if dtype == np.float32:
        np.testing.assert_allclose(out.get(), expected, rtol=1e-5, atol=0.02)
    else:
        assert np.abs(out.get().astype(int) - expected).max() <= 1
        np.testing.assert_allclose(n_clipped, n_expected, atol=1)
