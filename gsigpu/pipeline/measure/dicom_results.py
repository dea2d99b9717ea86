"""A measurement as DICOM: its regions as a Segmentation, their outlines as a presentation state, its numbers as a report."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten

from gsigpu.caution import Caution
from gsigpu.dicom.writing.presentation import OutlinedRegion, write_presentation
from gsigpu.dicom.writing.seg import Segment, write_segmentation
from gsigpu.dicom.writing.sr import DrawnLine, Quantity, ReportedRegion, write_report
from gsigpu.maps.definitions import HU, HU_PER_KEV, MG_PER_ML, Code, Unit
from gsigpu.maps.registry import HOUNSFIELD, IODINE_CONCENTRATION, OWN_SCHEME
from gsigpu.pictures import ANATOMY_WINDOW, REGION_COLOURS
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.measure.region_codes import CODING, coding_of
from gsigpu.regions.flags import is_automatic
from gsigpu.regions.region_layout import MeasuredRegion
from gsigpu.regions.region_mask import Spacing
from gsigpu.regions.size import longest_axial_line
from gsigpu.tables.measurement_table import MeasurementRow

_DERIVATIONS = {
    "mean": Code("373098007", "SCT", "Mean"),
    "sd": Code("386136009", "SCT", "Standard Deviation"),
    "median": Code("373099004", "SCT", "Median"),
}
_SIZES = {
    "volume": (Code("118565006", "SCT", "Volume"), Code("mL", "UCUM", "milliliter")),
    "feret_diameter": (
        Code("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh"),
        Code("mm", "UCUM", "millimeter"),
    ),
}
_LONG_AXIS = (Code("103339001", "SCT", "Long Axis"), Code("mm", "UCUM", "millimeter"))
# What a viewer shows beside a lesion: it reads a number's name, and no modifier.
_UNITS = {"lambda_hu": HU_PER_KEV, "iodine": MG_PER_ML, "ct_value": HU}
_TOLD_AT_ONCE = tuple(
    (region, parameter, Code(f"{short}{region.upper()}", OWN_SCHEME, f"{words} of the {region}, mean"))
    for parameter, short, words in (
        ("lambda_hu", "LHU", "λHU"), ("iodine", "IODINE", "Iodine"), ("ct_value", "CT", "CT value"),
    )
    for region in ("core", "rim")
)  # fmt: skip
_NO_UNIT = Code("1", "UCUM", "no units")


def dicom_notes(measurement: Measurement) -> list[Caution]:
    """What to know of SEG, SR and presentation state, and of the images that they refer to."""
    notes = measurement.measurand.reference_notes()
    if not measurement.measurand.has_one_rescale:
        notes.append(
            Caution(
                "reading-series",
                "no presentation state with --dicom: a state holds one rescale, and that of the series differs between slices",
            )
        )
    return notes


def write_dicom(
    measurement: Measurement, seg_path: Path, sr_path: Path, presentation_path: Path | None
) -> None:
    """Writes the regions, the report on them, and the outlines of lesions and cores. Profiles stay in the table.

    presentation_path : None where there can be none
    """
    regions = [region for region in measurement.layout.regions if region.region != "profile"]
    series = measurement.measurand.reference_series
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
    # A region without voxels has no place in the report of its own: the lesion says why.
    missing: dict[str, list[str]] = {}
    for absent_region in measurement.layout.missing:
        missing.setdefault(absent_region.lesion_id, []).extend(absent_region.flags)
    reported = []
    for number, region in enumerate(regions):
        of_region = rows.get((region.lesion_id, region.region), [])
        absent = missing.get(region.lesion_id, []) if region.region == "lesion" else []
        segment = _segment(region)
        flags = dict.fromkeys(
            flag
            for text in (";".join(region.flags), *(row.flags for row in of_region), *absent)
            for flag in text.split(";")
            if flag
        )
        reported.append(
            ReportedRegion(
                segment=number,
                label=segment.label,
                category=segment.category,
                finding=segment.kind,
                site=segment.anatomy,
                quantities=(
                    *_longest_line(region, measurement.stack.geometry.spacing_mm),
                    *_told_at_once(region, rows),
                    *(quantity for row in of_region for quantity in _quantities(row, units)),
                ),
                flags=tuple(Code(_short(flag), OWN_SCHEME, flag) for flag in flags),
            )
        )
    phase = f" {measurement.stack.phase}" if measurement.stack.phase else ""
    write_report(sr_path, reported, written, title=f"Spectral measurements{phase}")
    if presentation_path is not None:
        write_presentation(
            presentation_path,
            outlined_regions(measurement),
            written,
            measurement.stack.geometry,
            window=ANATOMY_WINDOW,
        )


def outlined_regions(measurement: Measurement) -> list[OutlinedRegion]:
    """Lesions and their cores: what lies between is the rim; and what the user named. Wider regions would cover the image with lines."""
    lesions = [
        OutlinedRegion(
            mask=laid_out.lesion.mask,
            layer="LESION",
            colour=REGION_COLOURS["lesion"],
            label=f"lesion {laid_out.lesion.lesion_id}",
        )
        for laid_out in measurement.layout.lesions
    ]
    cores = [
        OutlinedRegion(mask=region.mask, layer="CORE", colour=REGION_COLOURS["core"])
        for region in measurement.layout.regions
        if region.region == "core"
    ]
    named = [
        OutlinedRegion(
            mask=region.mask, layer="REGION", colour=REGION_COLOURS["liver"], label=region.region
        )
        for region in measurement.layout.regions
        if not region.lesion_id and region.region not in CODING
    ]
    return [*lesions, *cores, *named]


def _segment(region: MeasuredRegion) -> Segment:
    """A region as what it is: whoever counts lesions by their code must find each of them once."""
    coding = coding_of(region.region)
    label = region.region
    if region.lesion_id:
        label = f"lesion {region.lesion_id} {region.region}".removesuffix(" lesion")
    return Segment(
        label=label,
        mask=region.mask,
        category=coding.category,
        kind=coding.kind,
        kind_modifiers=coding.modifiers,
        colour=REGION_COLOURS.get(region.region),
        anatomy=coding.anatomy,
        drawn_by=", ".join(flag.partition(":")[2] for flag in region.flags if is_automatic(flag)),
    )


def _longest_line(region: MeasuredRegion, spacing_mm: Spacing) -> Iterator[Quantity]:
    """The longest axial diameter with its place, of every region: OHIF opens no report with a group it cannot draw."""
    line = longest_axial_line(region.mask, spacing_mm)
    if line is not None:
        name, unit = _LONG_AXIS
        drawn = DrawnLine(z=line.z, start=line.start, end=line.end)
        yield Quantity(name=name, value=line.length_mm, unit=unit, line=drawn)


def _told_at_once(
    region: MeasuredRegion, rows: dict[tuple[str, str], list[MeasurementRow]]
) -> Iterator[Quantity]:
    """Means of core and rim beside the lesion, by names that say all."""
    if region.region != "lesion":
        return
    for part, parameter, name in _TOLD_AT_ONCE:
        for row in rows.get((region.lesion_id, part), ()):
            is_it = row.parameter == parameter and row.statistic == "mean"
            if is_it and not math.isnan(row.value):
                unit = _UNITS[parameter]
                yield Quantity(
                    name=name, value=row.value, unit=Code(unit.ucum, "UCUM", unit.display)
                )


def _quantities(row: MeasurementRow, units: dict[str, tuple[Code, Unit]]) -> Iterator[Quantity]:
    """A row as a coded number; nothing for statistics that have no common code, and for NaN."""
    if math.isnan(row.value):
        return
    if row.statistic == "value" and row.parameter in _SIZES:
        name, unit = _SIZES[row.parameter]
        yield Quantity(name=name, value=row.value, unit=unit)
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
        yield Quantity(
            name=name, value=row.value, unit=_NO_UNIT, derivation=derivation, method=method
        )
        return
    else:
        return
    unit = Code(display_unit.ucum, "UCUM", display_unit.display or "no units")
    yield Quantity(name=quantity, value=row.value, unit=unit, derivation=derivation, method=method)


def _short(parameter: str) -> str:
    """A Code Value: 16 characters at most, without what a Short String may not hold."""
    return "".join(letter for letter in parameter.upper() if letter.isalnum())[:16]
