"""Some rows of a plane are those of the whole plane, and no file that is refused whole passes for its rows."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless

from gsigpu.dicom.model import OddPadding
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.errors import FileChanged, TruncatedPixelData
from tests.dicom.reading.test_pixels import compressed, images
from tests.support.dicom_files import ct_dataset, save

ROWS = slice(4, 9)


def plane_of(folder, dataset):
    save(dataset, folder / "slice-17")
    (plane,) = scan_headers(folder).planes
    return plane


def read(plane, rows=None):
    out = np.full((plane.format.rows, plane.format.columns), -7, np.int16)
    PlaneReader().read_plane(plane, out, rows=rows)
    return out


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_rows_are_those_of_the_plane_and_no_others_are_read(tmp_path, dtype, bits):
    dataset = ct_dataset(images(dtype, bits), BitsStored=bits, HighBit=bits - 1)
    plane = plane_of(tmp_path, dataset)
    whole, part = read(plane), read(plane, ROWS)
    assert np.array_equal(part[ROWS], whole[ROWS])
    assert (np.delete(part, range(ROWS.start, ROWS.stop), axis=0) == -7).all()


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_of_compressed_planes_all_is_there(tmp_path, syntax):
    plane = plane_of(tmp_path, compressed(images(np.int16, 16), syntax, 16))
    assert np.array_equal(read(plane, ROWS), read(plane))


def test_padding_that_the_corners_decide_is_told_by_the_whole_plane(tmp_path):
    pixels = images(np.int16, 12)
    pixels[0, 0] = pixels[6, 3] = 99
    plane = plane_of(tmp_path, ct_dataset(pixels))
    for only_if_in_corner in (False, True):
        odd = OddPadding(values=(99, 99), only_if_in_corner=only_if_in_corner)
        part = read(replace(plane, odd_padding=odd), ROWS)
        assert part[6, 3] == -32768
        assert np.array_equal(part[ROWS], read(replace(plane, odd_padding=odd))[ROWS])


@pytest.mark.parametrize("n_lost", [1, 100])
def test_a_file_that_ends_early_is_refused_behind_its_rows_too(tmp_path, n_lost):
    plane = plane_of(tmp_path, ct_dataset(images(np.int16, 16)))
    raw = plane.path.read_bytes()
    plane.path.write_bytes(raw[:-n_lost])
    with pytest.raises(TruncatedPixelData, match="slice-17"):
        read(scan_headers(tmp_path).planes[0], slice(0, 1))
    with pytest.raises(FileChanged):
        read(plane, slice(0, 1))
    with pytest.raises(TruncatedPixelData, match="slice-17"):  # where nothing is remembered of it
        read(replace(plane, state=None), slice(0, 1))
