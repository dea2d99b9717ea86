"""Regions as SEG and measurements as SR: conformant, and telling what the table tells."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import dcmqi
import highdicom
import nibabel
import numpy as np
import pytest
from highdicom.sr import CodedConcept
from matplotlib.path import Path as MplPath
from PIL import Image, ImageCms
from pydicom import dcmread

from gsigpu.dicom.study.read_study import read_study
from gsigpu.masks import read_masks
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pictures import REGION_COLOURS
from gsigpu.pipeline.measure.dicom_results import dicom_notes
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.parameters import Measurand, ParameterSettings
from gsigpu.pipeline.measure.study_owner import owner_of
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
    state = sr.with_name("m.pr.dcm")
    assert errors_found_by_dciodvfy(state) == []
    told = subprocess.run(["dcmpschk", state], capture_output=True, text=True, check=False)
    assert "Test passed" in told.stdout + told.stderr


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


def image_of(measurement, uid, frame):
    """Slice and plane of an image of the reading series."""
    for z, plane in enumerate(measurement.measurand.reference_series.planes):
        if (plane.sop_instance_uid, plane.frame) == (uid, frame):
            return z, plane
    raise AssertionError(uid)


@pytest.mark.parametrize("which", ["written", "multiframe"])
def test_outlines_of_the_state_enclose_the_voxels_of_the_segmentation(which, request):
    """The segments as highdicom reads them, the polygons filled by matplotlib's even-odd rule."""
    measurement, seg_path, sr = request.getfixturevalue(which)
    state = dcmread(sr.with_name("m.pr.dcm"))
    seg = highdicom.seg.segread(seg_path)
    shape = measurement.stack.geometry.shape
    centres = np.argwhere(np.ones(shape[1:], bool))[:, ::-1] + 0.5
    regions = [region for region in measurement.layout.regions if region.region != "profile"]
    drawn = {"LESION": np.zeros(shape, bool), "CORE": np.zeros(shape, bool)}
    for annotation in state.GraphicAnnotationSequence:
        (image,) = annotation.ReferencedImageSequence
        frame = int(image.get("ReferencedFrameNumber", 1)) - 1
        z, _ = image_of(measurement, image.ReferencedSOPInstanceUID, frame)
        for polygon in annotation.GraphicObjectSequence:
            corners = np.reshape(polygon.GraphicData, (-1, 2))
            assert (corners[0] == corners[-1]).all()
            inside = MplPath(corners).contains_points(centres)
            drawn[annotation.GraphicLayer][z] ^= inside.reshape(shape[1:])
    for layer, ending in (("LESION", ""), ("CORE", " core")):
        expected = np.zeros(shape, bool)
        for item, region in zip(seg.SegmentSequence, regions, strict=True):
            if item.SegmentLabel in (f"lesion 1{ending}", f"lesion 2{ending}"):
                expected[region.mask.box] |= region.mask.voxels
        assert expected.any()
        np.testing.assert_array_equal(drawn[layer], expected)
    texts = [
        text.UnformattedTextValue
        for annotation in state.GraphicAnnotationSequence
        for text in annotation.get("TextObjectSequence", [])
    ]
    assert sorted(texts) == ["lesion 1", "lesion 2"]


@pytest.mark.tools
def test_dcmtk_draws_an_image_through_the_state(written, tmp_path):
    """Rescale and window of the state: soft tissue, centre 60 and width 400 HU (PS3.3, C.11.2.1.2)."""
    measurement, _, sr = written
    state = sr.with_name("m.pr.dcm")
    image = dcmread(state).GraphicAnnotationSequence[0].ReferencedImageSequence[0]
    _, plane = image_of(measurement, image.ReferencedSOPInstanceUID, 0)
    subprocess.run(["dcmp2pgm", "-p", state, plane.path, tmp_path / "i.pgm"], check=True)
    shown = np.asarray(Image.open(tmp_path / "i.pgm"), float)
    source = dcmread(plane.path)
    hu = source.pixel_array * float(source.RescaleSlope) + float(source.RescaleIntercept)
    expected = 255 * np.clip((hu - (60 - 0.5)) / (400 - 1) + 0.5, 0, 1)
    assert np.abs(shown - expected).max() < 1.01  # a grey value: dcmtk cuts, and does not round
    assert np.ptp(shown) == 255


