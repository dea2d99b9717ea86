"""The encoding is read from the bytes: where a Transfer Syntax lies, the pixels are those of pydicom."""

import itertools
import re
import shutil
import subprocess
import warnings

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.errors import TruncatedPixelData
from tests.support.dicom_files import ct_dataset, save, save_encoded
from tests.support.enhanced import enhanced_ct

RNG = np.random.default_rng(5)
PIXELS = RNG.integers(-1024, 3000, (16, 18)).astype(np.int16)
IMPLICIT, EXPLICIT, BIG = ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian


def nested(undefined_length):
    """A sequence in a sequence, with pixel data of its own: an icon."""
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    icon.add_new(0x7FE00010, "OW", bytes(8))
    outer = Dataset()
    outer.IconImageSequence = Sequence([icon])
    outer["IconImageSequence"].is_undefined_length = undefined_length
    return outer


def with_what_follows(ds, follows):
    if follows == "padding element":
        ds.add_new(0xFFFCFFFC, "OB", bytes(6))
    elif follows == "private":
        ds.add_new(0x7FE10010, "LO", "MAKER")
        ds.add_new(0x7FE11010, "OW", bytes(10))
    elif follows == "sequence":
        item = Dataset()
        item.MACIDNumber = 1
        ds.DigitalSignaturesSequence = Sequence([item])
        ds["DigitalSignaturesSequence"].is_undefined_length = True
    return ds


def by_pydicom(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of the claim that is not true
        return pixel_array(pydicom.dcmread(path), raw=True)


def delivered(folder):
    scan = scan_headers(folder)
    assert not scan.skipped
    out = np.empty((len(scan.planes), *PIXELS.shape), np.int16)
    PlaneReader().read(scan.planes, out)
    return out


PAIRS = list(itertools.product((IMPLICIT, EXPLICIT), repeat=2))
FOLLOWS = ("nothing", "padding element", "private", "sequence")


@pytest.mark.parametrize("follows", FOLLOWS)
@pytest.mark.parametrize("sequences", ["none", "defined", "undefined"])
@pytest.mark.parametrize(("claimed", "written_as"), PAIRS)
def test_every_voxel_is_that_of_pydicom(tmp_path, claimed, written_as, sequences, follows):
    ds = with_what_follows(ct_dataset(PIXELS), follows)
    if sequences != "none":
        ds.RequestAttributesSequence = Sequence([nested(sequences == "undefined")])
        ds["RequestAttributesSequence"].is_undefined_length = sequences == "undefined"
    save_encoded(ds, tmp_path / "a", claimed=claimed, written_as=written_as)
    np.testing.assert_array_equal(by_pydicom(tmp_path / "a"), PIXELS)
    np.testing.assert_array_equal(delivered(tmp_path)[0], PIXELS)


@pytest.mark.parametrize("follows", FOLLOWS)
def test_big_endian_with_elements_behind_the_pixels(tmp_path, follows):
    ds = with_what_follows(ct_dataset(PIXELS), follows)
    ds.PixelData = PIXELS.astype(">i2").tobytes()
    save_encoded(ds, tmp_path / "a", claimed=BIG, written_as=BIG)
    np.testing.assert_array_equal(delivered(tmp_path)[0], PIXELS)


@pytest.mark.parametrize(
    ("claimed", "written_as"), [(BIG, EXPLICIT), (BIG, IMPLICIT), (EXPLICIT, BIG)]
)
def test_the_other_byte_order_than_claimed_is_damaged_as_it_is_for_pydicom(
    tmp_path, claimed, written_as
):
    save_encoded(ct_dataset(PIXELS), tmp_path / "a", claimed=claimed, written_as=written_as)
    scan = scan_headers(tmp_path)
    assert scan.planes == ()
    assert [skipped.damaged for skipped in scan.skipped] == [True]
    with pytest.raises(
        (AttributeError, ValueError, NotImplementedError, pydicom.errors.InvalidDicomError)
    ):
        by_pydicom(tmp_path / "a")


@pytest.mark.parametrize(("claimed", "written_as"), PAIRS)
def test_multi_frame_files_too(tmp_path, claimed, written_as):
    volume = RNG.integers(-1024, 3000, (3, *PIXELS.shape)).astype(np.int16)
    ds = with_what_follows(enhanced_ct(volume, z_mm=range(3)), "padding element")
    save_encoded(ds, tmp_path / "a", claimed=claimed, written_as=written_as)
    np.testing.assert_array_equal(delivered(tmp_path), volume)


@pytest.mark.tools
@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="needs dcmtk")
@pytest.mark.parametrize("written_as", [IMPLICIT, EXPLICIT])
def test_dcmtk_finds_the_pixels_at_the_same_place(tmp_path, written_as):
    """Of a file whose Transfer Syntax is true, dcmtk tells the first words of Pixel Data."""
    ds = with_what_follows(ct_dataset(PIXELS), "private")
    save_encoded(ds, tmp_path / "a", claimed=written_as, written_as=written_as)
    text = subprocess.run(
        ["dcmdump", "+P", "7fe0,0010", tmp_path / "a"], capture_output=True, text=True, check=True
    ).stdout
    words = re.search(r"O[BW] ([0-9a-f\\]+)", text)[1].split("\\")[:8]
    first = delivered(tmp_path)[0].ravel()[:8].view(np.uint16)
    assert [int(word, 16) for word in words] == first.tolist()


