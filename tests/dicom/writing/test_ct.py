"""Maps as CT series: byte for byte what pydicom writes, and readable by everyone."""

import io
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import gdcm
import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread
from pydicom.filewriter import dcmwrite
from pydicom.sr.codedict import codes

from gsigpu.dicom.reading.hu_planes import read_volume
from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.writing.content_names import PLACEHOLDER_IMAGE_UID, PLACEHOLDERS
from gsigpu.dicom.writing.ct import ct_sink
from gsigpu.maps.quantise import quantise
from gsigpu.maps.registry import define_all
from tests.support.stacks import (
    ENERGIES,
    SLICES,
    STACKS,
    errors_found_by_dciodvfy,
    float_map,
    oblique_stack,
)

NAMES = ("lambda-hu", "iodine")
LARGEST = {"lambda-hu": 30.0, "iodine": 300.0}
ALL_NAMES = (
    "lambda-hu", "lambda-hu[fit:40-100]", "iodine", "water", "vnc", "mono-55", "electron-density",
    "zeff", "residual", "sigma-lambda-hu", "sigma-iodine",
)  # fmt: skip


def write(folder, stack, names=NAMES):
    """Float maps of random values, written from several threads; the floats, and the files."""
    definitions = define_all(names)
    folder.mkdir()
    maps = {
        definition.name: float_map(
            stack,
            ALL_NAMES.index(definition.name) if definition.name in ALL_NAMES else 99,
            largest=LARGEST.get(definition.name, 1000 * definition.step),
        )
        for definition in definitions
    }
    stored = {
        definition.name: quantise(maps[definition.name], definition.step)[0]
        for definition in definitions
    }
    with ct_sink(folder, definitions, stack) as sink, ThreadPoolExecutor(3) as pool:
        order = list(range(stack.geometry.shape[0]))[::-1]
        list(pool.map(lambda z: sink.write(z, [stored[name][z] for name in names]), order))
    return SimpleNamespace(
        stack=stack,
        sink=sink,
        maps=maps,
        stored=stored,
        files={name: sorted((folder / sink.names[name]).iterdir()) for name in names},
        definitions={definition.name: definition for definition in definitions},
    )


@pytest.fixture(scope="module", params=STACKS)
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return write(folder / "out", STACKS[request.param](folder / "study"))


@pytest.fixture
def oblique(tmp_path):
    return oblique_stack(tmp_path / "study")


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_what_pydicom_writes(written, name):
    series = written.sink.writers[NAMES.index(name)]
    for z, path in enumerate(written.files[name]):
        ds = series.header(z)
        ds.PixelData = written.stored[name][z].tobytes()
        ds["PixelData"].VR = "OW"
        expected = io.BytesIO()
        dcmwrite(expected, ds, enforce_file_format=True)
        assert path.read_bytes() == expected.getvalue()


@pytest.mark.parametrize("spelling", [PLACEHOLDERS.number, PLACEHOLDER_IMAGE_UID, "1" + PLACEHOLDERS.series_uid])  # fmt: skip
def test_a_source_that_is_called_as_a_placeholder_keeps_its_name(oblique, tmp_path, spelling):
    """No placeholder of a header that holds it elsewhere too is replaced by looking for it."""
    uid = spelling if "." in spelling else f"1.2.{spelling}.3"
    series = [
        replace(part, planes=(replace(part.planes[0], sop_instance_uid=uid), *part.planes[1:]))
        for part in oblique.series
    ]
    stack = replace(oblique, series=tuple(series))
    result = write(tmp_path / "out", stack)
    for name in NAMES:
        headers = [dcmread(path) for path in result.files[name]]
        sources = [item for ds in headers for item in ds.SourceImageSequence]
        assert uid in [item.ReferencedSOPInstanceUID for item in sources]
        test_every_file_is_what_pydicom_writes(result, name)
        assert len({str(ds.SeriesInstanceUID) for ds in headers}) == 1
        for ds in headers:
            assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
            assert PLACEHOLDERS.number not in str(ds.SeriesNumber)


