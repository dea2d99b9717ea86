"""Maps as derived CT series: one series per map, one file per slice, int16 with an exact rescale."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import CTImageStorage

from gsigpu.backends import LARGEST_STORED, PADDING
from gsigpu.dicom.model import SpectralStack
from gsigpu.dicom.writing.derived import DerivedSeries, code_item, derive, quantity_item, unit_code
from gsigpu.dicom.writing.slice_files import SliceFiles
from gsigpu.dicom.writing.template import decimal
from gsigpu.maps.definitions import Code, MapDefinition
from gsigpu.volume_files import file_name

# Image Type value 4 after Supplement 188; where none fits there is none.
_IMAGE_TYPE_4 = {
    "iodine": "MAT_SPECIFIC",
    "water": "MAT_SPECIFIC",
    "vnc": "MAT_REMOVED",
    "zeff": "EFF_ATOMIC_NUM",
    "electron-density": "ELECTRON_DENSITY",
}
_SUBTRACTION = Code("113062", "DCM", "Pixel by pixel subtraction")


class CtSeriesSink:
    """Writes the planes of a run as CT series; safe to call from several threads.

    names : map name -> its folder inside the output folder
    """

    dtype: np.dtype[Any] = np.dtype(np.int16)

    def __init__(
        self,
        folder: Path,
        definitions: Sequence[MapDefinition],
        stack: SpectralStack,
    ) -> None:
        """Prepares the headers of each map, and a folder for each inside `folder`.

        stack : the series that the maps are made of
        """
        self.names = {one.name: file_name(one.name) for one in definitions}
        _, rows, columns = stack.geometry.shape
        self.series = [
            SliceFiles(
                folder / self.names[one.definition.name],
                one,
                partial(_describe, one),
                n_pixel_bytes=rows * columns * 2,
            )
            for one in derive(definitions, stack, sop_class_uid=CTImageStorage)
        ]

    def write(self, z: int, planes: Sequence[NDArray[Any]]) -> None:
        """Planes of slice z, (rows, columns) int16, one per map."""
        for files, plane in zip(self.series, planes, strict=True):
            pixels: Any = np.ascontiguousarray(plane, dtype="<i2")
            files.write(z, memoryview(pixels).cast("B"))

    def __enter__(self) -> CtSeriesSink:
        """Nothing to do."""
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Nothing to do: every file is complete when it is written."""


def _describe(derived: DerivedSeries, ds: FileDataset) -> None:
    """The CT Image module, and what the stored values mean."""
    one = derived.definition
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL", *_value_4(one)]
    if one.name.startswith("lambda-hu") and len(derived.stack.series) == 2:
        # For weighted sums the standard has a code only with acquired energies' weights.
        ds.DerivationCodeSequence = [code_item(_SUBTRACTION)]
    ds.AcquisitionNumber = derived.stack.series[0].evidence.acquisition_number
    ds.KVP = ""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    ds.add_new("PixelPaddingValue", "SS", PADDING)
    ds.RescaleSlope = decimal(one.step)
    ds.RescaleIntercept = "0"
    ds.RescaleType = one.rescale_type
    ds.WindowCenter, ds.WindowWidth = (decimal(value) for value in one.window)
    ds.WindowCenterWidthExplanation = one.title[:64]
    # The default, LINEAR, is off by half a unit, which is much where a window is a few units wide.
    ds.VOILUTFunction = "LINEAR_EXACT"
    ds.RealWorldValueMappingSequence = [_real_world_values(one)]


def _value_4(definition: MapDefinition) -> list[str]:
    if definition.name.startswith("mono-"):
        return ["VMI"]
    value = _IMAGE_TYPE_4.get(definition.name)
    return [value] if value else []


def _real_world_values(one: MapDefinition) -> Dataset:
    """An item of Real World Value Mapping Sequence for stored = value / step."""
    item = Dataset()
    item.LUTExplanation = one.title[:64]
    item.LUTLabel = one.name[:16]
    item.add_new("RealWorldValueFirstValueMapped", "SS", -LARGEST_STORED)
    item.add_new("RealWorldValueLastValueMapped", "SS", LARGEST_STORED)
    item.RealWorldValueIntercept = 0.0
    item.RealWorldValueSlope = float(one.step)
    item.MeasurementUnitsCodeSequence = [code_item(unit_code(one))]
    item.QuantityDefinitionSequence = [quantity_item(one)]
    return item
