"""Data elements of one DICOM file, as raw bytes, found without building a dataset.

A study has thousands of headers and this program needs some forty values of each. `HeaderWalker`
walks a header element by element and keeps the bytes of the wanted ones. It understands what
nearly all CT files are, explicit and implicit VR little endian; it returns None wherever anything
is not as it expects, and the caller hands that file to pydicom (`elements_of_dataset`), which
gives the same bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"

CHARACTER_SET = 0x00080005
PIXEL_DATA = 0x7FE00010
EXTENDED_OFFSET_TABLE = 0x7FE00001
MULTIENERGY_CHARACTERISTICS = 0x00189364
MULTIENERGY_PROCESSING = 0x00189363
MONOENERGETIC_EQUIVALENT = 0x0018937C
NUMBER_OF_FRAMES = 0x00280008
PIXEL_PADDING_VALUE = 0x00280120
PIXEL_PADDING_RANGE_LIMIT = 0x00280121

# Elements whose bytes are kept, by how a person calls them.
WANTED: dict[int, str] = {
    0x00080005: "character_set",
    0x00080008: "image_type",
    0x00080016: "sop_class_uid",
    0x00080018: "sop_instance_uid",
    0x00080022: "acquisition_date",
    0x00080023: "content_date",
    0x0008002A: "acquisition_datetime",
    0x00080032: "acquisition_time",
    0x00080033: "content_time",
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
}
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

_ENERGY_SEQUENCES = (MULTIENERGY_CHARACTERISTICS, MULTIENERGY_PROCESSING)

_FIRST_READ = 16 * 1024
_LARGEST_HEADER = 4 * 1024 * 1024
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset(b"OB OW OF OD OL OV UN SQ UT UC UR SV UV".split())
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_EXPLICIT = struct.Struct("<HH2sH").unpack_from
_IMPLICIT = struct.Struct("<HHL").unpack_from
_LONG = struct.Struct("<L").unpack_from
_ITEM, _ITEM_END, _SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD


@dataclass(slots=True)
class Elements:
    """What a header says.

    values : raw bytes of the wanted elements, little endian
    private : ("creator:element", value) of private elements that speak of keV
    pixel_offset : where the value of Pixel Data begins in the file; -1 if not in the file as such
    pixel_length : its length; -1 if undefined (encapsulated)
    """

    values: dict[int, bytes]
    transfer_syntax_uid: str = ""
    private: tuple[tuple[str, str], ...] = ()
    pixel_offset: int = -1
    pixel_length: int = 0


class _Odd(Exception):
    """The header is not what the walker expects."""


class _NeedMore(Exception):
    """The header goes on beyond the bytes at hand."""


class _PrivateRun(NamedTuple):
    """All elements of one private group, as they stood in some file."""

    raw: bytes
    last_tag: int
    notes: tuple[tuple[str, str], ...]


class HeaderWalker:
    """Walks the headers of many files.

    Private groups make up half of a header and rarely differ within a series. A run of private
    elements that equals, byte for byte, one walked before is stepped over in one comparison.
    """

    def __init__(self) -> None:
        self._runs: dict[tuple[int, bool], _PrivateRun] = {}

    def read(self, file: BinaryIO) -> Elements | None:
        """The wanted elements of an open DICOM file, up to Pixel Data.

        Returns None where the file is not plain little endian DICOM with a preamble.
        """
        size = _FIRST_READ
        buffer = file.read(size)
        if buffer[128:132] != b"DICM":
            return None
        while True:
            try:
                return self._walk_file(buffer)
            except _NeedMore:
                if len(buffer) < size or size >= _LARGEST_HEADER:
                    return None
                size *= 8
                buffer += file.read(size - len(buffer))
            except _Odd:
                return None

    def _walk_file(self, buffer: bytes) -> Elements | None:
        syntax, position = _file_meta(buffer)
        if syntax in ("", DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN):
            return None
        if not syntax.startswith("1.2.840.10008."):  # private syntaxes may do as they like
            return None
        return self._walk(buffer, position, syntax)

    def _walk(self, buffer: bytes, position: int, syntax: str) -> Elements:
        explicit = syntax != IMPLICIT_VR_LITTLE_ENDIAN
        found = Elements({}, syntax)
        values, wanted, end = found.values, WANTED, len(buffer)
        last_tag = -1
        while position + 12 <= end:
            group, element, vr, length = _EXPLICIT(buffer, position)
            if group & 1:
                run = self._private_run(buffer, position, group, explicit=explicit)
                position += len(run.raw)
                last_tag = run.last_tag
                found.private += run.notes
                continue
            tag = group << 16 | element
            if tag <= last_tag:
                raise _Odd  # elements ascend
            last_tag = tag
            start = position + 8
            if not explicit:
                length = _LONG(buffer, position + 4)[0]
            elif vr in _LONG_VRS:
                length = _LONG(buffer, start)[0]
                start += 4
            elif vr not in _SHORT_VRS:
                raise _Odd
            if tag == PIXEL_DATA:
                found.pixel_offset = start
                found.pixel_length = -1 if length == _UNDEFINED else length
                return found
            if length == _UNDEFINED:
                position = _after_sequence(buffer, start, explicit=explicit and vr != b"UN")
            else:
                position = start + length
            if tag in wanted:
                if position > end:
                    raise _NeedMore
                values[tag] = buffer[start:position]
        raise _NeedMore

    def _private_run(self, buffer: bytes, start: int, group: int, *, explicit: bool) -> _PrivateRun:
        known = self._runs.get((group, explicit))
        if known is not None and buffer.startswith(known.raw, start):
            return known
        position, end, last_element = start, len(buffer), -1
        elements: list[tuple[int, bytes]] = []
        while True:
            if position + 12 > end:
                raise _NeedMore
            this_group, element, vr, length = _EXPLICIT(buffer, position)
            if this_group != group:
                break
            if element <= last_element:
                raise _Odd
            last_element = element
            value_start = position + 8
            if not explicit:
                length = _LONG(buffer, position + 4)[0]
            elif vr in _LONG_VRS:
                length = _LONG(buffer, value_start)[0]
                value_start += 4
            elif vr not in _SHORT_VRS:
                raise _Odd
            if length == _UNDEFINED:
                position = _after_sequence(buffer, value_start, explicit=explicit and vr != b"UN")
            else:
                position = value_start + length
                elements.append((element, buffer[value_start:position]))
        raw = buffer[start:position]
        run = _PrivateRun(raw, group << 16 | last_element, _energy_notes(elements))
        self._runs[group, explicit] = run
        return run


def _energy_notes(elements: list[tuple[int, bytes]]) -> tuple[tuple[str, str], ...]:
    """("creator:element", value) of the elements of one private group that speak of keV.

    No vendor documents where it keeps the energy; a short text that names a keV is evidence that
    the pattern table can weigh, whoever wrote it.
    """
    creators = {element: value for element, value in elements if 0x10 <= element <= 0xFF}
    notes = []
    for element, value in elements:
        if element > 0xFF and len(value) <= 64 and b"kev" in value.lower():
            name = creators.get(element >> 8, b"").rstrip(b" \0").decode("latin-1")
            text = value.rstrip(b" \0").decode("latin-1")
            notes.append((f"{name}:{element & 0xFF:02X}", text))
    return tuple(notes)


def _file_meta(buffer: bytes) -> tuple[str, int]:
    """Transfer syntax of group 2, which is always explicit VR little endian, and where it ends."""
    syntax = b""
    position, n_elements = 132, 0
    while True:
        if position + 12 > len(buffer):
            raise _NeedMore
        group, element, vr, length = _EXPLICIT(buffer, position)
        if group != 2:
            if not n_elements:
                raise _Odd
            return syntax.rstrip(b"\0 ").decode("ascii", "replace"), position
        position += 8
        if vr in _LONG_VRS:
            length = _LONG(buffer, position)[0]
            position += 4
        elif vr not in _SHORT_VRS:
            raise _Odd
        if element == 0x0010:
            syntax = buffer[position : position + length]
        position += length
        n_elements += 1


def _after_sequence(buffer: bytes, position: int, *, explicit: bool) -> int:
    """Position behind the Sequence Delimitation Item that ends the sequence open at `position`."""
    end = len(buffer)
    while position + 8 <= end:
        group, element, length = _IMPLICIT(buffer, position)
        if group != 0xFFFE:
            raise _Odd
        position += 8
        if element == _SEQUENCE_END:
            return position
        if element != _ITEM:
            raise _Odd
        position = (
            _after_item(buffer, position, explicit=explicit)
            if length == _UNDEFINED
            else position + length
        )
    raise _NeedMore


def _after_item(buffer: bytes, position: int, *, explicit: bool) -> int:
    """Position behind the Item Delimitation Item that ends the item open at `position`."""
    end = len(buffer)
    while position + 12 <= end:
        group, element, length = _IMPLICIT(buffer, position)
        start = position + 8
        if group == 0xFFFE:
            if element != _ITEM_END:
                raise _Odd
            return start
        undefined_explicit = explicit
        if explicit:
            vr = buffer[position + 4 : position + 6]
            if vr in _LONG_VRS:
                length = _LONG(buffer, position + 8)[0]
                start = position + 12
                undefined_explicit = vr != b"UN"
            elif vr in _SHORT_VRS:
                length = _EXPLICIT(buffer, position)[3]
            else:
                raise _Odd
        if length == _UNDEFINED:
            position = _after_sequence(buffer, start, explicit=undefined_explicit)
        else:
            position = start + length
    # An item may end within the last 12 bytes at hand; the header never does.
    raise _NeedMore


def elements_of_dataset(ds: Dataset, transfer_syntax_uid: str) -> Elements:
    """The same, from a dataset that pydicom parsed but did not convert.

    Binary numbers of big endian files are turned round, so that bytes mean the same everywhere.
    """
    values: dict[int, bytes] = {}
    private: dict[int, list[tuple[int, bytes]]] = {}
    for tag, element in ds._dict.items():  # raw elements: `ds[tag]` would convert them
        number = int(tag)
        if number == CHARACTER_SET:  # pydicom converts this one while it reads
            declared = ds[tag].value or ""
            names = [declared] if isinstance(declared, str) else list(declared)
            values[number] = "\\".join(names).encode("ascii", "replace")
        elif isinstance(element, RawDataElement) and element.value is not None:
            if number in WANTED and number not in _ENERGY_SEQUENCES:
                turn = not element.is_little_endian and number in _BINARY
                values[number] = element.value[::-1] if turn else element.value
            elif number >> 16 & 1:
                private.setdefault(number >> 16, []).append((number & 0xFFFF, element.value))
    for number in _ENERGY_SEQUENCES:  # last: parsing a sequence converts elements beside it
        if number in ds:
            values.update(_energy_in_sequence(ds, number))
    notes = [note for group in private.values() for note in _energy_notes(group)]
    return Elements(values, transfer_syntax_uid, tuple(notes))


def _energy_in_sequence(ds: Dataset, sequence_tag: int) -> dict[int, bytes]:
    """Monoenergetic Energy Equivalent, wherever a multi-energy sequence nests it."""
    for item in ds[Tag(sequence_tag)].value:
        for element in item.iterall():
            if element.tag == MONOENERGETIC_EQUIVALENT and element.value is not None:
                return {MONOENERGETIC_EQUIVALENT: struct.pack("<d", float(element.value))}
    return {}


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
    for sequence in _ENERGY_SEQUENCES:
        raw = values.get(sequence, b"")
        for mark in _NESTED_ENERGY:
            at = raw.find(mark)
            if at >= 0 and len(raw) >= at + 16:
                return float(struct.unpack_from("<d", raw, at + 8)[0])
    return None
