"""What else lies in a PACS export: a localizer, a screenshot, a report, a text file, a DICOMDIR.

None of it holds anything to be measured; it is there so that readers of folders must tell it apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    CTImageStorage,
    SecondaryCaptureImageStorage,
)

from gsigpu.phantom.dicom_files import (
    file_meta,
    phantom_uid,
)
from gsigpu.phantom.dicomdir import write_dicomdir
from gsigpu.phantom.export_layout import CONVENTIONAL_KEV
from gsigpu.phantom.series_sinks import export_path
from gsigpu.phantom.truth import PhantomTruth
from gsigpu.phantom.vendor_headers import (
    INTERCEPT_HU,
    VENDORS,
    add_rescale,
    code,
    decimal_mm,
    item,
    series_dataset,
)

_TEXT = "Synthetic study made by gsigpu. Not a patient.\n"


def write_extras(truth: PhantomTruth, study_uid: str) -> None:
    """Write those extras that are no CT series of the phantom itself."""
    makers = {
        "localizer": _localizer,
        "secondary-capture": _secondary_capture,
        "report": _report,
    }
    for number, (name, make) in enumerate(makers.items(), start=1):
        if name in truth.settings.extras:
            _save(make(truth, study_uid, number), truth)
    if "dicomdir" in truth.settings.extras:
        write_dicomdir(truth.dicom_folder, phantom_uid(study_uid, "file-set"))
    if "text" in truth.settings.extras:
        (truth.dicom_folder / "README.TXT").write_text(_TEXT, encoding="utf-8")


def _start(
    truth: PhantomTruth, study_uid: str, number: int, description: str, sop_class_uid: str
) -> Dataset:
    ds = series_dataset(
        truth.settings,
        study_uid,
        truth.geometry,
        number=number,
        description=description,
        phase="NC",
    )
    ds.SOPClassUID = UID(sop_class_uid)
    ds.SOPInstanceUID = phantom_uid(ds.SeriesInstanceUID, 1)
    ds.InstanceNumber = "1"
    return ds


def _without_frame_of_reference(ds: Dataset) -> None:
    for keyword in (
        "FrameOfReferenceUID", "PositionReferenceIndicator", "ProtocolName",
        "PatientPosition", "AcquisitionDate", "AcquisitionTime",
    ):  # fmt: skip
        delattr(ds, keyword)


def _localizer(truth: PhantomTruth, study_uid: str, number: int) -> Dataset:
    """A coronal view: the mean along y, from a few rows painted coarsely."""
    geometry = truth.geometry
    n_z, n_y, n_x = geometry.shape
    z_mm, y_mm, x_mm = geometry.spacing_mm
    n_rows = min(n_y, 24)
    coarse = replace(
        geometry, shape=(n_z, n_rows, n_x), spacing_mm=(z_mm, y_mm * n_y / n_rows, x_mm)
    )
    phase = truth.settings.phases[0]
    painter = replace(truth, geometry=coarse).painter(phase)
    lines = [
        painter.paint(z).composition.hu(phase, CONVENTIONAL_KEV).mean(axis=0)
        for z in reversed(range(n_z))
    ]
    stored = np.clip(np.rint(np.stack(lines) - INTERCEPT_HU), 0, 4095).astype("<i2")
    ds = _start(truth, study_uid, number, "Scout", CTImageStorage)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    ds.KVP = "120"
    ds.AcquisitionNumber = "1"
    ds.SliceThickness = decimal_mm(y_mm * n_y)
    ds.ConvolutionKernel = VENDORS[truth.settings.vendor].kernel
    left, _, top = geometry.position_mm(n_z - 1, 0, 0)
    ds.ImagePositionPatient = [decimal_mm(left), "0", decimal_mm(top)]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]
    ds.PixelSpacing = [decimal_mm(z_mm), decimal_mm(x_mm)]
    add_rescale(ds, slope=1.0, intercept=INTERCEPT_HU, rescale_type="HU", window=(0.0, 1500.0))
    _add_pixels(ds, stored)
    return ds


def _secondary_capture(truth: PhantomTruth, study_uid: str, number: int) -> Dataset:
    """A picture of a dose report: grey bars."""
    ds = _start(truth, study_uid, number, "Dose Report", SecondaryCaptureImageStorage)
    _without_frame_of_reference(ds)
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.ConversionType = "WSD"
    ds.PatientOrientation = ""
    picture = np.zeros((64, 96), np.uint8)
    picture[8:56:8, 8:88] = 200
    _add_pixels(ds, picture)
    return ds


def _report(truth: PhantomTruth, study_uid: str, number: int) -> Dataset:
    """A Basic Text SR of one sentence."""
    ds = _start(truth, study_uid, number, "Report", BasicTextSRStorage)
    _without_frame_of_reference(ds)
    ds.Modality = "SR"
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.PerformedProcedureCodeSequence = []
    ds.CompletionFlag = "COMPLETE"
    ds.VerificationFlag = "UNVERIFIED"
    ds.ValueType = "CONTAINER"
    ds.ContinuityOfContent = "SEPARATE"
    ds.ConceptNameCodeSequence = [code("18782-3", "LN", "Radiology Study observation (narrative)")]
    ds.ContentSequence = [
        item(
            RelationshipType="CONTAINS",
            ValueType="TEXT",
            ConceptNameCodeSequence=[code("121071", "DCM", "Finding")],
            TextValue=_TEXT.strip(),
        )
    ]
    return ds


def _add_pixels(ds: Dataset, pixels: NDArray[np.integer]) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    bits = 8 * pixels.dtype.itemsize
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW" if bits == 16 else "OB"


def _save(ds: Dataset, truth: PhantomTruth) -> None:
    """Through pydicom, uncompressed: these are few."""
    meta = file_meta(ds.SOPClassUID, ds.SOPInstanceUID, "explicit")
    path = export_path(truth.dicom_folder, ds, 1, truth.settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    FileDataset(str(path), ds, file_meta=meta, preamble=b"\0" * 128).save_as(
        path, enforce_file_format=True
    )
