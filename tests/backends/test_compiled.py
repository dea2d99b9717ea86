"""The compiled loops against their NumPy twins: every set of instructions that this processor has, and under UBSan."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from gsigpu.backends import compiled, cpu
from gsigpu.dicom.writing import overlay
from tests.support.places import ROOT

SOURCES = sorted((ROOT / "kernels").glob("*.cpp")) + sorted((ROOT / "kernels").glob("*.h"))
UBSAN = ["-fsanitize=undefined", "-fno-sanitize-recover=all", "-O1"]
RNG = np.random.default_rng(20)


def built(flags):
    """The sources here as a library: not the one that was installed, which may be older or absent."""
    if not SOURCES:
        pytest.skip("no sources beside the tests")
    if shutil.which("g++") is None:
        if os.environ.get("GSIGPU_REQUIRE_TOOLS") == "1":
            pytest.fail("g++ is missing")
        pytest.skip("no g++ (tests/install-tools.sh)")
    text = b"".join(path.read_bytes() for path in SOURCES) + " ".join(flags).encode()
    place = Path(tempfile.gettempdir()) / f"gsigpu-loops-{hashlib.sha256(text).hexdigest()[:16]}.so"
    if not place.exists():
        made = place.with_suffix(f".{os.getpid()}")
        command = ["g++", "-std=c++17", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
        command += ["-Wno-maybe-uninitialized", *flags, "-o", made]
        subprocess.run([*command, *(path for path in SOURCES if path.suffix == ".cpp")], check=True)
        made.replace(place)
    return compiled.load(place)


def loops():
    """(build, set) of all that this architecture may have."""
    is_arm = platform.machine() in ("aarch64", "arm64")
    sets = ("neon",) if is_arm else ("sse2", "avx2", "avx512")
    return [(flags, name) for flags in ("plain", "ubsan") for name in sets]


def both(loop, stored, weights, offsets, dtype, padding=None):
    """(maps, counts) of the loop, then of NumPy."""
    shape = (stored.shape[0], weights.shape[1], stored.shape[2])
    fast, truth = np.full(shape, 77, dtype), np.full(shape, 99, dtype)
    n_fast = loop.linear_maps(stored, weights, offsets, fast, padding)
    assert n_fast is not None
    n_truth = cpu.in_numpy(stored, weights, offsets, truth, padding=padding)
    return (fast, n_fast), (truth, n_truth)


def made_up(n_slices, n_energies, n_maps, n_voxels, scale=1.0):
    stored = RNG.integers(-1024, 3072, (n_slices, n_energies, n_voxels)).astype(np.int16)
    weights = (scale * RNG.normal(size=(n_slices, n_maps, n_energies))).astype(np.float32)
    return stored, weights, RNG.normal(size=(n_slices, n_maps)).astype(np.float32)


# Beside, at and over the limits of tiles (64), of the ring (16 planes) and of groups of maps (4).
SHAPES = [
    (2, 1, 1, 1), (1, 2, 1, 63), (3, 2, 1, 64), (2, 3, 2, 65), (1, 4, 3, 1000), (2, 5, 4, 1023),
    (1, 11, 4, 64), (2, 11, 4, 1087), (1, 11, 5, 640), (1, 16, 8, 2048), (2, 17, 9, 1500), (1, 32, 2, 3000),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float_maps_are_those_of_numpy(loop, shape):
    (fast, _), (truth, _) = both(loop, *made_up(*shape), np.float32)
    np.testing.assert_allclose(fast, truth, rtol=1e-5, atol=0.02)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_integer_maps_are_those_of_numpy_but_for_ties(loop, shape):
    stored, weights, offsets = made_up(*shape, scale=3.0)
    ranges = RNG.integers(-1100, -900, (shape[0], shape[1], 2)).astype(np.int16)
    ranges[:, ::2] = (1, 0)  # some energies have no padding
    for padding in (None, np.ascontiguousarray(ranges)):
        (fast, n_fast), (truth, n_truth) = both(loop, stored, weights, offsets, np.int16, padding)
        is_padding = truth == -32768
        np.testing.assert_array_equal(fast == -32768, is_padding)
        step = np.abs(fast.astype(int) - truth)
        assert step.max() <= 1
        # A step apart only where the value lies between two integers, to float32's precision.
        exact = weights.astype(float) @ stored.astype(float) + offsets[..., None]
        assert (np.abs(exact % 1 - 0.5)[step == 1] < 0.02).all()
        assert np.abs(n_fast - n_truth).max() <= 2


def test_ties_round_to_even_and_all_stored_values_go_through(loop):
    stored = np.arange(-32768, 32768).astype(np.int16).reshape(1, 1, -1)
    weights = np.float32([[[0.5], [1.0], [2.0], [-0.25]]])
    (fast, n_fast), (truth, n_truth) = both(
        loop, stored, weights, np.zeros((1, 4), np.float32), np.int16
    )
    np.testing.assert_array_equal(fast, truth)
    np.testing.assert_array_equal(n_fast, n_truth)
    exact = np.rint(stored[0].astype(float) * weights[0].astype(float))
    np.testing.assert_array_equal(fast[0], np.clip(exact, -32767, 32767))
    np.testing.assert_array_equal(n_fast, (np.abs(exact) > 32767).sum(axis=1))


@pytest.mark.parametrize("offset", [32767.25, 32767.5, -32767.5, -32768.0, 3e9, -3e9, 1e30])
def test_values_at_the_limits_are_clipped_and_counted(loop, offset):
    arrays = np.zeros((1, 1, 100), np.int16), np.zeros((1, 1, 1), np.float32)
    (fast, n_fast), (truth, n_truth) = both(loop, *arrays, np.float32([[offset]]), np.int16)
    np.testing.assert_array_equal(fast, truth)
    np.testing.assert_array_equal(n_fast, n_truth)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize(
    "ends", [(-32768, -32768), (-32768, -1500), (32767, 32767), (-32768, 32767), (0, 0)], ids=str
)
def test_padding_of_every_range_at_any_energy(loop, dtype, ends):
    """Padded voxels would clip too: they are not counted."""
    for n_energies in (2, 11):
        stored = RNG.integers(-32768, 32768, (1, n_energies, 700)).astype(np.int16)
        stored[0, 1, 650:] = ends[0]
        padding = np.full((1, n_energies, 2), (1, 0), np.int16)
        padding[0, 1] = ends
        weights = np.full((1, 3, n_energies), 4.0, np.float32)
        arrays = stored, weights, np.zeros((1, 3), np.float32)
        (fast, n_fast), (truth, n_truth) = both(loop, *arrays, dtype, padding)
        np.testing.assert_array_equal(fast, truth)
        np.testing.assert_array_equal(n_fast, n_truth)


def test_the_result_does_not_depend_on_where_a_voxel_lies(loop):
    """Tiles, ring and the rest at the end compute alike."""
    stored, weights, offsets = made_up(1, 11, 4, 1000, scale=3.0)
    (whole, _), _ = both(loop, stored, weights, offsets, np.int16)
    for start in (1, 63, 64, 500):
        part = np.ascontiguousarray(stored[:, :, start:])
        (shifted, _), _ = both(loop, part, weights, offsets, np.int16)
        np.testing.assert_array_equal(shifted, whole[:, :, start:])


def test_what_it_does_not_take_goes_to_numpy(loop):
    stored, weights, offsets = made_up(1, 33, 1, 10)
    out = np.zeros((1, 1, 10), np.float32)
    assert loop.linear_maps(stored, weights, offsets, out, None) is None  # too many energies
    few = stored[:, :2, ::2], weights[:, :, :2], offsets
    assert loop.linear_maps(*few, np.zeros((1, 1, 5), np.float32), None) is None  # not contiguous


@pytest.mark.parametrize("columns", [1, 2, 511, 512, 513, 1100])
@pytest.mark.parametrize("least_hu", [None, -200.0])
def test_colours_are_those_of_numpy_to_the_bit(loop, columns, least_hu):
    """Beside, at and over the limits of blocks (512); into a part of a picture, whose rest stays as it is."""
    rows, special = 3, np.float32([np.nan, np.inf, -np.inf, -200, np.nextafter(-200, 0), 1e30, 0.0])
    anatomy_hu, values = RNG.normal(0, 400, (2, rows, columns)).astype(np.float32)
    for plane in (anatomy_hu, values):
        plane.flat[RNG.integers(0, plane.size, 40)] = RNG.choice(special, 40)
    table = RNG.integers(0, 2**32, 257 * 256, dtype=np.uint32)
    lines = np.float32([(0.7, 100.3), (255 / 400, 90.0)])
    fast, truth = (np.full((rows, columns + 5, 3), 7, np.uint8) for _ in range(2))
    assert loop.overlay(anatomy_hu, values, table, lines, least_hu, fast[:, :columns])
    overlay.in_numpy(anatomy_hu, values, table, lines, least_hu, truth[:, :columns])
    np.testing.assert_array_equal(fast, truth)
    assert (fast[:, columns:] == 7).all()


def test_colours_that_it_does_not_take_go_to_numpy(loop):
    plane, lines = np.zeros((4, 6), np.float32), np.zeros((2, 2), np.float32)
    rest = np.zeros(257 * 256, np.uint32), lines, None, np.zeros((4, 3, 3), np.uint8)
    assert not loop.overlay(plane[:, ::2], plane[:, ::2], *rest)
    assert not loop.overlay(plane[:, :3].astype(float), plane[:, :3], *rest)


def chosen(**environment):
    code = "from gsigpu.backends.compiled import choose_loop; print(choose_loop()[1])"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_environment_forces_numpy():
    assert chosen(GSIGPU_CPU_LOOP="numpy").stdout == "NumPy, as GSIGPU_CPU_LOOP says\n"
    assert "GSIGPU_CPU_LOOP=abacus" in chosen(GSIGPU_CPU_LOOP="abacus").stderr


def test_a_library_of_another_version_is_not_called(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    source = tmp_path / "other.cpp"
    source.write_text('extern "C" int gsigpu_interface() { return -1; }\n')
    subprocess.run(["g++", "-shared", "-fPIC", source, "-o", tmp_path / "other.so"], check=True)
    with pytest.raises(OSError, match="another version"):
        compiled.load(tmp_path / "other.so")
    assert isinstance(ctypes.CDLL(str(tmp_path / "other.so")), ctypes.CDLL)
