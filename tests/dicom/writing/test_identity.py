"""Who a study is of, read without pydicom, is what pydicom reads."""

import numpy as np
import pydicom.uid
import pytest
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, tag_for_keyword

from gsigpu.dicom.reading import element_values, sop_classes
from gsigpu.dicom.reading.header_walk import HeaderWalker
from gsigpu.dicom.writing import identity
from gsigpu.dicom.writing.identity import identity_of
from tests.support.dicom_files import ct_dataset

ALL = {
    "PatientName": "Last^First^Middle^Dr",
    "OtherPatientNames": ["Maiden^First", "Nick"],
    "PatientBirthName": "Maiden",
    "PatientMotherBirthName": "Mother^M.",
    "ReferringPhysicianName": "Quack^Otto, MD",
    "PerformingPhysicianName": ["One^A", " Two^B "],
    "OperatorsName": "Op",
    "PhysiciansOfRecord": "Rec^Ord",
    "PatientID": "HN-4711 XQ",
    "OtherPatientIDs": ["19480229", "B 2"],
    "PatientBirthDate": "19480229",
    "AccessionNumber": "ACC1",
    "PatientAddress": "1 High Street",
    "PatientTelephoneNumbers": ["+49 1", "2"],
    "InstitutionName": "Hospital ~ |",
    "StudyID": "7",
    "AdmissionID": "ADM",
    "RequestedProcedureID": "RP 1",
}
PLAIN = {
    "all": {},
    "odd lengths": {"PatientName": "A^B", "PatientID": "1234567"},
    "empty": dict.fromkeys(ALL, ""),
    "absent": dict.fromkeys(ALL),
    "Latin-1 declared": {"SpecificCharacterSet": "ISO_IR 100"},
    "nothing declared": {"SpecificCharacterSet": None},
}
NOT_PLAIN = {
    "UTF-8": {"PatientName": "Müller^Änne"},
    "three scripts": {"PatientName": "Yamada^Tarou=山田^太郎"},
    "ASCII representations": {"PatientName": "Wang^Xiao=Wang^X"},
    "code extensions": {
        "SpecificCharacterSet": ["ISO 2022 IR 6", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎",
    },
    "yen for backslash": {"SpecificCharacterSet": "ISO_IR 13", "PatientID": "A~B"},
    "unknown set": {"SpecificCharacterSet": "ISO_IR 999"},
    "a control character": {"PatientID": "A\tB"},
}


def dataset(attributes):
    """Of a person; an attribute of None is left out."""
    ds = ct_dataset(np.zeros((2, 2), np.int16))
    for keyword, value in (ALL | attributes).items():
        if value is None:
            ds.pop(tag_for_keyword(keyword), None)
        else:
            setattr(ds, keyword, value)
    return ds


def written(folder, attributes):
    path = folder / "file"
    dataset(attributes).save_as(path)
    return path


def by_pydicom_alone(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(identity, "_plain", lambda path: None)
        return identity_of([path])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [*PLAIN, *NOT_PLAIN])
@pytest.mark.parametrize("implicit", [False, True])
def test_words_are_those_of_pydicom(tmp_path, monkeypatch, name, implicit):
    attributes = (PLAIN | NOT_PLAIN)[name]
    ds = dataset(attributes)
    if implicit:
        ds.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    path = tmp_path / "file"
    ds.save_as(path, implicit_vr=implicit, little_endian=True)
    words = identity_of([path])
    assert words == by_pydicom_alone(path, monkeypatch)
    assert bool(words) == (name not in ("empty", "absent"))
    assert (identity._plain(path) is None) == (name in NOT_PLAIN)


def test_padding_of_any_kind_is_no_part_of_a_word(tmp_path, monkeypatch):
    path = written(tmp_path, {"PatientID": "padded-id--", "PatientBirthDate": "19480229"})
    content = path.read_bytes()
    for old, new in (
        (b"padded-id-- ", b"padded-id\0\0\0"),
        (b"Maiden^First\\Nick", b"Maiden^Fir \\ Nick"),
    ):
        assert content.count(old) == 1
        content = content.replace(old, new)
    path.write_bytes(content)
    assert identity._plain(path) is not None
    assert identity_of([path]) == by_pydicom_alone(path, monkeypatch)
    assert "padded-id" in identity_of([path])


@pytest.mark.parametrize("vr", [b"UN", b"SH", b"OB"])
def test_another_representation_is_left_to_pydicom(tmp_path, monkeypatch, vr):
    path = written(tmp_path, {})
    tag = b"\x10\x00\x20\x00"
    content = path.read_bytes()
    at = content.index(tag + b"LO")
    length = content[at + 6 : at + 8]
    long = vr in (b"UN", b"OB")
    head = tag + vr + (b"\0\0" + length + b"\0\0" if long else length)
    path.write_bytes(content[:at] + head + content[at + 8 :])
    assert identity._plain(path) is None
    assert identity_of([path]) == by_pydicom_alone(path, monkeypatch)


def test_a_file_that_is_no_dicom_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "by_pydicom", None)
    for content in (b"", b"short", b"\0" * 128 + b"DICN" + b"\x10\0\x20\0LO\4\0LAST"):
        (tmp_path / "file").write_bytes(content)
        assert identity_of([tmp_path / "file"]) == []


def test_tags_are_those_of_the_dictionary():
    for keyword, (tag, vr) in (identity._PERSONS | identity._WHOLE).items():
        assert (tag_for_keyword(keyword), dictionary_VR(tag)) == (tag, vr)


def test_sop_classes_are_those_of_the_standard():
    assert pydicom.uid.CTImageStorage == sop_classes.CT_IMAGE_STORAGE
    assert pydicom.uid.EnhancedCTImageStorage == sop_classes.ENHANCED_CT_IMAGE_STORAGE
    legacy = sop_classes.LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE
    assert legacy == pydicom.uid.LegacyConvertedEnhancedCTImageStorage
    assert pydicom.uid.MediaStorageDirectoryStorage == sop_classes.MEDIA_STORAGE_DIRECTORY


def test_character_sets_are_those_of_pydicom():
    for declared, encodings in element_values._ENCODINGS.items():
        assert encodings == convert_encodings([declared])


@pytest.mark.parametrize("syntax", [*map(str, pydicom.uid.AllTransferSyntaxes), "1.2.3.4"])
def test_headers_of_every_syntax_of_the_standard_are_walked_but_two(syntax, tmp_path):
    ds = ct_dataset(np.zeros((2, 2), np.int16))
    path = tmp_path / "file"
    ds.save_as(path)
    content = path.read_bytes()
    written_syntax = str(pydicom.uid.ExplicitVRLittleEndian).encode() + b"\0"
    other = syntax.encode() + b"\0" * (len(syntax) % 2)
    at = content.index(written_syntax)
    head = content[: at - 2] + len(other).to_bytes(2, "little") + other
    group_length = int.from_bytes(content[140:144], "little") + len(other) - len(written_syntax)
    content = head[:140] + group_length.to_bytes(4, "little") + head[144:] + content[at + 20 :]
    path.write_bytes(content)
    with path.open("rb") as file:
        is_walked = HeaderWalker(sop_classes.CT_IMAGE_STORAGE).read(file) is not None
    odd = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.3.4")
    assert is_walked == (syntax not in odd)  # implicit: the file's elements are explicit
