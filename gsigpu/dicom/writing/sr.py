"""Measurements as a Structured Report, TID 1500, that refers to the segments they were taken in.

highdicom makes the report and its groups. The numbers are added after: it copies and searches the tree at
every step, which takes a minute for the three thousand numbers of a study.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, SegmentationStorage

from gsigpu.dicom.quiet import quiet
from gsigpu.dicom.writing.content_names import name_by_content
from gsigpu.dicom.writing.derived import (
    OF_IMAGES,
    code_item,
    image_reference,
    shared_dataset,
)
from gsigpu.dicom.writing.long_string import long_string
from gsigpu.dicom.writing.seg import WrittenSegments, own_coding_scheme, pydicom_code
from gsigpu.dicom.writing.template import decimal
from gsigpu.dicom.writing.uids import derived_uid
from gsigpu.maps.definitions import Code
from gsigpu.maps.registry import OWN_SCHEME
from gsigpu.version import __version__

_COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
_NO_DATE, _NO_TIME = "19000101", "000000"
_IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
_MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
_METHOD = Code("370129005", "SCT", "Measurement Method")
_DERIVATION = Code("121401", "DCM", "Derivation")
_PATH = Code("121055", "DCM", "Path")
_FLAG = Code("FLAG", OWN_SCHEME, "Flag of a measurement")
_CT_OF_ABDOMEN = Code("169070004", "SCT", "CT of abdomen")


@dataclass(frozen=True, slots=True)
class DrawnLine:
    """A line on one of the images that the regions were drawn on.

    z : the slice
    start, end : (row, column) in voxel indices, a centre being a whole number
    """

    z: int
    start: tuple[float, float]
    end: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of a report.

    name, unit : coded, the unit in UCUM
    derivation : mean, standard deviation, ...; None for a size
    method : how it is defined, in words, as the meaning of a private code; None where the name says all
    line : what a length was measured along
    """

    name: Code
    value: float
    unit: Code
    derivation: Code | None = None
    method: Code | None = None
    line: DrawnLine | None = None


@dataclass(frozen=True, slots=True)
class ReportedRegion:
    """A segment and what was measured in it.

    segment : its index in the Segmentation, from 0
    category, finding : what it is, coded
    site : where, coded; None where nobody knows
    flags : what to know about its numbers, coded
    """

    segment: int
    label: str
    category: Code
    finding: Code
    site: Code | None
    quantities: tuple[Quantity, ...]
    flags: tuple[Code, ...] = ()


def write_report(
    path: Path, regions: Sequence[ReportedRegion], segments: WrittenSegments, *, title: str
) -> None:
    """Writes the report of regions that `write_segmentation` wrote.

    title : Series Description
    """
    seg = segments.dataset
    planes = [segments.series.planes[z] for z in segments.slices]
    identity = derived_uid(
        "report", __version__, str(seg.SOPInstanceUID), *(repr(region) for region in regions)
    )
    with quiet():
        content = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(
                observer_device_context=hd.sr.ObserverContext(
                    observer_type=codes.DCM.Device,
                    observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
                        uid=derived_uid("device", __version__),
                        name="gsigpu",
                        manufacturer_name="gsigpu",
                        model_name=f"gsigpu {__version__}",
                    ),
                )
            ),
            procedure_reported=pydicom_code(_CT_OF_ABDOMEN),
            imaging_measurements=[_group(region, segments) for region in regions],
            title=codes.DCM.ImagingMeasurementReport,
        )
        images = [
            _evidence(segments, plane.sop_instance_uid, plane.evidence.sop_class_uid)
            for plane in planes
        ]
        unique = {str(image.SOPInstanceUID): image for image in images}
        ds: Any = hd.sr.Comprehensive3DSR(
            evidence=[*unique.values(), seg],
            content=content,
            series_instance_uid=derived_uid("series", identity),
            series_number=1,
            sop_instance_uid=derived_uid("image", identity),
            instance_number=1,
            manufacturer="gsigpu",
            is_complete=True,
            series_description=long_string(title),
        )
        _complete(ds, segments)
        _add_numbers(ds, regions, segments)
        name_by_content(ds)
        ds.save_as(path, enforce_file_format=True)


def _group(region: ReportedRegion, segments: WrittenSegments) -> Any:
    seg, evidence = segments.dataset, segments.series.evidence
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=segments.tracking_uids[region.segment], identifier=region.label
        ),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=SegmentationStorage,
            sop_instance_uid=str(seg.SOPInstanceUID),
            segment_number=region.segment + 1,
            source_series=hd.sr.SourceSeriesForSegmentation(evidence.series_uid),
        ),
        finding_category=pydicom_code(region.category),
        finding_type=pydicom_code(region.finding),
        finding_sites=None
        if region.site is None
        else [hd.sr.FindingSite(anatomic_location=pydicom_code(region.site))],
    )


