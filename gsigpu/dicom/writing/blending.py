"""A map in colour over the anatomy as an Advanced Blending Presentation State, with outlines of regions.

A viewer that knows these states lays the map's series, through the map's window and colours, over the series that a
person reads, both as they are in the archive. Where the map has no value (padding) the anatomy alone is shown
(PS3.4, N.2.6). The state holds no pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import ImageCms
from pydicom.dataset import Dataset, FileDataset

from gsigpu.dicom.model import Series
from gsigpu.dicom.quiet import quiet
from gsigpu.dicom.writing.content_names import name_by_content
from gsigpu.dicom.writing.derived import referenced_series, source_header
from gsigpu.dicom.writing.presentation import (
    OutlinedRegion,
    add_graphics,
    displayed_area,
    image_items,
    state_dataset,
)
from gsigpu.dicom.writing.template import decimal
from gsigpu.dicom.writing.uids import derived_uid
from gsigpu.maps.definitions import MapDefinition
from gsigpu.version import __version__
from gsigpu.volume import VolumeGeometry

_ADVANCED_BLENDING = "1.2.840.10008.5.1.4.1.1.11.8"
# As strong as each other: anatomy stays visible under the map, and colours keep their order.
_OPACITY = 0.5
_N_COLOURS = 256
_MAP, _ANATOMY = 1, 2  # Blending Input Numbers
_GREYS = "gray"


@dataclass(frozen=True, slots=True)
class WrittenImages:
    """A series of maps that was written, for a state to refer to.

    image_uids : SOP Instance UIDs, ascending along the slice direction
    """

    series_uid: str
    sop_class_uid: str
    image_uids: tuple[str, ...]


def has_colours(definition: MapDefinition) -> bool:
    """Whether a map is shown in colour over the anatomy; one in greys is an image of its own."""
    return definition.colormap != _GREYS


def write_blendings(
    paths: Mapping[Path, tuple[MapDefinition, WrittenImages]],
    anatomy: Series,
    geometry: VolumeGeometry,
    *,
    anatomy_window: tuple[float, float],
    regions: Sequence[OutlinedRegion] = (),
) -> None:
    """Writes one state per map.

    paths : file to write -> the map, and its series in the same frame of reference as `anatomy`
    anatomy : the series beneath, whose frame of reference is known
    anatomy_window : centre and width in HU
    """
    source = source_header([anatomy])
    for path, (definition, images) in paths.items():
        ds = _state(source, definition, images, anatomy)
        with quiet():
            ds.AdvancedBlendingSequence = [
                _map_input(definition, images, anatomy),
                _anatomy_input(anatomy, anatomy_window),
            ]
            ds.PixelPresentation = "TRUE_COLOR"
            ds.BlendingDisplaySequence = [_display()]
            ds.ICCProfile, ds.ColorSpace = _srgb_profile(), "SRGB"
            ds.DisplayedAreaSelectionSequence = [displayed_area(geometry)]
            ds.ReferencedSeriesSequence = [_series(images), referenced_series(anatomy.planes)]
            add_graphics(ds, regions, dict(enumerate(anatomy.planes)))
            name_by_content(ds)
            ds.save_as(path, enforce_file_format=True)


def _state(
    source: FileDataset, definition: MapDefinition, images: WrittenImages, anatomy: Series
) -> FileDataset:
    evidence = anatomy.evidence
    ds = state_dataset(
        source,
        evidence,
        _ADVANCED_BLENDING,
        derived_uid("blending", __version__, images.series_uid, evidence.series_uid),
        title=f"{definition.title} over {anatomy.energy_kev:g} keV",
        label=re.sub("[^A-Z0-9]+", "_", definition.parameter.upper())[:16].strip("_"),
        description=f"{definition.title} in colour over the anatomical image",
    )
    ds.FrameOfReferenceUID = evidence.frame_of_reference_uid
    ds.PositionReferenceIndicator = ""
    return ds


def _map_input(definition: MapDefinition, images: WrittenImages, anatomy: Series) -> Dataset:
    item = _input(_MAP, anatomy.evidence.study_uid, images.series_uid, definition.window)
    item.ReferencedImageSequence = _series(images).ReferencedInstanceSequence
    item.GeometryForDisplay = "FALSE"
    palette = Dataset()
    colours = colormaps[definition.colormap](np.linspace(0, 1, _N_COLOURS))[:, :3]
    for name, column in zip(("Red", "Green", "Blue"), colours.T, strict=True):
        table = np.round(column * 65535).astype("<u2").tobytes()
        palette.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [_N_COLOURS, 0, 16])
        palette.add_new(f"{name}PaletteColorLookupTableData", "OW", table)
    item.PaletteColorLookupTableSequence = [palette]
    return item


def _anatomy_input(anatomy: Series, window: tuple[float, float]) -> Dataset:
    evidence = anatomy.evidence
    item = _input(_ANATOMY, evidence.study_uid, evidence.series_uid, window)
    item.ReferencedImageSequence = image_items(anatomy.planes)
    item.GeometryForDisplay = "TRUE"
    return item


def _input(number: int, study_uid: str, series_uid: str, window: tuple[float, float]) -> Dataset:
    item, voi = Dataset(), Dataset()
    item.BlendingInputNumber = number
    item.StudyInstanceUID, item.SeriesInstanceUID = study_uid, series_uid
    voi.WindowCenter, voi.WindowWidth = (decimal(value) for value in window)
    # The default, LINEAR, is off by half a unit, which is much where a window is a few units wide.
    voi.VOILUTFunction = "LINEAR_EXACT"
    item.SoftcopyVOILUTSequence = [voi]
    item.TimeSeriesBlending = "FALSE"
    return item


def _display() -> Dataset:
    """The map, in its opacity, over the anatomy."""
    inputs = []
    for number in (_MAP, _ANATOMY):
        item = Dataset()
        item.BlendingInputNumber = number
        inputs.append(item)
    display = Dataset()
    display.BlendingDisplayInputSequence = inputs
    display.BlendingMode = "FOREGROUND"
    display.RelativeOpacity = _OPACITY
    return display


def _series(images: WrittenImages) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = images.series_uid
    item.ReferencedInstanceSequence = []
    for uid in images.image_uids:
        instance = Dataset()
        instance.ReferencedSOPClassUID = images.sop_class_uid
        instance.ReferencedSOPInstanceUID = uid
        item.ReferencedInstanceSequence.append(instance)
    return item


def _srgb_profile() -> bytes:
    """SRGB as a profile of an input device, which the ICC Profile module asks for (PS3.3, C.11.15), without today's date."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[12:16] = b"scnr"
    profile[24:36] = b"\7\xd0\0\1\0\1\0\0\0\0\0\0"  # 1 January 2000
    profile[84:100] = bytes(16)  # Profile ID, a digest that may be absent
    return bytes(profile)
