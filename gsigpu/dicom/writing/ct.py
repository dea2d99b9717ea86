"""Maps as derived CT series: one series per map, one file per slice, int16 with an exact rescale."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import CTImageStorage

from gsigpu.backends import LARGEST_STORED, PADDING
from gsigpu.dicom.model import SpectralStack
from gsigpu.dicom.writing.derived import DerivedSeries, code_item, derive, quantity_item, unit_code
from gsigpu.dicom.writing.series_files import SeriesFiles
from gsigpu.dicom.writing.slice_files import SliceFiles
from gsigpu.dicom.writing.template import decimal
from gsigpu.map_files import MapFiles, file_name
from gsigpu.maps.definitions import Code, MapDefinition

# Image Type value 4 after Supplement 188; where none fits there is none.
_IMAGE_TYPE_4 = {
    "iodine": "MAT_SPECIFIC",
    "water": "MAT_SPECIFIC",
    "vnc": "MAT_REMOVED",
    "zeff": "EFF_ATOMIC_NUM",
    "electron-density": "ELECTRON_DENSITY",
}
_SUBTRACTION = Code("113062", "DCM", "Pixel by pixel subtraction")


def ct_sink(
    folder: Path,
    definitions: Sequence[MapDefinition],
    stack: SpectralStack,
    *,
    transfer_syntax: str = "explicit",
) -> MapFiles:
    """CT series in folders inside `folder`, one per map.

    stack : the series that the maps are made of
    transfer_syntax : explicit, or one of gsigpu.choices.COMPRESSIONS
    """
    series = ct_series(folder, definitions, stack, transfer_syntax=transfer_syntax)
    return SeriesFiles(definitions, series, dtype=np.int16)


def ct_series(
    folder: Path,
    definitions: Sequence[MapDefinition],
    stack: SpectralStack,
    *,
    transfer_syntax: str = "explicit",
) -> list[SliceFiles]:
    """Makes the folder and the headers of each map's series."""
    _, rows, columns = stack.geometry.shape
    return [
        SliceFiles(
            folder / file_name(derived.definition.name),
            derived,
            partial(_describe, derived),
            n_pixel_bytes=rows * columns * 2,
            transfer_syntax=transfer_syntax,
        )
        for derived in derive(definitions, stack, sop_class_uid=CTImageStorage)
    ]


def _describe(derived: DerivedSeries, ds: FileDataset) -> None:
    """The CT Image module, and what the stored values mean."""
    definition = derived.definition
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL", *_value_4(definition)]
    if definition.name.startswith("lambda-hu") and len(derived.stack.series) == 2:
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
    ds.RescaleSlope = decimal(definition.step)
    ds.RescaleIntercept = "0"
    ds.RescaleType = definition.rescale_type
    ds.WindowCenter, ds.WindowWidth = (decimal(value) for value in definition.window)
    ds.WindowCenterWidthExplanation = definition.title[:64]
    # The default, LINEAR, is off by half a unit, which is much where a window is a few units wide.
    ds.VOILUTFunction = "LINEAR_EXACT"
    ds.RealWorldValueMappingSequence = [_real_world_values(definition)]


def _value_4(definition: MapDefinition) -> list[str]:
    if definition.name.startswith("mono-"):
        return ["VMI"]
    value = _IMAGE_TYPE_4.get(definition.name)
    return [value] if value else []


def _real_world_values(definition: MapDefinition) -> Dataset:
    """An item of Real World Value Mapping Sequence for stored = value / step."""
    item = Dataset()
    item.LUTExplanation = definition.title[:64]
    item.LUTLabel = definition.name[:16]
    item.add_new("RealWorldValueFirstValueMapped", "SS", -LARGEST_STORED)
    item.add_new("RealWorldValueLastValueMapped", "SS", LARGEST_STORED)
    item.RealWorldValueIntercept = 0.0
    item.RealWorldValueSlope = float(definition.step)
    item.MeasurementUnitsCodeSequence = [code_item(unit_code(definition))]
    item.QuantityDefinitionSequence = [quantity_item(definition)]
    return item
