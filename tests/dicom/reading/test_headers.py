"""The header scan finds every CT image, says what else there is, and agrees with pydicom."""

import io
import os
import struct
import sys
from dataclasses import replace

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
    LegacyConvertedEnhancedCTImageStorage,
    SecondaryCaptureImageStorage,
)

from gsigpu.dicom.reading.element_values import integer
from gsigpu.dicom.reading.header_walk import HeaderWalker
from gsigpu.dicom.reading.headers import DamagedImage, NotAnImage, frames_by_pydicom, scan_headers
from gsigpu.dicom.reading.planes import PlaneDecoder
from gsigpu.errors import InputError
from tests.support.dicom_files import ct_dataset, save
from tests.support.places import DATA

PIXELS = np.arange(6 * 8, dtype=np.int16).reshape(6, 8)


def encoded(ds, syntax=None):
    if syntax is not None:
        ds.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True, overwrite=True)
    buffer.seek(0)
    return buffer


def plane_of(elements):
    return PlaneDecoder().plane("file", elements)


def both_planes(buffer):
    """The plane by the walker and the plane by pydicom."""
    walked = HeaderWalker(CTImageStorage).read(buffer)
    buffer.seek(0)
    (general,) = frames_by_pydicom(buffer)
    return (None if walked is None else plane_of(walked)), plane_of(general)


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


@pytest.mark.parametrize(
    ("attributes", "padding"),
    [
        ({"slope": 1, "intercept": -1024}, (-32768, -476)),  # -476 - 1024 = -1500 HU
        ({"slope": 0.5, "intercept": 0}, (-32768, -3000)),
        ({"slope": 1, "intercept": -1024, "PixelPaddingValue": -2000}, (-32768, -476)),
        ({"slope": 0.1, "intercept": 0, "RescaleType": "MGML"}, None),
        ({"slope": -1, "intercept": 0}, None),
        ({"slope": 1, "intercept": -40000}, (-32768, 32767)),
        ({"slope": 1, "intercept": 32000}, None),
    ],
)
def test_what_no_tissue_can_be_is_outside_even_where_the_header_does_not_say_so(
    tmp_path, attributes, padding
):
    save(ct_dataset(PIXELS, **attributes), tmp_path / "a")
    (plane,) = scan_headers(tmp_path).planes
    assert plane.padding == padding


def test_real_ge_headers():
    scan = scan_headers(DATA / "liver-ct")
    planes = sorted(scan.planes, key=lambda plane: plane.path.name)
    assert [plane.path.name for plane in planes] == ["01.dcm", "02.dcm", "03.dcm"]
    assert [plane.position_mm[2] for plane in planes] == [-126.690002, -127.690002, -128.690002]
    assert planes[0].padding == (-32768, -476)  # -2000 is declared, and lies in it
    assert planes[0].format.transfer_syntax_uid == ImplicitVRLittleEndian
    assert planes[0].evidence is planes[2].evidence
    reasons = {skipped.path.name: skipped.reason for skipped in scan.skipped}
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
    reasons = {skipped.path.name: skipped.reason for skipped in scan.skipped}
    assert set(reasons) == {"sr", "sc", "notes.txt", "empty", "broken", "dangling"}
    assert reasons["sr"] == "not a CT image but Basic Text SR Storage"
    assert reasons["empty"] == "empty file"
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
    walked, parsed = both_planes(buffer)
    assert walked is None
    assert (parsed.padding, parsed.evidence.mono_energy_kev) == ((-32768, -1500), 40.0)
    assert (parsed.format.rows, parsed.format.columns) == (
        little.format.rows,
        little.format.columns,
    )
    assert parsed.pixel_offset > 0


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
        RescaleSlope=draw(DECIMAL.filter(lambda text: float(text) != 0)),
        RescaleIntercept=draw(DECIMAL),
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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(headers(), min_size=1, max_size=4), st.sampled_from([None, ImplicitVRLittleEndian]))
def test_walker_and_pydicom_agree(datasets, syntax):
    """One walker over several files, twice, so that they meet the templates of one another."""
    walker = HeaderWalker(CTImageStorage)
    files = [encoded(ds, syntax) for ds in datasets]
    for buffer in [*files, *files]:
        buffer.seek(0)
        walked = walker.read(buffer)
        buffer.seek(0)
        assert walked is not None
        assert plane_of(walked) == plane_of(*frames_by_pydicom(buffer))