def test_a_series_whose_rescale_differs_between_slices_has_no_state_and_says_so(
    written, tmp_path, monkeypatch
):
    measurement, _, _ = written
    series = measurement.measurand.reference_series
    first, *rest = series.planes
    changed = replace(series, planes=(replace(first, slope=2.0 * first.slope), *rest))
    assert dicom_notes(measurement) == []
    monkeypatch.setattr(Measurand, "reference_series", property(lambda _: changed))
    (note,) = dicom_notes(measurement)
    assert "no presentation state" in note
    files = write_measurement(measurement, tmp_path / "m.csv", masks=MaskFiles(()), with_dicom=True)
    assert sorted(path.name for path in files) == ["m.csv", "m.json", "m.seg.dcm", "m.sr.dcm"]


@pytest.mark.parametrize("which", ["written", "multiframe"])
def test_references_lead_to_images_of_the_study(which, request):
    measurement, path, sr = request.getfixturevalue(which)
    planes = {
        (plane.sop_instance_uid, plane.frame): plane
        for plane in measurement.measurand.reference_series.planes
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


LESION = CodedConcept("52988006", "SCT", "Lesion")


@pytest.mark.parametrize("which", ["written", "multiframe"])
def test_lesions_are_counted_once_by_their_code(which, request):
    """Cores, rims and shells are no lesions, in the SEG and in the report."""
    measurement, path, sr = request.getfixturevalue(which)
    n_lesions = len(measurement.layout.lesions)
    seg = highdicom.seg.segread(path)
    numbers = seg.get_segment_numbers(segmented_property_type=LESION)
    assert [seg.get_segment_description(n).segment_label for n in numbers] == [
        "lesion 1",
        "lesion 2",
    ]
    assert len(numbers) == n_lesions
    kinds = {}
    for item in seg.SegmentSequence:
        (kind,) = item.SegmentedPropertyTypeCodeSequence
        modifiers = kind.get("SegmentedPropertyTypeModifierCodeSequence", [])
        kinds.setdefault(item.SegmentLabel.split()[-1], set()).add(
            (kind.CodeMeaning, *(code.CodeMeaning for code in modifiers))
        )
    assert kinds["core"] == {("Central", "Lesion")}
    assert kinds["rim"] == {("Edge", "Lesion")}
    assert kinds["perilesional"] == {("Tissue around a lesion",)}
    assert kinds["parenchyma"] == {("Parenchyma",)}
    content = highdicom.sr.srread(sr).content
    assert len(content.get_volumetric_roi_measurement_groups(finding_type=LESION)) == n_lesions
    tracked = [
        group.tracking_identifier
        for group in content.get_volumetric_roi_measurement_groups(
            finding_type=CodedConcept("26216008", "SCT", "Central")
        )
    ]
    assert tracked == ["lesion 1 core", "lesion 2 core"]


@pytest.mark.parametrize("which", ["written", "multiframe"])
def test_the_image_of_the_ct_value_is_referred_to(which, request):
    measurement, path, sr = request.getfixturevalue(which)
    at_70 = {
        series.evidence.series_uid
        for series in measurement.stack.series
        if series.energy_kev == 70.0
    }
    seg = dcmread(path)
    assert {item.SeriesInstanceUID for item in seg.ReferencedSeriesSequence} == at_70
    (study,) = dcmread(sr).CurrentRequestedProcedureEvidenceSequence
    assert {item.SeriesInstanceUID for item in study.ReferencedSeriesSequence} == at_70 | {
        seg.SeriesInstanceUID
    }


def test_dcmqi_reads_the_segments_and_the_groups(written, tmp_path):
    """dcmqi: every segment's voxels and code, every group's numbers."""
    measurement, path, sr = written
    programs = Path(dcmqi.__file__).parent / "bin"
    subprocess.run(
        [programs / "segimage2itkimage", "--inputDICOM", path, "--outputDirectory", tmp_path, "--outputType", "nifti"],
        check=True, capture_output=True,
    )  # fmt: skip
    (meta,) = tmp_path.glob("*.json")
    described = {
        item["labelID"]: item
        for group in json.loads(meta.read_text())["segmentAttributes"]
        for item in group
    }
    regions = [region for region in measurement.layout.regions if region.region != "profile"]
    images = sorted(
        tmp_path.glob("*.nii.gz"), key=lambda file: int(file.name.split("-")[0].split(".")[0])
    )
    assert len(images) == len(regions)
    for image, region in zip(images, regions, strict=True):
        assert int((nibabel.load(image).get_fdata() > 0).sum()) == region.mask.n_voxels
    assert {item["SegmentedPropertyTypeCodeSequence"]["CodeMeaning"] for item in described.values()} >= {"Lesion", "Central", "Edge"}  # fmt: skip
    out = tmp_path / "sr.json"
    subprocess.run(
        [programs / "tid1500reader", "--inputDICOM", sr, "--outputMetadata", out],
        check=True, capture_output=True,
    )  # fmt: skip
    groups = json.loads(out.read_text())["Measurements"]
    assert [group["TrackingIdentifier"] for group in groups] == [
        _label(region) for region in regions
    ]
    table = measurement.table
    for group, region in zip(groups, regions, strict=True):
        (volume,) = [
            float(item["value"])
            for item in group["measurementItems"]
            if item["quantity"]["CodeMeaning"] == "Volume"
        ]
        (expected,) = table[
            (table.lesion_id == region.lesion_id)
            & (table.region == region.region)
            & (table.parameter == "volume")
        ].value
        assert volume == pytest.approx(expected, rel=1e-6)


def _label(region):
    if not region.lesion_id:
        return region.region
    return f"lesion {region.lesion_id} {region.region}".removesuffix(" lesion")


def test_flags_stand_in_the_report_and_water_is_not_iodine(tmp_path):
    """Without a liver mask the shell is flagged; both materials are concentrations in mg/mL."""
    truth = write_phantom(tmp_path / "phantom", replace(SMALL, seed=5))
    settings = MeasureSettings(
        parameters=ParameterSettings(maps=("iodine", "water"), curve=False),
        regions=RegionSettings(regions=("lesion", "rim", "perilesional")),
    )
    files = MaskFiles((truth.lesion_mask,))
    measurement = measure_study(read_study(truth.dicom_folder), files, settings=settings)
    write_measurement(measurement, tmp_path / "m.csv", masks=files, with_dicom=True)
    assert errors_found_by_dciodvfy(tmp_path / "m.seg.dcm") == []
    assert errors_found_by_dciodvfy(tmp_path / "m.sr.dcm") == []
    content = highdicom.sr.srread(tmp_path / "m.sr.dcm").content
    table = measurement.table
    for group in content.get_volumetric_roi_measurement_groups():
        region = group.tracking_identifier.split()[-1]
        told = {
            item.value.meaning
            for item in group.get_qualitative_evaluations()
            if item.name.value == "FLAG"
        }
        of_region = table[table.region == ("lesion" if region.isdigit() else region)]
        lesion = of_region[of_region.lesion_id == group.tracking_identifier.split()[1]]
        assert told == {flag for flags in lesion["flags"] for flag in flags.split(";") if flag}
        assert ("no-liver-mask" in told) == (region == "perilesional")
        codes = {
            number.method.meaning.split(" of ")[0]: (
                number.name.scheme_designator,
                number.name.value,
            )
            for number in group.get_measurements()
            if number.method is not None and number.derivation.meaning == "Mean"
        }
        assert codes["c"] == ("DCM", "122093")
        assert codes["rho_w"] == ("99GSIGPU", "WATER")


def test_every_group_has_a_line_on_an_image_of_the_study(written):
    """A viewer draws the longest axial diameter where its ends lie in the region, as long as it says."""
    measurement, _, sr = written
    grid = measurement.stack.geometry
    series = measurement.measurand.reference_series
    slices = {plane.sop_instance_uid: z for z, plane in enumerate(series.planes)}
    report = dcmread(sr)
    groups = [
        group
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "126010"
        for group in item.ContentSequence
    ]
    regions = [region for region in measurement.layout.regions if region.region != "profile"]
    for group, region in zip(groups, regions, strict=True):
        (number,) = [
            item
            for item in group.ContentSequence
            if item.ConceptNameCodeSequence[0].CodeMeaning == "Long Axis"
        ]
        (drawn,) = number.ContentSequence
        assert drawn.ValueType == "SCOORD"
        (image,) = drawn.ContentSequence
        z = slices[image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID]
        ends = np.array(drawn.GraphicData).reshape(2, 2)
        mm = np.linalg.norm(np.diff(ends[:, ::-1], axis=0) * grid.spacing_mm[1:])
        measured_mm = float(number.MeasuredValueSequence[0].NumericValue)
        assert measured_mm == pytest.approx(mm, abs=0.01)
        for column, row in ends:
            y, x = int(row) - region.mask.origin[1], int(column) - region.mask.origin[2]
            assert np.asarray(region.mask.voxels)[z - region.mask.origin[0], y, x]


def test_segments_have_the_colours_of_the_pages(written):
    """Against LittleCMS, whose profiles are of the D50 white point as DICOM's are."""
    profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
    to_lab = ImageCms.buildTransform(*profiles, "RGB", "LAB", renderingIntent=1)
    _, path, _ = written
    for segment in dcmread(path).SegmentSequence:
        name = segment.SegmentLabel.split()[-1]
        red, green, blue = REGION_COLOURS["lesion" if name.isdigit() else name]
        colour = Image.new("RGB", (1, 1), (red, green, blue))
        expected = ImageCms.applyTransform(colour, to_lab).getpixel((0, 0))
        written_bytes = np.array(segment.RecommendedDisplayCIELabValue) / 257
        np.testing.assert_allclose(written_bytes, expected, atol=1.0)


def test_a_lesion_tells_its_means_by_name(written):
    measurement, _, sr = written
    group = highdicom.sr.srread(sr).content.get_volumetric_roi_measurement_groups()[0]
    told = {item.name.meaning: item.value for item in group.get_measurements()}
    row = measurement.table.query(
        "lesion_id == '1' and region == 'rim' and parameter == 'iodine' and statistic == 'mean'"
    )
    assert told["Iodine of the rim, mean"] == pytest.approx(row.value.item())


def without_70(folder):
    return write_phantom(folder, replace(SMALL, energies_kev=(40.0, 60.0, 100.0), n_lesions=1))


def test_another_energy_than_that_of_the_ct_value_is_told(tmp_path):
    """The CT value is synthesised at 70 keV; no image of that energy is in the archive."""
    truth = without_70(tmp_path / "phantom")
    files = MaskFiles((truth.lesion_mask,))
    measurement = measure_study(read_study(truth.dicom_folder), files)
    (note,) = dicom_notes(measurement)
    assert note.kind == "reading-series"
    assert note.startswith(
        "SEG, SR and presentation state refer to the series at 60 keV: the stack has none at 70 keV"
    )
    write_measurement(measurement, tmp_path / "m.csv", masks=files, with_dicom=True)
    assert str(note) in json.loads((tmp_path / "m.json").read_text())["warnings"]
    at_60 = {
        series.evidence.series_uid
        for series in measurement.stack.series
        if series.energy_kev == 60.0
    }
    for what in ("seg", "sr", "pr"):
        assert at_60 & set(series_referred_to(dcmread(tmp_path / f"m.{what}.dcm")))
    write_measurement(measurement, tmp_path / "plain.csv", masks=files)
    assert str(note) not in json.loads((tmp_path / "plain.json").read_text())["warnings"]
    # The remedy that is printed.
    at_100 = MeasureSettings(parameters=ParameterSettings(ct_value="100", curve=False))
    chosen = measure_study(read_study(truth.dicom_folder), files, settings=at_100)
    assert dicom_notes(chosen) == []
    assert chosen.measurand.reference_series.energy_kev == 100.0


def series_referred_to(dataset):
    """Series Instance UIDs of images, wherever they stand."""
    uids = []
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                uids += series_referred_to(item)
        elif element.keyword == "SeriesInstanceUID":
            uids.append(element.value)
    return uids
