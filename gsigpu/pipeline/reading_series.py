"""The series that a person reads: regions, reports and presentation states that are written refer to its images."""

from __future__ import annotations

from gsigpu.caution import Caution
from gsigpu.dicom.model import Series, SpectralStack
from gsigpu.maps.definitions import nearest

# The energy that looks most like a CT of 120 kV, and that the source study's CT values are of.
READING_KEV = 70.0


def reading_series(stack: SpectralStack, kev: float = READING_KEV) -> Series:
    """The series of a stack at an energy, or the nearest to it; of two that are equally near the lower.

    Series that cannot be used are passed over.
    """
    usable = [series for series in stack.series if series.problem is None]
    return min(usable, key=lambda series: abs((series.energy_kev or 0.0) - kev))


def other_energy(
    stack: SpectralStack, what: str, kev: float = READING_KEV, *, advice: str = ""
) -> list[Caution]:
    """That `what` refers to another energy than the usual one, because the stack lacks that; empty where it has it.

    what : what refers to it, in the plural
    advice : what a person can do, for the end of the line
    """
    taken = reading_series(stack, kev).energy_kev or 0.0
    if nearest((taken,), kev) is not None:
        return []
    line = f"{what} refer to the series at {taken:g} keV: the stack has none at {kev:g} keV"
    return [Caution("reading-series", line + (f"; {advice}" if advice else ""))]
