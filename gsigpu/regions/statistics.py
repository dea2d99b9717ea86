"""Statistics of the voxels of a region, to the definitions of the IBSI.

Source: Image Biomarker Standardisation Initiative, reference manual (Zwanenburg et al., 2016-2020), section 3.3,
intensity-based statistics, and 3.4.18 for the entropy. Percentiles and the rest are of the sorted valid values.
Three things differ from the manual: `sd` is the sample standard deviation (n - 1), which papers print as mean ± SD,
while `variance` is IBSI's (n); `kurtosis` is in excess of the normal distribution's; for the entropy, a value that is less
than 1e-4 of a bin below an edge counts as on it (`gsigpu.backends.BIN_EDGE`), so that rounding does not decide.

Oracle: all 18 published values of IBSI's digital phantom, PyRadiomics, SciPy and SimpleITK
(tests/regions/test_statistics.py, test_pyradiomics.py). SD, skewness and entropy of noisy voxels are those of tissue
and noise together: subtract the noise's variance, known from a reference region, where the tissue's is wanted. The
standard error of a mean is not sd / √n, because noise is correlated: use `gsigpu.regions.standard_error`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import BIN_EDGE, on_host
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

    >>> values = statistics(np.array([1.0, 2.0, 4.0, np.nan]))
    >>> values["n"], values["n_valid"], values["median"], round(values["sd"], 4)
    (4.0, 3.0, 2.0, 1.5275)
    """
    (of_row,) = statistics_of_rows(values.reshape(1, -1), entropy_bins=entropy_bins)
    return of_row


def statistics_of_rows(
    values: Any, *, names: Sequence[str] = STATISTICS, entropy_bins: int = ENTROPY_BINS
) -> list[dict[str, float]]:
    """Statistics of several parameters in the voxels of one region, from one sorted array.

    values : (P, n) float, NumPy or CuPy; NaN is left out, each row by itself
    names : which of `STATISTICS`
    Returns for each row what `statistics` gives, of those names.

    >>> rows = statistics_of_rows(np.array([[1.0, 3.0], [2.0, np.nan]]), names=("mean", "sd"))
    >>> rows[0]["mean"], rows[1]["mean"], rows[1]["sd"], rows[1]["n_valid"]
    (2.0, 2.0, nan, 1.0)
    """
    xp = array_namespace(values)
    ordered = on_host(xp.sort(values.astype(xp.float64), axis=1))  # NaN last
    n_rows, n = ordered.shape
    n_valid = n - np.isnan(ordered).sum(axis=1)
    results: list[dict[str, float]] = [{} for _ in range(n_rows)]
    for count in np.unique(
        n_valid
    ):  # one in most regions: what is invalid is so in every parameter
        rows = np.flatnonzero(n_valid == count)
        if count:
            of_rows = _of_sorted(ordered[rows, :count], names, entropy_bins)
        else:
            of_rows = {name: np.full(len(rows), np.nan) for name in names}
        for k, row in enumerate(rows):
            results[row] = {name: float(of_rows[name][k]) for name in names}
            results[row] |= {"n": float(n), "n_valid": float(count)}
    return results


def mean_and_sd_of_rows(values: Any) -> list[dict[str, float]]:
    """Mean and sample SD of several parameters in the voxels of one region; without sorting.

    values : (P, n) float, NumPy or CuPy; NaN is left out, each row by itself
    Returns for each row `mean`, `sd` and `n_valid`; the sd of one value is NaN.
    """
    xp = array_namespace(values)
    rows = values.astype(xp.float64)
    is_valid = ~xp.isnan(rows)
    if bool(is_valid.all()) and rows.shape[1] > 1:
        means, sds = on_host(rows.mean(axis=1)), on_host(rows.std(axis=1, ddof=1))
        n_valid = float(rows.shape[1])
        return [
            {"mean": float(mean), "sd": float(sd), "n_valid": n_valid}
            for mean, sd in zip(means, sds, strict=True)
        ]
    return [_mean_and_sd(row[valid]) for row, valid in zip(rows, is_valid, strict=True)]


def _mean_and_sd(valid: Any) -> dict[str, float]:
    nan = float("nan")
    return {
        "mean": float(valid.mean()) if valid.size else nan,
        "sd": float(valid.std(ddof=1)) if valid.size > 1 else nan,
        "n_valid": float(valid.size),
    }


