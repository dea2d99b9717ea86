"""Metastases: an ellipsoid with a core and a rim, each with its iodine per phase.

The rim lies between the ellipsoid and a concentric one with semi-axes smaller by the rim's
thickness. Iodine per primary is chosen for the phantom: the order of the groups follows the source
study's idea that metastases of different primaries take up different amounts, the numbers are
plausible for lesions beside a liver of 0.6 (AP) and 2.2 mg/mL (PVP), and neither is a clinical fact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gsigpu.choices import PHASES
from gsigpu.errors import SettingsError
from gsigpu.phantom.anatomy import VESSELS, Anatomy
from gsigpu.phantom.phantom_settings import PhantomSettings
from gsigpu.volume import Vector, VolumeGeometry

# (core, rim) in mg/mL for NC, AP, PVP, DP.
IODINE_MG_PER_ML: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "colorectal": ((0.0, 0.45, 0.90, 0.95), (0.0, 0.95, 1.70, 1.45)),
    "gastric": ((0.0, 0.60, 1.10, 1.05), (0.0, 1.25, 1.95, 1.55)),
    "pancreatic": ((0.0, 0.35, 0.70, 0.85), (0.0, 0.80, 1.40, 1.35)),
    "lung": ((0.0, 0.80, 1.40, 1.20), (0.0, 1.60, 2.30, 1.70)),
    "breast": ((0.0, 1.05, 1.75, 1.35), (0.0, 2.10, 2.75, 1.85)),
}
CORE_WATER_MG_PER_ML = 1036.0
RIM_WATER_MG_PER_ML = 1046.0

_CLEARANCE_MM = 2.0  # to the liver's surface and to vessels
_GAP_MM = 6.0  # between two lesions
_N_TRIES = 4000  # per lesion; a liver that is nearly full needs some thousands
_AXIS_VARIATION = 0.08  # SD of ln(axis): lesions are nearly round, but no spheres
_N_PROBES = 96  # of a lesion's surface: 8 mm apart at a diameter of 30 mm
# Evenly spread directions (Fibonacci sphere), to probe a lesion's surface.
_TURN = math.pi * (3.0 - math.sqrt(5.0))
_HEIGHTS = 1.0 - 2.0 * (np.arange(_N_PROBES) + 0.5) / _N_PROBES
_DIRECTIONS = np.column_stack(
    [
        np.sqrt(1.0 - _HEIGHTS**2) * np.cos(_TURN * np.arange(_N_PROBES)),
        np.sqrt(1.0 - _HEIGHTS**2) * np.sin(_TURN * np.arange(_N_PROBES)),
        _HEIGHTS,
    ]
)


@dataclass(frozen=True, slots=True)
class Lesion:
    """One metastasis.

    label : its integer in the mask, from 1
    centre_mm : (x, y, z) LPS, around the middle of the liver
    radii_mm : semi-axes (x, y, z)
    rim_mm : thickness of the rim; 0 for none
    core_iodine_mg_per_ml, rim_iodine_mg_per_ml : by phase
    core_water_mg_per_ml, rim_water_mg_per_ml : ρw
    """

    label: int
    centre_mm: Vector
    radii_mm: Vector
    rim_mm: float
    core_iodine_mg_per_ml: Mapping[str, float]
    rim_iodine_mg_per_ml: Mapping[str, float]
    core_water_mg_per_ml: float = CORE_WATER_MG_PER_ML
    rim_water_mg_per_ml: float = RIM_WATER_MG_PER_ML

    @property
    def core_radii_mm(self) -> Vector:
        """Semi-axes of the core, 0 where the rim fills the lesion."""
        x, y, z = (max(radius - self.rim_mm, 0.0) for radius in self.radii_mm)
        return (x, y, z)

    @property
    def longest_axial_diameter_mm(self) -> float:
        """Of the ellipsoid, in a transverse plane."""
        return 2.0 * max(self.radii_mm[:2])

    @property
    def volume_ml(self) -> float:
        """4/3 π a b c."""
        return 4.0 / 3.0 * math.pi * math.prod(self.radii_mm) / 1000.0

    @property
    def core_volume_ml(self) -> float:
        """4/3 π a b c of the core."""
        return 4.0 / 3.0 * math.pi * math.prod(self.core_radii_mm) / 1000.0


def _drawn(settings: PhantomSettings, rng: np.random.Generator) -> list[Lesion]:
    """Lesions of the given sizes and uptake, largest first, not yet placed."""
    core, rim = IODINE_MG_PER_ML[settings.primary]
    diameters = np.sort(rng.uniform(*settings.diameter_mm, settings.n_lesions))[::-1]
    lesions = []
    for index, diameter in enumerate(diameters):
        stretch = np.exp(rng.normal(0.0, _AXIS_VARIATION, 3))
        radii = diameter / 2.0 * stretch / stretch[:2].max()
        uptake = math.exp(rng.normal(0.0, math.log1p(settings.iodine_variation)))
        lesions.append(
            Lesion(
                label=index + 1,
                centre_mm=(0.0, 0.0, 0.0),
                radii_mm=(float(radii[0]), float(radii[1]), float(radii[2])),
                rim_mm=min(settings.rim_mm, float(radii.min()) / 2.0),
                core_iodine_mg_per_ml=dict(zip(PHASES, (uptake * c for c in core), strict=True)),
                rim_iodine_mg_per_ml=dict(zip(PHASES, (uptake * c for c in rim), strict=True)),
            )
        )
    return lesions


def place_lesions(
    settings: PhantomSettings, anatomy: Anatomy, geometry: VolumeGeometry
) -> tuple[Lesion, ...]:
    """Lesions at random inside the liver, clear of its surface, its vessels and one another.

    Raises SettingsError if they do not all fit into the part of the liver that the grid covers.
    """
    rng = np.random.default_rng((settings.seed, 1))
    low, high = _covered(anatomy, geometry)
    reach_mm = sum(settings.motion_mm)  # so that no phase loses a part of a lesion
    low, high = low + reach_mm, high - reach_mm
    vessels = anatomy.shapes_of(*VESSELS, "gallbladder")
    placed: list[Lesion] = []
    for lesion in _drawn(settings, rng):
        for _ in range(_N_TRIES):
            centre = rng.uniform(low, high)
            radii = np.array(lesion.radii_mm)
            if np.any(centre - radii < low) or np.any(centre + radii > high):
                continue
            reach = radii.max() + _GAP_MM
            if any(
                np.linalg.norm(centre - other.centre_mm) < reach + max(other.radii_mm)
                for other in placed
            ):
                continue
            surface = centre + _DIRECTIONS * (radii + _CLEARANCE_MM)
            points = np.concatenate([surface, (surface + centre) / 2.0, centre[None]]).T
            if anatomy.liver.depth_mm(*points).min() < 0.0:
                continue
            if any(vessel.depth_mm(*points).max() > 0.0 for vessel in vessels):
                continue
            x, y, z = (float(value) for value in centre)
            placed.append(replace(lesion, centre_mm=(x, y, z)))
            break
        else:
            raise SettingsError(
                f"only {len(placed)} of {settings.n_lesions} lesions of {settings.diameter_mm[0]:g}-"
                f"{settings.diameter_mm[1]:g} mm fit into the liver that the grid covers",
                remedy="ask for fewer or smaller lesions, or a larger grid",
            )
    return tuple(placed)


def _covered(
    anatomy: Anatomy, geometry: VolumeGeometry
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The liver's box (x, y, z), as far as the centres of outer voxels reach."""
    liver_low, liver_high = np.array(anatomy.liver.box)
    first = np.array(geometry.origin_mm)
    last = np.array(geometry.position_mm(*(n - 1 for n in geometry.shape)))
    return np.maximum(liver_low, first), np.minimum(np.maximum(liver_high, first), last)
