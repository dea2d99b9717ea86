"""From a header's raw elements to a `Plane`.

Most values are equal in all files of a series, so they are decoded once: the raw bytes of a group
of elements are the key to the decoded object that the planes then share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from gsigpu.dicom.model import Evidence, OddPadding, PixelFormat, Plane
from gsigpu.dicom.reading.coded_materials import coded_materials
from gsigpu.dicom.reading.element_values import (
    ascii_text,
    encodings_of,
    integer,
    number_of,
    numbers_of,
    short_of,
    text_of,
)
from gsigpu.dicom.reading.elements import KEPT_ELEMENTS, PER_PLANE, Elements, energy_kev
from gsigpu.file_state import FileState

_TAG = {name: tag for tag, name in KEPT_ELEMENTS.items()}
# What a plane has alone, of those that `PER_PLANE` names.
PLANE_TAGS = tuple(_TAG[name] for name in ("sop_instance_uid", "instance_number", "position"))
Orientation = tuple[float, float, float, float, float, float]
T = TypeVar("T")


class IncompleteImage(Exception):
    """A CT image without the elements that any image has; the scan reports it as skipped."""


class _Place(NamedTuple):
    orientation: Orientation | None
    pixel_spacing_mm: tuple[float, float] | None
    slice_thickness_mm: float | None


class _Values(NamedTuple):
    slope: float
    intercept: float
    padding: tuple[int, int] | None
    odd_padding: OddPadding | None = None


def _tags(*names: str) -> tuple[int, ...]:
    return tuple(_TAG[name] for name in names)


_PLACE_TAGS = _tags("orientation", "pixel_spacing", "slice_thickness")
_FORMAT_TAGS = _tags(
    "rows", "columns", "bits_allocated", "bits_stored", "high_bit", "pixel_representation",
    "samples_per_pixel", "photometric",
)  # fmt: skip
_FORMAT_NAMES = {
    "rows": "Rows",
    "columns": "Columns",
    "bits_allocated": "Bits Allocated",
    "bits_stored": "Bits Stored",
    "pixel_representation": "Pixel Representation",
    "samples_per_pixel": "Samples per Pixel",
}
_VALUE_TAGS = _tags("slope", "intercept", "padding", "padding_limit", "rescale_type")
# Scanners fill what lies outside the reconstruction circle with -2000, -3024, -8192 and the like, and
# some do not say so, or name another value. Air is -1000 HU, and no noise of an abdomen's surroundings
# reaches this.
NO_TISSUE_HU = -1500.0
# A declared padding value that does not fit the stored width may mean this: not without more evidence.
_TISSUE_HU = (-200.0, 400.0)
_EVIDENCE_TAGS = tuple(
    tag
    for tag in KEPT_ELEMENTS
    if tag not in PER_PLANE and tag not in (*_PLACE_TAGS, *_FORMAT_TAGS, *_VALUE_TAGS[:-1])
)


class Common(NamedTuple):
    """What the planes of a series share."""

    image: PixelFormat
    evidence: Evidence
    place: _Place
    delivered: _Values


class PlaneDecoder:
    """Makes planes of elements; equal bytes give the very same object."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], object] = {}
        self._common_of: dict[tuple[object, ...], Common] = {}

    def plane(
        self, file_name: str, elements: Elements, *, frame: int = 0, state: FileState | None = None
    ) -> Plane:
        """The plane that `elements` describes: of a file, or of one `frame` of a multi-frame file.

        state : of the file when `elements` were read
        Raises IncompleteImage if an element is missing without which its values would be guessed.
        """
        offset, length = elements.pixel_offset, elements.pixel_length
        common = self.common(elements)
        if length >= 0 and common.evidence.n_frames > 1:
            n_bytes = common.image.n_bytes
            length = max(0, min(n_bytes, length - frame * n_bytes))
            offset += frame * n_bytes if offset >= 0 else 0
        plane_values = [elements.values.get(tag) for tag in PLANE_TAGS]
        return plane_of(file_name, common, plane_values, offset, length, frame=frame, state=state)

    def common(self, elements: Elements) -> Common:
        """What the plane shares with others of its `common_key`. Raises as `plane` does."""
        key = elements.common_key
        common = None if key is None else self._common_of.get(key)
        if common is None:
            image = self._shared(_FORMAT_TAGS, elements, elements.transfer_syntax_uid, _format)
            common = Common(
                image=image,
                evidence=self._shared(_EVIDENCE_TAGS, elements, elements.private, _evidence),
                place=self._shared(_PLACE_TAGS, elements, None, _place),
                delivered=self._shared(
                    _VALUE_TAGS, elements, image, lambda same: _values(same, image)
                ),
            )
            if key is not None:
                self._common_of[key] = common
        return common

    def _shared(
        self, tags: tuple[int, ...], elements: Elements, more: object, make: Callable[[Elements], T]
    ) -> T:
        key = (tags[0], more, *map(elements.values.get, tags))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = make(elements)
        return known  # type: ignore[return-value]  # the key's first tag fixes the type


