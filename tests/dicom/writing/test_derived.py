"""What derived objects take from their source, and what they must not."""

import numpy as np
import pytest
from pydicom import dcmread

from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import select_stack
from gsigpu.dicom.writing.formats import FORMATS, open_sink, planes_for
from gsigpu.maps.registry import define_all
from tests.support.dicom_files import uid
from tests.support.stacks import errors_found_by_dciodvfy, float_map, oblique_stack

PRIVATE_GROUP = 0x0009
# None of these is needed by the Patient, General Study or Frame of Reference modules.
PLANTED = {
    "OtherPatientIDs": "PLANTED-OTHER-ID",
    "PatientAddress": "PLANTED ADDRESS",
    "PatientMotherBirthName": "PLANTED^MOTHER",
    "PatientTelephoneNumbers": "PLANTED-PHONE",
    "PatientComments": "PLANTED COMMENT",
    "MilitaryRank": "PLANTED RANK",
    "InstitutionName": "PLANTED HOSPITAL",
    "InstitutionAddress": "PLANTED STREET",
    "OperatorsName": "PLANTED^OPERATOR",
    "ReferringPhysicianName": "PLANTED^REFERRER",
    "PerformingPhysicianName": "PLANTED^PERFORMER",
    "NameOfPhysiciansReadingStudy": "PLANTED^READER",
    "RequestingPhysician": "PLANTED^REQUESTER",
    "StationName": "PLANTED STATION",
    "DeviceSerialNumber": "PLANTED-SERIAL",
    "ImageComments": "PLANTED IMAGE COMMENT",
    "RequestedProcedureDescription": "PLANTED PROCEDURE",
    "AdmissionID": "PLANTED-ADMISSION",
}


def write(folder, stack, output_format="ct"):
    definitions = planes_for(output_format, define_all(["lambda-hu", "iodine"]))
    folder.mkdir()
    maps = [float_map(stack, seed, largest=5) for seed, _ in enumerate(definitions)]
    with open_sink(output_format, folder, definitions, stack) as sink:
        for z in range(stack.geometry.shape[0]):
            sink.write(z, [np.nan_to_num(values[z]).astype(sink.dtype) for values in maps])
    return sorted(path for path in folder.rglob("*") if path.is_file())


def plant_private(study):
    for path in study.rglob("*.dcm"):
        ds = dcmread(path)
        block = ds.private_block(PRIVATE_GROUP, "PLANTED CREATOR", create=True)
        block.add_new(1, "LO", "PLANTED PRIVATE")
        ds.save_as(path)


@pytest.mark.parametrize("output_format", FORMATS)
def test_nothing_identifying_but_what_the_modules_need(tmp_path, output_format):
    oblique_stack(tmp_path / "study", **PLANTED)
    plant_private(tmp_path / "study")
    stack = select_stack(read_study(tmp_path / "study"))
    files = write(tmp_path / "out", stack, output_format)
    assert files
    for path in files:
        assert b"PLANTED" not in path.read_bytes().upper().replace(b"PLANTED^IDENTITY", b"")


def test_the_patient_and_study_are_kept(tmp_path):
    stack = oblique_stack(tmp_path / "study", PatientName="Müller^Jürgen", StudyDescription="Leber")
    source = dcmread(next((tmp_path / "study").rglob("*.dcm")))
    ds = dcmread(write(tmp_path / "out", stack)[0])
    assert ds.PatientName == "Müller^Jürgen"
    for keyword in (
        "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
        "StudyID", "AccessionNumber", "StudyDescription", "FrameOfReferenceUID", "PatientPosition",
    ):  # fmt: skip
        assert ds[keyword].value == source[keyword].value


ODD_SOURCES = {
    "nothing known": dict.fromkeys(
        ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber",
         "StudyID", "StudyDate", "StudyTime", "SeriesDate", "SeriesTime", "ContentDate",
         "ContentTime", "AcquisitionDate", "AcquisitionTime", "ReferringPhysicianName",
         "PositionReferenceIndicator", "PatientPosition", "Manufacturer", "SeriesNumber",
         "AcquisitionNumber", "SpecificCharacterSet")
    ),
    "empty": {"PatientName": "", "PatientID": "", "SeriesNumber": "", "PatientPosition": ""},
    "other character set": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎",
    },
    "de-identified": {"PatientIdentityRemoved": "YES", "DeidentificationMethod": "RSNA CTP"},
    "once lossy": {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "10.5",
        "LossyImageCompressionMethod": "ISO_10918_1",
    },
    "longest series number": {"SeriesNumber": 2**31 - 1},
    "paired body part": {"BodyPartExamined": "KIDNEY", "Laterality": "L"},
}  # fmt: skip


@pytest.mark.tools
@pytest.mark.parametrize("output_format", ["ct", "pm", "rgb"])
@pytest.mark.parametrize("what", ODD_SOURCES)
def test_odd_sources_give_valid_objects(tmp_path, what, output_format):
    stack = oblique_stack(tmp_path / "study", **ODD_SOURCES[what])
    path = write(tmp_path / "out", stack, output_format)[0]
    assert errors_found_by_dciodvfy(path) == []
    ds = dcmread(path)
    assert ds.StudyInstanceUID == uid("study")
    for keyword in ("LossyImageCompression", "PatientIdentityRemoved", "DeidentificationMethod"):
        if keyword in ODD_SOURCES[what]:
            assert ds[keyword].value == ODD_SOURCES[what][keyword]


def test_one_lossy_source_makes_the_map_lossy(tmp_path):
    """Whichever of the series it is; how it was compressed is told as that one tells it."""
    stack = oblique_stack(tmp_path / "study")
    for plane in stack.series[1].planes:
        ds = dcmread(plane.path)
        ds.LossyImageCompression, ds.LossyImageCompressionRatio = "01", "7.5"
        ds.save_as(plane.path)
    path = write(tmp_path / "out", select_stack(read_study(tmp_path / "study")), "ct")[0]
    ds = dcmread(path)
    assert (ds.LossyImageCompression, ds.LossyImageCompressionRatio) == ("01", 7.5)
    path = write(tmp_path / "before", oblique_stack(tmp_path / "again"), "ct")[0]
    assert "LossyImageCompression" not in dcmread(path)


@pytest.mark.tools
@pytest.mark.filterwarnings("ignore:Invalid value for VR")  # as it is written into the source
def test_malformed_values_are_left_empty(tmp_path):
    stack = oblique_stack(
        tmp_path / "study",
        PatientBirthDate="01.02.1950",
        PatientSex="female",
        StudyTime="10:11",
        PatientPosition="head first",
    )
    path = write(tmp_path / "out", stack)[0]
    assert errors_found_by_dciodvfy(path) == []
    ds = dcmread(path)
    assert [ds.PatientBirthDate, ds.PatientSex, ds.StudyTime, ds.PatientPosition] == [""] * 4
    assert ds.PatientID == "P1"
