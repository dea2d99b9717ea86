"""Maps as DICOM Parametric Maps: one multi-frame float32 object per map.

highdicom makes the header. It asks for the pixels of all frames at once, and would copy them; so it is
given frames of one pixel, and the true ones are written behind the header as they come. The whole
volume is never in memory.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.pm import ParametricMap, RealWorldValueMapping
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.filewriter import dcmwrite
from pydicom.sr.coding import Code as PydicomCode
from pydicom.uid import CTImageStorage, ParametricMapStorage

from gsigpu.dicom.model import Plane, SpectralStack
from gsigpu.dicom.writing.content_names import (
    PLACEHOLDER_IMAGE_UID,
    PLACEHOLDERS,
    ContentNames,
    header_digest,
    names_of,
    pixel_digest,
)
from gsigpu.dicom.writing.derived import (
    DerivedSeries,
    code_item,
    derive,
    quiet,
    referenced_series,
    source_image_items,
    unit_code,
)
from gsigpu.dicom.writing.template import decimal
from gsigpu.dicom.writing.uids import derived_uid
from gsigpu.errors import OutputError
from gsigpu.map_files import MapFiles, PlaneFile, map_names, plane_bytes
from gsigpu.maps.definitions import Code, MapDefinition
from gsigpu.version import __version__

_IMAGE_PROCESSING = Code("110001", "DCM", "Image Processing")
# Content Date may not be empty here, and today's would make the same input give other bytes.
_NO_DATE = "19000101"
_LONGEST_VALUE = 2**32 - 2


def parametric_map_sink(
    folder: Path, definitions: Sequence[MapDefinition], stack: SpectralStack
) -> MapFiles:
    """Files in `folder`, one Parametric Map per map; NaN where there is no value.

    Raises OutputError if a volume is longer than a DICOM element can be, 4 GiB.
    """
    n_slices, rows, columns = stack.geometry.shape
    if n_slices * rows * columns * 4 > _LONGEST_VALUE:
        raise OutputError(
            f"{n_slices} slices of {rows} x {columns} are too much for one Parametric Map",
            where=folder,
            remedy="write --format ct",
        )
    names = map_names(definitions, suffix=".dcm")
    writers = []
    for derived in derive(definitions, stack, sop_class_uid=ParametricMapStorage):
        header, frame_of_slice = _encoded(derived)
        writers.append(
            _ParametricMapFile(
                folder / names[derived.definition.name],
                header,
                n_plane_bytes=rows * columns * 4,
                order=frame_of_slice,
            )
        )
    return MapFiles(definitions, writers, suffix=".dcm")


class _ParametricMapFile(PlaneFile):
    """A Parametric Map whose names follow from its content, and take their places at the end."""

    def __init__(
        self, path: Path, header: bytes, *, n_plane_bytes: int, order: Sequence[int]
    ) -> None:
        super().__init__(path, header, n_plane_bytes=n_plane_bytes, order=order)
        self._header = header
        self._digests: dict[int, bytes] = {}

    def write(self, z: int, plane: NDArray[Any]) -> None:
        """Plane z."""
        super().write(z, plane)
        self._digests[z] = pixel_digest(plane_bytes(plane))

    def finish(self) -> None:
        """Names the object."""
        planes = (self._digests[z] for z in sorted(self._digests))
        names = names_of([header_digest(self._header), *planes])
        self.rewrite_header(_renamed(self._header, names))


def _renamed(header: bytes, names: ContentNames) -> bytes:
    """A header with names in the places of the placeholders."""
    number_tag = b"\x20\x00\x11\x00IS\x0a\x00"
    for before, after in (
        (PLACEHOLDERS.series_uid.encode(), names.series_uid.encode()),
        (PLACEHOLDER_IMAGE_UID.encode(), names.image_uid(0).encode()),
        (number_tag + PLACEHOLDERS.number.encode(), number_tag + names.number.encode()),
    ):
        assert before in header
        header = header.replace(before, after)
    return header


def _encoded(derived: DerivedSeries) -> tuple[bytes, list[int]]:
    """The file up to the value of Float Pixel Data, and the frame of each slice."""
    n_slices, rows, columns = derived.stack.geometry.shape
    buffer = io.BytesIO()
    with quiet():
        ds = _parametric_map(derived)
        frame_of = _complete_frames(ds, derived)
        del ds.FloatPixelData
        ds.Rows, ds.Columns = rows, columns
        dcmwrite(buffer, ds, enforce_file_format=True)
    n_bytes = n_slices * rows * columns * 4
    pixel_element = struct.pack("<HH2s2xL", 0x7FE0, 0x0008, b"OF", n_bytes)
    return buffer.getvalue() + pixel_element, frame_of


def _parametric_map(derived: DerivedSeries) -> Any:
    """The object with frames of one pixel."""
    definition, grid = derived.definition, derived.stack.geometry
    shared = derived.dataset(PLACEHOLDER_IMAGE_UID, PLACEHOLDERS.series_uid, PLACEHOLDERS.number)
    ds: Any = ParametricMap(
        source_images=[_one_pixel(derived, z) for z in range(grid.shape[0])],
        pixel_array=np.zeros((grid.shape[0], 1, 1), np.float32),
        series_instance_uid=PLACEHOLDERS.series_uid,
        series_number=int(PLACEHOLDERS.number),
        sop_instance_uid=PLACEHOLDER_IMAGE_UID,
        instance_number=1,
        manufacturer="gsigpu",
        manufacturer_model_name="gsigpu",
        software_versions=__version__,
        device_serial_number=__version__,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_real_world_values(definition)],
        voi_lut_transformations=[
            hd.VOILUTTransformation(
                window_center=definition.window[0],
                window_width=definition.window[1],
                window_explanation=definition.title[:64],
                voi_lut_function="LINEAR_EXACT",
            )
        ],
        content_label=_code_string(definition.parameter),
        content_description=definition.title[:64],
    )
    # highdicom dates what it makes and numbers it at random; here the same input gives the same bytes.
    del ds.InstanceCreationDate, ds.InstanceCreationTime
    dimensions_uid = derived_uid("dimensions", derived.identity)
    ds.DimensionOrganizationSequence[0].DimensionOrganizationUID = dimensions_uid
    for item in ds.DimensionIndexSequence:
        item.DimensionOrganizationUID = dimensions_uid
    for element in shared:
        if element.keyword not in ("SOPClassUID", "Modality", "PositionReferenceIndicator"):
            ds.add(element)
    if not ds.ContentDate:
        ds.ContentDate = _NO_DATE
    if not ds.ContentTime:
        ds.ContentTime = "000000"
    ds.file_meta = shared.file_meta
    for keyword in ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"):
        setattr(ds, keyword, float("nan"))
    # These name a single energy; each frame names its sources at all energies.
    del ds.SourceImageSequence
    ds.ReferencedSeriesSequence = [
        referenced_series(series.planes) for series in derived.stack.series
    ]
    return ds


def _complete_frames(ds: Dataset, derived: DerivedSeries) -> list[int]:
    """Adds each frame's source images; returns the frame of each slice, as highdicom sorts them."""
    z_at = {
        tuple(map(float, _position(plane))): z
        for z, plane in enumerate(derived.stack.series[0].planes)
    }
    frame_of = [-1] * len(z_at)
    for frame, groups in enumerate(ds.PerFrameFunctionalGroupsSequence):
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        z = z_at[tuple(float(value) for value in position)]
        frame_of[z] = frame
        groups.DerivationImageSequence = [_derivation(derived, z)]
    return frame_of


