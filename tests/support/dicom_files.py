"""Small DICOM files for tests, written by pydicom alone, so that no test leans on gsigpu's writer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

ROOT = "1.2.826.0.1.3680043.8.498."


def uid(*parts: object) -> str:
    """The same UID for the same words."""
    return str(generate_uid(prefix=ROOT, entropy_srcs=["gsigpu-tests", *map(str, parts)]))


def ct_dataset(
    pixels: np.ndarray,
    *,
    series: str = "mono70",
    description: str = "Mono 70 keV",
    position_mm: tuple[float, float, float] = (-100.0, -100.0, 0.0),
    instance_number: int = 1,
    slope: float = 1.0,
    intercept: float = 0.0,
    study: str = "study",
    **attributes: object,
) -> FileDataset:
    """A valid CT Image dataset around (rows, columns) int16 or uint16 `pixels`.

    `attributes` are set last, by keyword; a value of None deletes the attribute.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid(study, series, instance_number)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20240102"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101112"
    ds.AccessionNumber = "A1"
    ds.Modality = "CT"
    ds.Manufacturer = "GE MEDICAL SYSTEMS"
    ds.ManufacturerModelName = "Revolution CT"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Liver"
    ds.SeriesDescription = description
    ds.PatientName = "Planted^Identity"
    ds.PatientID = "P1"
    ds.PatientBirthDate = "19500102"
    ds.PatientSex = "F"
    ds.SliceThickness = "1.25"
    ds.KVP = "80"
    ds.PatientPosition = "HFS"
    ds.StudyInstanceUID = uid(study)
    ds.SeriesInstanceUID = uid(study, series)
    ds.StudyID = "1"
    ds.SeriesNumber = 300
    ds.AcquisitionNumber = 1
    ds.InstanceNumber = instance_number
    ds.ImagePositionPatient = [f"{value:.6f}".rstrip("0").rstrip(".") for value in position_mm]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.FrameOfReferenceUID = uid(study, "frame")
    ds.PositionReferenceIndicator = ""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelSpacing = [0.8, 0.8]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = int(pixels.dtype == np.int16)
    ds.RescaleIntercept = f"{intercept:.10g}"
    ds.RescaleSlope = f"{slope:.10g}"
    ds.RescaleType = "HU"
    ds.PixelData = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<")).tobytes()
    ds["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def save(ds: FileDataset, path: Path) -> Path:
    """Write as a DICOM file, folders made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def save_encoded(ds: FileDataset, path: Path, *, claimed: str, written_as: str) -> Path:
    """Encode the dataset in one way under a Transfer Syntax that may claim another.

    claimed, written_as : UIDs of uncompressed transfer syntaxes
    """
    buffer = DicomBytesIO()
    buffer.write(bytes(128) + b"DICM")
    ds.file_meta.TransferSyntaxUID = UID(claimed)
    write_file_meta_info(buffer, ds.file_meta, enforce_standard=True)
    buffer.is_implicit_VR = written_as == ImplicitVRLittleEndian
    buffer.is_little_endian = written_as != ExplicitVRBigEndian
    write_dataset(buffer, ds)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return path