def slices_of_a_series(n):
    """Headers that differ as those of a series do: lengths of values, an optional private element."""
    for i in range(n):
        ds = ct_dataset(
            PIXELS,
            position_mm=(-1.5, 2.25, 10.0 ** (i % 4)),
            instance_number=10**i,
            ImageComments="x" * (i % 3),
            AcquisitionTime=f"1011{i:02}.5",
        )
        block = ds.private_block(0x0043, "GEMS_PARM_01", create=True)
        block.add_new(0x20, "LO", f"{40 + 10 * (i // 2)} keV")
        if i % 3 == 0:
            block.add_new(0x21, "LO", "Mono 70 keV")
        item = Dataset()
        item.ReferencedSOPInstanceUID = f"1.2.{10**i}"
        ds.SourceImageSequence = [item]
        ds["SourceImageSequence"].is_undefined_length = True
        yield ds


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_slices_of_a_series_agree_with_pydicom_and_share_what_is_equal(syntax):
    walker, decoder = HeaderWalker(CTImageStorage), PlaneDecoder()
    planes = []
    for ds in slices_of_a_series(9):
        buffer = encoded(ds, syntax)
        planes.append(decoder.plane("file", walker.read(buffer)))
        buffer.seek(0)
        general = plane_of(*frames_by_pydicom(buffer))
        # Planes of a series share the times of its first file.
        shared = replace(planes[-1].evidence, acquisition_datetime="")
        assert shared == replace(general.evidence, acquisition_datetime="")
        assert replace(planes[-1], evidence=general.evidence) == general
    assert len({id(plane.format) for plane in planes}) == 1
    by_value = {plane.evidence for plane in planes}
    assert len({id(plane.evidence) for plane in planes}) == len(by_value)
    assert planes[0].evidence.private == (
        ("GEMS_PARM_01:20", "40 keV"),
        ("GEMS_PARM_01:21", "Mono 70 keV"),
    )


