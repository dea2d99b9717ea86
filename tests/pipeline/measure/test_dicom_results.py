"""Regions as SEG and measurements as SR: conformant, and telling what the table tells."""

import subprocess
from dataclasses import replace

import highdicom
import numpy as np
import pytest
from pydicom import dcmread

from gsigpu.dicom.study.read_study import read_study
from gsigpu.masks import read_masks
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.study_masks import MaskFiles, owner_of
from gsigpu.pipeline.measure.write_measurement import write_measurement
from gsigpu.regions.region_layout import RegionSettings
from tests.support.stacks import errors_found_by_dciodvfy

SMALL = PhantomSettings(
    shape=(12, 64, 80),
    spacing_mm=(10.0, 4.4, 4.4),
    n_lesions=2,
    diameter_mm=(28.0, 30.0),
    phases=("PVP",),
    energies_kev=(40.0, 60.0, 70.0, 100.0),
    extras=("iodine",),
    patient_id="IDENT-4711",
    patient_name="Doe^Jane",
)


def measured(folder, settings):
    truth = write_phantom(folder / "phantom", settings)
    files = MaskFiles((truth.lesion_mask,), liver=truth.liver_mask, aorta=truth.aorta_mask)
    measurement = measure_study(read_study(truth.dicom_folder), files)
    write_measurement(measurement, folder / "m.csv", masks=files, with_dicom=True)
    return measurement, folder / "m.seg.dcm", folder / "m.sr.dcm"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("classic"), SMALL)


@pytest.fixture(scope="module")
def multiframe(tmp_path_factory):
    settings = replace(SMALL, layout="enhanced", vendor="siemens", supplement_188=True)
    return measured(tmp_path_factory.mktemp("enhanced"), settings)


@pytest.mark.tools
@pytest.mark.parametrize("which", ["written", "multiframe"])
def test_conformant(which, request):
    _, seg, sr = request.getfixturevalue(which)
    assert errors_found_by_dciodvfy(seg) == []
    assert errors_found_by_dciodvfy(sr) == []


@pytest.mark.tools
def test_dcmtk_prints_the_report(written):
    measurement, _, sr = written
    page = subprocess.run(["dsr2html", str(sr)], capture_output=True, text=True, check=True).stdout
    assert "Imaging Measurement Report" in page
    assert "lesion 1 core" in page
    (mean,) = (
        row.value
        for row in measurement.rows
        if (row.lesion_id, row.region, row.parameter, row.statistic)
        == ("1", "core", "iodine", "mean")
    )
    assert f"{mean:.6f}"[:7] in page


@pytest.mark.parametrize("which", ["written", "multiframe"])
def test_segments_are_the_regions(which, request):
    """Read back by the mask reader, and counted by highdicom."""
    measurement, path, _ = request.getfixturevalue(which)
    owner = owner_of(measurement.study, measurement.stack, any_phase=False)
    masks = read_masks(path, measurement.stack.geometry, owner=owner)
    regions = [region for region in measurement.layout.regions if region.region != "profile"]
    assert masks.warnings == masks.problems == ()
    assert [mask.label for mask in masks.masks] == list(range(1, len(regions) + 1))
    for mask, region in zip(masks.masks, regions, strict=True):
        assert region.region in mask.name
        assert mask.origin == region.mask.origin
        np.testing.assert_array_equal(mask.voxels, region.mask.voxels)
    seg = highdicom.seg.segread(path)
    assert seg.number_of_segments == len(regions)
    volume = seg.get_volume(segment_numbers=[1])
    assert volume.spacing == pytest.approx(measurement.stack.geometry.spacing_mm)
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SliceThickness) == measurement.stack.geometry.spacing_mm[0]
    counts = volume.array[..., 0].sum(axis=(1, 2))
    assert counts.sum() == regions[0].mask.n_voxels


@pytest.mark.parametrize("which", ["written", "multiframe"])
def test_references_lead_to_images_of_the_study(which, request):
    measurement, path, sr = request.getfixturevalue(which)
    planes = {
        (plane.sop_instance_uid, plane.frame): plane
        for plane in measurement.measurand.series[0].planes
    }
    seg = dcmread(path)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        key = (source.ReferencedSOPInstanceUID, int(source.get("ReferencedFrameNumber", 1)) - 1)
        assert planes[key].position_mm == pytest.approx(
            [float(x) for x in frame.PlanePositionSequence[0].ImagePositionPatient], abs=1e-3
        )
    report = dcmread(sr)
    evidence = {
        item.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert seg.SOPInstanceUID in evidence
    assert evidence - {seg.SOPInstanceUID} <= {uid for uid, _ in planes}


def test_report_holds_the_tables_numbers_with_units(written):
    measurement, _, sr = written
    report = highdicom.sr.srread(sr)
    groups = report.content.get_volumetric_roi_measurement_groups()
    regions = [region for region in measurement.layout.regions if region.region != "profile"]
    assert len(groups) == len(regions)
    table = measurement.table
    for group, region in zip(groups, regions, strict=True):
        rows = table[(table.lesion_id == region.lesion_id) & (table.region == region.region)]
        reported = {}
        for number in group.get_measurements():
            derivation = number.derivation.meaning if number.derivation is not None else ""
            reported.setdefault((number.name.meaning, derivation, number.unit.value), []).append(
                number.value
            )
        (iodine,) = rows[(rows.parameter == "iodine") & (rows.statistic == "mean")].value
        assert iodine in [pytest.approx(x) for x in reported["Concentration", "Mean", "mg/mL"]]
        (slope,) = rows[(rows.parameter == "lambda_hu") & (rows.statistic == "mean")].value
        assert slope in [
            pytest.approx(x) for x in reported["Slope of spectral HU curve", "Mean", "[hnsf'U]/keV"]
        ]
        (volume,) = rows[rows.parameter == "volume"].value
        assert reported["Volume", "", "mL"] == [pytest.approx(volume)]


def test_objects_join_the_patients_study(written):
    measurement, seg, sr = written
    for path in (seg, sr):
        ds = dcmread(path)
        assert ds.PatientID == "IDENT-4711"
        assert ds.StudyInstanceUID == measurement.stack.series[0].evidence.study_uid
    assert dcmread(seg).FrameOfReferenceUID == measurement.stack.geometry.frame_of_reference_uid


@pytest.mark.tools
def test_one_region_alone_is_conformant(tmp_path):
    truth = write_phantom(tmp_path / "phantom", replace(SMALL, n_lesions=1))
    files = MaskFiles((truth.lesion_mask,))
    settings = MeasureSettings(regions=RegionSettings(regions=("lesion",)))
    measurement = measure_study(read_study(truth.dicom_folder), files, settings=settings)
    write_measurement(measurement, tmp_path / "m.csv", masks=files, with_dicom=True)
    assert errors_found_by_dciodvfy(tmp_path / "m.seg.dcm") == []