def _add_numbers(ds: Any, regions: Sequence[ReportedRegion], segments: WrittenSegments) -> None:
    """The quantities and flags of each region in its measurement group, TID 1411 rows 15 and 16."""
    groups = [
        group
        for item in ds.ContentSequence
        if _is(item, _IMAGING_MEASUREMENTS)
        for group in item.ContentSequence
        if _is(group, _MEASUREMENT_GROUP)
    ]
    for group, region in zip(groups, regions, strict=True):
        items = [
            *group.ContentSequence,
            *(_number(quantity, segments) for quantity in region.quantities),
            *(_flag(flag) for flag in region.flags),
        ]
        group.add_new("ContentSequence", "SQ", items)


def _is(item: Dataset, concept: Code) -> bool:
    return str(item.ConceptNameCodeSequence[0].CodeValue) == concept.value


def _number(quantity: Quantity, segments: WrittenSegments) -> Dataset:
    """A measured value, TID 300."""
    measured, item = Dataset(), Dataset()
    measured.MeasurementUnitsCodeSequence = [code_item(quantity.unit)]
    measured.FloatingPointValue = quantity.value
    measured.NumericValue = decimal(quantity.value)
    item.RelationshipType = "CONTAINS"
    item.ValueType = "NUM"
    item.ConceptNameCodeSequence = [code_item(quantity.name)]
    item.MeasuredValueSequence = [measured]
    modifiers = [(_METHOD, quantity.method), (_DERIVATION, quantity.derivation)]
    modifier_items = [_modifier(concept, code) for concept, code in modifiers if code is not None]
    # Before the modifiers: OHIF looks for a line in the first item.
    drawn_items = [] if quantity.line is None else [_drawn(quantity.line, segments)]
    if drawn_items or modifier_items:
        item.ContentSequence = [*drawn_items, *modifier_items]
    return item


def _drawn(line: DrawnLine, segments: WrittenSegments) -> Dataset:
    """What a length was inferred from: a line on an image, TID 320.

    Coordinates are column and row, the upper left corner of the first pixel being (0, 0): PS3.3, C.18.6.
    """
    plane = segments.series.planes[line.z]
    image, coordinates = Dataset(), Dataset()
    image.RelationshipType = "SELECTED FROM"
    image.ValueType = "IMAGE"
    image.ReferencedSOPSequence = [
        image_reference(plane, plane.sop_instance_uid, str(plane.frame + 1))
    ]
    coordinates.RelationshipType = "INFERRED FROM"
    coordinates.ValueType = "SCOORD"
    coordinates.ConceptNameCodeSequence = [code_item(_PATH)]
    coordinates.GraphicType = "POLYLINE"
    coordinates.GraphicData = [
        value + 0.5 for row, column in (line.start, line.end) for value in (column, row)
    ]
    coordinates.ContentSequence = [image]
    return coordinates


def _flag(flag: Code) -> Dataset:
    """A flag as qualitative evaluation."""
    item = _modifier(_FLAG, flag)
    item.RelationshipType = "CONTAINS"
    return item


def _modifier(concept: Code, code: Code) -> Dataset:
    item = Dataset()
    item.RelationshipType = "HAS CONCEPT MOD"
    item.ValueType = "CODE"
    item.ConceptNameCodeSequence = [code_item(concept)]
    item.ConceptCodeSequence = [code_item(code)]
    return item


def _evidence(segments: WrittenSegments, sop_instance_uid: str, sop_class_uid: str) -> Dataset:
    """A source image, as far as a list of evidence needs it."""
    ds = shared_dataset(
        segments.source_header, segments.series.evidence, CTImageStorage, sop_instance_uid
    )
    ds.SOPClassUID = sop_class_uid
    ds.SeriesInstanceUID = segments.series.evidence.series_uid
    ds.Modality = "CT"
    return ds


def _complete(ds: Any, segments: WrittenSegments) -> None:
    """Dates of the source, and nothing that would differ from run to run."""
    shared = shared_dataset(
        segments.source_header,
        segments.series.evidence,
        _COMPREHENSIVE_3D_SR,
        str(ds.SOPInstanceUID),
    )
    for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
        if keyword in ds:
            delattr(ds, keyword)
    for element in shared:
        if element.keyword not in OF_IMAGES:
            ds.add(element)
    ds.CodingSchemeIdentificationSequence = [own_coding_scheme()]
    ds.ContentDate = ds.ContentDate or _NO_DATE
    ds.ContentTime = ds.ContentTime or _NO_TIME