def _of_sorted(
    x: NDArray[np.float64], names: Sequence[str], entropy_bins: int
) -> dict[str, NDArray[np.float64]]:
    """Statistics of the rows of an array, each sorted and without NaN.

    x : (P, n) float64, n > 0
    Returns (P,) by name.
    """
    n = x.shape[1]
    mean = x.mean(axis=1)
    centred = x - mean[:, None]  # moments about the mean: no cancellation, however large the offset
    squared = centred * centred
    variance = squared.mean(axis=1)
    spread = np.sqrt(variance)
    p10, p25, median, p75, p90 = (_quantile(x, p / 100.0) for p in (10, 25, 50, 75, 90))
    has_spread = variance**2 > 0.0  # squared: what underflows has no shape
    nan = np.full(len(x), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        available = {
            "mean": mean,
            "sd": np.sqrt(squared.sum(axis=1) / (n - 1)) if n > 1 else nan,
            "median": median,
            "p10": p10,
            "p90": p90,
            "iqr": p75 - p25,
            "min": x[:, 0],
            "max": x[:, -1],
            "skewness": np.where(has_spread, (squared * centred).mean(axis=1) / spread**3, nan),
            "kurtosis": np.where(
                has_spread, (squared * squared).mean(axis=1) / variance**2 - 3.0, nan
            ),
            "variance": variance,
            "range": x[:, -1] - x[:, 0],
            "cov": np.where(mean != 0.0, spread / mean, nan),
            "qcd": np.where(p75 + p25 != 0.0, (p75 - p25) / (p75 + p25), nan),
        }
    costly: dict[str, Callable[[], NDArray[np.float64]]] = {
        "entropy": lambda: _entropy(x, entropy_bins),
        "mad": lambda: np.abs(centred).mean(axis=1),
        "robust_mad": lambda: _robust_mad(x, p10, p90),
        "median_ad": lambda: np.abs(x - median[:, None]).mean(axis=1),
        "energy": lambda: np.square(x).sum(axis=1),
        "rms": lambda: np.sqrt(np.square(x).mean(axis=1)),
    }
    return {name: costly[name]() if name in costly else available[name] for name in names}


def _quantile(x: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Of sorted rows, between the two nearest values (NumPy's `linear`, Hyndman and Fan's type 7)."""
    at = share * (x.shape[1] - 1)
    below = int(np.floor(at))
    above = min(below + 1, x.shape[1] - 1)
    part, step = at - below, x[:, above] - x[:, below]
    # From the nearer end, as NumPy does: exact at both.
    quantile = x[:, above] - step * (1.0 - part) if part >= 0.5 else x[:, below] + step * part
    return np.asarray(quantile)


def _robust_mad(
    x: NDArray[np.float64], p10: NDArray[np.float64], p90: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean absolute deviation of what lies between the 10th and the 90th percentile."""
    deviations = np.full(len(x), np.nan)
    for k, row in enumerate(x):
        middle = row[np.searchsorted(row, p10[k]) : np.searchsorted(row, p90[k], side="right")]
        if middle.size:
            deviations[k] = np.abs(middle - middle.mean()).mean()
    return deviations


def _entropy(x: NDArray[np.float64], n_bins: int) -> NDArray[np.float64]:
    """Bits, of the values of each sorted row in `n_bins` bins of equal width over their range."""
    n_rows, n = x.shape
    low, width = x[:, :1], x[:, -1:] - x[:, :1]
    width = np.where(width > 0.0, width, 1.0)
    index = np.minimum((n_bins * (x - low) / width + BIN_EDGE).astype(int), n_bins - 1)
    index += np.arange(n_rows)[:, None] * n_bins
    p = np.bincount(index.ravel(), minlength=n_rows * n_bins).reshape(n_rows, n_bins) / n
    return np.asarray(-(p * np.log2(np.where(p > 0.0, p, 1.0))).sum(axis=1)) + 0.0  # no -0


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
    return on_host(mean), on_host(sd)


def ratio(numerator: float, denominator: float) -> float:
    """NIC, LNR and rim/core ratios; NaN where the denominator is 0 or either is NaN.

    >>> ratio(1.5, 3.0), ratio(1.0, 0.0)
    (0.5, nan)
    """
    return numerator / denominator if denominator else float("nan")
