"""Maps as Parametric Maps, read back by highdicom and pydicom."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import highdicom
import numpy as np
import pytest
from pydicom import dcmread

from gsigpu.dicom.writing.formats import open_sink
from gsigpu.dicom.writing.pm import parametric_map_sink
from gsigpu.errors import OutputError
from gsigpu.maps.registry import define_all
from tests.support.stacks import SLICES, STACKS, errors_found_by_dciodvfy, float_map

DEFINITIONS = define_all(["iodine", "lambda-hu"])


def write(folder, stack):
    folder.mkdir()
    maps = [float_map(stack, seed, largest=30) for seed, _ in enumerate(DEFINITIONS)]
    with parametric_map_sink(folder, DEFINITIONS, stack) as sink, ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda z: sink.write(z, [values[z] for values in maps]), [2, 0, 1]))
    paths = [folder / sink.names[definition.name] for definition in DEFINITIONS]
    return SimpleNamespace(stack=stack, maps=maps, paths=paths)


@pytest.fixture(scope="module", params=STACKS)
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return write(folder / "out", STACKS[request.param](folder / "study"))


@pytest.mark.filterwarnings("ignore:invalid value encountered in (less|greater)")  # on NaN
def test_highdicom_reads_values_and_places(written):
    for path, expected in zip(written.paths, written.maps, strict=True):
        volume = highdicom.imread(path).get_volume(apply_real_world_transform=True)
        grid = written.stack.geometry
        to_index = np.linalg.inv(volume.affine)
        for z in range(SLICES):
            place = to_index @ [*grid.position_mm(z, 0, 0), 1.0]
            np.testing.assert_allclose(place, np.round(place), atol=1e-3)
            frame, row, column = np.round(place[:3]).astype(int)
            assert (row, column) == (0, 0)
            np.testing.assert_array_equal(volume.array[frame], expected[z])


def test_pydicom_reads_frames_of_the_right_slices(written):
    stack = written.stack
    for path, expected, n_sources in zip(
        written.paths, written.maps, (len(stack.series), 2), strict=True
    ):
        ds = dcmread(path)
        assert np.isnan(ds.FloatPixelPaddingValue)
        frames = ds.pixel_array
        positions = [plane.position_mm for plane in stack.series[0].planes]
        for groups, frame in zip(ds.PerFrameFunctionalGroupsSequence, frames, strict=True):
            place = groups.PlanePositionSequence[0].ImagePositionPatient
            z = positions.index(tuple(map(float, place)))
            np.testing.assert_array_equal(frame, expected[z])
            sources = groups.DerivationImageSequence[0].SourceImageSequence
            assert len(sources) == n_sources
            planes = {
                (series.planes[z].sop_instance_uid, series.planes[z].frame)
                for series in stack.series
            }
            assert {
                (source.ReferencedSOPInstanceUID, source.get("ReferencedFrameNumber", 1) - 1)
                for source in sources
            } <= planes


@pytest.mark.filterwarnings("ignore:The string:UserWarning")
def test_frames_are_in_the_order_in_which_highdicom_puts_them(written):
    """highdicom given all slices; gsigpu asks it for two and fills in the rest."""
    planes = written.stack.series[0].planes
    if planes[0].evidence.n_frames > 1:
        pytest.skip("highdicom takes no frames of multi-frame files as sources")
    theirs = highdicom.pm.ParametricMap(
        [as_source(plane.path) for plane in planes], np.zeros((SLICES, *written.maps[0][0].shape), np.float32),
        series_instance_uid=highdicom.UID(), series_number=1, sop_instance_uid=highdicom.UID(), instance_number=1,
        manufacturer="m", manufacturer_model_name="n", software_versions="1", device_serial_number="1",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[highdicom.pm.RealWorldValueMapping("l", "l", highdicom.sr.coding.Code("1", "UCUM", "no units"), (-1.0, 1.0), slope=1.0, intercept=0.0)],
        voi_lut_transformations=[highdicom.VOILUTTransformation(window_center=0.0, window_width=1.0)],
    )  # fmt: skip
    for path in written.paths:
        ours = dcmread(path)
        assert [places(ds) for ds in (ours,)] == [places(theirs)]
        shared, their_shared = (
            ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0] for ds in (ours, theirs)
        )
        for name in ("PixelSpacing", "SpacingBetweenSlices"):
            assert shared[name].value == pytest.approx(their_shared[name].value, abs=1e-6)


def as_source(path):
    """An image that highdicom takes: it refuses an empty character set."""
    ds = dcmread(path)
    ds.SpecificCharacterSet = "ISO_IR 100"
    return ds


def places(ds):
    return [
        (groups.FrameContentSequence[0].DimensionIndexValues, [round(float(mm), 3) for mm in groups.PlanePositionSequence[0].ImagePositionPatient])
        for groups in ds.PerFrameFunctionalGroupsSequence
    ]  # fmt: skip


def test_every_file_of_every_series_is_referred_to(written):
    stack = written.stack
    for path, series in zip(written.paths, (stack.series, None), strict=True):
        referred = {
            item.SeriesInstanceUID: [
                (instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID)
                for instance in item.ReferencedInstanceSequence
            ]
            for item in dcmread(path).ReferencedSeriesSequence
        }
        for each in series or ():
            files = {
                (plane.evidence.sop_class_uid, plane.sop_instance_uid) for plane in each.planes
            }
            assert sorted(referred.pop(each.evidence.series_uid)) == sorted(files)
        assert series is None or referred == {}


def test_unit_and_quantity(written):
    shared = dcmread(written.paths[0]).SharedFunctionalGroupsSequence[0]
    mapping = shared.RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "mg/mL"
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeMeaning == (
        "Concentration"
    )


@pytest.mark.tools
def test_conformance(written):
    for path in written.paths:
        assert errors_found_by_dciodvfy(path) == []
        subprocess.run(["dcmdump", "-q", str(path)], check=True, capture_output=True)


def test_the_same_again_is_the_same_bytes(written, tmp_path):
    again = write(tmp_path / "again", written.stack)
    for path, other in zip(written.paths, again.paths, strict=True):
        assert path.read_bytes() == other.read_bytes()


def test_a_volume_longer_than_an_element_is_refused(written, tmp_path, monkeypatch):
    monkeypatch.setattr("gsigpu.dicom.writing.pm._LONGEST_VALUE", 1000)
    with pytest.raises(OutputError, match="--format ct"):
        parametric_map_sink(tmp_path, DEFINITIONS, written.stack)


ODD_NAMES = (
    "lambda-hu[60-100]",
    "lambda-hu[60-100/60]",
    "lambda-hu[fit:60-140]",
    "sigma-lambda-hu[60-100]",
    "mono-55.5",
    "electron-density",
    "residual",
)


@pytest.mark.tools
@pytest.mark.parametrize("form", ["pm", "ct"])
def test_every_name_of_a_map_can_be_written(tmp_path, form):
    """Content Label is a code string: brackets, colons, dots and hyphens are none of its characters."""
    stack = STACKS["oblique"](tmp_path / "study")
    definitions = define_all(ODD_NAMES)
    (tmp_path / "out").mkdir()
    planes = np.zeros((len(definitions), *stack.geometry.shape[1:]))
    with open_sink(form, tmp_path / "out", definitions, stack) as sink:
        for z in range(stack.geometry.shape[0]):
            sink.write(z, list(planes.astype(sink.dtype)))
    files = [path for path in sorted((tmp_path / "out").rglob("*.dcm")) if "00002" not in path.name]
    assert len(files) >= len(ODD_NAMES)
    for path in files:
        assert errors_found_by_dciodvfy(path) == []
        if form == "pm":
            assert re.fullmatch("[A-Z0-9_]{1,16}", dcmread(path).ContentLabel)
