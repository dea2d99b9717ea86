"""A file that is changed between the scan and the reading of its pixels is an error, never another number."""

import os

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from gsigpu.dicom.model import Series, SeriesKind
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.dicom.writing.derived import source_header
from gsigpu.errors import FileChanged
from tests.support.dicom_files import ct_dataset, save, save_encoded
from tests.support.enhanced import enhanced_ct

SHAPE = (16, 18)
VOLUME = np.random.default_rng(2).integers(-1024, 3000, (3, *SHAPE)).astype(np.int16)


def single(syntax):
    def make(path, description="Mono 70 keV"):
        ds = ct_dataset(VOLUME[0], description=description)
        if syntax == RLELossless:
            ds.compress(RLELossless)
        elif syntax == ExplicitVRBigEndian:
            ds.PixelData = VOLUME[0].astype(">i2").tobytes()
            save_encoded(ds, path, claimed=syntax, written_as=syntax)
            return
        elif syntax is not None:
            ds.file_meta.TransferSyntaxUID = syntax
        save(ds, path)

    return make


def multi_frame(compressed):
    def make(path, description="Mono 70 keV"):
        ds = enhanced_ct(VOLUME, z_mm=range(3))
        ds.SeriesDescription = description
        if compressed:
            frames = [imagecodecs.jpegls_encode(image.view(np.uint16)) for image in VOLUME]
            ds.PixelData = encapsulate(frames)
            ds["PixelData"].VR = "OB"
            ds["PixelData"].is_undefined_length = True
            ds.file_meta.TransferSyntaxUID = JPEGLSLossless
        save(ds, path)

    return make


MAKERS = {
    "explicit": single(None),
    "implicit": single(ImplicitVRLittleEndian),
    "big endian": single(ExplicitVRBigEndian),
    "deflated": single(DeflatedExplicitVRLittleEndian),
    "rle": single(RLELossless),
    "enhanced": multi_frame(compressed=False),
    "enhanced jpeg-ls": multi_frame(compressed=True),
}


def read(planes, reader=None):
    out = np.empty((len(planes), *SHAPE), np.int16)
    (reader or PlaneReader()).read(planes, out)
    return out


@pytest.mark.parametrize("name", MAKERS)
def test_a_file_rewritten_with_a_longer_name_after_the_scan(tmp_path, name):
    """As an anonymiser leaves it: every element behind the name has moved."""
    path = tmp_path / "slice-5"
    MAKERS[name](path)
    planes = scan_headers(tmp_path).planes
    before = read(planes)
    MAKERS[name](path, description="a much longer description than before")
    with pytest.raises(FileChanged, match="slice-5: was changed after it was first read"):
        read(planes)
    np.testing.assert_array_equal(read(scan_headers(tmp_path).planes), before)


@pytest.mark.parametrize("name", MAKERS)
def test_another_file_in_its_place_of_the_same_size_and_time(tmp_path, name):
    path, other = tmp_path / "in" / "slice-5", tmp_path / "other"
    MAKERS[name](path)
    planes = scan_headers(tmp_path / "in").planes
    status = path.stat()
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)
    with pytest.raises(FileChanged, match="slice-5"):
        read(planes)


def test_remembered_fragments_belong_to_one_state_of_a_file(tmp_path):
    """A reader that knows where the frames lay reads the new file by the new file's offsets."""
    path, reader = tmp_path / "a", PlaneReader()
    MAKERS["enhanced jpeg-ls"](path)
    np.testing.assert_array_equal(read(scan_headers(tmp_path).planes, reader), VOLUME)
    MAKERS["enhanced jpeg-ls"](path, description="a much longer description than before")
    np.testing.assert_array_equal(read(scan_headers(tmp_path).planes, reader), VOLUME)


def test_a_file_read_by_name_is_checked_in_the_child_process_too(tmp_path):
    """JPEG-LS with restart intervals is left to pydicom's plugins, in another process."""
    path = tmp_path / "slice-5"
    ds = ct_dataset(VOLUME[0])
    frame = imagecodecs.jpegls_encode(VOLUME[0].view(np.uint16))
    frame = frame[:2] + b"\xff\xc9\x00\x04\x00\x00" + frame[2:]  # an arithmetic table: nobody's
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    save(ds, path)
    planes = scan_headers(tmp_path).planes
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(FileChanged, match="slice-5"):
        read(planes)


def test_the_header_that_a_derived_series_copies_is_that_of_the_scan(tmp_path):
    """Patient and study of a new series come from a second look at a source file."""
    path = save(ct_dataset(VOLUME[0]), tmp_path / "slice-5")
    (plane,) = scan_headers(tmp_path).planes
    series = Series("1.2", SeriesKind.VMI, 70.0, "", None, (plane,))
    assert source_header([series]).PatientID == "P1"
    save(ct_dataset(VOLUME[0], PatientID="Q1"), path)
    with pytest.raises(FileChanged, match="slice-5"):
        source_header([series])
