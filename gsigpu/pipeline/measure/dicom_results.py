"""A measurement as DICOM: its regions as a Segmentation, its numbers as a Structured Report."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten

from gsigpu.dicom.writing.seg import Segment, write_segmentation
from gsigpu.dicom.writing.sr import Quantity, ReportedRegion, write_report
from gsigpu.maps.definitions import HU, MG_PER_ML, Code, Unit
from gsigpu.maps.registry import HOUNSFIELD, IODINE_CONCENTRATION, OWN_SCHEME
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.regions.region_layout import MeasuredRegion
from gsigpu.tables.measurement_table import MeasurementRow

_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_ANATOMICAL = Code("123037004", "SCT", "Anatomical Structure")
_LESION = Code("52988006", "SCT", "Lesion")
_LIVER = Code("10200004", "SCT", "Liver")
_AORTA = Code("15825003", "SCT", "Aorta")
_DERIVATIONS = {
    "mean": Code("373098007", "SCT", "Mean"),
    "sd": Code("386136009", "SCT", "Standard Deviation"),
    "median": Code("373099004", "SCT", "Median"),
}
_SIZES = {
    "volume": (Code("118565006", "SCT", "Volume"), Code("mL", "UCUM", "milliliter")),
    "longest_axial_diameter": (
        Code("103339001", "SCT", "Long Axis"),
        Code("mm", "UCUM", "millimeter"),
    ),
    "feret_diameter": (
        Code("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh"),
        Code("mm", "UCUM", "millimeter"),
    ),
}
_NO_UNIT = Code("1", "UCUM", "no units")


def write_dicom(measurement: Measurement, seg_path: Path, sr_path: Path) -> None:
    """Writes the regions and the report on them. Profiles stay in the table."""
    regions = [region for region in measurement.layout.regions if region.region != "profile"]
    series = measurement.measurand.series[0]
    written = write_segmentation(
        seg_path, [_segment(region) for region in regions], series, measurement.stack.geometry
    )
    rows: dict[tuple[str, str], list[MeasurementRow]] = {}
    for row in measurement.rows:
        rows.setdefault((row.lesion_id, row.region), []).append(row)
    units = {
        definition.parameter: (definition.quantity, definition.unit)
        for definition in measurement.measurand.definitions
    }
    reported = []
    for number, region in enumerate(regions):
        quantities = [
            quantity
            for row in rows.get((region.lesion_id, region.region), [])
            for quantity in _quantities(row, units)
        ]
        segment = _segment(region)
        reported.append(
            ReportedRegion(number, segment.label, segment.kind, segment.anatomy, tuple(quantities))
        )
    phase = f" {measurement.stack.phase}" if measurement.stack.phase else ""
    write_report(sr_path, reported, written, title=f"Spectral measurements{phase}")


def _segment(region: MeasuredRegion) -> Segment:
    if not region.lesion_id:
        kind = _AORTA if region.region == "aorta" else _LIVER
        return Segment(region.region, region.mask, _ANATOMICAL, kind, kind)
    return Segment(
        f"lesion {region.lesion_id} {region.region}".removesuffix(" lesion"),
        region.mask,
        _ABNORMAL,
        _LESION,
        _LIVER,
    )


def _quantities(row: MeasurementRow, units: dict[str, tuple[Code, Unit]]) -> Iterator[Quantity]:
    """A row as a coded number; nothing for statistics that have no common code, and for NaN."""
    if math.isnan(row.value):
        return
    if row.statistic == "value" and row.parameter in _SIZES:
        name, unit = _SIZES[row.parameter]
        yield Quantity(name, row.value, unit)
    if row.statistic not in _DERIVATIONS:
        return
    meaning = shorten(row.definition, 64, placeholder=" ...")  # what a Code Meaning may hold
    method = Code(_short(row.parameter), OWN_SCHEME, meaning)
    derivation = _DERIVATIONS[row.statistic]
    if row.parameter in units:
        quantity, display_unit = units[row.parameter]
    elif row.parameter.startswith(("mono_", "ct_value")):
        quantity, display_unit = HOUNSFIELD, HU
    elif row.parameter.startswith("iodine[vendor") and row.unit == "mg/mL":
        quantity, display_unit = IODINE_CONCENTRATION, MG_PER_ML
    elif row.unit == "1":
        name = Code(_short(row.parameter), OWN_SCHEME, row.parameter.replace("_", " "))
        yield Quantity(name, row.value, _NO_UNIT, derivation, method)
        return
    else:
        return
    unit = Code(display_unit.ucum, "UCUM", display_unit.display or "no units")
    yield Quantity(quantity, row.value, unit, derivation, method)


def _short(parameter: str) -> str:
    """A Code Value: 16 characters at most, without what a Short String may not hold."""
    return "".join(letter for letter in parameter.upper() if letter.isalnum())[:16]