def plane_of(
    file_name: str,
    common: Common,
    plane_values: Sequence[bytes | None],
    pixel_offset: int,
    pixel_length: int,
    *,
    frame: int = 0,
    state: FileState | None,
) -> Plane:
    """A plane of what it shares with others, and of what it has alone: values of `PLANE_TAGS`."""
    image, evidence, place, delivered = common
    sop_instance_uid, instance_number, position = plane_values
    position_mm = numbers_of(position)
    return Plane(
        file_name=file_name,
        evidence=evidence,
        format=image,
        sop_instance_uid=ascii_text(sop_instance_uid),
        position_mm=position_mm if len(position_mm) == 3 else None,
        orientation=place.orientation,
        pixel_spacing_mm=place.pixel_spacing_mm,
        slice_thickness_mm=place.slice_thickness_mm,
        slope=delivered.slope,
        intercept=delivered.intercept,
        padding=delivered.padding,
        odd_padding=delivered.odd_padding,
        pixel_offset=pixel_offset,
        pixel_length=pixel_length,
        frame=frame,
        instance_number=integer(instance_number),
        state=state,
    )


def _format(elements: Elements) -> PixelFormat:
    """Raises IncompleteImage where a required (type 1) element is missing: a default would be a guess."""
    raw = {KEPT_ELEMENTS[tag]: elements.values.get(tag) for tag in _FORMAT_TAGS}

    def required(name: str) -> int:
        number = short_of(raw[name])
        if number is None:
            raise IncompleteImage(f"CT image without {_FORMAT_NAMES[name]}")
        if len(raw[name] or b"") != 2:
            raise IncompleteImage(f"CT image whose {_FORMAT_NAMES[name]} is more than one number")
        return number

    rows, columns, allocated, stored = map(
        required, ("rows", "columns", "bits_allocated", "bits_stored")
    )
    for name, number in zip(_FORMAT_NAMES, (rows, columns, allocated, stored), strict=False):
        if number == 0:
            raise IncompleteImage(f"CT image whose {_FORMAT_NAMES[name]} is 0")
    representation = required("pixel_representation")
    if representation not in (0, 1):
        raise IncompleteImage(
            f"CT image whose Pixel Representation is {representation}, not 0 or 1"
        )
    samples = required("samples_per_pixel")
    photometric = ascii_text(raw["photometric"])
    if not photometric:
        raise IncompleteImage("CT image without Photometric Interpretation")
    high_bit = short_of(raw["high_bit"])
    return PixelFormat(
        transfer_syntax_uid=elements.transfer_syntax_uid,
        rows=rows,
        columns=columns,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if high_bit is None else high_bit,
        signed=representation == 1,
        samples_per_pixel=samples,
        photometric=photometric,
    )


def _place(elements: Elements) -> _Place:
    orientation, spacing, thickness = (numbers_of(elements.values.get(tag)) for tag in _PLACE_TAGS)
    return _Place(
        orientation if len(orientation) == 6 else None,
        spacing if len(spacing) == 2 else None,
        thickness[0] if thickness and thickness[0] > 0 else None,
    )


def _values(elements: Elements, image: PixelFormat) -> _Values:
    """Rescale and padding of the delivered int16 values: stored values less `image.bias`."""
    slope_raw, intercept_raw, padding_raw, limit_raw, rescale_type = (
        elements.values.get(tag) for tag in _VALUE_TAGS
    )
    if image.samples_per_pixel == 1:
        slope = _rescale("Slope", slope_raw)
        intercept = _rescale("Intercept", intercept_raw) + slope * image.bias
        if slope == 0.0:
            raise IncompleteImage("CT image whose Rescale Slope is 0")
    else:  # colours, which are never used
        slope, intercept = 1.0, 0.0
    undeclared = _undeclared_padding(slope, intercept, rescale_type)
    padding, odd = _padding(image, padding_raw, limit_raw, undeclared, slope, intercept)
    return _Values(slope=slope, intercept=intercept, padding=padding, odd_padding=odd)


