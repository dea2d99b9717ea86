"""What the pictures of one lesion show: per phase a slice with its outlines, and the values of its regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.maps.definitions import MapDefinition
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.measure.shown_slices import largest_slice
from gsigpu.pipeline.measure.slice_maps import SliceMaps, slice_maps
from gsigpu.pipeline.review.page_data import lesion_entries, reference_entries
from gsigpu.regions.body import body_mask
from gsigpu.regions.region_mask import RegionMask, union_in_slice
from gsigpu.volume import VolumeGeometry

# In the order of legends; the reference comes last.
REGIONS = ("core", "rim", "parenchyma")


@dataclass(frozen=True, slots=True)
class RegionValues:
    """Of one region.

    means : parameter -> (mean, SD of voxels), None where there is no value
    curve : (keV, mean, SD) of each monoenergetic series, ascending, HU
    """

    means: Mapping[str, tuple[float | None, float | None]]
    curve: tuple[tuple[float, float | None, float | None], ...]


@dataclass(frozen=True, slots=True)
class LesionPhase:
    """A lesion in one phase, in the slice where it is largest.

    inside_mask : (rows, columns) bool, what is shown; the rest is blank
    lesion_mask, core_mask : (rows, columns) bool; a core may be empty
    values : by region of `REGIONS`, where it was measured
    """

    phase: str
    geometry: VolumeGeometry
    planes: SliceMaps
    inside_mask: NDArray[np.bool_]
    lesion_mask: NDArray[np.bool_]
    core_mask: NDArray[np.bool_]
    values: Mapping[str, RegionValues]
    diameter_mm: float | None
    flags: tuple[str, ...]

    @property
    def definitions(self) -> tuple[MapDefinition, ...]:
        """Of λHU and iodine, as far as the stack has them."""
        return tuple(definition for definition, _ in self.planes.maps)

    @property
    def centre_mm(self) -> tuple[float, float]:
        """(y, x) of the lesion in the slice, from the plane's corner."""
        low, high = self._extent_mm
        return ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2)

    @property
    def size_mm(self) -> float:
        """The longer side of the lesion's box in the slice."""
        low, high = self._extent_mm
        return max(high[0] - low[0], high[1] - low[1])

    @property
    def _extent_mm(self) -> tuple[tuple[float, float], tuple[float, float]]:
        rows, columns = np.nonzero(self.lesion_mask)
        y_mm, x_mm = self.geometry.spacing_mm[1:]
        return (
            (float(rows.min()) * y_mm, float(columns.min()) * x_mm),
            (float(rows.max() + 1) * y_mm, float(columns.max() + 1) * x_mm),
        )


@dataclass(frozen=True, slots=True)
class PaperLesion:
    """A lesion in all phases in which it was measured.

    number : from 1, in the order of first appearance; names of files have it
    absent : phases of the page in which it was not measured
    """

    lesion_id: str
    number: int
    phases: tuple[LesionPhase, ...]
    absent: tuple[str, ...]


def paper_lesions(
    measurements: Mapping[str, Measurement | None],
    *,
    inside_body: bool,
    redact: Callable[[str], str] = str,
) -> list[PaperLesion]:
    """Every lesion that was laid out in any phase.

    measurements : by the phase's name on the page; None where its masks gave none
    inside_body : blank what lies around the patient
    redact : takes out of names and flags what leads to the patient
    """
    of_lesion: dict[str, list[LesionPhase]] = {}
    for phase, measurement in measurements.items():
        if measurement is None:
            continue
        for lesion_id, entry in _phase_entries(measurement, phase, inside_body=inside_body).items():
            of_lesion.setdefault(lesion_id, []).append(entry)
    return [
        PaperLesion(
            lesion_id=redact(lesion_id),
            number=number,
            phases=tuple(phases),
            absent=tuple(
                name for name in measurements if name not in {phase.phase for phase in phases}
            ),
        )
        for number, (lesion_id, phases) in enumerate(of_lesion.items(), start=1)
    ]


def _phase_entries(
    measurement: Measurement, phase: str, *, inside_body: bool
) -> dict[str, LesionPhase]:
    entries = {entry["id"]: entry for entry in lesion_entries(measurement)}
    references = {entry["region"]: entry for entry in reference_entries(measurement)}
    cores: dict[str, list[RegionMask]] = {}
    for region in measurement.layout.regions:
        if region.region == "core":
            cores.setdefault(region.lesion_id, []).append(region.mask)
    planes: dict[int, SliceMaps] = {}
    phases = {}
    for laid_out in measurement.layout.lesions:
        lesion_id, mask = laid_out.lesion.lesion_id, laid_out.lesion.mask
        z = largest_slice(mask)
        if z not in planes:
            planes[z] = slice_maps(measurement, z)
        anatomy = planes[z].anatomy
        lesion_mask = union_in_slice([mask], z, anatomy.shape)
        shown_mask = body_mask(anatomy) if inside_body else np.isfinite(anatomy)
        regions = entries[lesion_id]["regions"] | references
        phases[lesion_id] = LesionPhase(
            phase=phase,
            geometry=measurement.stack.geometry,
            planes=planes[z],
            inside_mask=shown_mask | lesion_mask,  # what is measured is shown
            lesion_mask=lesion_mask,
            core_mask=union_in_slice(cores.get(lesion_id, []), z, anatomy.shape),
            values={name: _values(regions[name]) for name in REGIONS if name in regions},
            diameter_mm=entries[lesion_id]["diameter_mm"],
            flags=tuple(entries[lesion_id]["flags"]),
        )
    return phases


def _values(region: Mapping[str, Any]) -> RegionValues:
    return RegionValues(
        means={
            parameter: (statistics.get("mean"), statistics.get("sd"))
            for parameter, statistics in region["values"].items()
        },
        curve=tuple((kev, mean, sd) for kev, mean, sd in region["curve"]),
    )


def field_mm(phases: Sequence[LesionPhase], steps_mm: Sequence[float], share: float) -> float:
    """The side of the square around a lesion: the first of the steps of which it fills no more than a share.

    A lesion that is larger than that even of the last gets the last.
    """
    largest = max(phase.size_mm for phase in phases)
    return next((step for step in steps_mm if largest <= share * step), steps_mm[-1])
