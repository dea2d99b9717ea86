"""Frames as a transfer syntax stores them, by decoders nobody here wrote."""

import subprocess

import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread
from pydicom.encaps import encapsulate

from gsigpu.dicom.writing.encoding import encode_frame, transfer_syntax_uid
from tests.support.dicom_files import ct_dataset, save

NOISE = np.random.default_rng(29).normal(0, 9, (40, 56)).cumsum(axis=1).round().astype(np.int16)
EXTREMES = np.random.default_rng(30).integers(-32768, 32768, (17, 23)).astype(np.int16)


def file_of(image, name, path):
    ds = ct_dataset(image)
    ds.file_meta.TransferSyntaxUID = transfer_syntax_uid(name)
    ds.PixelData = encapsulate([encode_frame(image, name)])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return save(ds, path)


@pytest.mark.parametrize("image", [NOISE, EXTREMES], ids=["noise", "extremes"])
@pytest.mark.parametrize("name", ["rle", "jpeg-lossless", "jpeg-ls", "jpeg2000"])
def test_gdcm_decodes_what_was_encoded(tmp_path, name, image):
    path = file_of(image, name, tmp_path / "a.dcm")
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    decoded = SimpleITK.GetArrayFromImage(reader.Execute())[0]
    slope, intercept = (
        float(dcmread(path)[word].value) for word in ("RescaleSlope", "RescaleIntercept")
    )
    np.testing.assert_array_equal(decoded, image * slope + intercept)


@pytest.mark.tools
@pytest.mark.parametrize(
    ("name", "tool"), [("rle", "dcmdrle"), ("jpeg-lossless", "dcmdjpeg"), ("jpeg-ls", "dcmdjpls")]
)
def test_dcmtk_decodes_what_was_encoded(tmp_path, name, tool):
    path = file_of(EXTREMES, name, tmp_path / "a")
    subprocess.run([tool, path, tmp_path / "plain"], check=True, capture_output=True)
    np.testing.assert_array_equal(dcmread(tmp_path / "plain").pixel_array, EXTREMES)


def test_jpeg_lossless_has_the_predictor_of_its_transfer_syntax():
    """Selection value 1 (PS3.5 A.4.1; T.81 B.2.3): the byte behind the components of the scan header."""
    frame = encode_frame(NOISE, "jpeg-lossless")
    scan = frame.index(b"\xff\xda")
    n_components = frame[scan + 4]
    assert frame[scan + 5 + 2 * n_components] == 1
