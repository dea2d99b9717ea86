"""What a map is: its unit, its place in DICOM, and the linear rows it is made of.

Definitions. A stack holds E virtual monoenergetic images. Most maps are linear functionals of it,

    map = Σ_E w(E) HU(E) + b

so a map is one row of weights and an offset (`LinearRows`). The few that are not linear name the
linear rows they start from, and a `combine` that makes one plane of them; combine is plain
array-namespace maths on (R, y, x) float32 planes of NumPy or CuPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Scanners print whole or half keV; the tolerance only forgives decimal strings.
KEV_TOLERANCE = 0.05

Energies = tuple[float, ...]
Combine = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept: value, coding scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as UCUM writes it and as a person reads it."""

    ucum: str
    display: str


HU = Unit("[hnsf'U]", "HU")
HU_PER_KEV = Unit("[hnsf'U]/keV", "HU/keV")
MG_PER_ML = Unit("mg/mL", "mg/mL")
NO_UNIT = Unit("1", "")
PERCENT = Unit("%", "%")


@dataclass(frozen=True, slots=True)
class LinearRows:
    """R linear functionals of the energies they name: rows @ hu + offsets.

    weights : (R, E) float64, per HU
    offsets : (R,) float64, in the unit of the map
    """

    weights: NDArray[np.float64]
    offsets: NDArray[np.float64]


@dataclass(frozen=True, slots=True, repr=False)
class MapDefinition:
    """One map, everything but the stack.

    name : as on the command line, `lambda-hu[60-100]`
    parameter : as in tables, `lambda_hu[60-100]`
    formula : for DerivationDescription and for people
    quantity : what the numbers are, coded
    rescale_type : DICOM Rescale Type (0028,1054)
    step : of integer maps, in the unit; stored = value / step
    window : (centre, width) for display, in the unit
    colormap : matplotlib's name
    energies_for : the energies to read, out of those available, ascending; raises TooFewEnergies
    rows : the linear rows over just those energies
    combine : None for a linear map (one row), else (R, y, x) planes -> (y, x) plane
    needs_neighbours : a voxel's value depends on the voxels around it; it cannot be computed alone
    calibrate : None, or makes of sample planes of the rows, (R, S, y, x), and a mask of soft tissue, (S, y, x), the
        definition for their stack; without it, every plane is its own sample
    caution : what a person should know of the definition for this stack
    """

    name: str
    parameter: str
    title: str
    formula: str
    unit: Unit
    quantity: Code
    rescale_type: str
    step: float
    window: tuple[float, float]
    colormap: str
    energies_for: Callable[[Energies], Energies]
    rows: Callable[[Energies], LinearRows]
    combine: Callable[[Energies], Combine] | None = None
    needs_neighbours: bool = False
    calibrate: Callable[[NDArray[np.float32], NDArray[np.bool_]], MapDefinition] | None = None
    caution: str = ""

    def __repr__(self) -> str:
        """Name, unit and formula."""
        return f"MapDefinition({self.name!r}, {self.unit.display or '1'}: {self.formula})"

    @property
    def shown_title(self) -> str:
        """The title as a person writes it; `title` goes into DICOM headers too, and stays ASCII."""
        return self.title.replace("Lambda HU", "λHU")

    @property
    def is_linear(self) -> bool:
        """Whether the map is one row of weights."""
        return self.combine is None


def nearest(energies: Sequence[float], kev: float) -> float | None:
    """The energy that equals `kev` within KEV_TOLERANCE, or None.

    >>> nearest((40.0, 60.0), 60)
    60.0
    """
    for energy in energies:
        if abs(energy - kev) <= KEV_TOLERANCE:
            return energy
    return None
