"""What all objects derived from a study share: patient, study and equipment modules, references.

Copied from the source is what the Patient, General Study and Frame of Reference modules need, and how
and where the patient lay; nothing else: no private elements, no institution, no operators or physicians, no device numbers.
Dates and times are the source's, so that the same input gives the same bytes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

import gsigpu
from gsigpu.dicom.model import Plane
from gsigpu.maps.definitions import Code

IMPLEMENTATION_CLASS_UID = "2.25.188117363212935402842371034217018443073"
_SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")

# (keyword, written even if the source has none)
_COPIED = (
    ("PatientName", True),
    ("PatientID", True),
    ("PatientBirthDate", True),
    ("PatientSex", True),
    ("StudyInstanceUID", True),
    ("StudyDate", True),
    ("StudyTime", True),
    ("StudyID", True),
    ("AccessionNumber", True),
    ("StudyDescription", False),
    ("FrameOfReferenceUID", True),
    ("PositionReferenceIndicator", True),
    ("PatientPosition", False),
    ("BodyPartExamined", False),
)


def source_header(plane: Plane) -> FileDataset:
    """The header of a source file, without pixel data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is odd in the source is not this program's to mend
        return dcmread(plane.path, stop_before_pixels=True, force=True)


def code_item(code: Code) -> Dataset:
    """An item of a code sequence (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning[:64]
    return item


def derived_dataset(source: FileDataset, sop_class_uid: str, sop_instance_uid: str) -> FileDataset:
    """A new object of the source's patient and study, with the modules that all objects share."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = f"GSIGPU_{gsigpu.__version__}"[:16]
    ds = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = source.get("SpecificCharacterSet") or "ISO_IR 192"
    ds.SOPClassUID = UID(sop_class_uid)
    ds.SOPInstanceUID = UID(sop_instance_uid)
    for keyword, always in _COPIED:
        value = source.get(keyword)
        if value not in (None, ""):
            setattr(ds, keyword, value)
        elif always:
            setattr(ds, keyword, "")
    if "BodyPartExamined" not in ds:  # then PS3.3 asks for Laterality, which may be empty
        ds.Laterality = ""
    ds.ReferringPhysicianName = ""
    for what in ("Series", "Content"):
        ds.add_new(f"{what}Date", "DA", _first(source, "ContentDate", "SeriesDate", "StudyDate"))
        ds.add_new(f"{what}Time", "TM", _first(source, "ContentTime", "SeriesTime", "StudyTime"))
    ds.Manufacturer = "gsigpu"
    ds.ManufacturerModelName = "gsigpu"
    ds.SoftwareVersions = gsigpu.__version__
    ds.ContributingEquipmentSequence = [_equipment(source)]
    _carry_lossy_history(source, ds)
    return ds


def _first(source: Dataset, *keywords: str) -> str:
    return next((str(source.get(keyword)) for keyword in keywords if source.get(keyword)), "")


def _equipment(source: Dataset) -> Dataset:
    """The scanner that acquired the source; gsigpu itself is the equipment of the new object."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [
        code_item(Code("109101", "DCM", "Acquisition Equipment"))
    ]
    item.Manufacturer = source.get("Manufacturer") or "unknown"
    if source.get("ManufacturerModelName"):
        item.ManufacturerModelName = source.ManufacturerModelName
    return item


def _carry_lossy_history(source: Dataset, ds: Dataset) -> None:
    """Once lossy, always lossy (PS3.3 C.7.6.1.1.5)."""
    if source.get("LossyImageCompression") == "01":
        ds.LossyImageCompression = "01"
        for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if source.get(keyword):
                setattr(ds, keyword, source.get(keyword))


def source_image_items(planes: Sequence[Plane], uids: Sequence[str]) -> list[Dataset]:
    """Items of Source Image Sequence, of undefined length.

    uids : what to write as SOP Instance UID of each plane, which may be markers
    """
    items = []
    for plane, uid in zip(planes, uids, strict=True):
        item = Dataset()
        item.ReferencedSOPClassUID = UID(plane.evidence.sop_class_uid)
        item.ReferencedSOPInstanceUID = UID(uid)
        if plane.evidence.n_frames > 1:
            item.ReferencedFrameNumber = plane.frame + 1
        item.PurposeOfReferenceCodeSequence = [code_item(_SOURCE_IMAGE)]
        item.is_undefined_length_sequence_item = True
        items.append(item)
    return items
