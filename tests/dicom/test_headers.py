"""The header scan finds every CT image, says what else there is, and agrees with pydicom."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from gsigpu.dicom.header_walk import HeaderWalker
from gsigpu.dicom.headers import frames_by_pydicom, scan_headers
from gsigpu.dicom.planes import PlaneDecoder
from gsigpu.errors import InputError
from tests.support.dicom_files import ct_dataset, save

PIXELS = np.arange(6 * 8, dtype=np.int16).reshape(6, 8)


def encoded(ds, syntax=None):
    if syntax is not None:
        ds.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True, overwrite=True)
    buffer.seek(0)
    return buffer


def both_planes(buffer):
    """The plane by the walker and the plane by pydicom."""
    walked = HeaderWalker(CTImageStorage).read(buffer)
    buffer.seek(0)
    (general,) = frames_by_pydicom(buffer)
    path = Path("file")
    decode = PlaneDecoder().plane
    return (None if walked is None else decode(path, walked)), PlaneDecoder().plane(path, general)


def test_what_a_plane_says(tmp_path):
    ds = ct_dataset(
        PIXELS.astype(np.uint16),
        position_mm=(-1.5, 2.25, 30.125),
        slope=0.5,
        intercept=-1000,
        PixelPaddingValue=63536,
        GantryDetectorTilt="-2.5",
        ImageComments="bemerkung: größer",
        KVP="70",
    )
    save(ds, tmp_path / "a" / "no-extension")
    (plane,) = scan_headers(tmp_path).planes
    assert plane.position_mm == (-1.5, 2.25, 30.125)
    assert plane.orientation == (1, 0, 0, 0, 1, 0)
    assert plane.pixel_spacing_mm == (0.8, 0.8)
    assert plane.slice_thickness_mm == 1.25
    # Full unsigned values are delivered less 32768, and rescale and padding with them.
    assert (plane.slope, plane.intercept) == (0.5, -1000 + 0.5 * 32768)
    assert plane.padding == (63536 - 32768, 63536 - 32768)
    assert plane.evidence.image_comments == "bemerkung: größer"
    assert plane.evidence.gantry_tilt_deg == -2.5
    assert plane.evidence.acquisition_datetime == "20240102101112"
    with plane.path.open("rb") as file:
        file.seek(plane.pixel_offset)
        assert file.read(plane.pixel_length) == PIXELS.tobytes()


def test_real_ge_headers():
    scan = scan_headers(Path(__file__).parents[1] / "data" / "liver-ct")
    planes = sorted(scan.planes, key=lambda plane: plane.path.name)
    assert [plane.path.name for plane in planes] == ["01.dcm", "02.dcm", "03.dcm"]
    assert [plane.position_mm[2] for plane in planes] == [-126.690002, -127.690002, -128.690002]
    assert planes[0].padding == (-2000, -2000)
    assert planes[0].format.transfer_syntax_uid == ImplicitVRLittleEndian
    assert planes[0].evidence is planes[2].evidence
    reasons = {one.path.name: one.reason for one in scan.skipped}
    assert reasons["liver.dcm"] == "not a CT image but Segmentation Storage"
    assert reasons["README.md"] == "not DICOM"


def test_planted_among_other_files(tmp_path):
    save(ct_dataset(PIXELS), tmp_path / "ct")
    for name, sop_class in (("sr", BasicTextSRStorage), ("sc", SecondaryCaptureImageStorage)):
        ds = ct_dataset(PIXELS, SOPClassUID=sop_class)
        ds.file_meta.MediaStorageSOPClassUID = sop_class
        save(ds, tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "empty").touch()
    (tmp_path / "broken").write_bytes((tmp_path / "ct").read_bytes()[:400])
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    scan = scan_headers(tmp_path)
    assert [plane.path.name for plane in scan.planes] == ["ct"]
    reasons = {one.path.name: one.reason for one in scan.skipped}
    assert set(reasons) == {"sr", "sc", "notes.txt", "empty", "broken", "dangling"}
    assert reasons["sr"] == "not a CT image but Basic Text SR Storage"
    assert reasons["empty"] == "not DICOM"
    assert scan.n_files == 7


def test_order_does_not_depend_on_the_file_system(tmp_path):
    for name in ("b", "a", "c/a", "c/B"):
        save(ct_dataset(PIXELS), tmp_path / name)
    assert [plane.path.relative_to(tmp_path).as_posix() for plane in scan_headers(tmp_path).planes] == [
        "a", "b", "c/B", "c/a",
    ]  # fmt: skip


@pytest.mark.parametrize("make", [lambda path: path / "none", lambda path: path])
def test_no_folder_and_empty_folder_are_refused(tmp_path, make):
    with pytest.raises(InputError, match="DICOM export"):
        scan_headers(make(tmp_path))


def test_progress_reaches_the_end(tmp_path):
    save(ct_dataset(PIXELS), tmp_path / "ct")
    seen = []
    scan_headers(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (1, 1)


@pytest.mark.parametrize("wrap", ["top", "characteristics", "processing-undefined-length"])
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_monoenergetic_energy_wherever_it_stands(wrap, syntax):
    ds = ct_dataset(PIXELS)
    if wrap == "top":
        ds.MonoenergeticEnergyEquivalent = 65.0
    else:
        item = Dataset()
        item.MonoenergeticEnergyEquivalent = 65.0
        keyword = {"characteristics": "MultienergyCTCharacteristicsSequence"}.get(
            wrap, "MultienergyCTProcessingSequence"
        )
        setattr(ds, keyword, Sequence([item]))
        if "undefined" in wrap:
            ds[keyword].is_undefined_length = True
            item.is_undefined_length_sequence_item = True
    walked, general = both_planes(encoded(ds, syntax))
    assert general.evidence.mono_energy_kev == 65.0
    assert walked is None if syntax == DeflatedExplicitVRLittleEndian else walked == general


def test_private_text_that_names_a_kev_is_evidence():
    ds = ct_dataset(PIXELS)
    block = ds.private_block(0x0043, "GEMS_PARM_01", create=True)
    block.add_new(0x20, "LO", "GSI 55 keV")
    block.add_new(0x21, "LO", "nothing")
    walked, general = both_planes(encoded(ds))
    assert walked.evidence.private == (("GEMS_PARM_01:20", "GSI 55 keV"),)
    assert walked == general


def test_equal_private_groups_are_stepped_over_and_different_ones_are_not():
    walker = HeaderWalker(CTImageStorage)
    for kev in (40, 40, 50, 50, 40):
        ds = ct_dataset(PIXELS)
        ds.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x20, "LO", f"{kev} keV")
        assert walker.read(encoded(ds)).private == (("GEMS_PARM_01:20", f"{kev} keV"),)


def test_big_endian_gives_the_same_plane():
    ds = ct_dataset(PIXELS, PixelPaddingValue=-2000, MonoenergeticEnergyEquivalent=40.0)
    _, little = both_planes(encoded(ds))
    buffer = io.BytesIO()
    big = dcmread(encoded(ds))
    big.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    big.PixelData = PIXELS.astype(">i2").tobytes()
    big["PixelData"].VR = "OW"
    dcmwrite(buffer, big, implicit_vr=False, little_endian=False, enforce_file_format=True)
    buffer.seek(0)
    walked, found = both_planes(buffer)
    assert walked is None
    assert (found.padding, found.evidence.mono_energy_kev) == ((-2000, -2000), 40.0)
    assert (found.format.rows, found.format.columns) == (little.format.rows, little.format.columns)
    assert found.pixel_offset > 0


def test_a_header_longer_than_the_first_read():
    ds = ct_dataset(PIXELS)
    ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", b"\1" * 300_000)
    walked, general = both_planes(encoded(ds))
    assert walked == general
    assert walked.pixel_offset > 300_000


TEXT = st.text(
    st.characters(codec="latin-1", exclude_characters="\\^=", min_codepoint=32), max_size=30
)
DECIMAL = st.floats(-3000, 3000, allow_nan=False).map(lambda value: f"{value:.6g}")


@st.composite
def headers(draw):
    unsigned = draw(st.booleans())
    bits = draw(st.sampled_from([12, 16]))
    pixels = PIXELS.astype(np.uint16 if unsigned else np.int16)
    ds = ct_dataset(
        pixels,
        SpecificCharacterSet=draw(st.sampled_from(["ISO_IR 192", "ISO_IR 100", "", None])),
        RescaleSlope=draw(DECIMAL),
        RescaleIntercept=draw(st.one_of(DECIMAL, st.none())),
        ImagePositionPatient=draw(st.one_of(st.lists(DECIMAL, min_size=3, max_size=3), st.none())),
        ImageOrientationPatient=draw(
            st.sampled_from([[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], None])
        ),
        PixelSpacing=draw(st.sampled_from([[0.5, 0.75], None])),
        SliceThickness=draw(st.sampled_from(["1.25", "", "0"])),
        KVP=draw(st.sampled_from(["70", "120.0 ", "", None])),
        AcquisitionNumber=draw(st.sampled_from(["1", "", None])),
        InstanceNumber=draw(st.integers(0, 2**31 - 1)),
        BitsStored=bits,
        HighBit=bits - 1,
    )
    if ds.get("SpecificCharacterSet") in ("ISO_IR 192", "ISO_IR 100"):
        ds.ImageComments = draw(TEXT)
        ds.SeriesDescription = draw(TEXT)
    if draw(st.booleans()):
        low, high = (0, 65535) if unsigned else (-32768, 32767)
        for keyword in draw(
            st.sampled_from(
                [("PixelPaddingValue",), ("PixelPaddingValue", "PixelPaddingRangeLimit")]
            )
        ):
            ds.add_new(keyword, "US" if unsigned else "SS", draw(st.integers(low, high)))
    for group in draw(st.lists(st.sampled_from([0x09, 0x19, 0x43]), unique=True)):
        block = ds.private_block(group, "GEMS_TEST_01", create=True)
        block.add_new(1, "LO", draw(st.sampled_from(["70 keV", "x"])))
        block.add_new(2, "OB", b"\0" * draw(st.sampled_from([0, 2, 66])))
        inner = Dataset()
        inner.CodeMeaning = "nested"
        block.add_new(3, "SQ", Sequence([inner] * draw(st.integers(0, 2))))
        ds[block.get_tag(3)].is_undefined_length = draw(st.booleans())
        inner.is_undefined_length_sequence_item = draw(st.booleans())
    return ds


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(headers(), st.sampled_from([None, ImplicitVRLittleEndian]))
def test_walker_and_pydicom_agree(ds, syntax):
    walked, general = both_planes(encoded(ds, syntax))
    assert walked is not None
    assert walked == general


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_headers_never_raise(data):
    raw = bytearray(encoded(ct_dataset(PIXELS)).getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(132, len(raw) - 1))] = data.draw(st.integers(0, 255))
    HeaderWalker(CTImageStorage).read(io.BytesIO(bytes(raw)))


def test_file_without_preamble_or_meta_is_still_read(tmp_path):
    ds = ct_dataset(PIXELS)
    buffer = io.BytesIO()
    del ds.file_meta
    ds.preamble = None
    dcmwrite(buffer, Dataset(ds), implicit_vr=True, little_endian=True)
    (tmp_path / "bare").write_bytes(buffer.getvalue())
    (plane,) = scan_headers(tmp_path).planes
    raw = (tmp_path / "bare").read_bytes()
    assert raw[plane.pixel_offset :][: plane.pixel_length] == PIXELS.tobytes()
    assert (
        struct.unpack("<L", raw[plane.pixel_offset - 4 : plane.pixel_offset])[0]
        == plane.pixel_length
    )


def test_enhanced_multi_frame_gives_a_plane_per_frame(tmp_path):
    from tests.support.enhanced import enhanced_ct

    volume = np.arange(3 * 6 * 8, dtype=np.int16).reshape(3, 6, 8)
    save(
        enhanced_ct(volume, z_mm=[5.0, 0.0, 2.5], energies_kev=[40, 70, 70], slopes=[1, 2, 1]),
        tmp_path / "mf",
    )
    planes = scan_headers(tmp_path).planes
    assert [plane.frame for plane in planes] == [0, 1, 2]
    assert [plane.position_mm[2] for plane in planes] == [5.0, 0.0, 2.5]
    assert [plane.evidence.mono_energy_kev for plane in planes] == [40, 70, 70]
    assert [plane.slope for plane in planes] == [1, 2, 1]
    assert {plane.pixel_spacing_mm for plane in planes} == {(0.8, 0.8)}
    raw = (tmp_path / "mf").read_bytes()
    for plane, image in zip(planes, volume, strict=True):
        assert raw[plane.pixel_offset :][: plane.pixel_length] == image.tobytes()


def test_sop_class_of_the_fixture():
    assert ct_dataset(PIXELS).SOPClassUID == CTImageStorage
