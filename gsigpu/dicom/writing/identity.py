"""Who a study is of, so that it can be kept out of logs and reports."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gsigpu.dicom.reading.bounded_file import read_header
from gsigpu.dicom.writing.derived import quiet

# PS3.15 E.1 names more; these are what a message or a file's name may repeat.
_PERSONS = (
    "PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName",
    "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "PhysiciansOfRecord",
)  # fmt: skip
_WHOLE = (
    "PatientID", "OtherPatientIDs", "PatientBirthDate", "AccessionNumber", "PatientAddress",
    "PatientTelephoneNumbers", "InstitutionName", "StudyID", "AdmissionID", "RequestedProcedureID",
)  # fmt: skip


def identity_of(files: Iterable[Path]) -> list[str]:
    """Identifying values in the headers of files; what is no DICOM, or broken, says nothing.

    Persons are also given by the parts of their names, in every script they are written in, and dates in
    the forms in which they are written.
    """
    values: dict[str, None] = {}
    for path in files:
        try:
            with quiet():
                header = read_header(path, [*_PERSONS, *_WHOLE])
                persons = [_texts(header.get(keyword)) for keyword in _PERSONS]
                whole = [_texts(header.get(keyword)) for keyword in _WHOLE]
        except Exception:  # noqa: BLE001, S112  # pydicom raises anything on a broken header
            continue
        for text in (text for texts in persons for text in texts):
            values |= dict.fromkeys(_parts(text))
        for text in (text for texts in whole for text in texts):
            values |= dict.fromkeys(_dates(text))
    return [value for value in values if value]


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, (list, tuple)) or (
        hasattr(value, "__iter__")
        and not isinstance(value, str)
        and not hasattr(value, "family_name")
    ):
        return [str(part) for part in value]  # type: ignore[attr-defined,unused-ignore]
    return [str(value)]


def _parts(name: str) -> list[str]:
    """A name, its representations, and the components of each.

    >>> _parts("Yamada^Tarou=山田^太郎")
    ['Yamada^Tarou=山田^太郎', 'Yamada^Tarou', 'Yamada', 'Tarou', '山田^太郎', '山田', '太郎']
    """
    parts = [name]
    for representation in name.split("="):
        parts.append(representation)
        parts += [word for part in representation.split("^") for word in part.split()]
    return list(dict.fromkeys(part.strip(" ,.") for part in parts))


def _dates(text: str) -> list[str]:
    """The value, and a date as people write it.

    >>> _dates("19500102")
    ['19500102', '1950-01-02', '02.01.1950', '01/02/1950', '02/01/1950', '1950/01/02']
    """
    if len(text) != 8 or not text.isdigit():
        return [text.strip()]
    year, month, day = text[:4], text[4:6], text[6:]
    return [
        text, f"{year}-{month}-{day}", f"{day}.{month}.{year}", f"{month}/{day}/{year}",
        f"{day}/{month}/{year}", f"{year}/{month}/{day}",
    ]  # fmt: skip
