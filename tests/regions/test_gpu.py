"""Regions of a CuPy mask are those of the same NumPy mask."""

import numpy as np
import pytest

from gsigpu.regions.mask import RegionMask
from gsigpu.regions.shells import lesion_regions, parse_rim, profile_shells
from gsigpu.regions.statistics import STATISTICS, statistics

SPACING = (2.5, 0.8, 0.9)


def lesions(array):
    z, y, x = np.indices((9, 28, 26))
    ball = ((z - 4) * 2.5) ** 2 + ((y - 13) * 0.8) ** 2 + ((x - 12) * 0.9) ** 2 <= 81.0
    ball[4, 13, 12] = False  # a hole
    other = np.zeros_like(ball)
    other[3:6, 20:27, 20:25] = True
    return [
        RegionMask("a", 1, (2, 30, 31), array(ball)),
        RegionMask("b", 2, (2, 30, 31), array(other)),
    ]


@pytest.mark.gpu
def test_same_voxels_and_statistics():
    import cupy

    on_host, on_device = lesions(np.asarray), lesions(cupy.asarray)
    grid = (20, 90, 90)
    for rim in ("auto", "2mm", "30%"):
        cpu, gpu = (
            lesion_regions(one[0], SPACING, grid, rim=parse_rim(rim), others=one[1:])
            for one in (on_host, on_device)
        )
        assert cpu.flags == gpu.flags
        assert cpu.rim_mm == pytest.approx(gpu.rim_mm, abs=1e-9)
        for name, region in cpu.regions.items():
            assert region.origin == gpu.regions[name].origin
            np.testing.assert_array_equal(region.voxels, gpu.regions[name].voxels.get())
    cpu_shells, gpu_shells = (
        profile_shells(one[0], SPACING, grid, others=one[1:]) for one in (on_host, on_device)
    )
    assert [mm for mm, _ in cpu_shells] == [mm for mm, _ in gpu_shells]
    for (_, one), (_, other) in zip(cpu_shells, gpu_shells, strict=True):
        np.testing.assert_array_equal(one.voxels, other.voxels.get())
    values = np.random.default_rng(1).normal(50, 9, 5000).astype(np.float32)
    cpu_values, gpu_values = statistics(values), statistics(cupy.asarray(values))
    for name in STATISTICS:
        assert cpu_values[name] == pytest.approx(gpu_values[name], rel=1e-12)
