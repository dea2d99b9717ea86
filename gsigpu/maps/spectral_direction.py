"""How soft tissue varies across the energies of a stack, whatever their labels say.

Tissue is alike in neighbouring blocks and noise is not, so the covariance between neighbours is that
of tissue. Density, which is equal at all energies, is taken out; what remains follows the attenuation
of what varies: iodine, or calcium and fat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# ---- The tissue that is looked at. ----
# Soft tissue with contrast medium, at the energy where it is darkest, which is the highest one
# whatever it is labelled: air is below, bone and metal above; fat of a fatty liver counts.
_LOWEST_HU, _HIGHEST_HU = 0.0, 120.0
_BLOCK_PIXELS = 4  # beyond the grain of the noise, within a structure
LEAST_PAIRS, _MOST_PAIRS = 200, 20_000  # enough to tell; more only take longer
_TRIMMING_ROUNDS = 4
_TRIMMED_BEYOND = 2.5  # times the median distance from the plane
N_PARTS = 24  # bands of the tissue; leaving out each in turn gives the error of the direction
LEAST_SPREAD_HU = 1.0  # less varies only by noise
LARGEST_ANGLE = 0.1  # error of the direction, rad; noise has no direction


@dataclass(frozen=True, slots=True)
class Direction:
    """How tissue varies across the energies, density taken out.

    value : (E,) of length 1, growing with brightness
    covariance : (E, E) of its error; a scatter of `N_PARTS` values
    without : (n, E) the direction without each of the parts
    spread_hu : SD of tissue along it
    """

    value: NDArray[np.float64]
    covariance: NDArray[np.float64]
    without: NDArray[np.float64]
    spread_hu: float


def soft_tissue_pairs(
    blocks: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """(2, E, n) means over 4 x 4 pixels of soft tissue, in pairs of neighbours along x and along y.

    blocks : (E, z, y / 4, x / 4) as `block_means` gives them

    Also (n,) the row of blocks in which each pair lies, counted through the slices: neighbouring pairs
    share blocks, so an error is estimated from bands of rows.
    """
    n_z, n_y = blocks.shape[1:3]
    row_of = np.broadcast_to(np.arange(n_z * n_y).reshape(n_z, n_y, 1), blocks.shape[1:])
    with np.errstate(invalid="ignore"):
        darkest = blocks.min(axis=0)
        soft_mask = (darkest > _LOWEST_HU) & (darkest < _HIGHEST_HU)
    pairs, rows = [], []
    for first, second in ((np.s_[:, :, :-1], np.s_[:, :, 1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        both_mask = soft_mask[first] & soft_mask[second]
        pairs.append(np.stack([blocks[:, *first][:, both_mask], blocks[:, *second][:, both_mask]]))
        rows.append(row_of[first][both_mask])
    all_pairs, all_rows = np.concatenate(pairs, axis=2), np.concatenate(rows)
    step = -(-all_pairs.shape[2] // _MOST_PAIRS) or 1
    return all_pairs[:, :, ::step], all_rows[::step]


def block_means(stack: NDArray[np.floating]) -> NDArray[np.float64]:
    """(..., y / 4, x / 4) means over 4 x 4 pixels; what is left at the edges is in none."""
    n_y, n_x = (size // _BLOCK_PIXELS for size in stack.shape[-2:])
    means = np.zeros((*stack.shape[:-2], n_y, n_x))
    for at in np.ndindex(
        stack.shape[:-2]
    ):  # plane by plane: a copy of the whole costs more than the sums
        plane = stack[at][: n_y * _BLOCK_PIXELS, : n_x * _BLOCK_PIXELS]
        columns = plane[::_BLOCK_PIXELS].astype(np.float64)
        for row in range(1, _BLOCK_PIXELS):
            columns += plane[row::_BLOCK_PIXELS]
        for column in range(_BLOCK_PIXELS):
            means[at] += columns[:, column::_BLOCK_PIXELS]
    means /= _BLOCK_PIXELS**2
    return means


def spectral_direction(pairs: NDArray[np.float64], rows: NDArray[np.intp]) -> Direction:
    """The direction in which neighbours vary together most, density alone (equal at all energies) taken out.

    Tissue is alike in neighbouring blocks and noise is not, so the covariance between the two of
    each pair is that of tissue. Bone follows calcium's curve, not iodine's, and so lies off the plane
    of most pairs; what lies far off is left out, and the direction computed again.
    """
    kept, kept_rows = pairs, rows
    for _ in range(_TRIMMING_ROUNDS):
        value, across, spread_hu = _leading(kept)
        middle = across.mean(axis=0)
        off_plane = middle - np.outer(value, value @ middle)
        off_hu = np.sqrt((off_plane**2).mean(axis=0))
        near_mask = off_hu <= _TRIMMED_BEYOND * np.median(off_hu)
        kept, kept_rows = kept[:, :, near_mask], kept_rows[near_mask]
    value, _, spread_hu = _leading(kept)
    value = value * _sign(value, kept)
    ranks = np.searchsorted(np.unique(kept_rows), kept_rows)
    bands = ranks * N_PARTS // (ranks.max() + 1)
    without = _without_each(kept, bands)
    without = without * np.sign(without @ value)[:, None]
    off = without - without.mean(axis=0)
    covariance = (N_PARTS - 1) / N_PARTS * off.T @ off  # the jackknife's
    return Direction(value=value, covariance=covariance, without=without, spread_hu=spread_hu)


def _sign(direction: NDArray[np.float64], pairs: NDArray[np.float64]) -> float:
    """1 where tissue is the brighter, in the mean over energies, the more of the direction it has; else -1."""
    deviation = pairs - pairs.mean(axis=(0, 2), keepdims=True)
    brightness = deviation.mean(axis=1)
    along = np.einsum("e,pen->pn", direction, deviation - deviation.mean(axis=1, keepdims=True))
    return 1.0 if (along[0] * brightness[1] + along[1] * brightness[0]).sum() >= 0.0 else -1.0


def _without_each(pairs: NDArray[np.float64], bands: NDArray[np.intp]) -> NDArray[np.float64]:
    """(N_PARTS, E) the direction of all pairs but those of each band, from sums that are taken once.

    Σ (x₀ - m)(x₁ - m)ᵀ = Σ x₀x₁ᵀ - s₀mᵀ - ms₁ᵀ + n mmᵀ, with sums s and the mean m of both.
    """
    across = pairs - pairs.mean(axis=1, keepdims=True)
    across -= across.mean(axis=(0, 2), keepdims=True)  # near the mean, so that nothing cancels
    parts = [across[:, :, bands == band] for band in range(N_PARTS)]
    products = np.stack([part[0] @ part[1].T for part in parts])
    sums = np.stack([part.sum(axis=2) for part in parts])
    counts = np.bincount(bands, minlength=N_PARTS)
    directions = []
    for product, (first, second), n in zip(
        products.sum(axis=0) - products, sums.sum(axis=0) - sums, counts.sum() - counts, strict=True
    ):
        mean = (first + second) / (2 * n)
        together = (
            product - np.outer(first, mean) - np.outer(mean, second) + n * np.outer(mean, mean)
        )
        directions.append(np.linalg.eigh(together + together.T)[1][:, -1])
    return np.stack(directions)


def _leading(
    pairs: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The direction of pairs, (2, E, n) their deviations from the mean, density taken out, and the SD along it."""
    across = pairs - pairs.mean(axis=1, keepdims=True)
    across -= across.mean(axis=(0, 2), keepdims=True)
    together = across[0] @ across[1].T
    variances, directions = np.linalg.eigh((together + together.T) / (2 * max(pairs.shape[2], 1)))
    return directions[:, -1], across, float(np.sqrt(max(variances[-1], 0.0)))