def _one_pixel(derived: DerivedSeries, z: int) -> FileDataset:
    """A stand-in for the source slice at z: a CT image of one pixel, with all that highdicom reads."""
    plane, grid = derived.sources(z)[0], derived.stack.geometry
    ds = derived.dataset(plane.sop_instance_uid, plane.evidence.series_uid, PLACEHOLDERS.number)
    ds.SOPClassUID = CTImageStorage  # even if the source is multi-frame
    ds.Rows = ds.Columns = 1
    ds.SliceThickness = decimal(plane.slice_thickness_mm or grid.spacing_mm[0])
    ds.ImagePositionPatient = _position(plane)
    ds.ImageOrientationPatient = [decimal(x) for x in (*grid.row_direction, *grid.column_direction)]
    ds.PixelSpacing = [decimal(size) for size in grid.spacing_mm[1:]]
    return ds


def _position(plane: Plane) -> list[str]:
    assert plane.position_mm is not None
    return [decimal(value) for value in plane.position_mm]


def _code_string(text: str) -> str:
    """A text in the characters of a code string (CS, PS3.5 6.2): capitals, digits, underscore; 16 at most.

    >>> _code_string("lambda_hu[60-100]"), _code_string("mono_55.5")
    ('LAMBDA_HU_60_100', 'MONO_55_5')
    """
    return re.sub("[^A-Z0-9]+", "_", text.upper())[:16].strip("_")


def _real_world_values(definition: MapDefinition) -> Any:
    unit, largest = unit_code(definition), float(np.finfo(np.float32).max)
    return RealWorldValueMapping(
        lut_label=definition.name[:16],
        lut_explanation=definition.title[:64],
        unit=PydicomCode(unit.value, unit.scheme, unit.meaning),
        value_range=(-largest, largest),
        slope=1.0,
        intercept=0.0,
        quantity_definition=PydicomCode(
            definition.quantity.value, definition.quantity.scheme, definition.quantity.meaning
        ),
    )


def _derivation(derived: DerivedSeries, z: int) -> Dataset:
    """An item of a frame's Derivation Image Sequence: its source images at all energies used."""
    planes = derived.sources(z)
    item = Dataset()
    item.DerivationDescription = derived.derivation
    item.DerivationCodeSequence = [code_item(_IMAGE_PROCESSING)]
    item.SourceImageSequence = source_image_items(
        planes,
        [plane.sop_instance_uid for plane in planes],
        [str(plane.frame + 1) for plane in planes],
    )
    return item
