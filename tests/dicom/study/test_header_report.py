"""The header summary that a user sends in names nobody."""

import json
import re

import numpy as np
import pytest
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.tag import Tag

from gsigpu.dicom.study.header_report import header_report, masked
from gsigpu.dicom.study.read_study import read_study
from tests.support.dicom_files import ct_dataset, save
from tests.support.headers import rows, write_row

# A person of whom every part would show: Latin and other letters, numbers.
_NAMES = ("Zyxwold", "Quirin", "4711234", "王小明", "Portal")
_TEXT_VRS = ("AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR")


def planted(vr):
    text = {
        "AE": "ZYXWOLD 4711234",
        "AS": "047Y",
        "CS": "ZYXWOLD",
        "UR": "urn:Zyxwold:4711234",
        "SH": "Zyxwold 4711234",
        "PN": "Zyxwold^Quirin Portal=王^小明",
    }
    return text.get(vr, "Zyxwold Quirin 4711234 王小明 12.03.1957")


def test_identities_planted_in_every_text_element_do_not_come_out(tmp_path):
    """All standard elements of a text VR that a CT header can hold, and private ones."""
    ds = ct_dataset(np.zeros((4, 4), np.int16))
    n_planted = 0
    for tag, (vr, vm, _name, retired, _keyword) in DicomDictionary.items():
        group = tag >> 16
        is_text = vr in _TEXT_VRS and "1" in vm.split("-")[0]
        if not is_text or retired or group in (0x0002, 0x0000, 0x0004) or group >= 0x0100:
            continue
        if Tag(tag) in (0x00080005, 0x00080060) or "UID" in keyword_for_tag(tag):
            continue  # how the file is to be read
        ds.add_new(tag, vr, planted(vr))
        n_planted += 1
    block = ds.private_block(0x0053, "Zyxwold Systems", create=True)
    block.add_new(0x20, "LO", "Zyxwold 70 keV")
    ds.ImageType = ["DERIVED", "PRIMARY", "ZYXWOLD"]
    ds.SeriesDescription = "Zyxwold Abdomen 70 keV 王小明 4711234"
    save(ds, tmp_path / "a.dcm")
    study = read_study(tmp_path)
    text = json.dumps(header_report(study), ensure_ascii=False)
    assert n_planted > 500
    assert len(study.series) == 1
    for name in (*_NAMES, "1957", "12.03", "小明", "王"):
        assert name.casefold() not in text.casefold(), name
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", text)  # no UIDs
    assert "Abdomen 70 keV" in text  # what is known stays


def test_no_uid_path_or_date_stands_in_a_report(tmp_path):
    save(ct_dataset(np.zeros((4, 4), np.int16)), tmp_path / "Zyxwold" / "a.dcm")
    (tmp_path / "Zyxwold" / "notes.txt").write_text("x" * 400)
    study = read_study(tmp_path / "Zyxwold")
    text = json.dumps(header_report(study))
    for series in study.series:
        assert series.key not in text
    for secret in ("Zyxwold", str(tmp_path), "20240102", "101112", "Planted"):
        assert secret not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Mueller Abdomen Mono 70 keV", "xxx Abdomen Mono 70 keV"),
        ("MonoE 70keV[HU]", "MonoE 70keV[HU]"),
        ("Anna Schmidt *12.03.1957", "xxx *#"),
        ("4711234", "#"),
        ("+49 89 1234567", "+49 89 #"),
        ("王小明 动脉期 70keV", "xxx 动脉期 70keV"),
        ("1.2.840.113619.2.55", "#"),
        ("", ""),
    ],
)
def test_masking(text, shown):
    assert masked(text) == shown


def test_a_word_of_the_vocabulary_is_hidden_where_it_is_a_name(tmp_path):
    ds = ct_dataset(
        np.zeros((4, 4), np.int16), description="Stone Portal 70 keV", PatientName="Portal^Stone"
    )
    save(ds, tmp_path / "a.dcm")
    (series,) = header_report(read_study(tmp_path))["series"]
    assert series["series_description"] == "xxx 70 keV"
    (series,) = header_report(read_study(tmp_path), shown=["Portal"])["series"]
    assert series["series_description"] == "xxx 70 keV"


def test_words_may_be_shown_on_request(tmp_path):
    save(
        ct_dataset(np.zeros((4, 4), np.int16), description="Spectralix 70 keV"), tmp_path / "a.dcm"
    )
    study = read_study(tmp_path)
    assert header_report(study)["series"][0]["series_description"] == "xxx 70 keV"
    assert header_report(study, shown=["spectralix"])["series"][0]["series_description"] == (
        "Spectralix 70 keV"
    )


def test_the_wording_of_vendors_stays_readable(tmp_path):
    """Of the header table's documented and real descriptions, at most one word in twenty is masked."""
    n_words = n_masked = 0
    for row in rows("spectral-headers.csv"):
        if row["certainty"] in "RD":
            shown = masked(row["series_description"])
            n_words += len(row["series_description"].split())
            n_masked += shown.count("xxx")
    assert n_masked <= n_words / 20
    write_row(rows("spectral-headers.csv")[0], tmp_path)
    (series,) = header_report(read_study(tmp_path))["series"]
    assert series["image_type"] == ["DERIVED", "SECONDARY", "AXIAL", "VMI", "ME60KEV", "DEMEP"]


def test_where_the_persons_cannot_be_read_every_text_is_masked(tmp_path):
    path = save(ct_dataset(np.zeros((4, 4), np.int16)), tmp_path / "a.dcm")
    study = read_study(tmp_path)
    path.write_bytes(b"")
    (series,) = header_report(study)["series"]
    assert {series["series_description"], series["manufacturer"], *series["evidence"]} == {"xxx"}
    assert (series["kind"], series["energy_kev"]) == ("vmi", 70.0)
