"""Statistics of the voxels of a region, to the definitions of the IBSI.

Image Biomarker Standardisation Initiative, reference manual (Zwanenburg et al., 2016-2020), section 3.3,
intensity-based statistics; percentiles and the rest are of the sorted valid values. Two things are
said beside it: `sd` is the sample standard deviation (n - 1), which papers print as mean ± SD, while
`variance` is IBSI's (n); `kurtosis` is in excess of the normal distribution's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.maps.nonlinear import array_namespace

STATISTICS = (
    "mean", "sd", "median", "p10", "p90", "iqr", "min", "max", "skewness", "kurtosis", "entropy",
    "variance", "range", "mad", "robust_mad", "median_ad", "cov", "qcd", "energy", "rms",
)  # fmt: skip

ENTROPY_BINS = 32


def statistics(values: Any, *, entropy_bins: int = ENTROPY_BINS) -> dict[str, float]:
    """All statistics of the valid values of a region.

    values : (n,) float, NumPy or CuPy; NaN is left out
    entropy_bins : the range of the values is divided in so many bins for the entropy, in bits
        (IBSI 4.1.1 discretises with a fixed bin number)
    Returns `STATISTICS` by name as float, and `n`, `n_valid`. Everything is NaN where nothing is
    valid; sd, skewness and kurtosis where they are not defined.

    >>> found = statistics(np.array([1.0, 2.0, 4.0, np.nan]))
    >>> found["n"], found["n_valid"], found["median"], round(found["sd"], 4)
    (4.0, 3.0, 2.0, 1.5275)
    """
    xp = array_namespace(values)
    flat = values.ravel()
    valid = xp.sort(flat[~xp.isnan(flat)].astype(xp.float64))
    host = _on_host(valid)
    counts = {"n": float(flat.size), "n_valid": float(host.size)}
    if host.size == 0:
        return dict.fromkeys(STATISTICS, float("nan")) | counts
    return _of_sorted(host, entropy_bins) | counts


def _of_sorted(x: NDArray[np.float64], entropy_bins: int) -> dict[str, float]:
    n = x.size
    mean = float(x.mean())
    centred = x - mean  # moments about the mean: no cancellation, however large the offset
    squared = centred * centred
    variance = float(squared.mean())
    spread = np.sqrt(variance)
    p10, p25, median, p75, p90 = (float(p) for p in np.percentile(x, [10, 25, 50, 75, 90]))
    middle = x[np.searchsorted(x, p10) : np.searchsorted(x, p90, side="right")]
    has_spread = variance**2 > 0.0  # squared: what underflows has no shape
    nan = float("nan")
    return {
        "mean": mean,
        "sd": float(np.sqrt(squared.sum() / (n - 1))) if n > 1 else nan,
        "median": median,
        "p10": p10,
        "p90": p90,
        "iqr": p75 - p25,
        "min": float(x[0]),
        "max": float(x[-1]),
        "skewness": float((squared * centred).mean() / spread**3) if has_spread else nan,
        "kurtosis": float((squared * squared).mean() / variance**2 - 3.0) if has_spread else nan,
        "entropy": _entropy(x, entropy_bins),
        "variance": variance,
        "range": float(x[-1] - x[0]),
        "mad": float(np.abs(centred).mean()),
        "robust_mad": float(np.abs(middle - middle.mean()).mean()) if middle.size else nan,
        "median_ad": float(np.abs(x - median).mean()),
        "cov": float(spread / mean) if mean != 0.0 else nan,
        "qcd": (p75 - p25) / (p75 + p25) if p75 + p25 != 0.0 else nan,
        "energy": float(np.square(x).sum()),
        "rms": float(np.sqrt(np.square(x).mean())),
    }


def _entropy(x: NDArray[np.float64], n_bins: int) -> float:
    """Bits, of the values in `n_bins` bins of equal width over their range."""
    if x[0] == x[-1]:
        return 0.0
    index = np.minimum((n_bins * (x - x[0]) / (x[-1] - x[0])).astype(int), n_bins - 1)
    p = np.bincount(index) / x.size
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def spectral_curve(stack_hu: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and sample SD of a region at each energy.

    stack_hu : (E, n) float, HU; a voxel that is NaN at any energy is left out at all
    Returns (E,) and (E,) float64, HU; NaN where too few voxels are valid.
    """
    xp = array_namespace(stack_hu)
    valid_mask = ~xp.isnan(stack_hu).any(axis=0)
    valid = stack_hu if bool(valid_mask.all()) else stack_hu[:, valid_mask]
    n_energies, n = valid.shape
    nothing = np.full(n_energies, np.nan)
    mean = valid.mean(axis=1, dtype=xp.float64) if n else nothing
    sd = valid.std(axis=1, ddof=1, dtype=xp.float64) if n > 1 else nothing
    return _on_host(mean), _on_host(sd)


def _on_host(array: Any) -> NDArray[np.float64]:
    host: NDArray[np.float64] = array if array_namespace(array) is np else array.get()
    return host


def ratio(numerator: float, denominator: float) -> float:
    """NIC, LNR and rim/core ratios; NaN where the denominator is 0 or either is NaN.

    >>> ratio(1.5, 3.0), ratio(1.0, 0.0)
    (0.5, nan)
    """
    return numerator / denominator if denominator else float("nan")
