"""`map --compress`: the same values in fewer bytes, read back by programs that nobody here wrote."""

import subprocess

import gdcm
import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from gsigpu.choices import COMPRESSIONS
from gsigpu.cli.app import app
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import SettingsError
from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.map.map_study import map_study
from tests.support.stacks import errors_found_by_dciodvfy

STUDY = PhantomSettings(
    shape=(3, 90, 111),  # an odd number of columns
    spacing_mm=(20.0, 4.0, 4.0),
    n_lesions=0,
    phases=("PVP",),
    energies_kev=(60.0, 70.0, 100.0),
    extras=(),
)
DECODER = {"jpeg-ls": "dcmdjpls", "rle": "dcmdrle"}  # dcmtk has none for HTJ2K
PLUGIN = {"jpeg-ls": "pyjpegls", "rle": "pylibjpeg", "htj2k": "pylibjpeg"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return read_study(write_phantom(tmp_path_factory.mktemp("phantom") / "s", STUDY).dicom_folder)


@pytest.fixture(scope="module")
def plain(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("plain") / "out"
    map_study(study, out, maps=["lambda-hu"], backend="cpu")
    return [dcmread(path) for path in sorted(out.rglob("*.dcm"))]


@pytest.fixture(scope="module", params=COMPRESSIONS)
def compressed(request, study, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param) / "out"
    map_study(study, out, maps=["lambda-hu"], backend="cpu", compress=request.param)
    return request.param, sorted(out.rglob("*.dcm"))


def test_pydicoms_plugins_read_the_same_values(compressed, plain):
    name, paths = compressed
    for path, expected in zip(paths, plain, strict=True):
        ds = dcmread(path)
        assert len(ds.PixelData) < len(expected.PixelData)
        ds.pixel_array_options(decoding_plugin=PLUGIN[name])
        np.testing.assert_array_equal(ds.pixel_array, expected.pixel_array)
        assert {-32768} < set(np.unique(ds.pixel_array))


@pytest.mark.tools
def test_dcmtk_reads_the_same_values(compressed, plain, tmp_path):
    name, paths = compressed
    if name not in DECODER:
        pytest.skip("dcmtk has no decoder of HTJ2K")
    for path, expected in zip(paths, plain, strict=True):
        subprocess.run([DECODER[name], path, tmp_path / "d.dcm"], check=True)
        native = dcmread(tmp_path / "d.dcm")
        assert native.file_meta.TransferSyntaxUID.is_little_endian
        np.testing.assert_array_equal(native.pixel_array, expected.pixel_array)


def test_gdcm_reads_the_same_values(compressed, plain):
    _, paths = compressed
    for path, expected in zip(paths, plain, strict=True):
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        octets = reader.GetImage().GetBuffer().encode("utf-8", errors="surrogateescape")
        stored = np.frombuffer(octets, "<i2").reshape(expected.Rows, expected.Columns)
        np.testing.assert_array_equal(stored, expected.pixel_array)


@pytest.mark.tools
def test_conformant(compressed):
    name, paths = compressed
    if name == "htj2k":
        pytest.skip(
            "dciodvfy of 2022 does not know this transfer syntax, that of September 2026 does"
        )
    assert errors_found_by_dciodvfy(paths[0]) == []


def test_other_bytes_have_other_names_and_the_same_bytes_the_same(
    compressed, plain, study, tmp_path
):
    name, paths = compressed
    map_study(
        study, tmp_path / "again", maps=["lambda-hu"], backend="cpu", compress=name, n_workers=1
    )
    again = sorted((tmp_path / "again").rglob("*.dcm"))
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]
    assert dcmread(paths[0]).SeriesInstanceUID != plain[0].SeriesInstanceUID
    assert dcmread(paths[0]).DerivationDescription == plain[0].DerivationDescription


def test_what_cannot_be_compressed_is_refused(study, tmp_path):
    with pytest.raises(SettingsError, match=r"not for pm.*use --format ct"):
        map_study(study, tmp_path / "pm", output_format="pm", compress="rle")
    with pytest.raises(SettingsError, match="use htj2k, jpeg-ls, rle"):
        map_study(study, tmp_path / "zip", compress="zip")
    assert list(tmp_path.iterdir()) == []


def test_the_command_compresses(study, tmp_path):
    words = ["map", study.root, "-o", tmp_path / "out", "--maps", "iodine", "--compress", "jpeg-ls"]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    first = dcmread(next((tmp_path / "out").rglob("*.dcm")))
    assert first.file_meta.TransferSyntaxUID.name == "JPEG-LS Lossless Image Compression"
