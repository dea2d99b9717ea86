"""`measure --backend`: the numbers of the CPU on a double of CuPy, and what is told where it does not go as was chosen."""

import json
from dataclasses import replace

import numpy as np
import pytest

from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import DeviceOutOfMemory, GpuUnavailable
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.parameters import ParameterSettings
from gsigpu.pipeline.measure.write_measurement import write_measurement
from tests.support import host_cupy

STUDY = PhantomSettings(
    shape=(12, 96, 120),
    spacing_mm=(8.0, 3.0, 3.0),
    n_lesions=2,
    diameter_mm=(22.0, 30.0),
    phases=("PVP",),
    energies_kev=(40.0, 60.0, 70.0, 100.0, 140.0),
    extras=("iodine",),
    seed=8,
)
SETTINGS = MeasureSettings(
    ParameterSettings(
        slopes=("paper", "40-100"), maps=("iodine", "zeff", "residual", "sigma-iodine")
    )
)
# Of float32 sums of five terms up to some thousand HU: relative to the range of the parameter in its region.
BOUND = 2e-5
# Between a statistic and the values' own range there is a division by the SD, which noise makes a tenth of the range.
SHAPE_BOUND = 2e-3


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("backend") / "phantom", STUDY)


@pytest.fixture(scope="module")
def study(truth):
    study = read_study(truth.dicom_folder)
    # Slices of several rescales, one with padding of its own: runs of equal tables.
    for series in study.series:
        for z, plane in enumerate(series.planes):
            if z % 5 == 2 and series.energy_kev == 70:
                changed = replace(plane, slope=0.5, intercept=-1000.25, padding=(40, 60))
                object.__setattr__(
                    series, "planes", (*series.planes[:z], changed, *series.planes[z + 1 :])
                )
    return study


def masks(truth):
    return MaskFiles((truth.lesion_mask,), liver=truth.liver_mask)


@pytest.fixture(scope="module")
def on_cpu(study, truth):
    return measure_study(study, masks(truth), settings=SETTINGS, backend="cpu")


def test_the_table_is_the_cpus_within_float32(study, truth, on_cpu, monkeypatch, tmp_path):
    cupy = host_cupy.install(monkeypatch, seed=4, delay_s=0.0005)
    on_gpu = measure_study(study, masks(truth), settings=SETTINGS, backend="gpu", n_workers=2)
    cupy.card.check()
    assert on_gpu.backend == "gpu"
    assert on_cpu.backend == "cpu"
    assert {"distance_transform", "linear_maps", "segment_moments"} <= set(cupy.card.launches)
    for expected, region in zip(on_cpu.layout.regions, on_gpu.layout.regions, strict=True):
        np.testing.assert_array_equal(region.mask.voxels, expected.mask.voxels)
    assert len(on_cpu.rows) == len(on_gpu.rows) > 500
    extent = {
        (row.lesion_id, row.region, row.parameter): abs(row.value) + 1e-6
        for row in on_cpu.rows
        if row.statistic == "max"
    }
    n_compared = 0
    for cpu, gpu in zip(on_cpu.rows, on_gpu.rows, strict=True):
        assert replace(cpu, value=0.0, distance_mm=0.0) == replace(gpu, value=0.0, distance_mm=0.0)
        if np.isnan(cpu.value):
            assert np.isnan(gpu.value)
        elif cpu.statistic in ("skewness", "kurtosis", "entropy", "r_squared"):
            assert gpu.value == pytest.approx(cpu.value, rel=SHAPE_BOUND, abs=SHAPE_BOUND)
        else:
            size = extent.get((cpu.lesion_id, cpu.region, cpu.parameter), abs(cpu.value))
            assert gpu.value == pytest.approx(cpu.value, rel=BOUND, abs=BOUND * size), cpu
            n_compared += 1
    assert n_compared > 400
    write_measurement(on_gpu, tmp_path / "t.csv", masks=masks(truth))
    assert json.loads((tmp_path / "t.json").read_text())["backend"] == "gpu"


