"""One standard deviation of the noise, place by place, from the map itself.

Second differences d(x) = p(x) - (p(x - L) + p(x + L)) / 2 cancel what rises evenly, and their median size ignores edges.
Of noise with SD σ and autocorrelation ρ they have the variance

    σ² (3/2 - 2 ρ(L) + ρ(2L) / 2)

so at a lag L that the noise's grain reaches, they are too small. What a grain needs is measured on the stack
(`measure_grain`): in tiles of 32 x 32 pixels, the scale of the values over the scale of the differences at a lag. Where
a tile holds nothing but noise that is σ over the differences' scale; structure makes it larger. Of many tiles
the noise alone makes a peak, and its place, the mode, is the gain. The lag is the least whose gain is below 1.6.

Bounds, held by the tests for Gaussian grains of 0 to 4 pixels (SD of the filter) and for noise of filtered back
projection: the median over a field of noise is within 8 % of the truth; over a phantom's anatomy, in its liver, it is
0.9 to 1.2 of it, because fine structure counts as noise. A grain of more than 5 pixels, or too few tiles of soft tissue,
give no value: the map is NaN, and says so. Where that happens, take the SD of a region of `measure`.

Plain array-namespace maths on float32 planes of NumPy or CuPy; the grain is measured in NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.maps.nonlinear import array_namespace

_MEDIAN_TO_SD = 1.482602218505602  # 1 / Φ⁻¹(3/4): median absolute deviation to SD, Gaussian noise
_SECOND_DIFFERENCE_GAIN = (
    1.5  # variance of a second difference of independent values: 1 + 1/4 + 1/4
)
_NOISE_TILE_PIXELS = 16  # of the map: medians over 3 x 3 tiles, which a liver holds many of

# Measuring the grain.
_GRAIN_TILE_PIXELS = 32  # a tile must be much wider than the grain, and narrower than a liver
_LAGS = (1, 2, 3, 4, 5, 6, 8, 11)  # pixels; beyond, differences reach out of the organ
_LARGEST_GAIN = 1.6  # above, the differences hold too little of the noise to be scaled up
LARGEST_GRAIN_PIXELS = 5.0  # a tile holds less than half the variance of coarser noise
_LEAST_VALID = 0.9  # of a tile's pixels
_LEAST_TILES = 16  # for a peak
_PEAK_WIDTH = 0.06  # of the log gain: the spread of tiles of pure noise


@dataclass(frozen=True, slots=True)
class NoiseGrain:
    """How far the noise of a stack is correlated, and what its second differences are multiplied with.

    lag_pixels : of the second differences
    gain : σ over their scale at that lag, as for independent noise
    grain_pixels : of the Gaussian filter that gives white noise such a correlation
    """

    lag_pixels: int
    gain: float
    grain_pixels: float


def measure_grain(planes: Any, usable: NDArray[np.bool_] | None = None) -> NoiseGrain | None:
    """The grain of the noise of a few slices of one map; None where it cannot be told.

    planes : (S, y, x) float, any unit; NaN where there is no value
    usable : (S, y, x), where to look: soft tissue

    >>> white = np.random.default_rng(0).normal(size=(2, 256, 256))
    >>> grain = measure_grain(white)
    >>> grain.lag_pixels, round(grain.gain, 1), grain.grain_pixels < 0.4
    (1, 1.0, True)
    """
    values = np.asarray(planes, dtype=np.float32)
    valid = np.isfinite(values) if usable is None else np.isfinite(values) & usable
    values = np.where(valid, values, np.float32(np.nan))
    tiles = _tiles(values)
    tiles = tiles[np.isfinite(tiles).mean(axis=1) >= _LEAST_VALID]
    if len(tiles) < _LEAST_TILES:
        return None
    keep = np.isfinite(_tiles(values)).mean(axis=1) >= _LEAST_VALID
    whole = _MEDIAN_TO_SD * _medians(np.abs(tiles - _medians(tiles)[:, None]))
    grain = 0.0
    for lag in _LAGS:
        gain = _gain(values, keep, whole, lag)
        if gain is None:
            continue
        # The steep part of the curve tells the grain; where it is flat, what a shorter lag told holds.
        grain = max(grain, _grain_of(gain, lag))
        if grain > LARGEST_GRAIN_PIXELS:
            return None
        gain /= _share_in_tile(grain)
        if gain <= _LARGEST_GAIN:
            return NoiseGrain(lag_pixels=lag, gain=gain, grain_pixels=grain)
    return None


def grain_of_plane(plane: Any) -> NoiseGrain | None:
    """The grain of the noise of a single plane, (y, x) NumPy or CuPy."""
    on_host = plane.get() if hasattr(plane, "get") else plane
    return measure_grain(on_host[None])


def _gain(
    values: NDArray[np.float32], keep: NDArray[np.bool_], whole: NDArray[Any], lag: int
) -> float | None:
    """The mode over tiles of their scale over that of the differences; None where there are too few."""
    differences = np.concatenate(
        [_tiles(_second_differences(values, lag, axis, np))[keep] for axis in (1, 2)], axis=1
    )
    scale = _medians(np.abs(differences)) * np.float32(
        _MEDIAN_TO_SD / np.sqrt(_SECOND_DIFFERENCE_GAIN)
    )
    known = np.isfinite(scale) & (scale > 0) & (whole > 0)
    if known.sum() < _LEAST_TILES:
        return None
    log_gains = np.log(whole[known] / scale[known])
    places = np.linspace(log_gains.min(), np.quantile(log_gains, 0.9), 200)
    density = np.exp(-0.5 * ((places[:, None] - log_gains) / _PEAK_WIDTH) ** 2).sum(axis=1)
    return float(np.exp(places[density.argmax()]))


def _grain_of(gain: float, lag: int) -> float:
    """The Gaussian grain whose gain, as seen in a tile, is this; inf where every grain has a smaller one."""
    grains = np.linspace(0.0, 2.0 * LARGEST_GRAIN_PIXELS, 201)
    with np.errstate(divide="ignore"):
        near, far = (np.exp(-((n * lag) ** 2) / (4.0 * grains**2)) for n in (1, 2))
    variance = 1.5 - 2.0 * near + 0.5 * far
    seen = np.sqrt(_SECOND_DIFFERENCE_GAIN / variance) * np.array(
        [_share_in_tile(grain) for grain in grains]
    )
    # The gain rises with the grain until the tile holds little of the noise.
    rising = int(np.argmax(seen))
    if gain > seen[rising]:
        return float("inf")
    return float(np.interp(gain, seen[: rising + 1], grains[: rising + 1]))


def _share_in_tile(grain_pixels: float) -> float:
    """The part of σ that shows in a tile: sqrt(1 - mean of ρ over it)."""
    area = 4.0 * np.pi * grain_pixels**2
    return float(np.sqrt(max(1.0 - area / _GRAIN_TILE_PIXELS**2, 0.01)))


def _second_differences(values: Any, lag: int, axis: int, xp: ModuleType) -> Any:
    """Along an axis of (…, y, x); NaN where one does not fit."""
    differences = xp.full(values.shape, xp.nan, dtype=xp.float32)
    centre = [slice(None)] * values.ndim
    before, after = list(centre), list(centre)
    centre[axis], before[axis], after[axis] = (
        slice(lag, -lag),
        slice(None, -2 * lag),
        slice(2 * lag, None),
    )
    differences[tuple(centre)] = (
        values[tuple(centre)] - (values[tuple(before)] + values[tuple(after)]) / 2
    )
    return differences


def _tiles(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(S, y, x) -> (tiles, pixels of one), what does not fill a tile is left out."""
    tile = _GRAIN_TILE_PIXELS
    n_y, n_x = (size // tile for size in values.shape[1:])
    cut = values[:, : n_y * tile, : n_x * tile]
    return (
        cut.reshape(len(cut), n_y, tile, n_x, tile)
        .transpose(0, 1, 3, 2, 4)
        .reshape(len(cut) * n_y * n_x, tile * tile)
    )


def _medians(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each row, NaN ignored; NaN where all are."""
    ordered = np.sort(values, axis=1)  # NaN last
    middle = np.maximum((~np.isnan(ordered)).sum(axis=1) - 1, 0) // 2
    return np.asarray(np.take_along_axis(ordered, middle[:, None], axis=1)[:, 0])


def local_noise_sd(plane: Any, grain: NoiseGrain | None) -> Any:
    """Local standard deviation of the noise of one plane.

    Robust: the median absolute second difference, along both axes, over 48 x 48 pixels around each 16 x 16
    tile, times the grain's gain, interpolated between tile centres. Noise is taken as Gaussian, and as
    correlated alike in the whole stack.

    Because the differences are linear, the local SD of a linear map is what the covariance Σ of
    the noise between the energies, estimated with the same differences, gives as sqrt(wᵀ Σ w).

    plane : (y, x) float32, any unit; NaN where there is no value
    grain : of the stack's noise, see `measure_grain`; None gives NaN everywhere
    Returns (y, x) float32, the same unit; NaN where `plane` is, and where no difference fits.
    """
    xp = array_namespace(plane)
    if grain is None or min(plane.shape) <= 2 * grain.lag_pixels:
        return xp.full(plane.shape, xp.nan, dtype=xp.float32)
    differences = xp.stack(
        [_second_differences(plane, grain.lag_pixels, axis, xp) for axis in (0, 1)]
    )
    medians = _tile_medians(xp.abs(differences), xp)
    scale = grain.gain * _MEDIAN_TO_SD / np.sqrt(_SECOND_DIFFERENCE_GAIN)
    full = _between_tile_centres(medians * xp.float32(scale), plane.shape, xp)
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
