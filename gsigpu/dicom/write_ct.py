"""Maps as derived CT series: one series per map, one file per slice, int16 with an exact rescale."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import CTImageStorage

from gsigpu.backends import LARGEST_STORED, PADDING
from gsigpu.dicom.derived import code_item, derived_dataset, source_header, source_image_items
from gsigpu.dicom.model import Plane, SpectralStack
from gsigpu.dicom.template import HeaderTemplate, decimal
from gsigpu.dicom.uids import derived_uid
from gsigpu.maps.definitions import Code, MapDefinition

# ImageType value 4 after Supplement 188, by Rescale Type or name; where none fits there is none.
_IMAGE_TYPE_4 = {
    "iodine": "MAT_SPECIFIC",
    "water": "MAT_SPECIFIC",
    "vnc": "MAT_REMOVED",
    "zeff": "EFF_ATOMIC_NUM",
    "electron-density": "ELECTRON_DENSITY",
}
_SUBTRACTION = Code("113062", "DCM", "Pixel by pixel subtraction")


class CtSeriesSink:
    """Writes the planes of a run as CT series; safe to call from several threads."""

    dtype: np.dtype[Any] = np.dtype(np.int16)

    def __init__(
        self,
        folder: Path,
        definitions: Sequence[MapDefinition],
        stack: SpectralStack,
        *,
        settings_key: str = "",
    ) -> None:
        """Prepares one header per map, and a folder for each inside `folder`.

        stack : the series that the maps are made of
        settings_key : whatever else distinguishes this run; it goes into the UIDs
        """
        source = source_header(stack.series[0].planes[0])
        self.names = {one.name: file_name(one.name) for one in definitions}
        self._series = [
            _MapSeries(folder / file_name(one.name), one, index, stack, source, settings_key)
            for index, one in enumerate(definitions)
        ]

    def write(self, z: int, planes: Sequence[NDArray[Any]]) -> None:
        """Planes of slice z, (rows, columns) int16, one per map."""
        for series, plane in zip(self._series, planes, strict=True):
            series.write(z, plane)

    def __enter__(self) -> CtSeriesSink:
        """Nothing to do."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Nothing to do: every file is complete when it is written."""

    def header(self, index: int, z: int) -> FileDataset:
        """The header of slice z of a map as pydicom holds it: what `write` must equal."""
        return self._series[index].dataset(self._series[index].values(z))


def file_name(map_name: str) -> str:
    """A map's name as a folder name.

    >>> file_name("lambda-hu[fit:40-100]")
    'lambda-hu_fit-40-100'
    """
    return map_name.replace("[", "_").replace("]", "").replace(":", "-").replace("/", "over")