@pytest.mark.parametrize("shift", [-4, -2, 2, 4, 30])
@pytest.mark.parametrize("follows", ["nothing", "padding element"])
def test_a_length_that_ends_nowhere_is_damage(tmp_path, shift, follows):
    ds = with_what_follows(ct_dataset(PIXELS), follows)
    save_encoded(ds, tmp_path / "slice-3", claimed=EXPLICIT, written_as=EXPLICIT)
    data = (tmp_path / "slice-3").read_bytes()
    head = b"\xe0\x7f\x10\0OW\0\0"
    length = PIXELS.nbytes.to_bytes(4, "little")
    changed = data.replace(head + length, head + (PIXELS.nbytes + shift).to_bytes(4, "little"))
    assert changed != data
    (tmp_path / "slice-3").write_bytes(changed)
    scan = scan_headers(tmp_path)
    if shift > (0 if follows == "nothing" else 18):  # cut off: told when it is read
        with pytest.raises(TruncatedPixelData, match="slice-3"):
            delivered(tmp_path)
    else:
        (skipped,) = scan.skipped
        assert skipped.damaged
        assert "pixel data end where neither" in skipped.reason


@pytest.mark.parametrize("n_zeros", [1, 2, 7, 511, 4096])
def test_zeros_that_fill_a_file_up_do_no_harm(tmp_path, n_zeros):
    path = save(ct_dataset(PIXELS), tmp_path / "a")
    path.write_bytes(path.read_bytes() + bytes(n_zeros))
    np.testing.assert_array_equal(delivered(tmp_path)[0], PIXELS)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from((IMPLICIT, EXPLICIT)),
    st.sampled_from((IMPLICIT, EXPLICIT)),
    st.sampled_from(FOLLOWS),
    st.text("abc ", max_size=12),
    st.booleans(),
)
def test_headers_of_any_length(tmp_path_factory, claimed, written_as, follows, comment, preamble):
    folder = tmp_path_factory.mktemp("any")
    ds = with_what_follows(ct_dataset(PIXELS, ImageComments=comment), follows)
    save_encoded(ds, folder / "a", claimed=claimed, written_as=written_as)
    if not preamble:
        data = (folder / "a").read_bytes()
        (folder / "a").write_bytes(data[132:])
    np.testing.assert_array_equal(delivered(folder)[0], PIXELS)