@pytest.mark.parametrize("name", NAMES)
def test_simpleitk_reads_values_and_places(written, name):
    paths = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(written.files[name][0].parent))
    image = SimpleITK.ReadImage(paths)
    values = SimpleITK.GetArrayFromImage(image)
    expected, step = written.maps[name], written.definitions[name].step
    inside_mask = ~np.isnan(expected)
    # Half a step, and the precision of the float32 that was divided by it.
    allowed = 0.5 * step + 2 * np.spacing(np.abs(expected))
    assert np.all(np.abs(values - expected)[inside_mask] <= allowed[inside_mask])
    assert np.all(values[~inside_mask] == pytest.approx(-32768 * step))
    grid = written.stack.geometry
    for index in ((0, 0, 0), (grid.shape[2] - 1, grid.shape[1] - 1, grid.shape[0] - 1)):
        np.testing.assert_allclose(
            image.TransformIndexToPhysicalPoint(index), grid.position_mm(*index[::-1]), atol=1e-3
        )


@pytest.mark.parametrize("name", NAMES)
def test_gdcm_reads_values(written, name):
    for z, path in enumerate(written.files[name]):
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        image = reader.GetImage()
        raw = image.GetBuffer().encode("utf-8", errors="surrogateescape")
        stored = np.frombuffer(raw, np.int16).reshape(written.stored[name][z].shape)
        assert np.array_equal(stored, written.stored[name][z])
        assert image.GetSlope() == written.definitions[name].step
        assert image.GetIntercept() == 0


@pytest.mark.parametrize("name", NAMES)
def test_headers_of_the_slices(written, name):
    """Place, number and sources differ from slice to slice; the rest is the same for all."""
    grid = written.stack.geometry
    seen = set()
    for z, path in enumerate(written.files[name]):
        ds = dcmread(path)
        planes = [series.planes[z] for series in written.stack.series]
        if name == "lambda-hu":
            planes = [planes[written.stack.energies_kev.index(kev)] for kev in (60, 100)]
        assert ds.InstanceNumber == z + 1
        assert [float(x) for x in ds.ImagePositionPatient] == list(planes[0].position_mm)
        np.testing.assert_allclose(
            ds.ImageOrientationPatient, (*grid.row_direction, *grid.column_direction), atol=1e-9
        )
        assert float(ds.SliceThickness) == planes[0].slice_thickness_mm
        assert ds.FrameOfReferenceUID == grid.frame_of_reference_uid
        assert ds.StudyInstanceUID == planes[0].evidence.study_uid
        assert [
            (item.ReferencedSOPInstanceUID, item.get("ReferencedFrameNumber", 1))
            for item in ds.SourceImageSequence
        ] == [(plane.sop_instance_uid, plane.frame + 1) for plane in planes]
        seen.add(ds.SOPInstanceUID)
        assert ds.SeriesInstanceUID not in {
            series.evidence.series_uid for series in written.stack.series
        }
    assert len(seen) == SLICES


def test_gsigpu_reads_what_it_wrote(written):
    study = read_study(written.files["iodine"][0].parent)
    values = read_volume(study.series[0])
    assert str(study.series[0].kind) == "other"  # never the input of another map
    assert study.series[0].geometry.same_grid(written.stack.geometry)
    np.testing.assert_allclose(values, written.maps["iodine"], rtol=1e-6, atol=0.005)  # NaN too


@pytest.mark.tools
def test_conformance_of_every_source(written):
    for paths in written.files.values():
        assert errors_found_by_dciodvfy(paths[1]) == []


@pytest.mark.tools
def test_conformance_of_every_map(oblique, tmp_path):
    for paths in write(tmp_path / "out", oblique, ALL_NAMES).files.values():
        assert errors_found_by_dciodvfy(paths[0]) == []


