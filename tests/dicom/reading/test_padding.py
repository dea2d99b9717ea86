"""What means "no data" is NaN, and nothing else is, whatever the header declares."""

import numpy as np
import pytest

from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.hu_planes import read_planes
from gsigpu.dicom.reading.pixels import PlaneReader
from tests.support.dicom_files import ct_dataset, save

TISSUE_HU = 48  # = -3024 cut to 12 bits, with an intercept of -1024


def hu(tmp_path, stored, **attributes):
    save(ct_dataset(np.asarray(stored), **attributes), tmp_path / "a")
    (plane,) = scan_headers(tmp_path).planes
    return read_planes(PlaneReader(), [plane])[0]


def twelve_bits(words, padding, *, signed=False, intercept=-1024):
    """12 of 16 bits stored; Pixel Padding Value as the two bytes that a writer of -2000 leaves."""
    return {
        "stored": np.asarray(words, np.int16 if signed else np.uint16),
        "BitsStored": 12,
        "HighBit": 11,
        "intercept": intercept,
        "PixelPaddingValue": padding if signed else padding & 0xFFFF,
    }


def image(shape=(8, 10), value=1084):
    return np.full(shape, value, np.int64)


@pytest.mark.parametrize("cut", [False, True], ids=["whole words", "cut to 12 bits"])
def test_negative_padding_of_unsigned_data(tmp_path, cut):
    """-2000 as 12 unsigned bits is 2096: read as a value it is +1,072 HU of tissue."""
    words = image()
    words[:2] = -2000 & (0xFFF if cut else 0xFFFF)
    values = hu(tmp_path, **twelve_bits(words, -2000))
    assert np.isnan(values[:2]).all()
    assert (values[2:] == 60).all()


@pytest.mark.parametrize("cut", [False, True], ids=["whole words", "cut to 12 bits"])
def test_padding_below_what_signed_bits_hold(tmp_path, cut):
    words = image(value=60)
    words[:2] = ((-3024 & 0xFFF) ^ 0x800) - 0x800 if cut else -3024
    values = hu(tmp_path, **twelve_bits(words, -3024, signed=True, intercept=0))
    assert np.isnan(values[:2]).all()
    assert (values[2:] == 60).all()


def test_padding_that_never_occurs_takes_no_tissue_away(tmp_path):
    """-3024 cut to 12 bits is 48 HU: liver, unless the corners of the image hold it."""
    words = image()
    words[4] = 1072
    assert (hu(tmp_path, **twelve_bits(words, -3024))[4] == TISSUE_HU).all()


def test_the_same_padding_where_the_corners_hold_it(tmp_path):
    words = image()
    words[0] = 1072
    values = hu(tmp_path, **twelve_bits(words, -3024))
    assert np.isnan(values[0]).all()
    assert (values[1:] == 60).all()


def test_whole_words_are_told_from_values_that_look_like_them_when_cut(tmp_path):
    words = image()
    words[3, 3] = -3024 & 0xFFFF
    words[4, 4] = 1072
    values = hu(tmp_path, **twelve_bits(words, -3024))
    assert np.isnan(values[3, 3])
    assert values[4, 4] == TISSUE_HU


@pytest.mark.parametrize("declared", [None, -32768, -2000, 32767, 0, 4000, -1025])
@pytest.mark.parametrize("filled", [-1500, -2000, -3024, -8192])
def test_what_lies_below_tissue_is_outside_whatever_is_declared(tmp_path, declared, filled):
    words = image(value=60).astype(np.int16)
    words[:2] = filled
    values = (
        hu(tmp_path, stored=words, PixelPaddingValue=declared)
        if declared is not None
        else hu(tmp_path, stored=words)
    )
    assert np.isnan(values[:2]).all()
    assert (values[2:] == 60).all()


@pytest.mark.parametrize("declared", [3000, 32767, -1024, -1499])
def test_padding_above_what_no_tissue_can_be(tmp_path, declared):
    words = image(value=60).astype(np.int16)
    words[:2], words[3], words[4] = declared, -3024, declared - 1
    values = hu(tmp_path, stored=words, PixelPaddingValue=declared)
    assert np.isnan(values[:2]).all()
    assert np.isnan(values[3]).all()
    if declared - 1 > -1500:
        assert (values[4] == declared - 1).all()


def test_full_unsigned_words(tmp_path):
    words = image(value=1084).astype(np.uint16)
    words[:2], words[3] = 63536, 63535
    values = hu(tmp_path, stored=words, intercept=-1024, PixelPaddingValue=63536)
    assert np.isnan(values[:2]).all()
    assert (values[3] == 63535 - 1024).all()
    assert (values[4] == 60).all()


def test_a_range_of_padding(tmp_path):
    words = image(value=60).astype(np.int16)
    words[0], words[1], words[2] = 3000, 3010, 3020
    values = hu(tmp_path, stored=words, PixelPaddingValue=3000, PixelPaddingRangeLimit=3010)
    assert np.isnan(values[:2]).all()
    assert (values[2] == 3020).all()


def test_other_units_have_no_values_that_cannot_be(tmp_path):
    words = image(value=-2000).astype(np.int16)
    words[0] = -7
    values = hu(tmp_path, stored=words, RescaleType="MGML", slope=0.1, PixelPaddingValue=-7)
    assert np.isnan(values[0]).all()
    np.testing.assert_allclose(values[1:], -200, rtol=1e-6)
