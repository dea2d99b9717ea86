"""Regions of a CuPy mask are those of the same NumPy mask, by one code; on a card, and on a double of CuPy."""

import numpy as np
import pytest

from gsigpu.regions.region_layout import Lesion, RegionSettings, StudyMasks, lay_out
from gsigpu.regions.region_mask import RegionMask
from gsigpu.regions.shells import parse_rim
from gsigpu.regions.size import feret_diameter_mm, longest_axial_diameter_mm, volume_ml
from gsigpu.regions.statistics import STATISTICS, spectral_curve, statistics
from tests.support import host_cupy

SPACING = (2.5, 0.8, 0.9)
THIN = (1.1, 0.8, 0.9)
GRID = (20, 90, 90)


def masks(array):
    """A ball with a hole, a lesion that touches it, one on a slice at the grid's edge, liver and vessels."""
    z, y, x = np.indices((9, 28, 26))
    ball = ((z - 4) * 2.5) ** 2 + ((y - 13) * 0.8) ** 2 + ((x - 12) * 0.9) ** 2 <= 81.0
    ball[4, 13, 12] = False
    other = np.zeros_like(ball)
    other[3:6, 20:27, 20:25] = True
    flat = np.ones((1, 4, 5), bool)
    lesions = [
        RegionMask("a", 1, (2, 30, 31), array(ball)),
        RegionMask("b", 2, (2, 30, 31), array(other)),
        RegionMask("c", 3, (19, 0, 60), array(flat)),
    ]
    liver = RegionMask("liver", 1, (0, 0, 10), array(np.ones((20, 70, 70), bool)))
    vessels = RegionMask("vessels", 1, (0, 5, 15), array(np.ones((20, 3, 40), bool)))
    aorta = RegionMask("aorta", 1, (1, 80, 40), array(np.ones((19, 6, 6), bool)))
    named = tuple(Lesion(mask.name, mask) for mask in lesions)
    return StudyMasks(named, liver=liver, vessels=vessels, aorta=aorta)


def require_the_same(cupy):
    on_host, on_device = masks(np.asarray), masks(cupy.asarray)
    for spacing, rim in ((SPACING, "auto"), (SPACING, "30%"), (THIN, "2mm")):
        settings = RegionSettings(rim=parse_rim(rim))
        cpu, gpu = (lay_out(masks, spacing, GRID, settings) for masks in (on_host, on_device))
        assert len(cpu.regions) == len(gpu.regions) > 30
        for expected, other in zip(cpu.regions, gpu.regions, strict=True):
            assert type(other.mask.voxels).__module__.startswith("cupy")
            assert (expected.lesion_id, expected.region, expected.distance_mm) == (
                other.lesion_id, other.region, other.distance_mm,
            )  # fmt: skip
            assert expected.flags == other.flags
            assert expected.mask.origin == other.mask.origin
            np.testing.assert_array_equal(expected.mask.voxels, other.mask.voxels.get())
        for expected, other in zip(cpu.lesions, gpu.lesions, strict=True):
            assert expected.rim_mm == other.rim_mm  # distances are equal to the bit
            assert expected.largest_depth_mm == other.largest_depth_mm
    for expected, other in zip(on_host.lesions, on_device.lesions, strict=True):
        for size in (volume_ml, longest_axial_diameter_mm, feret_diameter_mm):
            assert size(expected.mask, SPACING) == pytest.approx(
                size(other.mask, SPACING), rel=1e-12
            )
    values = np.random.default_rng(1).normal(50, 9, (3, 5000)).astype(np.float32)
    values[1, :7] = np.nan
    cpu_values, gpu_values = statistics(values[1]), statistics(cupy.asarray(values[1]))
    for name in (*STATISTICS, "n", "n_valid"):
        assert cpu_values[name] == pytest.approx(gpu_values[name], rel=1e-12)
    for expected, other in zip(
        spectral_curve(values), spectral_curve(cupy.asarray(values)), strict=True
    ):
        np.testing.assert_allclose(expected, other, rtol=1e-12)


def test_same_regions_on_a_double_of_cupy(monkeypatch):
    require_the_same(host_cupy.install(monkeypatch))


def test_the_double_is_as_strict_as_cupy(monkeypatch):
    cupy = host_cupy.install(monkeypatch)
    array = cupy.asarray([1.0, 2.0])
    for work in (lambda: np.asarray(array), lambda: array + np.ones(2), lambda: np.sort(array)):
        with pytest.raises(TypeError):
            work()


@pytest.mark.gpu
def test_same_regions_on_a_card():
    import cupy

    require_the_same(cupy)
