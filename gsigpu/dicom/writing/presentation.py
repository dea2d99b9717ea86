"""Outlines of regions as a Grayscale Softcopy Presentation State: a PACS draws them on the images they were drawn on.

The state is a note on images that are in the archive: it holds window, layers and polygons, and no pixel. A presentation
state replaces the rescale of its images (PS3.4, N.2.1), so it repeats theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset

from gsigpu.dicom.model import Evidence, Plane
from gsigpu.dicom.quiet import quiet
from gsigpu.dicom.writing.content_names import name_by_content
from gsigpu.dicom.writing.derived import (
    OF_IMAGES,
    image_reference,
    shared_dataset,
)
from gsigpu.dicom.writing.long_string import long_string
from gsigpu.dicom.writing.seg import WrittenSegments, cielab_value
from gsigpu.dicom.writing.template import decimal
from gsigpu.dicom.writing.uids import derived_uid
from gsigpu.regions.outline import outlines
from gsigpu.regions.region_mask import RegionMask
from gsigpu.version import __version__
from gsigpu.volume import VolumeGeometry

_GSPS = "1.2.840.10008.5.1.4.1.1.11.1"
_NO_DATE, _NO_TIME = "19000101", "000000"


@dataclass(frozen=True, slots=True)
class OutlinedRegion:
    """A region to draw.

    layer : a Code String; regions of one layer are shown and hidden together
    label : written beside the region in the slice where it is largest; "" for none
    colour : red, green, blue from 0 to 255, for viewers that draw in colour
    """

    mask: RegionMask
    layer: str
    colour: tuple[int, int, int]
    label: str = ""


def write_presentation(
    path: Path,
    regions: Sequence[OutlinedRegion],
    segments: WrittenSegments,
    geometry: VolumeGeometry,
    *,
    window: tuple[float, float],
) -> None:
    """Writes the outlines on the images that `write_segmentation` referred to; these have one rescale.

    window : centre and width in HU
    """
    planes = [segments.series.planes[z] for z in segments.slices]
    (rescale,) = {(plane.slope, plane.intercept) for plane in planes}
    identity = derived_uid("presentation", __version__, str(segments.dataset.SOPInstanceUID))
    ds = state_dataset(
        segments.source_header,
        segments.series.evidence,
        _GSPS,
        identity,
        title="Outlines of regions",
        label="REGIONS",
        description="Outlines of lesions and their cores",
    )
    with quiet():
        ds.ReferencedSeriesSequence = [_series(segments.series.evidence.series_uid, planes)]
        ds.RescaleSlope, ds.RescaleIntercept = (decimal(value) for value in rescale)
        ds.RescaleType = "HU"
        ds.SoftcopyVOILUTSequence = [_window(window)]
        ds.PresentationLUTShape = "IDENTITY"
        ds.DisplayedAreaSelectionSequence = [displayed_area(geometry)]
        add_graphics(ds, regions, dict(zip(segments.slices, planes, strict=True)))
        name_by_content(ds)
        ds.save_as(path, enforce_file_format=True)


def state_dataset(
    source: FileDataset,
    evidence: Evidence,
    sop_class_uid: str,
    identity: str,
    *,
    title: str,
    label: str,
    description: str,
) -> FileDataset:
    """A presentation state of any kind without what it presents: patient, study, series and identification.

    source, evidence : of the images, as for `shared_dataset`
    identity : a UID of what it is meant to be
    title : Series Description
    label : Content Label, a Code String
    """
    ds = shared_dataset(source, evidence, sop_class_uid, derived_uid("image", identity))
    for keyword in OF_IMAGES:
        if keyword not in ("SOPClassUID", "Laterality") and keyword in ds:
            delattr(ds, keyword)
    with quiet():
        ds.Modality = "PR"
        ds.SeriesInstanceUID, ds.SeriesNumber = derived_uid("series", identity), 1
        ds.InstanceNumber = 1
        ds.SeriesDescription = long_string(title)
        ds.ContentLabel = label
        ds.ContentDescription = long_string(description)
        ds.ContentCreatorName = ""
        ds.PresentationCreationDate = ds.pop("ContentDate").value or _NO_DATE
        ds.PresentationCreationTime = ds.pop("ContentTime").value or _NO_TIME
    return ds


def add_graphics(
    ds: FileDataset, regions: Sequence[OutlinedRegion], planes: Mapping[int, Plane]
) -> None:
    """Layers and outlines of regions; nothing where there are none.

    planes : slice -> the image that its outlines are drawn on
    """
    if regions:
        ds.GraphicLayerSequence = _layers(regions)
        ds.GraphicAnnotationSequence = [
            annotation
            for z, plane in planes.items()
            for annotation in _annotations(regions, z, plane)
        ]


def _series(series_uid: str, planes: Sequence[Plane]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = series_uid
    item.ReferencedImageSequence = image_items(planes)
    return item


def image_items(planes: Sequence[Plane]) -> list[Dataset]:
    """Items of Referenced Image Sequence: every file of a series' planes, once."""
    frames: dict[str, list[Plane]] = {}
    for plane in planes:
        frames.setdefault(plane.sop_instance_uid, []).append(plane)
    return [_image(of_file) for of_file in frames.values()]


