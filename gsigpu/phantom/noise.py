"""Noise as spectral CT has it: shared between energies, least at 70 keV, smooth like a soft kernel.

Monoenergetic images are mixtures of two basis images, and so is their noise. With w and v two
independent fields of SD 1, e_E one more per energy, r(E) as in gsigpu.physics and σ the SD at 70 keV,

    n(E) = σ √(1 - q²) w + σ k (r(E) - r(70)) v + σ q e_E

q is the part that differs from energy to energy; k follows from the SD set at 40 keV. The first
two terms lie in the water-iodine plane: they are the noise of the decomposition itself,

    n_iodine = σ k v        n_water = σ √(1 - q²) w - σ k r(70) v

In the plane of a slice each field has the noise power spectrum f exp(-f² / 2 p²) of filtered back
projection with a soft kernel, largest at f = p; slices are independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from gsigpu.physics import iodine_hu_per_mg_per_ml

LEAST_NOISE_KEV = 70.0
MOST_NOISE_KEV = 40.0


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """SD and correlation between energies.

    sd_hu : σ, at 70 keV
    ratio_40 : SD at 40 keV over σ
    independent : q
    """

    sd_hu: float
    ratio_40: float
    independent: float

    @property
    def shared_hu(self) -> float:
        """σ √(1 - q²)."""
        return self.sd_hu * math.sqrt(1.0 - self.independent**2)

    @property
    def iodine_mg_per_ml(self) -> float:
        """SD of the noise of iodine, σ k with k = √(ratio² - 1) / (r(40) - r(70))."""
        r_40, r_70 = iodine_hu_per_mg_per_ml([MOST_NOISE_KEV, LEAST_NOISE_KEV])
        return float(self.sd_hu * math.sqrt(self.ratio_40**2 - 1.0) / (r_40 - r_70))

    def covariance(self, energies_kev: Sequence[float]) -> NDArray[np.float64]:
        """(E, E) covariance of the noise between energies, HU²."""
        swing = iodine_hu_per_mg_per_ml(energies_kev) - iodine_hu_per_mg_per_ml([LEAST_NOISE_KEV])
        separate = (self.sd_hu * self.independent) ** 2 * np.eye(len(energies_kev))
        return self.shared_hu**2 + self.iodine_mg_per_ml**2 * np.outer(swing, swing) + separate


@dataclass(frozen=True, slots=True)
class BasisNoise:
    """Noise of one slice: of its water (mg/mL), its iodine (mg/mL), and per image (HU).

    water, iodine : (y, x) float32
    per_image : (n, y, x) float32, the part of each image that no other shares
    """

    water: NDArray[np.float32] = field(repr=False)
    iodine: NDArray[np.float32] = field(repr=False)
    per_image: NDArray[np.float32] = field(repr=False)

    def hu(self, energy_kev: float, image: int) -> NDArray[np.float32]:
        """n(E) of the `image`-th image, (y, x) float32 HU."""
        r = np.float32(iodine_hu_per_mg_per_ml([energy_kev])[0])
        noise: NDArray[np.float32] = self.water + r * self.iodine + self.per_image[image]
        return noise


def correlated_fields(
    n_fields: int,
    shape: tuple[int, int],
    spacing_mm: tuple[float, float],
    peak_per_mm: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Independent random fields of mean 0, SD 1 and power spectrum f exp(-f² / 2 p²).

    shape, spacing_mm : (y, x)
    peak_per_mm : p, 1/mm
    Returns (n_fields, y, x) float32.

    Complex white noise is filtered in the frequency domain; its real and imaginary parts are two
    independent fields, so one transform serves both.
    """
    f_y = fft.fftfreq(shape[0], spacing_mm[0])[:, None]
    f_x = fft.fftfreq(shape[1], spacing_mm[1])[None, :]
    f = np.hypot(f_y, f_x)
    power = f * np.exp(-(f**2) / (2.0 * peak_per_mm**2))
    if power.sum() <= 0.0:  # a single voxel has no frequency but 0
        power = np.ones(shape)
    transfer = np.sqrt(power * (power.size / power.sum())).astype(np.float32)
    n_pairs = -(-n_fields // 2)
    white = rng.standard_normal((n_pairs, *shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    # "ortho" keeps the SD: each frequency holds unit variance before the filter.
    pairs = fft.ifft2(white * transfer, axes=(1, 2), norm="ortho", overwrite_x=True)
    fields = np.empty((2 * n_pairs, *shape), np.float32)
    fields[0::2], fields[1::2] = pairs.real, pairs.imag
    return fields[:n_fields]


def basis_noise(
    model: NoiseModel,
    n_images: int,
    shape: tuple[int, int],
    spacing_mm: tuple[float, float],
    peak_per_mm: float,
    rng: np.random.Generator,
) -> BasisNoise:
    """The noise of a slice with `n_images` images, each with a part of its own."""
    n_separate = n_images if model.independent > 0.0 else 0
    fields = correlated_fields(2 + n_separate, shape, spacing_mm, peak_per_mm, rng)
    r_70 = float(iodine_hu_per_mg_per_ml([LEAST_NOISE_KEV])[0])
    iodine = fields[1] * np.float32(model.iodine_mg_per_ml)
    water = fields[0] * np.float32(model.shared_hu) - np.float32(r_70) * iodine
    per_image = fields[2:] * np.float32(model.sd_hu * model.independent)
    if not n_separate:
        per_image = np.broadcast_to(np.float32(0.0), (n_images, *shape))
    return BasisNoise(water, iodine, per_image)
