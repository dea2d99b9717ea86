"""A material of one's own: a text file with two columns, energy in keV and mass attenuation µ/ρ in cm²/g.

    # density 1.10          (g/mL; needed where three materials share the volume)
    40   0.2683
    60   0.2059
    100  0.1707

Blanks, tabs or commas between the columns; lines that begin with # are remarks. As NIST's XCOM prints it, but in keV.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import InputError

_DENSITY = re.compile(r"#\s*density\s*[:=]?\s*(\d+(?:\.\d+)?)", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_-]+")
# XCOM prints MeV: a table that ends below this is one in MeV, and no table for CT.
_LEAST_KEV = 10.0
_REMEDY = "write lines of energy in keV and cm2/g, such as `40 0.2683`"


@dataclass(frozen=True, slots=True)
class AttenuationTable:
    """A material's table.

    name : the file's, without ending
    energies_kev, attenuation : (N,) ascending keV; cm²/g
    density_g_per_ml : None where the file has none
    """

    name: str
    energies_kev: tuple[float, ...]
    attenuation: tuple[float, ...]
    density_g_per_ml: float | None

    def at(self, energies_kev: NDArray[np.float64]) -> NDArray[np.float64]:
        """Between the points, a straight line in the logarithms of both. NaN outside the table."""
        logs = np.interp(
            np.log(energies_kev), np.log(self.energies_kev), np.log(self.attenuation),
            left=np.nan, right=np.nan,
        )  # fmt: skip
        return np.exp(logs)


@lru_cache(maxsize=32)
def read_attenuation(name: str) -> AttenuationTable:
    """Reads a table, once per process.

    Raises InputError for a file that cannot be read or is none.
    """
    path = Path(name)
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "cannot be read as a table of mass attenuation", where=path, remedy="check its name"
        ) from error
    density: float | None = None
    rows: list[tuple[float, float]] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith("#") or not text:
            if match := _DENSITY.match(text):
                density = float(match[1])
            continue
        try:
            kev, value = (float(cell) for cell in re.split(r"[\s,;]+", text))
        except ValueError as error:
            raise InputError(
                f"line {number} is not two numbers", where=path, remedy=_REMEDY
            ) from error
        rows.append((kev, value))
    energies = [kev for kev, _ in rows]
    is_rising = all(a < b for a, b in itertools.pairwise(energies))
    if len(rows) < 2 or not is_rising or energies[0] <= 0 or min(v for _, v in rows) <= 0:
        raise InputError(
            "is no table of mass attenuation: two lines or more, positive, by rising energy",
            where=path,
            remedy=_REMEDY,
        )
    if energies[-1] < _LEAST_KEV:
        raise InputError(
            f"ends at {energies[-1]:g} keV, as a table in MeV would", where=path, remedy=_REMEDY
        )
    if not _NAME.fullmatch(path.stem):
        raise InputError(
            "its name, which the map bears, has signs that not every file takes",
            where=path,
            remedy="call it by letters, digits, _ and - alone",
        )
    return AttenuationTable(path.stem, tuple(energies), tuple(value for _, value in rows), density)
