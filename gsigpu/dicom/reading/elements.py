"""Data elements of one DICOM file, as raw bytes.

`Elements` is what both readers of headers deliver, the walk (gsigpu.dicom.reading.header_walk) and pydicom
(`elements_of_dataset` here): the same bytes, so that all that follows is the same.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gsigpu.dicom.reading.coded_materials import MATERIAL_CODES, as_value, materials_of_dataset

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"

CHARACTER_SET = 0x00080005
SOP_CLASS = 0x00080016
PIXEL_DATA = 0x7FE00010
EXTENDED_OFFSET_TABLE = 0x7FE00001
MULTIENERGY_CHARACTERISTICS = 0x00189364
MULTIENERGY_PROCESSING = 0x00189363
MONOENERGETIC_EQUIVALENT = 0x0018937C
NUMBER_OF_FRAMES = 0x00280008
PIXEL_PADDING_VALUE = 0x00280120
PIXEL_PADDING_RANGE_LIMIT = 0x00280121

# Elements whose bytes are kept, by how a person calls them.
KEPT_ELEMENTS: dict[int, str] = {
    CHARACTER_SET: "character_set",
    0x00080008: "image_type",
    SOP_CLASS: "sop_class_uid",
    0x00080018: "sop_instance_uid",
    0x00080022: "acquisition_date",
    0x0008002A: "acquisition_datetime",
    0x00080032: "acquisition_time",
    0x00080060: "modality",
    0x00080070: "manufacturer",
    0x0008103E: "series_description",
    0x00081090: "model",
    0x00082111: "derivation",
    0x00100020: "patient_id",
    0x00180010: "contrast_agent",
    0x00180050: "slice_thickness",
    0x00180060: "kvp",
    0x00181030: "protocol",
    0x00181120: "gantry_tilt",
    0x00181210: "convolution_kernel",
    0x00189361: "multienergy",
    MULTIENERGY_PROCESSING: "multienergy_processing",
    MULTIENERGY_CHARACTERISTICS: "multienergy_characteristics",
    MATERIAL_CODES: "material_codes",  # the meanings alone, where a general reader parsed the sequences
    MONOENERGETIC_EQUIVALENT: "mono_energy",
    0x0020000D: "study_uid",
    0x0020000E: "series_uid",
    0x00200011: "series_number",
    0x00200012: "acquisition_number",
    0x00200013: "instance_number",
    0x00200032: "position",
    0x00200037: "orientation",
    0x00200052: "frame_of_reference_uid",
    0x00204000: "image_comments",
    0x00280002: "samples_per_pixel",
    0x00280004: "photometric",
    NUMBER_OF_FRAMES: "n_frames",
    0x00280010: "rows",
    0x00280011: "columns",
    0x00280030: "pixel_spacing",
    0x00280100: "bits_allocated",
    0x00280101: "bits_stored",
    0x00280102: "high_bit",
    0x00280103: "pixel_representation",
    PIXEL_PADDING_VALUE: "padding",
    PIXEL_PADDING_RANGE_LIMIT: "padding_limit",
    0x00281052: "intercept",
    0x00281053: "slope",
    0x00281054: "rescale_type",
    0x00282110: "lossy",
}
# Those that differ between the slices of a series. Times are among them: planes of a series share
# one `Evidence`, which carries the times of its first file.
PER_PLANE = frozenset(
    (
        0x00080018,  # SOP Instance UID
        0x00080022,  # Acquisition Date
        0x0008002A,  # Acquisition DateTime
        0x00080032,  # Acquisition Time
        0x00200013,  # Instance Number
        0x00200032,  # Image Position (Patient)
    )
)
_BINARY = frozenset(
    (
        0x00280002,
        0x00280010,
        0x00280011,
        0x00280100,
        0x00280101,
        0x00280102,
        0x00280103,
        PIXEL_PADDING_VALUE,
        PIXEL_PADDING_RANGE_LIMIT,
        MONOENERGETIC_EQUIVALENT,
    )
)

ENERGY_SEQUENCES = (MULTIENERGY_CHARACTERISTICS, MULTIENERGY_PROCESSING)


@dataclass(slots=True)
class Elements:
    """What a header says.

    values : raw bytes of the kept elements, little endian
    private : ("creator:element", value) of private elements that speak of keV
    pixel_offset : where the value of Pixel Data begins in the file; -1 if not in the file as such
    pixel_length : its length; -1 if undefined (encapsulated)
    common_key : equal in headers that agree in all but the `PER_PLANE` elements; None if not known
    """

    values: dict[int, bytes] = field(repr=False)
    transfer_syntax_uid: str = ""
    private: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    pixel_offset: int = -1
    pixel_length: int = 0
    common_key: tuple[object, ...] | None = field(default=None, repr=False)


def private_names(elements: Mapping[int, bytes]) -> dict[int, str]:
    """By tag, "creator:element" of private elements, which are given with their creators."""
    return {
        tag: f"{_text(elements.get(tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8, b''))}:{tag & 0xFF:02X}"
        for tag in elements
        if tag & 0xFFFF > 0xFF
    }


def energy_notes(
    named: Iterable[tuple[str, bytes]], notes: tuple[tuple[str, str], ...] = ()
) -> tuple[tuple[str, str], ...]:
    """("creator:element", value) of the private elements that speak of keV, with `notes`, sorted.

    No vendor documents where it keeps the energy; a short text that names a keV is evidence that
    the pattern table can weigh, whoever wrote it.
    """
    speaking = [
        (name, _text(value))
        for name, value in named
        if len(value) <= 64 and b"kev" in value.lower() and not value.startswith(_ITEM_TAG)
    ]
    return tuple(sorted((*notes, *speaking))) if speaking else notes


_ITEM_TAG = b"\xfe\xff\x00\xe0"  # a sequence is no text, whatever it holds


def _text(raw: bytes) -> str:
    return raw.rstrip(b" \0").decode("latin-1")


def elements_of_dataset(ds: Dataset, transfer_syntax_uid: str) -> Elements:
    """The kept elements of a dataset that pydicom parsed but did not convert.

    Binary numbers of big endian files are turned round, so that bytes mean the same everywhere.
    """
    from pydicom.dataelem import RawDataElement

    values: dict[int, bytes] = {}
    private: dict[int, bytes] = {}
    for tag in ds.keys():  # noqa: SIM118  iterating a dataset converts its elements
        number = int(tag)
        element: object = ds.get_item(tag)
        if number == CHARACTER_SET:  # pydicom converts this one while it reads
            declared = ds[tag].value or ""
            names = [declared] if isinstance(declared, str) else list(declared)
            values[number] = "\\".join(names).encode("ascii", "replace")
        elif isinstance(element, RawDataElement) and element.value is not None:
            if number in KEPT_ELEMENTS and number not in ENERGY_SEQUENCES:
                turn = not element.is_little_endian and number in _BINARY
                values[number] = element.value[::-1] if turn else element.value
            elif number >> 16 & 1:
                private[number] = element.value
    values.pop(MATERIAL_CODES, None)  # a sequence of this tag at the top tells nothing
    materials = materials_of_dataset(ds)  # last: parsing a sequence converts elements beside it
    if materials:
        values[MATERIAL_CODES] = as_value(materials)
    if energy_kev(values) is None:
        for number in ENERGY_SEQUENCES:
            kev = _energy_in_sequence(ds, number)
            if kev is not None:
                values[MONOENERGETIC_EQUIVALENT] = struct.pack("<d", kev)
                break
    names_of = private_names(private)
    notes = energy_notes((name, private[tag]) for tag, name in names_of.items())
    return Elements(values, transfer_syntax_uid, notes)


def _energy_in_sequence(ds: Dataset, sequence_tag: int) -> float | None:
    """Monoenergetic Energy Equivalent, wherever a multi-energy sequence nests it."""
    if sequence_tag in ds:
        for item in ds[sequence_tag].value:
            for element in item.iterall():
                value: object = element.value
                if element.tag == MONOENERGETIC_EQUIVALENT and isinstance(value, float):
                    return value
    return None


def uid_name(uid: str) -> str:
    """The standard's name of a UID, or the UID; a malformed one without complaint."""
    from pydicom.config import IGNORE
    from pydicom.uid import UID

    return UID(uid, validation_mode=IGNORE).name


_NESTED_ENERGY = (
    b"\x18\x00\x7c\x93FD\x08\x00",  # explicit VR
    b"\x18\x00\x7c\x93\x08\x00\x00\x00",  # implicit VR
)


def energy_kev(values: dict[int, bytes]) -> float | None:
    """Monoenergetic Energy Equivalent (0018,937C) of a header, at the top or in its sequences.

    In a sequence's bytes the tag, VR and length together, eight bytes, mark the value.
    """
    top = values.get(MONOENERGETIC_EQUIVALENT)
    if top and len(top) == 8:
        return float(struct.unpack("<d", top)[0])
    for sequence in ENERGY_SEQUENCES:
        raw = values.get(sequence, b"")
        for mark in _NESTED_ENERGY:
            at = raw.find(mark)
            if at >= 0 and len(raw) >= at + 16:
                return float(struct.unpack_from("<d", raw, at + 8)[0])
    return None