@pytest.mark.tools
def test_dcmtk_reads_and_renders(written, tmp_path):
    path = written.files["lambda-hu"][1]
    dumped = subprocess.run(
        ["dcmdump", "-q", str(path)], capture_output=True, text=True, check=True
    )
    assert dumped.stderr == ""
    assert "[0.001]" in dumped.stdout
    picture = tmp_path / "picture.pgm"
    subprocess.run(["dcm2pnm", "-q", "+Wi", "1", str(path), str(picture)], check=True)
    header, size, _, pixels = picture.read_bytes().split(b"\n", 3)
    rows, columns = written.stored["lambda-hu"][1].shape
    assert (header, size.split()) == (b"P5", [b"%d" % columns, b"%d" % rows])
    # Black at -1 HU/keV, white at 4: the window is in the unit of the map.
    values = written.maps["lambda-hu"][1].ravel()
    grey = np.frombuffer(pixels, np.uint8)[-values.size :]
    assert np.all(grey[values < -1.1] == 0)
    assert np.all(grey[values > 4.1] == 255)


def test_what_the_numbers_mean(written):
    ds = dcmread(written.files["lambda-hu"][0])
    assert list(ds.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert (ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType) == (0.001, 0, "US")
    assert "(HU[60 keV] - HU[100 keV]) / 60 keV" in ds.DerivationDescription
    assert ds.DerivationCodeSequence[0].CodeValue == codes.DCM.PixelByPixelSubtraction.value
    mapping = ds.RealWorldValueMappingSequence[0]
    assert mapping.RealWorldValueSlope == 0.001
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "[hnsf'U]/keV"
    assert ds.PixelPaddingValue == -32768

    ds = dcmread(written.files["iodine"][0])
    assert list(ds.ImageType) == ["DERIVED", "SECONDARY", "AXIAL", "MAT_SPECIFIC"]
    assert (ds.RescaleSlope, ds.RescaleType) == (0.01, "MGML")
    mapping = ds.RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "mg/mL"
    quantity = mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    assert quantity.CodeValue == codes.DCM.Concentration.value
    program = ds.ContributingEquipmentSequence[1]
    assert (program.Manufacturer, program.SoftwareVersions) == ("gsigpu", ds.SoftwareVersions)


def all_bytes(written):
    return [path.read_bytes() for paths in written.files.values() for path in paths]


def series_uids(written):
    return {
        name: dcmread(paths[0], specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID
        for name, paths in written.files.items()
    }


def test_the_same_again_is_the_same_bytes(oblique, tmp_path):
    first, again = write(tmp_path / "a", oblique), write(tmp_path / "b", oblique)
    assert all_bytes(first) == all_bytes(again)


def test_a_map_keeps_its_identity_whatever_is_asked_beside_it(oblique, tmp_path):
    alone = series_uids(write(tmp_path / "a", oblique, ("iodine",)))
    beside = series_uids(write(tmp_path / "b", oblique, ("lambda-hu", "iodine")))
    assert alone["iodine"] == beside["iodine"] != beside["lambda-hu"]


@pytest.mark.parametrize("change", ["definition", "slices", "energy"])
def test_anything_else_has_another_identity(oblique, tmp_path, change):
    before = series_uids(write(tmp_path / "a", oblique, ("lambda-hu",)))
    stack, name = oblique, "lambda-hu"
    if change == "definition":
        name = "lambda-hu[60-100]"
    elif change == "slices":
        stack = replace(
            oblique,
            geometry=replace(oblique.geometry, shape=(2, *oblique.geometry.shape[1:])),
            series=tuple(replace(series, planes=series.planes[:2]) for series in oblique.series),
        )
    else:  # the 70 keV series taken for 60 keV, as an override may
        labels = dict(zip(ENERGIES, (40.0, 70.0, 60.0, 100.0), strict=True))
        relabelled = [
            replace(series, energy_kev=labels[series.energy_kev]) for series in oblique.series
        ]
        stack = replace(
            oblique, series=tuple(sorted(relabelled, key=lambda series: series.energy_kev))
        )
    after = series_uids(write(tmp_path / "b", stack, (name,)))
    assert set(before.values()).isdisjoint(after.values())


def test_a_failed_write_is_not_silent(oblique, tmp_path):
    written = write(tmp_path / "out", oblique)
    with pytest.raises(FileExistsError):
        written.sink.write(0, [values[0] for values in written.stored.values()])
