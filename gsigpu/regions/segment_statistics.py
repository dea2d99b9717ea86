"""Statistics of many regions at once, which may share voxels: the same numbers as `gsigpu.regions.statistics`.

Regions are segments of an array of voxel indices. What costs per voxel (sort, powers, bins) is the backend's, so that the
values of a GPU stay there and no more than some numbers per region come back; what is left is done here, in float64.

Oracle: `gsigpu.regions.statistics` region by region, to 1e-12 of the value's scale (tests/regions/test_segment_statistics.py);
percentiles, extremes and entropy are equal to the bit, because order and bins are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import Backend, backend_for
from gsigpu.errors import SettingsError
from gsigpu.maps.nonlinear import array_namespace
from gsigpu.regions.statistics import ENTROPY_BINS

# Taken from moments alone, which needs no sort.
MOMENTS = ("mean", "sd", "skewness", "kurtosis")
SEGMENT_STATISTICS = (*MOMENTS, "median", "p10", "p90", "iqr", "min", "max", "entropy")
_QUANTILES = {
    "p10": 0.1,
    "p25": 0.25,
    "median": 0.5,
    "p75": 0.75,
    "p90": 0.9,
    "min": 0.0,
    "max": 1.0,
}


@dataclass(frozen=True, slots=True, repr=False)
class Segments:
    """Regions of voxels.

    voxels : (N,) integers, the columns of every region, one region after the other; NumPy or CuPy, as the values
    starts : (S + 1,) int64, NumPy; region s is voxels[starts[s]:starts[s + 1]]
    """

    voxels: Any
    starts: NDArray[np.int64]

    def __repr__(self) -> str:
        """How many."""
        return f"Segments({len(self.starts) - 1} of {int(self.starts[-1])} voxels)"


def segments_of(voxels: Sequence[NDArray[Any]]) -> Segments:
    """Regions given as one array of columns each.

    >>> segments_of([np.array([4, 5]), np.array([5])]).starts
    array([0, 2, 3])
    """
    starts = np.concatenate([[0], np.cumsum([array.size for array in voxels])]).astype(np.int64)
    together = np.concatenate(voxels) if voxels else np.zeros(0, np.int64)
    return Segments(together, starts)


def statistics_of_segments(
    values: Any,
    segments: Segments,
    names: Sequence[str] = SEGMENT_STATISTICS,
    *,
    rows: Sequence[int] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Statistics of every row of values in every region.

    values : (R, M) float32, NumPy or CuPy; NaN is left out, each row by itself
    names : which of `SEGMENT_STATISTICS`
    rows : P of the rows; all if None
    Returns (P, S) float64 by name, and `n_valid`; NaN where they are not defined.
    Raises SettingsError for other names.

    >>> values = np.float32([[1, 3, 5, 9]])
    >>> of_segments = statistics_of_segments(values, segments_of([np.array([0, 1]), np.array([1, 2, 3])]), ("mean", "max"))
    >>> of_segments["mean"].round(3), of_segments["max"]
    (array([[2.   , 5.667]]), array([[3., 9.]]))
    """
    if unknown := set(names) - set(SEGMENT_STATISTICS):
        raise SettingsError(
            f"no statistic {min(unknown)!r} of segments",
            remedy=f"use {', '.join(SEGMENT_STATISTICS)}",
        )
    backend = backend_for(values)
    rows = range(len(values)) if rows is None else rows
    if not segments.voxels.size:
        nothing = np.full((len(rows), len(segments.starts) - 1), np.nan)
        return {**dict.fromkeys(names, nothing), "n_valid": np.zeros(nothing.shape)}
    in_order = _gathered(values, segments.voxels, rows)
    has_shape = "skewness" in names or "kurtosis" in names
    results = _moments(backend, in_order, segments.starts, order=4 if has_shape else 2)
    if set(names) - set(MOMENTS):
        ordered = backend.sort_segments(in_order, segments.starts)
        del in_order
        results |= _of_ordered(ordered, segments.starts, results["n_valid"])
        if "entropy" in names:
            results["entropy"] = _entropy(backend, ordered, segments.starts, results)
    return {name: results[name] for name in (*names, "n_valid")}


