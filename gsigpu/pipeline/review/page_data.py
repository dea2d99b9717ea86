"""What the study page knows beside its volumes: grid, maps, lesions with their values, curves, warnings.

Plain data for JSON. The page carries the case identifier alone; nothing of the headers but the energies
and the phase goes in, unless identity is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import SpectralStack
from gsigpu.maps.definitions import MapDefinition
from gsigpu.phase_words import phase_name
from gsigpu.physics import iodine_hu_per_mg_per_ml
from gsigpu.pictures import REGION_COLOURS, REGION_INKS, hex_colour
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.regions.region_layout import Layout
from gsigpu.regions.region_mask import RegionMask
from gsigpu.tables.measurement_table import MeasurementRow
from gsigpu.viewer.plane_scripts import write_slice
from gsigpu.volume import VolumeGeometry

SYNTHETIC_KEV = tuple(range(40, 141))
# Bits of the region planes; the page draws the outline of each.
REGION_BITS = {
    "core": 1,
    "rim": 2,
    "lesion": 4,
    "perilesional": 8,
    "parenchyma": 16,
    "aorta": 32,
    "liver": 64,
}
COLORMAP_SIZE = 256
_AXES = (("R", "L"), ("A", "P"), ("F", "H"))  # LPS: towards minus, towards plus
_PROFILE_PARAMETERS = ("lambda_hu", "iodine", "ct_value")


def basis() -> dict[str, Any]:
    """Energies, and HU per mg/mL of iodine at each: HU(E) = vnc + c r(E)."""
    ratios = iodine_hu_per_mg_per_ml([float(kev) for kev in SYNTHETIC_KEV])
    return {"energies": list(SYNTHETIC_KEV), "ratio": [round(float(r), 6) for r in ratios]}


def colormaps(names: Iterable[str]) -> dict[str, list[int]]:
    """256 colours each, red, green, blue from 0 to 255 in one list."""
    from matplotlib import colormaps as known

    tables = {}
    for name in dict.fromkeys(names):
        colours = known[name](np.linspace(0.0, 1.0, COLORMAP_SIZE))[:, :3]
        tables[name] = np.rint(colours * 255).astype(int).ravel().tolist()
    return tables


def grid(geometry: VolumeGeometry) -> dict[str, Any]:
    """Shape, spacing, place, and the letters at the ends of the axes x, y, z."""
    letters = []
    for direction in (
        geometry.row_direction,
        geometry.column_direction,
        geometry.slice_direction,
    ):
        axis = int(np.abs(direction).argmax())
        low, high = _AXES[axis]
        letters.append([low, high] if direction[axis] > 0 else [high, low])
    return {
        "shape": list(geometry.shape),
        "spacing": list(geometry.spacing_mm),
        "affine": geometry.affine_lps.round(6).tolist(),
        "letters": letters,
    }


def map_entry(definition: MapDefinition) -> dict[str, Any]:
    """How the page shows a map."""
    return {
        "name": definition.name,
        "parameter": definition.parameter,
        "title": definition.shown_title,
        "formula": definition.formula,
        "unit": definition.unit.display,
        "step": definition.step,
        "window": list(definition.window),
        "colormap": definition.colormap,
    }


def phase_entry(
    key: str,
    stack: SpectralStack,
    measurement: Measurement | None,
    warnings: Sequence[str],
    redact: Callable[[str], str] = str,
) -> dict[str, Any]:
    """One phase of the page.

    redact : takes out of names, flags and warnings what leads to the patient
    """
    return {
        "key": key,
        "name": phase_name(stack.phase),
        "energies": list(stack.energies_kev),
        "grid": grid(stack.geometry),
        "lesions": [] if measurement is None else lesion_entries(measurement, redact),
        "references": [] if measurement is None else reference_entries(measurement),
        "warnings": list(dict.fromkeys(map(redact, warnings))),
        "failures": []
        if measurement is None
        else [
            {"lesion": redact(failure.lesion_id), "reason": redact(str(failure.error))}
            for failure in measurement.failures
        ],
    }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def lesion_entries(
    measurement: Measurement, redact: Callable[[str], str] = str
) -> list[dict[str, Any]]:
    """Every lesion that was laid out, with its place, sizes, flags, and the values of its regions.

    In the order of the layout. redact : takes out of names and flags what leads to the patient
    """
    entries = []
    for laid_out in measurement.layout.lesions:
        lesion = laid_out.lesion
        rows = [row for row in measurement.rows if row.lesion_id == lesion.lesion_id]
        entries.append(
            {
                "id": redact(lesion.lesion_id),
                "centre": _centre(lesion.mask),
                "diameter_mm": _size(rows, "longest_axial_diameter"),
                "volume_ml": _size(rows, "volume"),
                "rim_mm": _number(laid_out.rim_mm),
                "flags": [redact(flag) for flag in _flags(rows)],
                "regions": _regions(rows),
                "profile": _profile(rows),
            }
        )
    return entries


def reference_entries(measurement: Measurement) -> list[dict[str, Any]]:
    """Parenchyma and aorta, which belong to no lesion, with the values of each."""
    rows = [row for row in measurement.rows if row.lesion_id == ""]
    return [{"region": region, **values} for region, values in _regions(rows).items()]


def _centre(mask: RegionMask) -> list[int]:
    """The voxel of the region that is nearest to its centre of mass, on the slice where it is largest."""
    voxels = np.asarray(mask.voxels)
    z = int(voxels.sum(axis=(1, 2)).argmax())
    rows, columns = np.nonzero(voxels[z])
    nearest = int(np.hypot(rows - rows.mean(), columns - columns.mean()).argmin())
    z0, y0, x0 = mask.origin
    return [z0 + z, y0 + int(rows[nearest]), x0 + int(columns[nearest])]


def _size(rows: Sequence[MeasurementRow], parameter: str) -> float | None:
    return next((_number(row.value) for row in rows if row.parameter == parameter), None)


def _flags(rows: Sequence[MeasurementRow]) -> list[str]:
    of_lesion = [row.flags for row in rows if row.region != "profile"]
    return sorted({flag for flags in of_lesion for flag in flags.split(";") if flag})


def _regions(rows: Sequence[MeasurementRow]) -> dict[str, dict[str, Any]]:
    """Region -> n, flags, mean and SD of each parameter, and the spectral curve [keV, mean, SD]."""
    regions: dict[str, dict[str, Any]] = {}
    curves: dict[str, dict[float, dict[str, float | None]]] = {}
    for row in rows:
        if row.region == "profile" or row.statistic not in ("mean", "sd"):
            continue
        region = regions.setdefault(
            row.region,
            {
                "n": row.n_voxels,
                "n_valid": row.n_valid,
                "flags": [flag for flag in row.flags.split(";") if flag],
                "values": {},
            },
        )
        kev = _kev(row.parameter)
        if kev is None:
            region["values"].setdefault(row.parameter, {})[row.statistic] = _number(row.value)
        else:
            of_region = curves.setdefault(row.region, {})
            of_region.setdefault(kev, {})[row.statistic] = _number(row.value)
    for name, region in regions.items():
        region["curve"] = [
            [kev, statistics.get("mean"), statistics.get("sd")]
            for kev, statistics in sorted(curves.get(name, {}).items())
        ]
    return regions


def _kev(parameter: str) -> float | None:
    """The energy of a point of the spectral curve.

    >>> _kev("mono_70"), _kev("iodine")
    (70.0, None)
    """
    stem, _, energy = parameter.partition("_")
    return float(energy) if stem == "mono" else None


def _profile(rows: Sequence[MeasurementRow]) -> dict[str, list[list[float | None]]]:
    """Parameter -> [distance mm, mean, SD] of each shell, from inside out."""
    shells: dict[str, dict[float, dict[str, float | None]]] = {}
    for row in rows:
        if row.region == "profile" and row.parameter in _PROFILE_PARAMETERS:
            of_parameter = shells.setdefault(row.parameter, {})
            of_parameter.setdefault(row.distance_mm, {})[row.statistic] = _number(row.value)
    return {
        parameter: [
            [distance_mm, statistics.get("mean"), statistics.get("sd")]
            for distance_mm, statistics in sorted(of_parameter.items())
        ]
        for parameter, of_parameter in shells.items()
    }


def write_regions(folder: Path, key: str, layout: Layout, liver: RegionMask | None) -> list[int]:
    """Writes `folder`/`key`/Z.js with two uint8 planes per slice that holds a region.

    The planes: bits of `REGION_BITS`, and the number of the lesion (from 1, in the order of the table; 255
    for those beyond). Returns the slices.
    """
    (folder / key).mkdir(parents=True)
    numbers = {laid_out.lesion.lesion_id: k for k, laid_out in enumerate(layout.lesions, start=1)}
    masks = [
        (REGION_BITS[region.region], numbers.get(region.lesion_id, 0), region.mask)
        for region in layout.regions
        if region.region in REGION_BITS
    ]
    if liver is not None:
        masks.append((REGION_BITS["liver"], 0, liver))
    slices: dict[int, list[tuple[int, int, RegionMask]]] = {}
    for entry in masks:
        for z in range(entry[2].box[0].start, entry[2].box[0].stop):
            slices.setdefault(z, []).append(entry)
    for z, entries in slices.items():
        planes, origin = _region_planes(z, entries)
        write_slice(folder, f"{key}/{z}", planes, origin)
    return sorted(slices)


def _region_planes(
    z: int, entries: Sequence[tuple[int, int, RegionMask]]
) -> tuple[list[NDArray[np.uint8]], tuple[int, int]]:
    tops = [mask.box[1].start for _, _, mask in entries]
    lefts = [mask.box[2].start for _, _, mask in entries]
    top, left = min(tops), min(lefts)
    bottom = max(mask.box[1].stop for _, _, mask in entries)
    right = max(mask.box[2].stop for _, _, mask in entries)
    bits = np.zeros((bottom - top, right - left), np.uint8)
    lesion = np.zeros_like(bits)
    for bit, number, mask in entries:
        z_side, y_side, x_side = mask.box
        place = (
            slice(y_side.start - top, y_side.stop - top),
            slice(x_side.start - left, x_side.stop - left),
        )
        inside = np.asarray(mask.voxels[z - z_side.start])
        bits[place][inside] |= np.uint8(bit)
        if number and bit in (REGION_BITS["core"], REGION_BITS["rim"], REGION_BITS["lesion"]):
            lesion[place][inside] = min(number, 255)
    return [bits, lesion], (top, left)


def study_entry(
    *,
    software: str,
    maps: Sequence[MapDefinition],
    phases: Sequence[Mapping[str, Any]],
    warnings: Sequence[str],
    identity: Mapping[str, str],
    pictures: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """All of the page's data but its case.

    pictures : addresses of a lesion's pictures for papers, by its id
    """
    return {
        "software": software,
        "identity": dict(identity),
        "basis": basis(),
        "maps": [map_entry(definition) for definition in maps],
        "colormaps": colormaps(["gray", *(definition.colormap for definition in maps)]),
        "regionBits": REGION_BITS,
        "regionColours": {name: hex_colour(REGION_COLOURS[name]) for name in REGION_BITS},
        "curveColours": REGION_INKS,
        "phases": list(phases),
        "pictures": {name: list(addresses) for name, addresses in (pictures or {}).items()},
        "warnings": list(dict.fromkeys(warnings)),
    }
