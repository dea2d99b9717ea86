"""`map --mask`: maps and measurement from one reading are those of the two commands, byte for byte."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

import gsigpu
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import MaskError, OutputError, SettingsError
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.map.map_study import map_study
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.map_companion import settings_of_maps
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.write_measurement import write_measurement
from gsigpu.tables.measurement_table import read_table
from tests.support import host_cupy
from tests.support.planes_read import counted_planes

STUDY = PhantomSettings(
    shape=(10, 96, 120),
    spacing_mm=(9.0, 3.0, 3.0),
    n_lesions=2,
    diameter_mm=(22.0, 30.0),
    phases=("PVP",),
    energies_kev=(40.0, 60.0, 70.0, 100.0),
    extras=("iodine",),
    seed=5,
)
MAPS = ("lambda-hu", "lambda-hu[40-100]", "iodine", "sigma-lambda-hu")
SETTINGS = settings_of_maps(MeasureSettings(), maps=MAPS, slope="60-100")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("together") / "phantom", STUDY)


@pytest.fixture(scope="module")
def study(truth):
    return read_study(truth.dicom_folder)


@pytest.fixture(scope="module")
def masks(truth):
    return MaskFiles((truth.lesion_mask,), liver=truth.liver_mask)


@pytest.fixture(scope="module")
def apart(study, masks, tmp_path_factory):
    """The maps and the table by the two commands, with SEG, SR and presentation state of the lesions."""
    out = tmp_path_factory.mktemp("apart")
    map_study(study, out / "maps", maps=MAPS, slope="60-100", backend="cpu")
    measurement = measure_study(study, masks, settings=SETTINGS, backend="cpu")
    write_measurement(measurement, out / "measurements.csv", masks=masks)
    write_measurement(measurement, out / "with.csv", masks=masks, with_dicom=True)
    return out


def together(study, masks, out, backend, **options):
    result = gsigpu.map(
        study, out, maps=MAPS, slope="60-100", masks=masks, backend=backend, **options
    )
    return result.measurement, result


def files(folder, *, without=()):
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths
        if path.name not in without
    }


def test_one_reading_gives_what_two_give_and_reads_each_plane_once(
    study, masks, apart, tmp_path, monkeypatch
):
    reads = counted_planes(monkeypatch)
    measurement, _ = together(study, masks, tmp_path / "out", "cpu", n_workers=2)
    assert set(reads.values()) == {1}
    vmis = [series for series in study.series if series.energy_kev]
    (vendor,) = [series for series in study.series if not series.energy_kev]
    expected = {plane.file_name for series in vmis for plane in series.planes}
    expected |= {vendor.planes[z].file_name for z in measurement.slices}
    assert {path for path, _ in reads} == expected
    beside = ("measurements.csv", "measurements.json", ".gsigpu.json")  # the mark names all files
    assert files(tmp_path / "out", without=beside) == files(apart / "maps", without=beside)
    table = (tmp_path / "out" / "measurements.csv").read_bytes()
    assert table == (apart / "measurements.csv").read_bytes()
    record = json.loads((tmp_path / "out" / "measurements.json").read_text())
    assert record == json.loads((apart / "measurements.json").read_text())


def test_in_memory_too(study, masks, apart, tmp_path):
    measurement, volumes = together(study, masks, None, "cpu")
    write_measurement(measurement, tmp_path / "m.csv", masks=masks)
    assert (tmp_path / "m.csv").read_bytes() == (apart / "measurements.csv").read_bytes()
    assert tuple(volumes) == MAPS
    assert set(measurement.warnings) <= set(volumes.warnings)
    with pytest.raises(SettingsError, match="give masks"):
        gsigpu.map(study, settings=SETTINGS)


def test_on_a_card_both_come_from_it(study, masks, apart, tmp_path, monkeypatch):
    cupy = host_cupy.install(monkeypatch, seed=6, delay_s=0.0005)
    measurement, result = together(study, masks, tmp_path / "out", "gpu", n_workers=2)
    cupy.card.check()
    assert (measurement.backend, result.report.backend) == ("gpu", "gpu")
    on_cpu = read_table(apart / "measurements.csv")
    on_gpu = read_table(tmp_path / "out" / "measurements.csv")
    is_mean = on_cpu.statistic == "mean"
    assert is_mean.sum() > 50
    assert on_gpu.value[is_mean].to_numpy() == pytest.approx(
        on_cpu.value[is_mean].to_numpy(), rel=2e-5, abs=2e-4, nan_ok=True
    )
    write_measurement(measurement, tmp_path / "with.csv", masks=masks, with_dicom=True)
    for kind in ("seg", "sr", "pr"):
        ours, theirs = (folder / f"with.{kind}.dcm" for folder in (tmp_path, apart))
        is_same = ours.read_bytes() == theirs.read_bytes()
        # Regions are the same on both; numbers differ in the last bits, and then so does what they are called.
        assert is_same == (kind != "sr")
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
            assert (dcmread(ours)[keyword].value == dcmread(theirs)[keyword].value) == is_same


def test_a_mask_that_cannot_be_used_is_told_before_anything_is_written(study, masks, tmp_path):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no mask")
    with pytest.raises(MaskError):
        together(study, replace(masks, lesions=(broken,)), tmp_path / "out", "cpu")
    assert not (tmp_path / "out").exists()


def test_masks_are_not_replaced_with_the_output(study, masks, truth, tmp_path):
    out = tmp_path / "out"
    map_study(study, out, maps=("lambda-hu",), backend="cpu")
    inside = out / "lesions.nii.gz"
    inside.write_bytes(truth.lesion_mask.read_bytes())
    with pytest.raises(OutputError, match=r"cannot be replaced: .*lesions.nii.gz is in it"):
        together(study, replace(masks, lesions=(inside,)), out, "cpu", overwrite=True)
    assert inside.exists()