def _gathered(values: Any, voxels: Any, rows: Sequence[int]) -> Any:
    """(P, N) the rows at the voxels."""
    xp = array_namespace(values)
    in_order = xp.empty((len(rows), voxels.size), values.dtype)
    for target, row in zip(in_order, rows, strict=True):
        target[...] = values[row][voxels]
    return in_order


def _moments(
    backend: Backend, values: Any, starts: NDArray[np.int64], *, order: int
) -> dict[str, NDArray[np.float64]]:
    """Of central moments: about the mean, so that nothing cancels, however large the offset."""
    zeros = np.zeros((len(values), len(starts) - 1))
    sums = backend.segment_moments(values, starts, zeros, order=1)
    n = sums[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums[..., 1] / n
        sums = backend.segment_moments(values, starts, mean, order=order)
        variance = sums[..., 2] / n
        results = {
            "n_valid": n,
            "mean": mean,
            "sd": np.sqrt(np.where(n > 1, sums[..., 2] / (n - 1), np.nan)),
        }
        if order == 4:
            has_spread = variance**2 > 0.0  # squared: what underflows has no shape
            skewness = sums[..., 3] / n / np.sqrt(variance) ** 3
            kurtosis = sums[..., 4] / n / variance**2 - 3.0
            results |= {
                "skewness": np.where(has_spread, skewness, np.nan),
                "kurtosis": np.where(has_spread, kurtosis, np.nan),
            }
    return results


def _of_ordered(
    ordered: Any, starts: NDArray[np.int64], n_valid: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Quantiles between the two nearest values (NumPy's `linear`, Hyndman and Fan's type 7), from the nearer end."""
    n = n_valid.astype(np.int64)
    last = np.maximum(n - 1, 0)
    first = np.minimum(starts[:-1], int(starts[-1]) - 1)  # of an empty one at the end
    shares = np.array(list(_QUANTILES.values()))[:, None, None]
    at = shares * last
    below = np.floor(at).astype(np.int64)
    above = np.minimum(below + 1, last)
    low, high = _picked(ordered, first + np.stack([below, above])).astype(np.float64)
    part, step = at - below, high - low
    values = np.where(part >= 0.5, high - step * (1.0 - part), low + step * part)
    values = np.where(n > 0, values, np.nan)
    results = dict(zip(_QUANTILES, values, strict=True))
    return {**results, "iqr": results["p75"] - results["p25"]}


def _picked(ordered: Any, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Values at (..., P, S) columns of (P, N) rows, on the host."""
    xp = array_namespace(ordered)
    rows = np.broadcast_to(np.arange(len(ordered))[:, None], columns.shape)
    if xp is np:
        return np.asarray(ordered[rows, columns])
    flat = xp.asarray(rows * ordered.shape[1] + columns)
    picked: NDArray[np.float32] = ordered.ravel()[flat].get()
    return picked


def _entropy(
    backend: Backend,
    ordered: Any,
    starts: NDArray[np.int64],
    results: dict[str, NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Bits, of the values in `ENTROPY_BINS` bins of equal width over their range."""
    n = results["n_valid"]
    low, width = np.nan_to_num(results["min"]), np.nan_to_num(results["max"] - results["min"])
    width = np.where(width > 0.0, width, 1.0)
    counts = backend.segment_histograms(ordered, starts, low, width, ENTROPY_BINS)
    with np.errstate(invalid="ignore"):
        p = counts / n[..., None]
    entropy = -(p * np.log2(np.where(p > 0.0, p, 1.0))).sum(axis=-1) + 0.0  # no -0
    return np.asarray(entropy)
