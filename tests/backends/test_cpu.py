"""The blocked NumPy form of the CPU backend against float64, and its laws; its compiled twin: test_compiled.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsigpu import backends
from gsigpu.backends import cpu
from gsigpu.errors import GridMismatch, SettingsError

RNG = np.random.default_rng(4)
BLOCK = cpu.BLOCK_BYTES // (4 * 6)  # voxels of a block for three energies and two maps
PIECE = cpu.BLOCKS_PER_PIECE * BLOCK


def run(stored, weights, offsets, dtype=np.float32, **options):
    out = np.full((stored.shape[0], weights.shape[1], stored.shape[2]), 99, dtype)
    n_clipped = cpu.in_numpy(stored, weights, offsets, out, **options)
    return out, n_clipped


def inputs(n_slices=2, n_energies=3, n_maps=2, n_voxels=100):
    return (
        RNG.integers(-1024, 3072, (n_slices, n_energies, n_voxels)).astype(np.int16),
        RNG.normal(size=(n_slices, n_maps, n_energies)).astype(np.float32),
        RNG.normal(size=(n_slices, n_maps)).astype(np.float32),
    )


@pytest.mark.parametrize("n_voxels", [1, BLOCK - 1, BLOCK, 3 * BLOCK + 5, PIECE, PIECE + BLOCK + 5])
def test_blocks_agree_with_float64(n_voxels):
    stored, weights, offsets = inputs(n_voxels=n_voxels)
    out, _ = run(stored, weights, offsets)
    exact = weights.astype(float) @ stored.astype(float) + offsets[..., None]
    np.testing.assert_allclose(out, exact, rtol=1e-5, atol=0.01)


def test_result_does_not_depend_on_the_block_size(monkeypatch):
    stored, weights, offsets = inputs(n_voxels=999)
    whole, _ = run(stored, weights, offsets)
    monkeypatch.setattr(cpu, "BLOCK_BYTES", 6 * 4 * 64)
    split, _ = run(stored, weights, offsets)
    np.testing.assert_allclose(split, whole, rtol=1e-6, atol=1e-3)


def test_padding_and_clipping_do_not_depend_on_the_block_size(monkeypatch):
    stored, weights, offsets = inputs(n_voxels=999)
    stored[0, 1, [0, 300, 998]] = -2000
    options = {"padding": np.full((2, 3, 2), -2000, np.int16)}
    whole, n_clipped = run(stored, 20 * weights, offsets, np.int16, **options)
    assert n_clipped.sum() > 0
    assert (whole[0][:, [0, 300, 998]] == -32768).all()
    monkeypatch.setattr(cpu, "BLOCK_BYTES", 6 * 4 * 64)
    split, n_clipped_of_split = run(stored, 20 * weights, offsets, np.int16, **options)
    np.testing.assert_allclose(split, whole, atol=1)
    np.testing.assert_allclose(n_clipped_of_split, n_clipped, atol=2)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 11), st.integers(1, 10), st.integers(1, 50))
def test_linear(n_slices, n_energies, n_maps, n_voxels):
    stored, weights, offsets = inputs(n_slices, n_energies, n_maps, n_voxels)
    once, _ = run(stored, weights, offsets)
    twice, _ = run(stored, 2 * weights, 2 * offsets)
    np.testing.assert_array_equal(twice, 2 * once)  # powers of two are exact
    split = np.concatenate(
        [run(stored[s : s + 1], weights[s : s + 1], offsets[s : s + 1])[0] for s in range(n_slices)]
    )
    np.testing.assert_array_equal(split, once)


def test_integers_are_rounded_half_to_even_and_clipped():
    stored = np.int16([[[1, 3, 5, 30000, -30000]]])
    out, n_clipped = run(stored, np.float32([[[0.5], [2.0]]]), np.float32([[0.0, 0.0]]), np.int16)
    np.testing.assert_array_equal(out[0], [[0, 2, 2, 15000, -15000], [2, 6, 10, 32767, -32767]])
    np.testing.assert_array_equal(n_clipped, [0, 2])


def test_shapes_that_do_not_fit_are_refused():
    stored, weights, offsets = inputs()
    with pytest.raises(GridMismatch, match=r"offsets has shape \(2, 1\), expected \(2, 2\)"):
        cpu.linear_maps(stored, weights, offsets[:, :1], np.zeros((2, 2, 100), np.float32))


def test_choice_of_backend():
    assert backends.backend_for(np.zeros(1)) is cpu
    assert backends.choose("cpu") == "cpu"
    with pytest.raises(SettingsError, match="auto, cpu or gpu"):
        backends.choose("tpu")