@pytest.fixture(scope="module")
def intact():
    ds = ct_dataset(PIXELS)
    ds.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x20, "LO", "70 keV")
    item = Dataset()
    item.CodeMeaning = "nested"
    ds.ProcedureCodeSequence = [item]
    ds["ProcedureCodeSequence"].is_undefined_length = True
    return [encoded(ds, syntax).getvalue() for syntax in (None, ImplicitVRLittleEndian)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_headers_never_raise_and_never_give_two_answers(intact, tmp_path_factory, data):
    """Damage where the walk does not look passes it; what both readers accept is the same plane."""
    raw = bytearray(data.draw(st.sampled_from(intact)))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(132, len(raw) - PIXELS.nbytes - 1))] = data.draw(
            st.integers(0, 255)
        )
    raw = raw[: data.draw(st.sampled_from([len(raw), len(raw) // 2]))]
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(raw)
    scan = scan_headers(path)
    assert len(scan.planes) + len(scan.skipped) == 1
    walked = HeaderWalker(CTImageStorage).read(io.BytesIO(raw))
    if walked is not None and scan.planes:
        try:
            (general,) = frames_by_pydicom(io.BytesIO(raw))
        except (NotAnImage, DamagedImage):
            return
        assert plane_of(walked) == plane_of(general)


@pytest.mark.parametrize("n_levels", [3, 400])
def test_deeply_nested_sequences(n_levels):
    inner = Dataset()
    inner.CodeMeaning = "deep"
    for _ in range(n_levels):
        outer = Dataset()
        outer.ProcedureCodeSequence = [inner]
        outer["ProcedureCodeSequence"].is_undefined_length = True
        inner.is_undefined_length_sequence_item = True
        inner = outer
    ds = ct_dataset(PIXELS)
    ds.ProcedureCodeSequence = inner.ProcedureCodeSequence
    ds["ProcedureCodeSequence"].is_undefined_length = True
    depth = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        buffer = encoded(ds)
    finally:
        sys.setrecursionlimit(depth)
    walked = HeaderWalker(CTImageStorage).read(buffer)
    assert walked is None or walked.pixel_length == PIXELS.nbytes


def test_energy_at_the_top_counts_before_the_sequences():
    ds = ct_dataset(PIXELS, MonoenergeticEnergyEquivalent=50.0)
    for keyword, kev in (
        ("MultienergyCTProcessingSequence", 60.0),
        ("MultienergyCTCharacteristicsSequence", 70.0),
    ):
        item = Dataset()
        item.MonoenergeticEnergyEquivalent = kev
        setattr(ds, keyword, [item])
    walked, general = both_planes(encoded(ds))
    assert walked == general
    assert walked.evidence.mono_energy_kev == 50.0
    del ds.MonoenergeticEnergyEquivalent
    walked, general = both_planes(encoded(ds))
    assert walked == general
    assert walked.evidence.mono_energy_kev == 70.0


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ("ISO_IR 144", "печень"),
        (["", "ISO 2022 IR 87"], "肝臓"),
        ("GB18030", "肝脏"),
        ("ISO_IR 192", "肝 70 keV"),
    ],
)
def test_character_sets(declared, text):
    ds = ct_dataset(PIXELS, SpecificCharacterSet=declared, SeriesDescription=text)
    walked, general = both_planes(encoded(ds))
    assert walked == general
    assert walked.evidence.series_description == text


@pytest.mark.parametrize("declared", ["NONSENSE", "rot13", "ISO_IR 999"])
def test_unknown_character_sets_still_give_a_plane(tmp_path, declared):
    raw = encoded(ct_dataset(PIXELS, SeriesDescription="größer")).getvalue()
    (tmp_path / "a").write_bytes(raw.replace(b"ISO_IR 192", declared.ljust(10).encode()))
    (plane,) = scan_headers(tmp_path).planes
    assert plane.evidence.series_description.startswith("gr")


def test_a_rescale_that_is_no_number_is_not_read_as_one(tmp_path):
    raw = encoded(ct_dataset(PIXELS, slope=1.5)).getvalue()
    (tmp_path / "a").write_bytes(raw.replace(b"1.5 ", b"1,5 "))
    scan = scan_headers(tmp_path)
    assert not scan.planes
    assert "Rescale Slope is no number: b'1,5 '" in scan.skipped[0].reason


@pytest.mark.parametrize(
    ("slope", "intercept", "reason"),
    [
        (None, "-1024", "without Rescale Slope"),
        ("1", None, "without Rescale Intercept"),
        ("", "-1024", "without Rescale Slope"),
        ("0", "-1024", "whose Rescale Slope is 0"),
    ],
)
def test_without_a_rescale_there_are_no_hu(tmp_path, slope, intercept, reason):
    save(ct_dataset(PIXELS, RescaleSlope=slope, RescaleIntercept=intercept), tmp_path / "a")
    (skipped,) = scan_headers(tmp_path).skipped
    assert skipped.reason == f"CT image {reason}"
    assert skipped.damaged


def test_damaged_files_are_told_from_other_files(tmp_path):
    raw = encoded(ct_dataset(PIXELS)).getvalue()
    (tmp_path / "broken").write_bytes(raw[:600])
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "note.txt").write_text("not an image")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    damaged = {skipped.path.name: skipped.damaged for skipped in scan_headers(tmp_path).skipped}
    assert damaged == {"broken": True, "empty": True, "note.txt": False, "gone": True}


def test_links_to_folders_are_followed_once(tmp_path):
    save(ct_dataset(PIXELS), tmp_path / "elsewhere" / "deep" / "a")
    study = tmp_path / "study"
    save(ct_dataset(PIXELS), study / "z" / "b")
    (study / "a").symlink_to(study / "z")
    (study / "loop").symlink_to(study)
    (study / "one").symlink_to(tmp_path / "elsewhere")
    (study / "two").symlink_to(tmp_path / "elsewhere" / "deep")
    names = [plane.path.relative_to(study).as_posix() for plane in scan_headers(study).planes]
    assert names == ["one/deep/a", "z/b"]


def test_a_named_pipe_does_not_block(tmp_path):
    save(ct_dataset(PIXELS), tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to-pipe").symlink_to(tmp_path / "pipe")
    assert scan_headers(tmp_path).n_files == 1


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"cannot be listed \(Permission denied\); check"):
        scan_headers(tmp_path)


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


def test_legacy_converted_keeps_what_classic_images_said(tmp_path):
    from tests.support.enhanced import enhanced_ct

    ds = enhanced_ct(np.stack([PIXELS, PIXELS]), z_mm=[0, 1])
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = LegacyConvertedEnhancedCTImageStorage
    unassigned = Dataset()
    unassigned.ImageComments = "Mono 55 keV"
    unassigned.GantryDetectorTilt = "-3"
    ds.SharedFunctionalGroupsSequence[0].UnassignedSharedConvertedAttributesSequence = [unassigned]
    save(ds, tmp_path / "mf")
    for plane in scan_headers(tmp_path).planes:
        assert plane.evidence.image_comments == "Mono 55 keV"
        assert plane.evidence.gantry_tilt_deg == -3


@pytest.mark.parametrize("n_frames", [1, 3, 2_000_000_000])
def test_frames_that_do_not_fit_their_groups_are_refused(tmp_path, n_frames):
    from tests.support.enhanced import enhanced_ct

    save(enhanced_ct(np.stack([PIXELS] * 2), z_mm=[0, 1], NumberOfFrames=1), tmp_path / "mf")
    raw = (tmp_path / "mf").read_bytes()
    two = bytes.fromhex("28000800") + b"IS\x02\x002 "
    claimed = f"{n_frames}".encode().ljust(10)
    (tmp_path / "mf").write_bytes(raw.replace(two, two[:6] + b"\x0a\x00" + claimed))
    (skipped,) = scan_headers(tmp_path).skipped
    assert skipped.reason == f"{n_frames} frames but 2 items of Per-Frame Functional Groups"


def test_a_classic_image_of_several_frames_is_refused(tmp_path):
    save(ct_dataset(PIXELS, NumberOfFrames=3), tmp_path / "a")
    save(ct_dataset(PIXELS, NumberOfFrames=1), tmp_path / "b")
    scan = scan_headers(tmp_path)
    assert [plane.path.name for plane in scan.planes] == ["b"]
    assert scan.skipped[0].reason == "CT Image Storage holds one frame, this file claims 3"


def test_philips_own_objects_are_named_with_what_to_do(tmp_path):
    ds = ct_dataset(PIXELS, SOPClassUID="1.3.46.670589.33.1.4.1")
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    save(ds, tmp_path / "sbi")
    (skipped,) = scan_headers(tmp_path).skipped
    assert "export monoenergetic series from the vendor's workstation" in skipped.reason


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (b"7 ", 7),
        (b"7\0", 7),
        (b" 7", 7),
        (b"-7", -7),
        (b"+7", 7),
        (b"7.0", 7),
        (b"007", 7),
        (b"7.5", None),
        (b"1_0", None),
        (b"\x007", None),
        (b"", None),
        (b"  ", None),
        (b"7\\8", 7),
        (b"9" * 5000, None),
        (b"9007199254740993", 9007199254740992),
        ("٧".encode(), None),
    ],
)
def test_integer_strings(raw, number):
    """The quick way of plain digits says what all others say."""
    assert integer(raw) == number
