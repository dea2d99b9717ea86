"""Stacks of soft tissue with known labels, from elemental compositions: the truth for the label check.

Compositions by mass: adipose tissue and liver, ICRU Report 44; densities 0.95 and 1.06 g/mL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gsigpu import physics

_FAT = {1: 0.114, 6: 0.598, 7: 0.007, 8: 0.278, 11: 0.001, 16: 0.001, 17: 0.001}
_LIVER = {1: 0.102, 6: 0.139, 7: 0.030, 8: 0.716, 11: 0.002, 15: 0.003, 16: 0.003, 17: 0.002, 19: 0.003}  # fmt: skip
_SHAPE = (3, 96, 96)

Volume = NDArray[np.float64]


def _curve(composition: dict[int, float], energies: Sequence[float]) -> NDArray[np.float64]:
    water = physics.water_mass_attenuation(energies)
    return sum(
        part * physics.element_mass_attenuation(z, energies) / water
        for z, part in composition.items()
    )


def _patches(rng: np.random.Generator, low: float, high: float, pixels: int = 8) -> Volume:
    """A constant in each square of `pixels`, uniform between low and high."""
    n = _SHAPE[1] // pixels
    return np.kron(rng.uniform(low, high, (_SHAPE[0], n, n)), np.ones((1, pixels, pixels)))


def liver(
    energies: Sequence[float],
    *,
    seed: int,
    iodine: tuple[float, float] = (0.0, 0.0),
    fat: tuple[float, float] = (0.0, 0.0),
    calcium: tuple[float, float] = (0.0, 0.0),
    noise_hu: float = 10.0,
    departure: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
) -> Volume:
    """(E, z, y, x) HU of liver whose iodine and calcium (mg/mL) and fat (volume part) vary from patch to patch.

    iodine, fat, calcium : least and most
    departure : of the scanner's curves from the tables, as a factor of the contrast with water by energy
    """
    rng = np.random.default_rng(seed)
    kev = np.asarray(energies, dtype=float)
    lean = 1060.0 * _curve(_LIVER, energies) - 1000.0
    adipose = 950.0 * _curve(_FAT, energies) - 1000.0
    part = _patches(rng, *fat)
    density = rng.normal(0.0, 5.0, _SHAPE)
    contrast = (
        lean[:, None, None, None] * (1.0 - part)
        + adipose[:, None, None, None] * part
        + physics.iodine_hu_per_mg_per_ml(energies)[:, None, None, None] * _patches(rng, *iodine)
        + _curve({20: 1.0}, energies)[:, None, None, None] * _patches(rng, *calcium)
    )
    if departure is not None:
        contrast = contrast * departure(kev)[:, None, None, None]
    return contrast + density + rng.normal(0.0, noise_hu, (len(kev), *_SHAPE))
