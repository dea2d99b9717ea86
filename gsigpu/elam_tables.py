"""Elam's tables of X-ray cross sections, read from the file that the package xraydb brings.

Format. An SQLite table `photoabsorption` and one `scattering`, a row per element; a cell is a JSON list: ln(energy in
eV), ln(cross section in cm²/g), and the second derivative of the latter, from which a cubic spline is evaluated.
Source. Elam, Ravel & Sieber, Radiat. Phys. Chem. 63 (2002) 121, by XrayDB.
Oracle. `xraydb.mu_elam` and `xraydb.material_mu` themselves, equal to the last bit; the tests compare all elements.
Why not call them. To import xraydb brings SQLAlchemy and scipy.interpolate: a second of every command, for two curves.
"""

from __future__ import annotations

import importlib.util
import json
import sqlite3
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Summed in this order, which is xraydb's: to the last bit.
_QUERY = """
    SELECT p.log_energy, p.log_photoabsorption, p.log_photoabsorption_spline,
           s.log_energy, s.log_coherent_scatter, s.log_coherent_scatter_spline,
           s.log_energy, s.log_incoherent_scatter, s.log_incoherent_scatter_spline, molar_mass
    FROM elements JOIN photoabsorption p USING (element) JOIN scattering s USING (element)
    WHERE atomic_number = ?
"""


class _Spline(NamedTuple):
    """Natural logarithms of energy (eV) and cross section (cm²/g), and the second derivative; each (N,) float64."""

    log_energy: NDArray[np.float64]
    log_value: NDArray[np.float64]
    second_derivative: NDArray[np.float64]

    def at(self, log_energy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cubic spline between the nearest points below and above; (E,) in and out."""
        low = np.searchsorted(self.log_energy, log_energy, "left") - 1
        high = np.searchsorted(self.log_energy, log_energy, "right")
        width = self.log_energy[high] - self.log_energy[low]
        a = (self.log_energy[high] - log_energy) / width
        b = (log_energy - self.log_energy[low]) / width
        bend = (a * a - 1) * a * self.second_derivative[low] + (
            b * b - 1
        ) * b * self.second_derivative[high]
        return a * self.log_value[low] + b * self.log_value[high] + (width * width / 6) * bend


def _file() -> Path:
    package = importlib.util.find_spec("xraydb")  # finds without importing
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'xraydb'", name="xraydb")
    return Path(package.submodule_search_locations[0]) / "xraydb.sqlite"


@lru_cache(maxsize=92)
def _element(atomic_number: int) -> tuple[tuple[_Spline, ...], float]:
    """Photoelectric, coherent and incoherent cross section, and the molar mass in g/mol."""
    # `immutable`: no lock and no journal, where the packages of all users lie read-only.
    uri = f"{_file().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as tables:
        *cells, molar_mass = tables.execute(_QUERY, (atomic_number,)).fetchone()
    columns = [np.array(json.loads(cell), dtype=np.float64) for cell in cells]
    return tuple(_Spline(*columns[k : k + 3]) for k in range(0, 9, 3)), float(molar_mass)


def element_attenuation(
    atomic_number: int, energies_ev: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Total mass attenuation of an element: photoelectric, coherent and incoherent.

    atomic_number : Z, 1-92
    energies_ev : (E,) eV, within the table (100 eV to 800 keV)
    Returns (E,) float64, cm²/g; as `xraydb.mu_elam`.
    """
    photoelectric, coherent, incoherent = (
        np.exp(spline.at(np.log(energies_ev))) for spline in _element(atomic_number)[0]
    )
    total: NDArray[np.float64] = photoelectric + coherent + incoherent
    return total


def water_attenuation(energies_ev: NDArray[np.float64]) -> NDArray[np.float64]:
    """Total mass attenuation of water, two atoms of hydrogen and one of oxygen, by their masses.

    energies_ev : (E,) eV, within the table
    Returns (E,) float64, cm²/g; as `xraydb.material_mu("water", density=1)`.
    """
    hydrogen, oxygen = 2.0 * _element(1)[1], _element(8)[1]
    weighted = hydrogen * element_attenuation(1, energies_ev)
    weighted = weighted + oxygen * element_attenuation(8, energies_ev)
    total: NDArray[np.float64] = weighted / (hydrogen + oxygen)
    return total
