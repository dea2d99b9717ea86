"""The coded materials of a multi-energy image: Material Code Sequence (0018,937D).

In Multi-energy CT Characteristics they are what the image shows or lacks. In Multi-energy CT
Processing they are the materials that the scan was decomposed into: one alone tells what is shown,
two or more do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as DicomSequence

MATERIAL_CODES = 0x0018937D
_CHARACTERISTICS, _PROCESSING = 0x00189364, 0x00189363
_MATERIAL_CODE_BYTES = b"\x18\x00\x7d\x93"
_IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
_SEPARATOR = "\\"


def coded_materials(values: Mapping[int, bytes], transfer_syntax_uid: str) -> tuple[str, ...]:
    """Meanings of the coded materials of a header, from its kept elements.

    values : raw bytes by tag; the sequences as they stand in the file, or the meanings alone
    Returns () where there are none, or where the sequences cannot be parsed.
    """
    if MATERIAL_CODES in values:
        told = values[MATERIAL_CODES].decode("utf-8", "replace")
        return tuple(part for part in told.split(_SEPARATOR) if part)
    raws = {tag: values.get(tag, b"") for tag in (_CHARACTERISTICS, _PROCESSING)}
    telling = {tag: raw for tag, raw in raws.items() if _MATERIAL_CODE_BYTES in raw}
    if not telling:
        return ()
    from pydicom.dataset import Dataset

    ds = Dataset()
    for tag, raw in telling.items():
        try:
            ds.add_new(tag, "SQ", _parsed(raw, transfer_syntax_uid))
        except Exception:  # noqa: BLE001, S112  pydicom raises anything on a broken sequence
            continue
    return materials_of_dataset(ds)


def materials_of_dataset(ds: Dataset) -> tuple[str, ...]:
    """The same, from the sequences of a dataset."""
    shown = _meanings(ds, _CHARACTERISTICS)
    if shown:
        return shown
    decomposed = _meanings(ds, _PROCESSING)
    return decomposed if len(decomposed) == 1 else ()


def as_value(materials: tuple[str, ...]) -> bytes:
    """Meanings as one value that `coded_materials` reads."""
    return _SEPARATOR.join(materials).encode("utf-8")


def _parsed(raw: bytes, transfer_syntax_uid: str) -> DicomSequence:
    """A sequence of any kind of length; explicit VR where the transfer syntax says so, else implicit."""
    from pydicom.filereader import read_sequence
    from pydicom.sequence import Sequence as DicomSequence

    explicit = transfer_syntax_uid != _IMPLICIT_VR_LITTLE_ENDIAN
    for is_implicit in (not explicit, explicit):
        try:
            sequence = read_sequence(
                BytesIO(raw),
                is_implicit_VR=is_implicit,
                is_little_endian=True,
                bytelength=len(raw),
                encoding="utf-8",
            )
            if any(MATERIAL_CODES in item or len(item) for item in sequence):
                return sequence
        except Exception:  # noqa: BLE001, S112  the other way of reading may do
            continue
    return DicomSequence()


def _meanings(ds: Dataset, sequence_tag: int) -> tuple[str, ...]:
    """() also where the sequence is broken: no other element depends on it."""
    meanings: list[str] = []
    try:
        for item in ds[sequence_tag].value if sequence_tag in ds else ():
            for element in item.iterall():
                if element.tag == MATERIAL_CODES:
                    for code in element.value:
                        meaning = str(code.get("CodeMeaning", "") or code.get("CodeValue", ""))
                        meanings.append(meaning.replace(_SEPARATOR, " ").strip())
    except Exception:  # noqa: BLE001  pydicom raises anything on a broken sequence
        return ()
    return tuple(dict.fromkeys(meaning for meaning in meanings if meaning))
