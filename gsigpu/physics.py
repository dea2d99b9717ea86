"""X-ray attenuation of water, iodine and the elements, 40-140 keV.

Definitions. µ/ρ is the total mass attenuation coefficient with coherent scattering, cm²/g. A voxel is a mixture
of water with partial density ρw and iodine with concentration c, both in mg/mL:

    µ(E) = ρw (µ/ρ)_water(E) + c (µ/ρ)_iodine(E)
    1000 + HU(E) = 1000 µ(E) / µ_water(E) = ρw + c r(E),    r(E) = (µ/ρ)_iodine(E) / (µ/ρ)_water(E)

with water of 1000 mg/mL. r(E) is also the CT number that 1 mg/mL of iodine adds.

Source. XrayDB's tables of Elam, Ravel & Sieber, Radiat. Phys. Chem. 63 (2002) 121.
Oracle. NIST, Hubbell & Seltzer, X-Ray Mass Attenuation Coefficients (NISTIR 5632): the tests compare water and
iodine with its points at 40, 50, 60, 80 and 100 keV.
Limits. Two materials. Where calcium, fat or a metal varies, c is what iodine would have to be, not what is
there; the `residual` map shows where the plane of water and iodine does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gsigpu.elam_tables import element_attenuation, water_attenuation
from gsigpu.errors import SettingsError

Energies = Sequence[float] | NDArray[np.floating]

# ---- Ranges of energy, keV. ----
# Virtual monoenergetic images that every vendor offers, and within which maps synthesise others.
LOW_KEV, HIGH_KEV = 40.0, 140.0
# Outside of this no CT image lies, and the water-iodine model fails below iodine's K edge (33.2 keV).
_LOWEST_TABLE_KEV, _HIGHEST_TABLE_KEV = 20.0, 200.0

# Z/A (mol electrons per gram): NIST, X-Ray Mass Attenuation Coefficients, tables 1 and 2.
WATER_Z_OVER_A = 0.55508
IODINE_Z_OVER_A = 0.41764


def _checked(energies_kev: Energies) -> tuple[float, ...]:
    energies = tuple(float(energy) for energy in energies_kev)
    for energy in energies:
        if not _LOWEST_TABLE_KEV <= energy <= _HIGHEST_TABLE_KEV:
            raise SettingsError(
                f"energy {energy:g} keV is outside {_LOWEST_TABLE_KEV:g}-{_HIGHEST_TABLE_KEV:g} keV",
                remedy="virtual monoenergetic images of CT lie between 40 and 200 keV",
            )
    return energies


@lru_cache(maxsize=512)
def _water(energies_kev: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(water_attenuation(np.array(energies_kev) * 1e3).tolist())


@lru_cache(maxsize=4096)
def _element(atomic_number: int, energies_kev: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(element_attenuation(atomic_number, np.array(energies_kev) * 1e3).tolist())


def water_mass_attenuation(energies_kev: Energies) -> NDArray[np.float64]:
    """Total mass attenuation of water, µ/ρ = Σ w_i (µ/ρ)_i over hydrogen (w = 0.112) and oxygen (0.888).

    Source: XrayDB's `material_mu("water")`. Oracle: NIST's table for liquid water.

    energies_kev : (E,) keV
    Returns (E,) float64, cm²/g.
    Raises SettingsError outside 20-200 keV.

    >>> water_mass_attenuation([40, 60, 100]).round(4)
    array([0.2683, 0.2059, 0.1707])
    """
    return np.array(_water(_checked(energies_kev)))


def element_mass_attenuation(atomic_number: int, energies_kev: Energies) -> NDArray[np.float64]:
    """Total mass attenuation of an element, photoelectric absorption with coherent and incoherent scattering.

    Source: XrayDB's `mu_elam`. Oracle: NIST's table for iodine; other elements are trusted with XrayDB.
    For a compound or mixture, add elements by their mass fractions.

    atomic_number : Z, 1-92
    energies_kev : (E,) keV
    Returns (E,) float64, cm²/g.
    Raises SettingsError outside 20-200 keV or for an unknown Z.

    >>> element_mass_attenuation(53, [40, 60, 100]).round(3)
    array([22.096, 7.577, 1.942])
    """
    if not 1 <= atomic_number <= 92:
        raise SettingsError(f"no element has atomic number {atomic_number}", remedy="use 1-92")
    return np.array(_element(atomic_number, _checked(energies_kev)))


def iodine_mass_attenuation(energies_kev: Energies) -> NDArray[np.float64]:
    """Total mass attenuation of iodine.

    energies_kev : (E,) keV
    Returns (E,) float64, cm²/g; as `element_mass_attenuation(53, ...)`.
    Raises SettingsError outside 20-200 keV.

    >>> iodine_mass_attenuation([40, 60, 100]).round(3)
    array([22.096,  7.577,  1.942])
    """
    return element_mass_attenuation(53, energies_kev)


def iodine_hu_per_mg_per_ml(energies_kev: Energies) -> NDArray[np.float64]:
    """r(E) = (µ/ρ)_iodine(E) / (µ/ρ)_water(E): the CT number that 1 mg/mL of iodine adds to water.

    energies_kev : (E,) keV
    Returns (E,) float64, HU per mg/mL.
    Raises SettingsError outside 20-200 keV.
    Oracle: the ratio of NIST's tables. A scanner's own curve may depart from it by 3 %, which is an error of 3 %
    in every concentration; calibrate with inserts of known iodine where that matters.

    >>> iodine_hu_per_mg_per_ml([40, 60, 70, 100]).round(1)
    array([82.4, 36.8, 26. , 11.4])
    """
    return iodine_mass_attenuation(energies_kev) / water_mass_attenuation(energies_kev)


def iodine_water_hu(
    energies_kev: Energies, *, water_mg_per_ml: float = 1000.0, iodine_mg_per_ml: float = 0.0
) -> NDArray[np.float64]:
    """CT number of a water-iodine mixture in each virtual monoenergetic image.

    HU(E) = ρw + c r(E) - 1000

    energies_kev : (E,) keV
    water_mg_per_ml : ρw, mg/mL
    iodine_mg_per_ml : c, mg/mL
    Returns (E,) float64, HU; exact for the model, without noise, beam hardening or the scanner's calibration.
    Raises SettingsError outside 20-200 keV.

    >>> iodine_water_hu([70], iodine_mg_per_ml=2.0).round(1)
    array([52.])
    """
    return water_mg_per_ml + iodine_mg_per_ml * iodine_hu_per_mg_per_ml(energies_kev) - 1000.0
