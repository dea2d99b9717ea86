"""Enhanced CT: the functional groups of a multi-frame file, as if each frame were a file.

Values of the Per-Frame groups override those of the Shared groups, and both those at the top, so
that one plane decoder serves classic and multi-frame images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsigpu.dicom.reading.elements import (
    KEPT_ELEMENTS,
    NUMBER_OF_FRAMES,
    PIXEL_PADDING_RANGE_LIMIT,
    PIXEL_PADDING_VALUE,
    Elements,
    elements_of_dataset,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# The macros that hold the kept elements: PS3.3 C.7.6.16.2 and C.8.15.3.
_MACROS = (
    # Legacy Converted Enhanced CT keeps here what has no place elsewhere; what has one overrides it.
    "UnassignedSharedConvertedAttributesSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "CTImageFrameTypeSequence",
    "CTXRayDetailsSequence",
    "CTAcquisitionDetailsSequence",
    "CTReconstructionSequence",
    "FrameContentSequence",
    "MultienergyCTCharacteristicsSequence",
    "MultienergyCTProcessingSequence",
    "FrameAnatomySequence",
    "DerivationImageSequence",
)
# Frame-level names of what classic images call otherwise.
_FRAME_TYPE, _IMAGE_TYPE = 0x00089007, 0x00080008
_FRAME_ACQUISITION, _ACQUISITION_DATETIME = 0x00189074, 0x0008002A
_FRAME_COMMENTS, _IMAGE_COMMENTS = 0x00209158, 0x00204000


class InconsistentFrames(Exception):
    """The functional groups do not fit the number of frames; the scan reports it as skipped."""


def frames_of(ds: Dataset, top: Elements) -> list[Elements]:
    """The elements of each frame of a multi-frame file, in the order of its pixel data.

    ds : parsed without pixel data
    top : what the file says outside the functional groups
    Raises InconsistentFrames if the groups are not one per frame.
    """
    syntax = top.transfer_syntax_uid
    base = dict(top.values)
    for item in ds.get("SharedFunctionalGroupsSequence", [])[:1]:
        base.update(_group_values(item, syntax))
    per_frame = ds.get("PerFrameFunctionalGroupsSequence", [])
    n_frames = int(ds.get("NumberOfFrames", 1) or 1)
    # As pydicom understood it, whatever else stood beside the digits.
    count = {NUMBER_OF_FRAMES: b"%d" % n_frames}
    if len(per_frame) != n_frames:
        raise InconsistentFrames(
            f"{n_frames} frames but {len(per_frame)} items of Per-Frame Functional Groups"
        )
    return [
        Elements(
            values=base | _group_values(item, syntax) | count,
            transfer_syntax_uid=syntax,
            private=top.private,
            pixel_offset=top.pixel_offset,
            pixel_length=top.pixel_length,
        )
        for item in per_frame
    ]


def _group_values(groups: Dataset, syntax: str) -> dict[int, bytes]:
    """Kept raw values of an item of functional groups."""
    from pydicom.dataset import Dataset

    values: dict[int, bytes] = {}
    for name in _MACROS:
        for item in groups.get(name, [])[:1]:
            values.update(_with_classic_names(item, syntax))
            if name.startswith("Multienergy"):
                wrapped = Dataset()
                setattr(wrapped, name, [item])
                values.update(elements_of_dataset(wrapped, syntax).values)
    return {
        tag: value
        for tag, value in values.items()
        if tag in KEPT_ELEMENTS and tag not in (PIXEL_PADDING_VALUE, PIXEL_PADDING_RANGE_LIMIT)
    }


def _with_classic_names(item: Dataset, syntax: str) -> dict[int, bytes]:
    values = elements_of_dataset(item, syntax).values
    for frame_tag, classic_tag in (
        (_FRAME_TYPE, _IMAGE_TYPE),
        (_FRAME_ACQUISITION, _ACQUISITION_DATETIME),
        (_FRAME_COMMENTS, _IMAGE_COMMENTS),
    ):
        element = item.get_item(frame_tag) if frame_tag in item else None
        raw = getattr(element, "value", None)
        if isinstance(raw, bytes):
            values[classic_tag] = raw
    return values
