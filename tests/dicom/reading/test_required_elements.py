"""What the standard requires and pydicom refuses to do without is never guessed."""

import numpy as np
import pydicom
import pytest

from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.errors import UnsupportedPixelData
from tests.support.dicom_files import ct_dataset, save
from tests.support.enhanced import enhanced_ct

PIXELS = np.full((6, 8), -1000, np.int16)
REQUIRED = {
    "Rows": "Rows",
    "Columns": "Columns",
    "BitsAllocated": "Bits Allocated",
    "BitsStored": "Bits Stored",
    "PixelRepresentation": "Pixel Representation",
    "SamplesPerPixel": "Samples per Pixel",
    "PhotometricInterpretation": "Photometric Interpretation",
    "RescaleSlope": "Rescale Slope",
    "RescaleIntercept": "Rescale Intercept",
}
# The reasons stand in design/004-reading.md.
TOLERATED = (
    "HighBit", "RescaleType", "SeriesInstanceUID", "StudyInstanceUID", "SOPInstanceUID",
    "FrameOfReferenceUID", "ImageType", "SpecificCharacterSet", "SliceThickness",
)  # fmt: skip


@pytest.mark.parametrize("keyword", REQUIRED)
@pytest.mark.parametrize("how", ["absent", "empty"])
def test_a_required_element_is_not_guessed(tmp_path, keyword, how):
    ds = ct_dataset(PIXELS)
    delattr(ds, keyword) if how == "absent" else setattr(ds, keyword, None)
    save(ds, tmp_path / "slice-2")
    scan = scan_headers(tmp_path)
    (skipped,) = scan.skipped
    assert scan.planes == ()
    assert skipped.damaged
    assert REQUIRED[keyword] in skipped.reason


@pytest.mark.parametrize("keyword", [key for key in REQUIRED if not key.startswith("Rescale")])
def test_pydicom_refuses_it_as_well(tmp_path, keyword):
    path = save(ct_dataset(PIXELS, **{keyword: None}), tmp_path / "a")
    with pytest.raises((AttributeError, ValueError), match=r"."):
        _ = pydicom.dcmread(path).pixel_array


@pytest.mark.parametrize("keyword", TOLERATED)
def test_what_may_be_absent_changes_no_value(tmp_path, keyword):
    save(ct_dataset(PIXELS, **{keyword: None}), tmp_path / "a")
    (plane,) = scan_headers(tmp_path).planes
    out = np.zeros((1, *PIXELS.shape), np.int16)
    PlaneReader().read([plane], out)
    np.testing.assert_array_equal(out[0], PIXELS)


@pytest.mark.parametrize("representation", [2, 256, 65535])
def test_a_pixel_representation_that_is_none(tmp_path, representation):
    save(ct_dataset(PIXELS, PixelRepresentation=representation), tmp_path / "a")
    (skipped,) = scan_headers(tmp_path).skipped
    assert skipped.reason == f"CT image whose Pixel Representation is {representation}, not 0 or 1"


@pytest.mark.parametrize("keyword", ["PixelRepresentation", "BitsStored"])
def test_of_a_multi_frame_file_too(tmp_path, keyword):
    ds = enhanced_ct(np.stack([PIXELS] * 2), z_mm=range(2))
    delattr(ds, keyword)
    save(ds, tmp_path / "a")
    (skipped,) = scan_headers(tmp_path).skipped
    assert skipped.damaged
    assert REQUIRED[keyword] in skipped.reason


def test_a_picture_of_palette_colours_has_no_values(tmp_path):
    save(ct_dataset(PIXELS, PhotometricInterpretation="PALETTE COLOR"), tmp_path / "slice-2")
    planes = scan_headers(tmp_path).planes
    with pytest.raises(UnsupportedPixelData, match=r"slice-2: Photometric .* 'PALETTE COLOR'"):
        PlaneReader().read(planes, np.zeros((1, *PIXELS.shape), np.int16))


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("value", [["1", "2"], "1_0", "nan", "inf", "\0\0\0004"])
def test_a_rescale_that_is_not_one_number(tmp_path, keyword, value):
    ds = ct_dataset(PIXELS)
    text = "\\".join(value) if isinstance(value, list) else value
    ds[keyword] = pydicom.DataElement(keyword, "LO", text)
    save(ds, tmp_path / "a")
    (skipped,) = scan_headers(tmp_path).skipped
    assert skipped.damaged
    assert "is no number" in skipped.reason


@pytest.mark.parametrize("keyword", ["Rows", "BitsStored", "PixelRepresentation"])
def test_two_numbers_where_one_belongs(tmp_path, keyword):
    save(ct_dataset(PIXELS, **{keyword: [6, 6]}), tmp_path / "a")
    (skipped,) = scan_headers(tmp_path).skipped
    assert skipped.reason == f"CT image whose {REQUIRED[keyword]} is more than one number"