def test_only_rows_that_regions_touch_go_to_the_card_and_no_values_come_back(
    study, truth, monkeypatch
):
    """Voxels are taken there, by indices; what comes back of them is one series, which tells what is air."""
    cupy = host_cupy.install(monkeypatch, delay_s=0)
    settings = MeasureSettings(ParameterSettings(maps=()))
    measurement = measure_study(study, masks(truth), settings=settings, backend="gpu")
    in_any = np.zeros(STUDY.shape, bool)
    for region in measurement.layout.regions:
        in_any[region.mask.box] |= region.mask.voxels
    n_voxels, n_channels = int(in_any.sum()), len(measurement.measurand.series)
    touched = [np.flatnonzero(plane.any(axis=1)) for plane in in_any if plane.any()]
    n_rows = sum(int(rows[-1] - rows[0]) + 1 for rows in touched)
    assert cupy.card.launches.count("gather_voxels") == n_channels * len(touched)
    n_in_regions = sum(region.mask.n_voxels for region in measurement.layout.regions)
    copied = {
        direction: sum(n for d, n, _ in cupy.card.copies if d == direction)
        for direction in ("in", "out")
    }
    planes = 2 * n_channels * n_rows * STUDY.shape[2]
    assert copied["in"] < planes + 4 * n_voxels + 8 * n_in_regions * 2 + 2e5
    assert copied["out"] < 500 * len(measurement.rows) + 2 * n_voxels
    assert max(n for direction, n, _ in cupy.card.copies if direction == "out") == 2 * n_voxels


@pytest.mark.parametrize("room", [2_000, 200_000])
def test_auto_finishes_on_the_cpu_and_says_so(study, truth, on_cpu, monkeypatch, room):
    host_cupy.install(monkeypatch, room=room, delay_s=0)
    measurement = measure_study(study, masks(truth), settings=SETTINGS, backend="auto")
    assert measurement.backend == "cpu"
    assert [row.value for row in measurement.rows] == pytest.approx(
        [row.value for row in on_cpu.rows], nan_ok=True, rel=1e-4, abs=1e-4
    )
    (note,) = [warning for warning in measurement.warnings if "no room" in warning]
    assert note.endswith("measured on the CPU")
    assert "\n" not in note


def test_a_card_without_room_is_an_error_where_it_was_asked_for(study, truth, monkeypatch):
    host_cupy.install(monkeypatch, room=2_000, delay_s=0)
    with pytest.raises(DeviceOutOfMemory, match=r"no room for the voxels.*use --backend cpu"):
        measure_study(study, masks(truth), settings=SETTINGS, backend="gpu")


def test_no_card_is_an_error_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("gsigpu.backends.device.why_no_gpu", lambda: "no library libcuda")
    with pytest.raises(GpuUnavailable, match="no library libcuda"):
        measure_study(tmp_path / "nothing here", MaskFiles(()), backend="gpu")


def test_measured_values_are_those_of_the_maps(study, truth, on_cpu):
    """The same linear maps: a voxel's value in the table is the map's, to the bit on one processor."""
    from gsigpu.pipeline.map.map_volumes import map_volumes

    names = ("lambda-hu", "iodine", "residual")
    volumes = map_volumes(study, maps=names, backend="cpu")
    region = on_cpu.layout.regions[0]
    for name, parameter in zip(names, ("lambda_hu", "iodine", "residual"), strict=True):
        values = volumes[name].array[region.mask.box][region.mask.voxels]
        for statistic, value in (("min", values.min()), ("max", values.max())):
            (row,) = [
                row
                for row in on_cpu.rows
                if (row.lesion_id, row.region, row.parameter, row.statistic)
                == (region.lesion_id, region.region, parameter, statistic)
            ]
            assert row.value == float(value)
