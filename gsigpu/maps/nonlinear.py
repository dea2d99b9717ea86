"""The maps that are not linear: effective atomic number, residual, and one standard deviation.

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

# Noise. Second differences at a lag beyond the noise's own correlation length: a sum of three
# independent values with squared weights 1 + 1/4 + 1/4, in which linear gradients cancel.
NOISE_LAG_PIXELS = 5
_SECOND_DIFFERENCE_GAIN = 1.5
_NOISE_TILE_PIXELS = 16
_MEDIAN_TO_SD = 1.482602218505602  # 1 / Φ⁻¹(3/4)


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


def local_noise_sd(plane: Any) -> Any:
    """Local standard deviation of the noise of one plane.

    Robust: the median absolute second difference, along both axes at a lag of 5 pixels, over
    48 x 48 pixels around each 16 x 16 tile, interpolated between tile centres. Edges of organs are
    the minority that a median ignores; noise is taken as Gaussian, and as uncorrelated at the lag.

    Because the differences are linear, the local SD of a linear map is what the covariance Σ of
    the noise between the energies, estimated with the same differences, gives as sqrt(wᵀ Σ w).

    plane : (y, x) float32, any unit; NaN where there is no value
    Returns (y, x) float32, the same unit; NaN where `plane` is, and where no difference fits.
    """
    xp = array_namespace(plane)
    lag = NOISE_LAG_PIXELS
    differences = xp.full((2, *plane.shape), xp.nan, dtype=xp.float32)
    differences[0, lag:-lag] = plane[lag:-lag] - (plane[: -2 * lag] + plane[2 * lag :]) / 2
    differences[1, :, lag:-lag] = (
        plane[:, lag:-lag] - (plane[:, : -2 * lag] + plane[:, 2 * lag :]) / 2
    )
    medians = _tile_medians(xp.abs(differences), xp)
    sd = medians * xp.float32(_MEDIAN_TO_SD / np.sqrt(_SECOND_DIFFERENCE_GAIN))
    full = _between_tile_centres(sd, plane.shape, xp)
    full[xp.isnan(plane)] = xp.nan
    return full


def _tile_medians(values: Any, xp: ModuleType) -> Any:
    """Median over each tile and its eight neighbours, NaN ignored: (2, y, x) -> (tiles_y, tiles_x)."""
    tile = _NOISE_TILE_PIXELS
    n_y, n_x = (-(-size // tile) for size in values.shape[1:])
    padded = xp.full((2, (n_y + 2) * tile, (n_x + 2) * tile), xp.nan, dtype=xp.float32)
    padded[:, tile : tile + values.shape[1], tile : tile + values.shape[2]] = values
    # Every other pixel: neighbours carry the same noise twice, and half the work is saved.
    thinned = padded[:, ::2, ::2]
    half = tile // 2
    tiles = (
        thinned.reshape(2, n_y + 2, half, n_x + 2, half)
        .transpose(1, 3, 0, 2, 4)
        .reshape(n_y + 2, n_x + 2, -1)
    )
    around = xp.concatenate(
        [tiles[dy : dy + n_y, dx : dx + n_x] for dy in range(3) for dx in range(3)], axis=-1
    )
    ordered = xp.sort(around, axis=-1)  # NaN last
    n_valid = (~xp.isnan(ordered)).sum(axis=-1)
    middle = xp.maximum(n_valid - 1, 0) // 2
    return xp.take_along_axis(ordered, middle[..., None], axis=-1)[..., 0]


def _between_tile_centres(tiles: Any, shape: tuple[int, int], xp: ModuleType) -> Any:
    """Bilinear between the centres of the tiles, constant beyond the outermost; NaN tiles are left out."""
    filled = tiles.copy()
    known = ~xp.isnan(tiles)
    filled[~known] = 0.0
    indices = []
    for axis, size in enumerate(shape):
        at = (xp.arange(size) - (_NOISE_TILE_PIXELS - 1) / 2) / _NOISE_TILE_PIXELS
        at = xp.clip(at, 0, tiles.shape[axis] - 1)
        low = xp.minimum(at.astype(int), max(tiles.shape[axis] - 2, 0))
        indices.append(
            (low, xp.minimum(low + 1, tiles.shape[axis] - 1), (at - low).astype(xp.float32))
        )
    (y0, y1, fy), (x0, x1, fx) = indices

    def blend(values: Any) -> Any:
        rows = values[y0] * (1 - fy)[:, None] + values[y1] * fy[:, None]
        return rows[:, x0] * (1 - fx) + rows[:, x1] * fx

    with np.errstate(invalid="ignore"):
        return blend(filled) / blend(known.astype(xp.float32))