def _image(planes: Sequence[Plane]) -> Dataset:
    """One file of images; of a multi-frame file the frames."""
    plane = planes[0]
    frames = "\\".join(str(each.frame + 1) for each in planes)
    return image_reference(plane, plane.sop_instance_uid, frames)


def _window(window: tuple[float, float]) -> Dataset:
    item = Dataset()
    item.WindowCenter, item.WindowWidth = (decimal(value) for value in window)
    return item


def displayed_area(geometry: VolumeGeometry) -> Dataset:
    """An item of Displayed Area Selection Sequence: the whole image."""
    item = Dataset()
    rows, columns = geometry.shape[1:]
    item.DisplayedAreaTopLeftHandCorner = [1, 1]
    item.DisplayedAreaBottomRightHandCorner = [columns, rows]
    item.PresentationSizeMode = "SCALE TO FIT"
    item.PresentationPixelSpacing = [decimal(size) for size in geometry.spacing_mm[1:]]
    return item


def _layers(regions: Sequence[OutlinedRegion]) -> list[Dataset]:
    items = []
    colours = {region.layer: region.colour for region in regions}
    for order, (layer, colour) in enumerate(colours.items(), start=1):
        item = Dataset()
        item.GraphicLayer = layer
        item.GraphicLayerOrder = order
        item.GraphicLayerRecommendedDisplayGrayscaleValue = 0xFFFF
        item.GraphicLayerRecommendedDisplayCIELabValue = list(cielab_value(colour))
        items.append(item)
    return items


def _annotations(regions: Sequence[OutlinedRegion], z: int, plane: Plane) -> list[Dataset]:
    """One per layer that has something in slice z."""
    objects: dict[str, list[Dataset]] = {}
    texts: dict[str, list[Dataset]] = {}
    for region in regions:
        local = z - region.mask.origin[0]
        if not 0 <= local < region.mask.voxels.shape[0]:
            continue
        polygons = [
            polygon + np.array(region.mask.origin[1:])
            for polygon in outlines(region.mask.voxels[local])
        ]
        objects.setdefault(region.layer, []).extend(map(_polyline, polygons))
        if region.label and local == int(region.mask.voxels.sum(axis=(1, 2)).argmax()):
            texts.setdefault(region.layer, []).append(_text(region.label, polygons[0]))
    annotations = []
    for layer, drawn in objects.items():
        if drawn:
            annotation = Dataset()
            annotation.ReferencedImageSequence = [_image([plane])]
            annotation.GraphicLayer = layer
            if layer in texts:
                annotation.TextObjectSequence = texts[layer]
            annotation.GraphicObjectSequence = drawn
            annotations.append(annotation)
    return annotations


def _polyline(polygon: NDArray[np.int64]) -> Dataset:
    """A closed polygon; its corners are those of pixels, (0, 0) the upper left one of the image (PS3.3, C.10.5)."""
    closed = np.vstack([polygon, polygon[:1]])
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(closed)
    item.GraphicData = closed[:, ::-1].astype(float).ravel().tolist()  # column, row
    item.GraphicType = "POLYLINE"
    item.GraphicFilled = "N"
    return item


def _text(label: str, polygon: NDArray[np.int64]) -> Dataset:
    """A label whose anchor is the upper right corner of a polygon."""
    item = Dataset()
    item.UnformattedTextValue = label
    item.AnchorPointAnnotationUnits = "PIXEL"
    item.AnchorPoint = [float(polygon[:, 1].max()), float(polygon[:, 0].min())]
    item.AnchorPointVisibility = "N"
    return item
