"""Filled headers are what pydicom would have written."""

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filewriter import dcmwrite
from pydicom.valuerep import DS

from gsigpu.dicom.writing.template import HeaderTemplate, decimal
from tests.support.dicom_files import ct_dataset

UIDS = st.from_regex(r"1\.2(\.[1-9][0-9]{0,8}){1,5}", fullmatch=True)
NUMBERS = st.integers(1, 99999).map(str)
COORDINATES = st.floats(-2000, 2000).map(decimal)


def dataset(uid, number, x, y):
    ds = ct_dataset(np.zeros((2, 2), np.int16))
    del ds.PixelData
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uid
    ds.InstanceNumber = number
    ds.ImagePositionPatient = [x, y, "0"]
    return ds


TEMPLATE = HeaderTemplate(
    dataset("9.9.9.1", "1424242421", "-4242.4242", "4242.4242"),
    {"uid": "9.9.9.1", "number": "1424242421", "position": "-4242.4242\\4242.4242\\0"},
    n_pixel_bytes=8,
)


@given(UIDS, NUMBERS, COORDINATES, COORDINATES)
def test_filled_equals_written_by_pydicom(uid, number, x, y):
    ds = dataset(uid, number, x, y)
    ds.PixelData = bytes(8)
    ds["PixelData"].VR = "OW"
    expected = io.BytesIO()
    dcmwrite(expected, ds, enforce_file_format=True)
    filled = TEMPLATE.fill({"uid": uid, "number": number, "position": f"{x}\\{y}\\0"})
    assert filled + bytes(8) == expected.getvalue()


@given(st.floats(-1e6, 1e6))
def test_decimal_strings_are_valid_and_close(value):
    text = decimal(value)
    assert len(text) <= 16
    assert abs(float(DS(text)) - value) <= max(1e-9 * abs(value), 1e-9)
