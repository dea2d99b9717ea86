"""A DICOMDIR: the index of an export on a disc (DICOM PS3.3 Annex F).

Records form a tree of patient, study, series and instance. Each names the byte offsets of its next
sibling and its first child in the file, so all records are encoded once to learn their lengths, and
once more with the offsets filled in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import MediaStorageDirectoryStorage

from gsigpu.phantom.dicom_files import file_meta
from gsigpu.phantom.vendor_headers import item

_COPIED = {
    "PATIENT": ("PatientName", "PatientID"),
    "STUDY": (
        "StudyDate", "StudyTime", "StudyDescription", "StudyInstanceUID", "StudyID",
        "AccessionNumber",
    ),
    "SERIES": ("Modality", "SeriesInstanceUID", "SeriesNumber"),
    "IMAGE": ("InstanceNumber",),
    "SR DOCUMENT": (
        "InstanceNumber", "CompletionFlag", "VerificationFlag", "ContentDate", "ContentTime",
        "ConceptNameCodeSequence",
    ),
}  # fmt: skip
_ITEM_HEADER_BYTES = 8
_SEQUENCE_HEADER_BYTES = 12


@dataclass
class _Node:
    record: Dataset
    children: list[_Node] = field(default_factory=list)
    offset: int = 0

    def walk(self) -> Iterator[_Node]:
        """This node and all below it, in the order in which they are written."""
        yield self
        for child in self.children:
            yield from child.walk()


def write_dicomdir(folder: Path, sop_instance_uid: str) -> None:
    """Write `folder`/DICOMDIR, naming every DICOM file of one study below `folder`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.suffix)
    patient = _tree(folder, paths)
    nodes = list(patient.walk())
    head = item(
        FileSetID="PHANTOM",
        OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity=0,
        OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity=0,
        FileSetConsistencyFlag=0,
    )
    start = _file_start(sop_instance_uid)
    offset = len(start) + len(_encoded(head)) + _SEQUENCE_HEADER_BYTES
    for node in nodes:
        node.offset = offset
        offset += _ITEM_HEADER_BYTES + len(_encoded(node.record))
    for node in nodes:
        siblings = [*node.children, None]
        for child, following in zip(node.children, siblings[1:], strict=True):
            child.record.OffsetOfTheNextDirectoryRecord = following.offset if following else 0
        if node.children:
            node.record.OffsetOfReferencedLowerLevelDirectoryEntity = node.children[0].offset
    head.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = patient.offset
    head.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = patient.offset
    head.DirectoryRecordSequence = [node.record for node in nodes]
    (folder / "DICOMDIR").write_bytes(start + _encoded(head))


def _file_start(sop_instance_uid: str) -> bytes:
    """Preamble and file meta information."""
    buffer = DicomBytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    meta = file_meta(MediaStorageDirectoryStorage, sop_instance_uid, "explicit")
    write_file_meta_info(buffer, meta, enforce_standard=True)
    return buffer.getvalue()


def _tree(folder: Path, paths: list[Path]) -> _Node:
    patient: _Node | None = None
    study: _Node | None = None
    series: dict[str, _Node] = {}
    for path in paths:
        ds = dcmread(path, stop_before_pixels=True)
        if patient is None or study is None:
            study = _Node(_record("STUDY", ds))
            patient = _Node(_record("PATIENT", ds), [study])
        if ds.SeriesInstanceUID not in series:
            series[ds.SeriesInstanceUID] = _Node(_record("SERIES", ds))
            study.children.append(series[ds.SeriesInstanceUID])
        record = _record("SR DOCUMENT" if ds.Modality == "SR" else "IMAGE", ds)
        record.ReferencedFileID = list(path.relative_to(folder).parts)
        record.ReferencedSOPClassUIDInFile = ds.SOPClassUID
        record.ReferencedSOPInstanceUIDInFile = ds.SOPInstanceUID
        record.ReferencedTransferSyntaxUIDInFile = ds.file_meta.TransferSyntaxUID
        series[ds.SeriesInstanceUID].children.append(_Node(record))
    assert patient is not None
    return patient


def _record(kind: str, ds: Dataset) -> Dataset:
    record = item(
        OffsetOfTheNextDirectoryRecord=0,
        RecordInUseFlag=0xFFFF,
        OffsetOfReferencedLowerLevelDirectoryEntity=0,
        DirectoryRecordType=kind,
        SpecificCharacterSet=ds.SpecificCharacterSet,
    )
    for keyword in _COPIED[kind]:
        setattr(record, keyword, ds[keyword].value)
    return record


def _encoded(ds: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return buffer.getvalue()