def _padding(
    image: PixelFormat,
    padding_raw: bytes | None,
    limit_raw: bytes | None,
    undeclared: tuple[int, int] | None,
    slope: float,
    intercept: float,
) -> tuple[tuple[int, int] | None, OddPadding | None]:
    """The range of delivered values that means "no data", and what else does.

    undeclared : what means it whatever the header declares: a declared value may never occur
    """
    first = short_of(padding_raw, signed=image.signed)
    if first is None or image.bits_stored > 16:  # refused when it is read
        return undeclared, None
    last = short_of(limit_raw, signed=image.signed)
    low, high = sorted((first, first if last is None else last))
    least, most = _stored_range(image)
    if least <= low and high <= most:
        declared = low - image.bias, high - image.bias
        union = _union(declared, undeclared)
        if union is not None:
            return union, None
        return undeclared, OddPadding(values=declared)
    # Wider than the stored values: the file's words hold it in bits above High Bit, or it was cut to
    # the stored width when it was written, as two's complement.
    wrapped = _wrapped(low, image), _wrapped(high, image)
    values = wrapped if wrapped[0] <= wrapped[1] else (wrapped[1], wrapped[1])
    hu = sorted(slope * value + intercept for value in values)
    odd = OddPadding(
        values=values,
        words=(low & 0xFFFF, high & 0xFFFF) if low & 0xFFFF <= high & 0xFFFF else None,
        only_if_in_corner=hu[0] <= _TISSUE_HU[1] and hu[1] >= _TISSUE_HU[0],
    )
    return undeclared or (-32768, -32768), odd


def _stored_range(image: PixelFormat) -> tuple[int, int]:
    """Least and greatest stored value."""
    n_values = 1 << image.bits_stored
    return (-n_values // 2, n_values // 2 - 1) if image.signed else (0, n_values - 1)


def _wrapped(value: int, image: PixelFormat) -> int:
    """A value cut to the stored width."""
    n_values = 1 << image.bits_stored
    wrapped = value % n_values
    return wrapped - n_values if image.signed and wrapped >= n_values // 2 else wrapped


def _union(first: tuple[int, int], second: tuple[int, int] | None) -> tuple[int, int] | None:
    """Both ranges as one; None where values lie between them."""
    if second is None:
        return first
    if max(first[0], second[0]) > min(first[1], second[1]) + 1:
        return None
    return min(first[0], second[0]), max(first[1], second[1])


def _undeclared_padding(
    slope: float, intercept: float, rescale_type: bytes | None
) -> tuple[int, int] | None:
    """Delivered values so low that they are no HU; None where the unit is another."""
    if ascii_text(rescale_type) not in ("", "HU") or slope <= 0.0:
        return None
    highest = (NO_TISSUE_HU - intercept) / slope
    return _representable(-32768, math.floor(highest)) if abs(highest) < 2**31 else None


def _rescale(name: str, raw: bytes | None) -> float:
    """Read as 1 or 0 where it is absent it would give wrong HU, and nobody would know."""
    if not raw or not raw.strip(b"\0 "):
        raise IncompleteImage(f"CT image without Rescale {name}")
    numbers = numbers_of(raw)
    if len(numbers) != 1:
        raise IncompleteImage(f"CT image whose Rescale {name} is no number: {raw[:16]!r}")
    return numbers[0]


def _representable(low: int, high: int) -> tuple[int, int] | None:
    """The range as int16, or None where no delivered value can lie in it.

    Unsigned padding above 32767 with fewer than 16 bits stored never occurs in the pixels.
    """
    low, high = max(low, -32768), min(high, 32767)
    return (low, high) if low <= high else None


def _evidence(elements: Elements) -> Evidence:
    raw = elements.values.get
    encodings = encodings_of(raw(_TAG["character_set"]))

    def text(name: str) -> str:
        return text_of(raw(_TAG[name]), encodings)

    return Evidence(
        sop_class_uid=ascii_text(raw(_TAG["sop_class_uid"])),
        modality=text("modality"),
        study_uid=ascii_text(raw(_TAG["study_uid"])),
        series_uid=ascii_text(raw(_TAG["series_uid"])),
        frame_of_reference_uid=ascii_text(raw(_TAG["frame_of_reference_uid"])),
        patient_id=text("patient_id"),
        manufacturer=text("manufacturer"),
        model=text("model"),
        series_number=integer(raw(_TAG["series_number"])),
        series_description=text("series_description"),
        protocol=text("protocol"),
        image_comments=text("image_comments"),
        image_type=tuple(part.strip() for part in text("image_type").split("\\") if part.strip()),
        kvp=number_of(raw(_TAG["kvp"])),
        mono_energy_kev=energy_kev(elements.values),
        multienergy=text("multienergy"),
        materials=coded_materials(elements.values, elements.transfer_syntax_uid),
        rescale_type=text("rescale_type"),
        is_lossy=text("lossy") == "01",
        derivation=text("derivation"),
        acquisition_number=integer(raw(_TAG["acquisition_number"])),
        acquisition_datetime=text("acquisition_datetime")
        or text("acquisition_date") + text("acquisition_time"),
        contrast_agent=text("contrast_agent"),
        convolution_kernel=text("convolution_kernel"),
        gantry_tilt_deg=number_of(raw(_TAG["gantry_tilt"])),
        private=elements.private,
        n_frames=integer(raw(_TAG["n_frames"])) or 1,
    )
