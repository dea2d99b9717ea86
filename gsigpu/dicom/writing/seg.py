"""Regions as one DICOM Segmentation, a segment per region; segments overlap.

highdicom makes the object and its segments from a stand-in for one source slice. The frames are written
here: it would want all regions of all slices as one array, gigabytes for a study, and a source may be a
frame of a multi-frame object, which it cannot refer to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.sr.coding import Code as PydicomCode
from pydicom.uid import CTImageStorage, SegmentationStorage

from gsigpu.dicom.model import Plane, Series
from gsigpu.dicom.quiet import quiet
from gsigpu.dicom.writing.content_names import name_by_content
from gsigpu.dicom.writing.derived import (
    code_item,
    referenced_series,
    shared_dataset,
    source_header,
    source_image_items,
)
from gsigpu.dicom.writing.long_string import long_string
from gsigpu.dicom.writing.template import decimal
from gsigpu.dicom.writing.uids import derived_uid
from gsigpu.maps.definitions import Code
from gsigpu.maps.registry import OWN_SCHEME
from gsigpu.regions.region_mask import RegionMask
from gsigpu.version import __version__
from gsigpu.volume import VolumeGeometry

_NO_DATE, _NO_TIME = "19000101", "000000"
_MADE_BY = "gsigpu regions"
_SRGB_TO_XYZ_D50 = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
_D50 = np.array([0.9642200, 1.0, 0.8252100])
# PS3.16, CID 7162.
_BY_HAND = PydicomCode("123109", "DCM", "Manual Processing")
_BY_PROGRAM = PydicomCode("123110", "DCM", "Artificial Intelligence")
_SEGMENTATION = Code("113076", "DCM", "Segmentation")


@dataclass(frozen=True, slots=True)
class Segment:
    """One region.

    label : Segment Label, also its tracking identifier
    category, kind : of the segmented property, coded
    kind_modifiers : of the kind, coded
    colour : recommended for display, red, green, blue from 0 to 255; None for the viewer's choice
    anatomy : where it lies, coded; None where nobody knows
    drawn_by : program and version that drew its mask, where nobody changed it since
    """

    label: str
    mask: RegionMask
    category: Code
    kind: Code
    anatomy: Code | None
    kind_modifiers: tuple[Code, ...] = ()
    colour: tuple[int, int, int] | None = None
    drawn_by: str = ""


@dataclass(frozen=True, slots=True)
class WrittenSegments:
    """A Segmentation that was written, for a report to refer to.

    dataset : the object without its pixels
    source_header : of the images it was drawn on
    slices : indices of the slices it covers
    tracking_uids : per segment
    """

    dataset: Dataset
    source_header: FileDataset
    series: Series
    slices: tuple[int, ...]
    tracking_uids: tuple[str, ...]


def write_segmentation(
    path: Path, segments: Sequence[Segment], series: Series, geometry: VolumeGeometry
) -> WrittenSegments:
    """Writes the regions on the slices of `series` that they touch.

    series : images on the regions' grid that the segments refer to
    Returns what a structured report needs. The same regions give the same bytes.
    """
    header = source_header([series])
    slices = sorted(
        {
            z
            for segment in segments
            for z in range(segment.mask.box[0].start, segment.mask.box[0].stop)
        }
    )
    planes = [series.planes[z] for z in slices]
    identity = derived_uid(
        "segmentation",
        __version__,
        *(plane.sop_instance_uid for plane in planes),
        *(
            f"{segment.label} {segment.kind} {segment.mask.origin} {np.packbits(segment.mask.voxels).tobytes().hex()}"
            for segment in segments
        ),
    )
    tracking = tuple(derived_uid("tracking", identity, number) for number in range(len(segments)))
    with quiet():
        ds: Any = hd.seg.Segmentation(
            source_images=[_stand_in(header, planes[0], geometry)],
            pixel_array=np.zeros((1, *geometry.shape[1:], len(segments)), np.uint8),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            omit_empty_frames=False,
            segment_descriptions=[
                _description(number, segment, uid)
                for number, (segment, uid) in enumerate(
                    zip(segments, tracking, strict=True), start=1
                )
            ],
            series_instance_uid=derived_uid("series", identity),
            series_number=1,
            sop_instance_uid=derived_uid("image", identity),
            instance_number=1,
            manufacturer="gsigpu",
            manufacturer_model_name="gsigpu",
            software_versions=__version__,
            device_serial_number=__version__,
            content_label="REGIONS",
            content_description="Lesions, rims and surroundings",
            series_description="Regions",
        )
        for item, segment in zip(ds.SegmentSequence, segments, strict=True):
            if segment.colour is not None:
                item.RecommendedDisplayCIELabValue = list(cielab_value(segment.colour))
            if segment.kind_modifiers:
                (kind,) = item.SegmentedPropertyTypeCodeSequence
                kind.SegmentedPropertyTypeModifierCodeSequence = [
                    code_item(code) for code in segment.kind_modifiers
                ]
        _complete(ds, header, series, planes, identity)
        _add_frames(ds, segments, series.planes, slices, geometry)
        name_by_content(ds)
        ds.save_as(path, enforce_file_format=True)
    del ds.PixelData
    return WrittenSegments(
        dataset=ds,
        source_header=header,
        series=series,
        slices=tuple(slices),
        tracking_uids=tracking,
    )


def _add_frames(
    ds: Any,
    segments: Sequence[Segment],
    planes: Sequence[Plane],
    slices: Sequence[int],
    geometry: VolumeGeometry,
) -> None:
    """A frame for every slice of every segment that has voxels, segment by segment."""
    at = {z: index for index, z in enumerate(slices, start=1)}
    frames, groups = [], []
    for number, segment in enumerate(segments, start=1):
        for local in np.flatnonzero(segment.mask.voxels.any(axis=(1, 2))):
            z = segment.mask.origin[0] + int(local)
            frames.append((segment.mask, int(local)))
            groups.append(_frame_groups(number, at[z], planes[z]))
    (shared,) = ds.SharedFunctionalGroupsSequence
    # highdicom puts what all frames share there, with one segment the segment too; it is in each frame.
    if "SegmentIdentificationSequence" in shared:
        del shared.SegmentIdentificationSequence
    # highdicom, which saw the stand-in alone, writes 1 mm.
    shared.PixelMeasuresSequence[0].SpacingBetweenSlices = decimal(geometry.spacing_mm[0])
    ds.NumberOfFrames = len(frames)
    ds.PerFrameFunctionalGroupsSequence = groups
    packed = b"".join(
        _packed(frames[first : first + 8], geometry.shape[1:]) for first in range(0, len(frames), 8)
    )
    ds.PixelData = packed + b"\0" * (len(packed) % 2)


def _packed(frames: Sequence[tuple[RegionMask, int]], shape: tuple[int, int]) -> bytes:
    """Frames as bits, the first in the lowest; eight frames fill whole bytes, whatever their size."""
    pixels = np.zeros((len(frames), *shape), bool)
    for target, (mask, local) in zip(pixels, frames, strict=True):
        _, rows, columns = mask.box
        target[rows, columns] = mask.voxels[local]
    return np.packbits(pixels, bitorder="little").tobytes()


def _frame_groups(number: int, position: int, plane: Plane) -> Dataset:
    """Per-frame functional groups: the segment, the place, the image it was drawn on."""
    assert plane.position_mm is not None
    content, where, segment, source, groups = (Dataset() for _ in range(5))
    content.DimensionIndexValues = [number, position]
    where.ImagePositionPatient = [decimal(value) for value in plane.position_mm]
    segment.ReferencedSegmentNumber = number
    source.SourceImageSequence = source_image_items(
        [plane], [plane.sop_instance_uid], [str(plane.frame + 1)]
    )
    source.DerivationCodeSequence = [code_item(_SEGMENTATION)]
    groups.DerivationImageSequence = [source]
    groups.FrameContentSequence = [content]
    groups.PlanePositionSequence = [where]
    groups.SegmentIdentificationSequence = [segment]
    return groups


def _description(number: int, segment: Segment, tracking_uid: str) -> Any:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=long_string(segment.label),
        segmented_property_category=pydicom_code(segment.category),
        segmented_property_type=pydicom_code(segment.kind),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC
        if segment.drawn_by
        else hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=f"{_MADE_BY}, {segment.drawn_by}"[:64] if segment.drawn_by else _MADE_BY,
            family=_BY_PROGRAM if segment.drawn_by else _BY_HAND,
            version=__version__,
        ),
        tracking_uid=tracking_uid,
        tracking_id=long_string(segment.label),
        anatomic_regions=None if segment.anatomy is None else [pydicom_code(segment.anatomy)],
    )


def cielab_value(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """A colour of sRGB as DICOM writes it: L*, a*, b* of the D50 white point, each from 0 to 65535.

    PS3.3, C.10.7.1.1: L* from 0 to 100, a* and b* from -128 to 127 over the whole range. sRGB to XYZ of IEC 61966-2-1,
    to D50 by Bradford's matrix as the ICC profile of sRGB has it. Oracle: LittleCMS.
    highdicom's own conversion takes the D65 white point, five units of a* off.

    >>> cielab_value((255, 255, 255))
    (65535, 32896, 32896)
    """
    encoded = np.array(colour) / 255.0
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    xyz = _SRGB_TO_XYZ_D50 @ linear / _D50
    cubic = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    lightness = 116 * cubic[1] - 16
    a, b = 500 * (cubic[0] - cubic[1]), 200 * (cubic[1] - cubic[2])
    scaled = (lightness / 100, (a + 128) / 255, (b + 128) / 255)
    values = [round(65535 * min(max(float(value), 0.0), 1.0)) for value in scaled]
    return values[0], values[1], values[2]


def own_coding_scheme() -> Dataset:
    """What the designator of this program's own codes stands for."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = OWN_SCHEME
    scheme.CodingSchemeName = "Parameters and regions of gsigpu's measurement table"
    scheme.CodingSchemeResponsibleOrganization = "gsigpu"
    return scheme


