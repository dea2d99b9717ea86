"""Tissues of the phantom: water, calcium and iodine.

A voxel is water ρw, iodine c and calcium h (hydroxyapatite), all in mg/mL:

    HU(E) = ρw + c r(E) + h r_h(E) - 1000          r, r_h = (µ/ρ) over (µ/ρ) of water

r as in gsigpu.physics; calcium is in bone alone, which therefore lies off the water-iodine plane
as it does in a patient. Fat and lung are light water: their own spectral curves are not modelled.

The numbers are chosen for the phantom so that the pictures look right and regions differ. They
are no clinical facts, and no result about patients can be drawn from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gsigpu.physics import Energies, element_mass_attenuation, water_mass_attenuation

# Hydroxyapatite Ca10(PO4)6(OH)2: atomic number -> atoms * atomic mass (IUPAC 2021, abridged).
_HYDROXYAPATITE = {20: 10 * 40.078, 15: 6 * 30.974, 8: 26 * 15.999, 1: 2 * 1.008}

NO_IODINE: Mapping[str, float] = MappingProxyType({"NC": 0.0, "AP": 0.0, "PVP": 0.0, "DP": 0.0})


@dataclass(frozen=True, slots=True)
class Tissue:
    """One tissue.

    water_mg_per_ml, calcium_mg_per_ml : ρw, h
    iodine_mg_per_ml : c by phase
    texture : how much of the slow variation of ρw it shows, 0-1
    """

    name: str
    water_mg_per_ml: float
    calcium_mg_per_ml: float = 0.0
    iodine_mg_per_ml: Mapping[str, float] = field(default_factory=lambda: NO_IODINE)
    texture: float = 0.0


def _iodine(arterial: float, portal: float, delayed: float) -> Mapping[str, float]:
    return MappingProxyType({"NC": 0.0, "AP": arterial, "PVP": portal, "DP": delayed})


AIR = Tissue("air", 0.0)
SKIN = Tissue("skin", 1060.0, iodine_mg_per_ml=_iodine(0.2, 0.5, 0.4))
FAT = Tissue("fat", 898.0, texture=0.6)
MUSCLE = Tissue("muscle", 1052.0, iodine_mg_per_ml=_iodine(0.2, 0.5, 0.5), texture=1.0)
CORTICAL_BONE = Tissue("cortical bone", 880.0, 480.0)
MARROW = Tissue(
    name="marrow",
    water_mg_per_ml=965.0,
    calcium_mg_per_ml=130.0,
    iodine_mg_per_ml=_iodine(0.2, 0.4, 0.3),
    texture=0.5,
)
LUNG = Tissue("lung", 150.0, iodine_mg_per_ml=_iodine(0.3, 0.4, 0.3))
HEART = Tissue("heart", 1045.0, iodine_mg_per_ml=_iodine(6.0, 4.5, 3.0))
LIVER = Tissue("liver", 1058.0, iodine_mg_per_ml=_iodine(0.6, 2.2, 1.6), texture=1.0)
SPLEEN = Tissue("spleen", 1048.0, iodine_mg_per_ml=_iodine(3.6, 3.0, 2.0), texture=1.0)
KIDNEY = Tissue("kidney", 1036.0, iodine_mg_per_ml=_iodine(5.5, 6.0, 4.0), texture=0.5)
PANCREAS = Tissue("pancreas", 1042.0, iodine_mg_per_ml=_iodine(2.6, 2.0, 1.3), texture=1.0)
STOMACH_WALL = Tissue("stomach wall", 1042.0, iodine_mg_per_ml=_iodine(1.0, 1.5, 1.1))
STOMACH_FLUID = Tissue("stomach fluid", 1012.0)
BILE = Tissue("bile", 1008.0)
CORD = Tissue("spinal cord", 1035.0)
AORTA = Tissue("aorta", 1042.0, iodine_mg_per_ml=_iodine(12.0, 5.0, 3.2))
PORTAL_VEIN = Tissue("portal vein", 1042.0, iodine_mg_per_ml=_iodine(2.4, 5.5, 3.2))
HEPATIC_VEIN = Tissue("hepatic vein", 1042.0, iodine_mg_per_ml=_iodine(0.5, 4.4, 3.0))
VENA_CAVA = Tissue("vena cava", 1042.0, iodine_mg_per_ml=_iodine(1.0, 4.0, 3.0))


def calcium_hu_per_mg_per_ml(energies_kev: Energies) -> NDArray[np.float64]:
    """r_h(E): the CT number that 1 mg/mL of hydroxyapatite adds to water.

    energies_kev : (E,) keV
    Returns (E,) float64, HU per mg/mL.

    >>> calcium_hu_per_mg_per_ml([40, 70, 140]).round(2)
    array([3.68, 1.62, 1.02])
    """
    whole = sum(_HYDROXYAPATITE.values())
    mass_attenuation = sum(
        part / whole * element_mass_attenuation(atomic_number, energies_kev)
        for atomic_number, part in _HYDROXYAPATITE.items()
    )
    return np.asarray(mass_attenuation / water_mass_attenuation(energies_kev))
