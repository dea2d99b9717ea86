"""Coded materials of multi-energy images, and text whose character set is not declared."""

from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from gsigpu.dicom.model import SeriesKind
from gsigpu.dicom.reading.headers import scan_headers
from gsigpu.dicom.reading.undeclared_text import decode_undeclared
from gsigpu.dicom.study.read_study import read_study
from tests.support.dicom_files import ct_dataset, save
from tests.support.enhanced import enhanced_ct
from tests.support.headers import code, with_material

PIXELS = np.zeros((4, 4), np.int16)
WATER, IODINE = code("11713004", "Water"), code("44588005", "Iodine")


def scanned(ds, tmp_path):
    (plane,) = scan_headers(save(ds, tmp_path / "a.dcm").parent).planes
    return plane.evidence


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
)
@pytest.mark.parametrize("undefined", [True, False])
def test_a_coded_material_is_read_in_every_encoding(syntax, undefined, tmp_path):
    ds = ct_dataset(PIXELS)
    with_material(ds, IODINE)
    ds["MultienergyCTCharacteristicsSequence"].is_undefined_length = undefined
    buffer = BytesIO()
    little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    first = BytesIO()
    ds.save_as(first, enforce_file_format=True)
    first.seek(0)
    again = dcmread(first)  # what was read may be written in another encoding
    again.file_meta.TransferSyntaxUID = syntax
    dcmwrite(buffer, again, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    (tmp_path / "a.dcm").write_bytes(buffer.getvalue())
    (plane,) = scan_headers(tmp_path).planes
    assert plane.evidence.materials == ("Iodine",)


def test_the_basis_of_a_decomposition_does_not_tell_what_is_shown(tmp_path):
    ds = ct_dataset(PIXELS)
    with_material(ds, WATER, IODINE, keyword="MultienergyCTProcessingSequence")
    assert scanned(ds, tmp_path).materials == ()
    with_material(ds, IODINE, keyword="MultienergyCTProcessingSequence")
    assert scanned(ds, tmp_path).materials == ("Iodine",)
    with_material(ds, WATER)
    assert scanned(ds, tmp_path).materials == ("Water",)


def test_a_damaged_material_sequence_tells_nothing(tmp_path):
    ds = ct_dataset(PIXELS)
    with_material(ds, IODINE)
    path = save(ds, tmp_path / "a.dcm")
    raw = path.read_bytes()
    at = raw.index(b"\x18\x00\x7d\x93SQ")
    path.write_bytes(raw[: at + 4] + b"ZZ" + raw[at + 6 :])
    (plane,) = scan_headers(tmp_path).planes or (None,)
    assert plane is None or plane.evidence.materials in ((), ("Iodine",))


def test_functional_groups_tell_the_kind_of_each_frame(tmp_path):
    """Supplement 188 in an enhanced object: value 5 of Frame Type, and the material in its macro."""
    ds = enhanced_ct(np.zeros((4, 4, 4), np.int16), z_mm=[0, 0, 2.5, 2.5])
    del ds.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence
    for frame, groups in enumerate(ds.PerFrameFunctionalGroupsSequence):
        frame_type = Dataset()
        is_map = frame % 2 == 1
        frame_type.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE", "MAT_SPECIFIC" if is_map else "VMI"]  # fmt: skip
        groups.CTImageFrameTypeSequence = [frame_type]
        if is_map:
            with_material(groups, IODINE)
        else:
            item = Dataset()
            item.MonoenergeticEnergyEquivalent = 55.0
            groups.MultienergyCTCharacteristicsSequence = [item]
    ds.SeriesDescription = "Spectral"
    save(ds, tmp_path / "mf")
    kinds = {
        (series.kind, series.energy_kev, len(series.planes))
        for series in read_study(tmp_path).series
    }
    assert kinds == {(SeriesKind.VMI, 55.0, 2), (SeriesKind.IODINE, None, 2)}


@pytest.mark.parametrize("says_latin", [True, False])
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("动脉期 70 keV", "gb18030"),
        ("门脉期", "gb18030"),
        ("平扫 70 keV", "gb18030"),  # whose bytes are UTF-8 by their form
        ("虚拟平扫", "gb18030"),
        ("碘(水)平扫", "gb18030"),
        ("portal venös 70 keV", "latin-1"),
        ("Größe über äußerst", "latin-1"),
        ("phase artérielle tardive", "latin-1"),
        ("fase tardía, señal", "latin-1"),
        ("Leber venös", "utf-8"),
        ("静脉期", "utf-8"),
        ("Артериальная фаза", "utf-8"),
        ("ヨード密度", "utf-8"),
        ("MonoE ≈Conventional", "utf-8"),
    ],
)
def test_undeclared_text_survives(text, encoding, says_latin):
    assert decode_undeclared(text.encode(encoding), says_latin=says_latin) == text


@pytest.mark.parametrize("declared", [None, "ISO_IR 100"])
def test_chinese_bytes_without_their_character_set_give_phase_and_kind(declared, tmp_path):
    ds = ct_dataset(PIXELS, SpecificCharacterSet="GB18030", description="静脉期 70 keV")
    path = save(ds, tmp_path / "a.dcm")
    raw = path.read_bytes()
    name = b"\x08\x00\x05\x00CS\x08\x00GB18030 "
    assert name in raw
    other = b"" if declared is None else b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"
    path.write_bytes(raw.replace(name, other))
    (series,) = read_study(tmp_path).series
    assert series.evidence.series_description == "静脉期 70 keV"
    assert (series.energy_kev, series.phase) == (70.0, "PVP")