class _MapSeries:
    def __init__(
        self,
        folder: Path,
        definition: MapDefinition,
        index: int,
        stack: SpectralStack,
        source: FileDataset,
        settings_key: str,
    ) -> None:
        self._folder, self._definition, self._index = folder, definition, index
        self._stack, self._source = stack, source
        source_series = [one.key for one in stack.series]
        self._uid = derived_uid(
            "series", settings_key, definition.name, definition.formula, *source_series
        )
        markers = {name: f"9.9.9.{position}.424242" for position, name in enumerate(self.values(0))}
        markers["instance_number"] = "1424242421"
        markers["position"] = "-4242.4242\\4242.4242\\1"
        markers["location"] = "4242.424243"
        n_bytes = stack.geometry.shape[1] * stack.geometry.shape[2] * 2
        self._template = HeaderTemplate(self.dataset(markers), markers, n_bytes)
        folder.mkdir()

    def values(self, z: int) -> dict[str, str]:
        """What differs between the slices of a series."""
        planes = self._sources(z)
        position = planes[0].position_mm
        assert position is not None
        along = np.dot(position, self._stack.geometry.slice_direction)
        return {
            "uid": derived_uid("image", self._uid, z),
            "instance_number": str(z + 1),
            "position": "\\".join(map(decimal, position)),
            "location": decimal(float(along)),
            **{f"source_{e}": plane.sop_instance_uid for e, plane in enumerate(planes)},
        }

    def _sources(self, z: int) -> list[Plane]:
        return [one.planes[z] for one in self._stack.series]

    def write(self, z: int, plane: NDArray[Any]) -> None:
        header = self._template.fill(self.values(z))
        descriptor = os.open(
            self._folder / f"IM{z + 1:05d}.dcm", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666
        )
        with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123  # of a descriptor
            _write_fully(
                file, header, memoryview(cast("Any", np.ascontiguousarray(plane, "<i2"))).cast("B")
            )

    def dataset(self, values: dict[str, str]) -> FileDataset:
        """The header with these values, without pixel data."""
        one, grid = self._definition, self._stack.geometry
        ds = derived_dataset(self._source, CTImageStorage, values["uid"])
        ds.Modality = "CT"
        ds.SeriesInstanceUID = self._uid
        ds.SeriesNumber = (
            10 * (self._stack.series[0].evidence.series_number or 900) + 1 + self._index
        )
        ds.SeriesDescription = " ".join(part for part in (one.title, self._stack.phase) if part)[
            :64
        ]
        ds.AcquisitionNumber = self._stack.series[0].evidence.acquisition_number
        ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL", *self._value_4()]
        ds.InstanceNumber = values["instance_number"]
        ds.DerivationDescription = f"{one.title}: {one.formula}"[:1024]
        if len(self._stack.series) == 2 and one.name.startswith("lambda-hu"):
            # For weighted sums the standard has a code only with acquired energies' weights.
            ds.DerivationCodeSequence = [code_item(_SUBTRACTION)]
        sources = self._sources(0)
        uids = [values[f"source_{e}"] for e in range(len(sources))]
        ds.SourceImageSequence = source_image_items(sources, uids)
        ds["SourceImageSequence"].is_undefined_length = True
        ds.SliceThickness = decimal(sources[0].slice_thickness_mm or grid.spacing_mm[0])
        ds.KVP = ""
        ds.ImagePositionPatient = values["position"].split("\\")
        ds.ImageOrientationPatient = [
            decimal(x) for x in (*grid.row_direction, *grid.column_direction)
        ]
        ds.SliceLocation = values["location"]
        ds.PixelSpacing = [decimal(size) for size in grid.spacing_mm[1:]]
        self._describe_pixels(ds)
        return ds

    def _value_4(self) -> list[str]:
        if self._definition.name.startswith("mono-"):
            return ["VMI"]
        value = _IMAGE_TYPE_4.get(self._definition.name)
        return [value] if value else []

    def _describe_pixels(self, ds: Dataset) -> None:
        one, grid = self._definition, self._stack.geometry
        ds.SamplesPerPixel = 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.Rows, ds.Columns = grid.shape[1:]
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit = 15
        ds.PixelRepresentation = 1
        ds.add_new("PixelPaddingValue", "SS", PADDING)
        ds.RescaleSlope = decimal(one.step)
        ds.RescaleIntercept = "0"
        ds.RescaleType = one.rescale_type
        ds.WindowCenter, ds.WindowWidth = (decimal(value) for value in one.window)
        ds.WindowCenterWidthExplanation = one.title[:64]
        mapping = Dataset()
        mapping.LUTExplanation = one.title[:64]
        mapping.LUTLabel = one.name[:16]
        mapping.add_new("RealWorldValueFirstValueMapped", "SS", -LARGEST_STORED)
        mapping.add_new("RealWorldValueLastValueMapped", "SS", LARGEST_STORED)
        mapping.RealWorldValueIntercept = 0.0
        mapping.RealWorldValueSlope = float(one.step)
        mapping.MeasurementUnitsCodeSequence = [
            code_item(Code(one.unit.ucum, "UCUM", one.unit.display or "no units"))
        ]
        quantity = Dataset()
        quantity.ValueType = "CODE"
        quantity.ConceptNameCodeSequence = [code_item(Code("246205007", "SCT", "Quantity"))]
        quantity.ConceptCodeSequence = [code_item(one.quantity)]
        mapping.QuantityDefinitionSequence = [quantity]
        ds.RealWorldValueMappingSequence = [mapping]


def _write_fully(file: Any, header: bytes, pixels: memoryview) -> None:
    """Header and pixels in one system call where the platform can."""
    if hasattr(os, "writev"):
        n_written = os.writev(file.fileno(), [header, pixels])
        if n_written == len(header) + len(pixels):
            return
        rest = memoryview(header + bytes(pixels))[n_written:]
    else:
        rest = memoryview(header + bytes(pixels))
    while rest:
        rest = rest[file.write(rest) :]
