"""The maps that are not linear: effective atomic number and residual; for one standard deviation see `local_noise`.

Plain array-namespace maths on float32 planes of NumPy or CuPy; NaN in, NaN out.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.maps.definitions import Combine, Energies, LinearRows
from gsigpu.physics import element_mass_attenuation, water_mass_attenuation

# Zeff. Below a tenth of water's attenuation a voxel is air, and its ratio that of its noise.
_LEAST_OF_WATER = 0.1
_ATOMIC_NUMBER_STEPS = 100  # entries of the table per Z; linear between them


def array_namespace(array: Any) -> ModuleType:
    """`numpy` or `cupy`, whichever made the array; CuPy is not imported to find out."""
    return sys.modules["cupy"] if type(array).__module__.partition(".")[0] == "cupy" else np


def rms_over_energies(energies: Energies) -> Combine:
    """Residual: sqrt(Σ p² / E) of the planes across the water-iodine plane, HU.

    energies : the E of the fit; the planes are the E - 2 of `residual_rows`, (E - 2, y, x) float32
    Noise alone gives σ sqrt((E - 2) / E) for independent noise σ per image.
    """
    n_energies = len(energies)

    def combine(planes: Any) -> Any:
        xp = array_namespace(planes)
        return xp.sqrt((planes * planes).sum(axis=0) / xp.float32(n_energies))

    return combine


def attenuation_rows(energies: Energies) -> LinearRows:
    """µ at the lowest and at the highest energy, 1/cm, of water at 1 g/mL: µ = (1 + HU/1000) µ_w."""
    ends = np.zeros((2, len(energies)))
    ends[0, 0], ends[1, -1] = water_mass_attenuation([energies[0], energies[-1]])
    return LinearRows(ends / 1000.0, ends.sum(axis=1))


@lru_cache(maxsize=16)
def _zeff_table(low_kev: float, high_kev: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(log ratio, Z) with the log ratio ascending, Z in steps of 0.01.

    An element's ratio of per-electron cross sections is that of its mass attenuations. It rises
    with Z until photoelectric absorption dominates at both energies, near Z = 45; beyond, a second
    element shares each ratio. The table ends at the turn: the lighter element is meant.
    """
    from scipy.interpolate import PchipInterpolator  # slow to import, and for this map alone

    kev = (low_kev, high_kev)
    log_ratio = np.array(
        [np.log(np.divide(*element_mass_attenuation(z, kev))) for z in range(1, 93)]
    )
    falls = np.flatnonzero(np.diff(log_ratio) <= 0.0)
    n_rising = int(falls[0]) + 1 if falls.size else log_ratio.size
    z = np.arange(1, n_rising + 1)
    fine_z = np.linspace(1, n_rising, (n_rising - 1) * _ATOMIC_NUMBER_STEPS + 1)
    return PchipInterpolator(z, log_ratio[:n_rising])(fine_z), fine_z


def effective_atomic_number(energies: Energies) -> Combine:
    """Zeff: the Z whose elemental ratio µ(low)/µ(high) is the voxel's.

    energies : the lowest and the highest, keV
    The planes are those of `attenuation_rows`, (2, y, x) float32. The result is NaN where either
    attenuation is below a tenth of water's, or no element has that ratio.
    Tested against elements, whose Z it returns, and against Mayneord's power law for ICRU tissues,
    within 0.15. For mixtures the number depends on the definition: compare it with numbers of the
    same two energies only, and use `iodine` where concentration is the question.
    """
    log_ratios, z = _zeff_table(energies[0], energies[-1])
    least_low, least_high = _LEAST_OF_WATER * water_mass_attenuation([energies[0], energies[-1]])

    def combine(planes: Any) -> Any:
        xp = array_namespace(planes)
        low, high = planes[0], planes[1]
        with np.errstate(invalid="ignore", divide="ignore"):
            log_ratio = xp.log(low / high)
            log_ratio[~((low > least_low) & (high > least_high))] = xp.nan
        atomic_number = xp.interp(
            log_ratio, xp.asarray(log_ratios), xp.asarray(z), left=xp.nan, right=xp.nan
        )
        return atomic_number.astype(xp.float32)

    return combine