def pydicom_code(code: Code) -> PydicomCode:
    """The same code as pydicom's type, which highdicom takes."""
    return PydicomCode(code.value, code.scheme, code.meaning)


def _stand_in(header: FileDataset, plane: Plane, geometry: VolumeGeometry) -> FileDataset:
    """A CT image in the place of `plane`, with all that highdicom asks of a source."""
    evidence = plane.evidence
    with quiet():
        ds = shared_dataset(
            header, evidence, CTImageStorage, derived_uid("stand-in", plane.sop_instance_uid)
        )
        ds.SeriesInstanceUID = evidence.series_uid
        ds.FrameOfReferenceUID = frame_of_reference_uid(plane)
        ds.Rows, ds.Columns = geometry.shape[1:]
        ds.Modality = "CT"
        ds.SliceThickness = decimal(plane.slice_thickness_mm or geometry.spacing_mm[0])
        assert plane.position_mm is not None
        ds.ImagePositionPatient = [decimal(value) for value in plane.position_mm]
        ds.ImageOrientationPatient = [
            decimal(x) for x in (*geometry.row_direction, *geometry.column_direction)
        ]
        ds.PixelSpacing = [decimal(size) for size in geometry.spacing_mm[1:]]
    return ds


def frame_of_reference_uid(plane: Plane) -> str:
    """The source's, or a UID that follows from its series where the source names none."""
    evidence = plane.evidence
    return evidence.frame_of_reference_uid or derived_uid("frame", evidence.series_uid)


def _complete(
    ds: Any, header: FileDataset, series: Series, planes: Sequence[Plane], identity: str
) -> None:
    """True references, dates of the source, and UIDs that follow from the input."""
    shared = shared_dataset(header, series.evidence, SegmentationStorage, str(ds.SOPInstanceUID))
    for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
        if keyword in ds:
            delattr(ds, keyword)
    dimensions_uid = derived_uid("dimensions", identity)
    ds.DimensionOrganizationSequence[0].DimensionOrganizationUID = dimensions_uid
    for item in ds.DimensionIndexSequence:
        item.DimensionOrganizationUID = dimensions_uid
    for element in shared:
        if element.keyword not in ("SOPClassUID", "Modality", "PositionReferenceIndicator"):
            ds.add(element)
    ds.ContentDate = ds.ContentDate or _NO_DATE
    ds.ContentTime = ds.ContentTime or _NO_TIME
    ds.CodingSchemeIdentificationSequence = [own_coding_scheme()]
    ds.ReferencedSeriesSequence = [referenced_series(planes)]
    for keyword in ("SourceImageSequence", "Laterality"):
        if keyword in ds:
            delattr(ds, keyword)
