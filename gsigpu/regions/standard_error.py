"""Standard error of a region's mean under correlated noise.

The noise of CT is correlated between neighbouring voxels, so SD/√n is wrong, mostly too small. With the noise's
autocovariance C(h) over voxel offsets h, and A(h) the number of pairs of the region's voxels that lie h
apart,

    var(mean) = Σ_h C(h) A(h) / n²

C is estimated in a reference region without structure: parenchyma, away from its boundary, where it mixes
with what lies beside it, and without outliers, which are vessels.

Source: the variance of a sum of correlated variables; the power of CT noise goes to zero at low frequencies (Riederer,
Pelc and Chesler, Phys Med Biol 1978;23:446-54), so that means of large regions are better known than SD/√n. Oracle: the
spread of means over noise fields of known correlation (tests/regions/test_standard_error.py) and over synthetic studies
(design/010). Noise is taken for the same everywhere: it is not at the edge of the body, nor where another kernel or dose
was used than in the parenchyma; there repeat the scan, or take the SD over lesions. Variation of the tissue itself is not
noise and not in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.regions.region_mask import Spacing

# Noise of CT is uncorrelated beyond this; the reference's own slow structure is not.
_REACH_MM = 8.0
# The reference keeps this far from its boundary, where voxels mix with what lies beside them.
_BOUNDARY_MM = 5.0
# In robust SDs: beyond lie vessels. Of normal noise 1 voxel in 16,000 does.
_OUTLIER_SD = 4.0
# Fewer voxels away from the boundary say less of the noise than all of the reference.
_FEWEST_INNER = 1000
# An offset with fewer pairs has no covariance worth the name.
_FEWEST_PAIRS = 30
# Of the variance of a mean of uncorrelated noise: no mean is known better than this.
_LEAST = 0.1


def noise_autocovariance(
    values: NDArray[np.floating], mask: NDArray[np.bool_], spacing_mm: Spacing
) -> NDArray[np.float64]:
    """Autocovariance of the noise in a reference region.

    values : (n,) of the region's voxels in the order of `np.nonzero`; NaN is left out
    mask : (z, y, x) bool, the region's box
    Returns (2a+1, 2b+1, 2c+1) over offsets -a..a, -b..b, -c..c voxels; 0 beyond 8 mm and where the
    region has fewer than 30 pairs.

    >>> noise = np.random.default_rng(0).normal(0, 2, 8000)
    >>> c = noise_autocovariance(noise, np.ones((20, 20, 20), bool), (4.0, 4.0, 4.0))
    >>> c.shape, bool(abs(c[2, 2, 2] - 4) < 0.3)
    ((5, 5, 5), True)
    """
    filled = np.zeros(mask.shape)
    filled[mask] = values
    valid = _homogeneous(filled, mask, spacing_mm)
    centred = np.where(valid, filled - np.nanmean(np.where(valid, filled, np.nan)), 0.0)
    reach = tuple(int(_REACH_MM / size) for size in spacing_mm)
    products = _correlation(centred, reach)
    pairs = np.rint(_correlation(valid.astype(np.float64), reach))
    enough = pairs >= _FEWEST_PAIRS
    covariance = np.where(enough, products / np.where(enough, pairs, 1.0), 0.0)
    axes = np.meshgrid(
        *(np.arange(-r, r + 1) * size for r, size in zip(reach, spacing_mm, strict=True)),
        indexing="ij",
    )
    return np.where(sum(axis**2 for axis in axes) <= _REACH_MM**2, covariance, 0.0)


def _homogeneous(
    filled: NDArray[np.float64], mask: NDArray[np.bool_], spacing_mm: Spacing
) -> NDArray[np.bool_]:
    """Voxels away from the region's boundary in their slice, and no outliers; all where none are left."""
    from scipy.ndimage import binary_erosion

    valid = np.asarray(mask & ~np.isnan(filled))
    n_steps = max(round(_BOUNDARY_MM / min(spacing_mm[1:])), 1)
    cross = np.zeros((3, 3, 3), bool)
    cross[1, 1, :] = cross[1, :, 1] = True
    inner = np.asarray(valid & binary_erosion(mask, cross, iterations=n_steps))
    if inner.sum() < _FEWEST_INNER:
        inner = valid
    median = np.median(filled[inner])
    spread = 1.4826 * np.median(np.abs(filled[inner] - median))
    return np.asarray(inner & (np.abs(filled - median) <= _OUTLIER_SD * spread))


def standard_error(mask: NDArray[np.bool_], covariance: NDArray[np.float64]) -> float:
    """Standard error of the mean of a region's voxels.

    mask : (z, y, x) bool, its valid voxels
    covariance : of the noise, see `noise_autocovariance`
    Returns NaN for an empty mask.
    """
    n = int(mask.sum())
    if n == 0:
        return float("nan")
    reach = tuple(side // 2 for side in covariance.shape)
    pairs = np.rint(_correlation(mask.astype(np.float64), reach))
    variance = float((covariance * pairs).sum()) / n**2
    # An estimated autocovariance need not be positive definite. Noise of CT has little power at low
    # frequencies, so that the mean of a large region is better known than SD/√n says, but not by far.
    uncorrelated = float(covariance[reach]) / n
    return float(np.sqrt(max(variance, _LEAST * uncorrelated)))


def _correlation(array: NDArray[np.float64], reach: tuple[int, ...]) -> NDArray[Any]:
    """Σ_x a(x) a(x + h) for |h| <= reach along each axis, zeros beyond the array."""
    from scipy.fft import irfftn, next_fast_len, rfftn

    shape = [next_fast_len(n + r, real=True) for n, r in zip(array.shape, reach, strict=True)]
    spectrum = rfftn(array, shape)
    circular = irfftn(spectrum * spectrum.conj(), shape)
    indices = np.ix_(
        *(np.arange(-r, r + 1) % n for r, n in zip(reach, circular.shape, strict=True))
    )
    return np.asarray(circular[indices])
