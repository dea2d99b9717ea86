"""Who a study is of, so that it can be kept out of logs and reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gsigpu.dicom.quiet import quiet
from gsigpu.dicom.reading.bounded_file import read_header
from gsigpu.dicom.reading.plain_texts import is_dicom, plain_texts

# PS3.15 E.1 names more; these are what a message or a file's name may repeat. With their tags and VRs (PS3.6).
_PERSONS = {
    "PatientName": (0x00100010, "PN"),
    "OtherPatientNames": (0x00101001, "PN"),
    "PatientBirthName": (0x00101005, "PN"),
    "PatientMotherBirthName": (0x00101060, "PN"),
    "ReferringPhysicianName": (0x00080090, "PN"),
    "PerformingPhysicianName": (0x00081050, "PN"),
    "OperatorsName": (0x00081070, "PN"),
    "PhysiciansOfRecord": (0x00081048, "PN"),
}
_WHOLE = {
    "PatientID": (0x00100020, "LO"),
    "OtherPatientIDs": (0x00101000, "LO"),
    "PatientBirthDate": (0x00100030, "DA"),
    "AccessionNumber": (0x00080050, "SH"),
    "PatientAddress": (0x00101040, "LO"),
    "PatientTelephoneNumbers": (0x00102154, "SH"),
    "InstitutionName": (0x00080080, "LO"),
    "StudyID": (0x00200010, "SH"),
    "AdmissionID": (0x00380010, "LO"),
    "RequestedProcedureID": (0x00401001, "SH"),
}
_VR_BY_TAG = dict((*_PERSONS.values(), *_WHOLE.values()))

# Keyword -> values of an element.
_Texts = Mapping[str, Sequence[str]]


def identity_of(files: Iterable[Path]) -> list[str]:
    """Identifying values in the headers of files; what is no DICOM, or broken, says nothing.

    Persons are also given by the parts of their names, in every script they are written in, and dates in
    the forms in which they are written.
    """
    values: dict[str, None] = {}
    for path in files:
        try:
            if not is_dicom(path):
                continue
            plain = _plain(path)
            texts = by_pydicom(path) if plain is None else plain
        except Exception:  # noqa: BLE001, S112  # pydicom raises anything on a broken header
            continue
        for text in (text for keyword in _PERSONS for text in texts.get(keyword, ())):
            values |= dict.fromkeys(_parts(text))
        for text in (text for keyword in _WHOLE for text in texts.get(keyword, ())):
            values |= dict.fromkeys(_dates(text))
    return [value for value in values if value]


def _plain(path: Path) -> _Texts | None:
    """What a plain header says; None where it is for pydicom to say."""
    texts = plain_texts(path, _VR_BY_TAG)
    if texts is None:
        return None
    return {
        keyword: texts[tag] for keyword, (tag, _) in (_PERSONS | _WHOLE).items() if tag in texts
    }


def by_pydicom(path: Path) -> _Texts:
    """What any header says. Raises anything on a broken one."""
    keywords = [*_PERSONS, *_WHOLE]
    with quiet():
        header = read_header(path, keywords)
        return {keyword: _texts(header.get(keyword)) for keyword in keywords}


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
