"""Maps as DICOM Parametric Maps: one multi-frame float32 object per map.

highdicom makes the header, from two frames of one pixel: it asks for the pixels of all frames at once, and would copy
them. What differs between frames and between source images is encoded once and filled in, since highdicom and pydicom
take 50 ms for a frame of eleven sources. The true frames are written behind the header as they come. The whole volume
is never in memory.
"""

from __future__ import annotations

import copy
import io
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
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

from gsigpu.dicom.model import Plane, Series, SpectralStack
from gsigpu.dicom.quiet import quiet
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
    source_image_items,
    unit_code,
)
from gsigpu.dicom.writing.slice_files import first_of_each, layout_of, marker
from gsigpu.dicom.writing.template import (
    ItemTemplate,
    decimal,
    encoded_elements,
    encoded_item,
    encoded_sequence,
)
from gsigpu.dicom.writing.uids import derived_uid
from gsigpu.errors import OutputError
from gsigpu.map_files import PARAMETRIC_MAP_SUFFIX, MapFiles, PlaneFile, map_names, plane_bytes
from gsigpu.maps.definitions import Code, MapDefinition
from gsigpu.version import __version__

_IMAGE_PROCESSING = Code("110001", "DCM", "Image Processing")
# Content Date may not be empty here, and today's would make the same input give other bytes.
_NO_DATE = "19000101"
_LONGEST_VALUE = 2**32 - 2
_REFERENCED_SERIES, _REFERENCED_INSTANCES, _PER_FRAME = 0x00081115, 0x0008114A, 0x52009230
_INDEX_MARKER = "\x7fIX\x7f"  # the four bytes of a Dimension Index Value


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
    names = map_names(definitions, suffix=PARAMETRIC_MAP_SUFFIX)
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
    return MapFiles(definitions, writers, suffix=PARAMETRIC_MAP_SUFFIX)


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
    with quiet():
        ds = _parametric_map(derived)
        order = _frame_order(ds, derived)
        frame: Dataset = ds.PerFrameFunctionalGroupsSequence[0]
        del ds.FloatPixelData, ds.PerFrameFunctionalGroupsSequence
        ds.NumberOfFrames, ds.Rows, ds.Columns = n_slices, rows, columns
        if n_slices > 1:
            measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
            measures.SpacingBetweenSlices = decimal(derived.stack.geometry.spacing_mm[0])
        start = io.BytesIO()
        first_elements: Any = ds[:_REFERENCED_SERIES]
        first_elements.file_meta = ds.file_meta
        dcmwrite(start, first_elements, enforce_file_format=True)
        header = b"".join(
            (
                start.getvalue(),
                _encoded_references(derived),
                encoded_elements(ds[_REFERENCED_SERIES + 1 : _PER_FRAME]),
                encoded_sequence(_PER_FRAME, _encoded_frames(derived, frame, order)),
                encoded_elements(ds[_PER_FRAME + 1 :]),
            )
        )
    n_bytes = n_slices * rows * columns * 4
    frame_of = [order.index(z) for z in range(n_slices)]
    return header + struct.pack("<HH2s2xL", 0x7FE0, 0x0008, b"OF", n_bytes), frame_of


def _parametric_map(derived: DerivedSeries) -> Any:
    """The object with frames of one pixel, of the first two slices."""
    definition, n_frames = derived.definition, min(2, derived.stack.geometry.shape[0])
    shared = derived.dataset(PLACEHOLDER_IMAGE_UID, PLACEHOLDERS.series_uid, PLACEHOLDERS.number)
    ds: Any = ParametricMap(
        source_images=[_one_pixel(derived, z) for z in range(n_frames)],
        pixel_array=np.zeros((n_frames, 1, 1), np.float32),
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
    return ds


def _frame_order(ds: Dataset, derived: DerivedSeries) -> range:
    """The slices in the order of the frames, as highdicom sorts them: along the slice direction or against it."""
    n_slices = derived.stack.geometry.shape[0]
    first: Any = ds.PerFrameFunctionalGroupsSequence[0]
    position = _position(derived.stack.series[0].planes[0])
    if [float(value) for value in first.PlanePositionSequence[0].ImagePositionPatient] == [
        float(value) for value in position
    ]:
        return range(n_slices)
    return range(n_slices - 1, -1, -1)


def _encoded_frames(derived: DerivedSeries, frame: Any, order: Sequence[int]) -> Iterator[bytes]:
    """Per-frame functional groups: as highdicom's of one frame, with the place and the source images of each."""
    templates = {}
    for z in first_of_each(derived, len(order)):
        planes = derived.sources(z)
        markers = {name: marker(name, i) for i, name in enumerate(_frame_values(planes, 1))}
        markers["index"] = _INDEX_MARKER
        groups = copy.deepcopy(frame)
        groups.FrameContentSequence[0].DimensionIndexValues = [
            int.from_bytes(_INDEX_MARKER.encode(), "little")
        ]
        groups.PlanePositionSequence[0].ImagePositionPatient = markers["position"].split("\\")
        groups.DerivationImageSequence = [_derivation(derived, planes, markers)]
        templates[layout_of(planes)] = ItemTemplate(groups, markers)
    for index, z in enumerate(order, start=1):
        planes = derived.sources(z)
        yield templates[layout_of(planes)].fill(_frame_values(planes, index))


def _frame_values(planes: Sequence[Plane], index: int) -> dict[str, str | bytes]:
    """What differs between frames."""
    values: dict[str, str | bytes] = {
        "index": struct.pack("<L", index),
        "position": "\\".join(_position(planes[0])),
    }
    for i, plane in enumerate(planes):
        values[f"source {i}"] = plane.sop_instance_uid
        if plane.evidence.n_frames > 1:
            values[f"frame {i}"] = str(plane.frame + 1)
    return values


def _encoded_references(derived: DerivedSeries) -> bytes:
    """Referenced Series Sequence: every file of every series, once."""
    return encoded_sequence(_REFERENCED_SERIES, map(_encoded_series, derived.stack.series))


def _encoded_series(series: Series) -> bytes:
    uid_marker = marker("uid", 0)
    templates = {}
    for sop_class in {plane.evidence.sop_class_uid for plane in series.planes}:
        instance = Dataset()
        instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = sop_class, uid_marker
        templates[sop_class] = ItemTemplate(instance, {"uid": uid_marker})
    classes = {plane.sop_instance_uid: plane.evidence.sop_class_uid for plane in series.planes}
    instances = (templates[sop_class].fill({"uid": uid}) for uid, sop_class in classes.items())
    end = Dataset()
    end.SeriesInstanceUID = series.evidence.series_uid
    return encoded_item(encoded_sequence(_REFERENCED_INSTANCES, instances) + encoded_elements(end))


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


def _derivation(
    derived: DerivedSeries, planes: Sequence[Plane], markers: Mapping[str, str]
) -> Dataset:
    """An item of a frame's Derivation Image Sequence: its source images at all energies used."""
    item = Dataset()
    item.DerivationDescription = derived.derivation
    item.DerivationCodeSequence = [code_item(_IMAGE_PROCESSING)]
    item.SourceImageSequence = source_image_items(
        planes,
        [markers[f"source {i}"] for i in range(len(planes))],
        [markers.get(f"frame {i}", "") for i in range(len(planes))],
    )
    return item
