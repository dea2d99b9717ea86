"""Who a study is of, so that it can be kept out of logs and reports."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from gsigpu.dicom.derived import quiet

_IDENTITY = (
    "PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "OtherPatientIDs",
    "PatientBirthName", "PatientAddress", "PatientTelephoneNumbers", "ReferringPhysicianName",
    "InstitutionName", "OperatorsName", "PerformingPhysicianName",
)  # fmt: skip
_LOOKED_AT = 50


def identity_of(folder: Path) -> list[str]:
    """Identifying values of the first DICOM file of a folder; empty where there is none."""
    for path in islice((one for one in folder.rglob("*") if one.is_file()), _LOOKED_AT):
        try:
            with quiet():
                header = dcmread(path, stop_before_pixels=True, specific_tags=list(_IDENTITY))
                values = [str(header.get(keyword, "") or "") for keyword in _IDENTITY]
        except (InvalidDicomError, OSError, ValueError, KeyError, AttributeError):
            continue
        if any(values):
            return [value for value in values if value]
    return []
