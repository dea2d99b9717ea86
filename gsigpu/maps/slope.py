"""λHU: the slope of the spectral HU curve, in all its definitions.

    two points:   λHU = (HU(A) - HU(B)) / D
    `fit:A-B`:    λHU = - Σ (E - Ē)(HU(E) - mean HU) / Σ (E - Ē)²   over all energies in [A, B]

Both are positive where the CT number falls with energy, as it does in iodine. `paper` divides the
difference between 60 and 100 keV by 60, as the source study prints it, though the interval is
40 keV; design/008-default-slope.md has the reason why it is the default.

The tests compare the two-point slope with the closed form for iodine in water, and the fit with
numpy.polyfit. Two points carry the noise of two images. The fit averages the noise of all energies
in its interval, but the spectral curve is no straight line: its value depends on which energies
were exported. Studies with different exports are compared by two points, or by iodine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from gsigpu.errors import SettingsError, TooFewEnergies
from gsigpu.maps.definitions import KEV_TOLERANCE, Energies, LinearRows, nearest
from gsigpu.physics import HIGH_KEV, LOW_KEV

_TWO_POINT = re.compile(
    r"(?P<low>\d+(?:\.\d+)?)-(?P<high>\d+(?:\.\d+)?)(?:/(?P<divisor>\d+(?:\.\d+)?))?"
)
_FIT = re.compile(r"fit:(?P<low>\d+(?:\.\d+)?)-(?P<high>\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Slope:
    """One definition of λHU.

    name : as on the command line: `paper`, `60-100`, `40-100`, `A-B`, `A-B/D`, `fit:A-B`
    low_kev, high_kev : the two energies, or the ends of the fitted interval
    divisor_kev : of a two-point slope; None for a fit
    """

    name: str
    low_kev: float
    high_kev: float
    divisor_kev: float | None

    @property
    def formula(self) -> str:
        """As printed in DICOM and reports."""
        low, high = f"{self.low_kev:g}", f"{self.high_kev:g}"
        if self.divisor_kev is None:
            return f"minus the least-squares slope of HU over energy, {low} to {high} keV"
        return f"(HU[{low} keV] - HU[{high} keV]) / {self.divisor_kev:g} keV"

    def energies_for(self, available: Energies) -> Energies:
        """The energies to read.

        Raises TooFewEnergies if an end point is missing, or a fit finds fewer than two energies.
        """
        if self.divisor_kev is None:
            lowest, highest = self.low_kev - KEV_TOLERANCE, self.high_kev + KEV_TOLERANCE
            inside = tuple(kev for kev in available if lowest <= kev <= highest)
            if len(inside) < 2:
                raise TooFewEnergies(
                    f"slope {self.name} needs two energies or more in {self.low_kev:g}-{self.high_kev:g} keV; there are {_listed(inside)}",
                    remedy=f"available are {_listed(available)}",
                )
            return inside
        ends = [nearest(available, kev) for kev in (self.low_kev, self.high_kev)]
        missing = [
            f"{kev:g}"
            for kev, end in zip((self.low_kev, self.high_kev), ends, strict=True)
            if end is None
        ]
        if missing:
            raise TooFewEnergies(
                f"slope {self.name} needs a monoenergetic series at {' and '.join(missing)} keV; available are {_listed(available)}",
                remedy="export that series, or choose another slope with --slope A-B",
            )
        return tuple(end for end in ends if end is not None)

    def rows(self, energies: Energies) -> LinearRows:
        """One row of weights over exactly the energies that `energies_for` gave.

        >>> parse_slope("60-100").rows((60.0, 100.0)).weights
        array([[ 0.025, -0.025]])
        """
        kev = np.asarray(energies)
        if self.divisor_kev is None:
            centred = kev - kev.mean()
            weights = -centred / np.sum(centred**2)
        else:
            weights = np.array([1.0, -1.0]) / self.divisor_kev
        return LinearRows(weights[None, :], np.zeros(1))


def _listed(energies: Energies) -> str:
    return ", ".join(f"{energy:g}" for energy in energies) + " keV" if energies else "none"


def parse_slope(text: str) -> Slope:
    """A slope definition from its name.

    Raises SettingsError for anything but `paper`, `A-B`, `A-B/D` and `fit:A-B` with A < B in 40-140.

    >>> parse_slope("paper")
    Slope(name='paper', low_kev=60.0, high_kev=100.0, divisor_kev=60.0)
    >>> parse_slope("40-100").divisor_kev
    60.0
    """
    name = text.strip()
    if name == "paper":
        return Slope(name=name, low_kev=60.0, high_kev=100.0, divisor_kev=60.0)
    fit = _FIT.fullmatch(name)
    match = fit or _TWO_POINT.fullmatch(name)
    if match is None:
        raise SettingsError(
            f"unknown slope {text!r}", remedy="use paper, A-B, A-B/D or fit:A-B, energies in keV"
        )
    low, high = float(match["low"]), float(match["high"])
    if not LOW_KEV <= low < high <= HIGH_KEV:
        raise SettingsError(
            f"slope {name!r} does not rise from a lower to a higher energy in {LOW_KEV:g}-{HIGH_KEV:g} keV",
            remedy="write the lower energy first, as in 60-100",
        )
    if fit:
        return Slope(name=name, low_kev=low, high_kev=high, divisor_kev=None)
    divisor = float(match["divisor"]) if match["divisor"] else high - low
    if divisor == 0.0:
        raise SettingsError(f"slope {name!r} divides by zero", remedy="give a divisor above 0 keV")
    return Slope(name=name, low_kev=low, high_kev=high, divisor_kev=divisor)
