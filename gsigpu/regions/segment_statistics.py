"""Statistics of many regions at once, which may share voxels: the same numbers as `gsigpu.regions.statistics`.

Regions are segments of an array of voxel indices. What costs per voxel (sort, powers, bins) is the backend's, so that the
values of a GPU stay there and no more than some numbers per region come back; what is left is done here, in float64.

On the CPU compiled loops gather the values, take their moments and find percentiles and bins without sorting
(`gsigpu.backends.compiled_moments`, `compiled_order`), where they were built.

Oracle: `gsigpu.regions.statistics` region by region, to 1e-12 of the value's scale (tests/regions/test_segment_statistics.py);
percentiles, extremes and entropy are equal to the bit, because order and bins are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import BIN_EDGE, Backend, backend_for
from gsigpu.backends.compiled_moments import gathered_moments
from gsigpu.backends.compiled_order import order_statistics
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
_SHARES = np.array(list(_QUANTILES.values()))
_MIN, _MAX = (list(_QUANTILES).index(name) for name in ("min", "max"))


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
    has_shape = "skewness" in names or "kurtosis" in names
    has_order = bool(set(names) - set(MOMENTS))
    moments, in_order = _moments(
        backend, values, segments, rows, order=4 if has_shape else 2, needs_values=has_order
    )
    results = _of_moments(moments, order=4 if has_shape else 2)
    if has_order:
        n_valid = results["n_valid"]
        n_bins = ENTROPY_BINS if "entropy" in names else 0
        places = _places(n_valid)
        picked, counts = _in_order(backend, in_order, segments.starts, places, n_bins)
        results |= _quantiles(picked, n_valid)
        if n_bins:
            results["entropy"] = _entropy(counts, n_valid)
    return {name: results[name] for name in (*names, "n_valid")}


def _moments(
    backend: Backend,
    values: Any,
    segments: Segments,
    rows: Sequence[int],
    *,
    order: int,
    needs_values: bool,
) -> tuple[NDArray[np.float64], Any]:
    """(P, S, 5) n, mean and central sums, and (P, N) the rows at the voxels, which may be None where nobody needs them."""
    if array_namespace(values) is np:
        in_order = np.empty((len(rows), segments.voxels.size), np.float32) if needs_values else None
        moments = gathered_moments(
            values, segments.voxels, segments.starts, rows, order=order, in_order=in_order
        )
        if moments is not None:
            return moments, in_order
    in_order = _gathered(values, segments.voxels, rows)
    return moments_by_backend(backend, in_order, segments.starts, order=order), in_order


def _gathered(values: Any, voxels: Any, rows: Sequence[int]) -> Any:
    """(P, N) the rows at the voxels."""
    xp = array_namespace(values)
    in_order = xp.empty((len(rows), voxels.size), values.dtype)
    for target, row in zip(in_order, rows, strict=True):
        target[...] = values[row][voxels]
    return in_order


def moments_by_backend(
    backend: Backend, values: Any, starts: NDArray[np.int64], *, order: int
) -> NDArray[np.float64]:
    """(P, S, 5) of (P, N) values: how many are no NaN, their mean, and the sums of the powers 2, 3 and 4 about it.

    order : 2 or 4; the last two are 0 for 2. Central, so that nothing cancels, however large the offset.
    """
    moments = np.zeros((len(values), len(starts) - 1, 5))
    zeros = np.zeros(moments.shape[:2])
    sums = backend.segment_moments(values, starts, zeros, order=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        moments[..., 0], moments[..., 1] = sums[..., 0], sums[..., 1] / sums[..., 0]
    sums = backend.segment_moments(values, starts, moments[..., 1].copy(), order=order)
    moments[..., 2 : order + 1] = sums[..., 2:]
    return moments


def _of_moments(moments: NDArray[np.float64], *, order: int) -> dict[str, NDArray[np.float64]]:
    n, mean, squares, cubes, fourths = np.moveaxis(moments, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = squares / n
        results = {
            "n_valid": n,
            "mean": np.where(n > 0, mean, np.nan),
            "sd": np.sqrt(np.where(n > 1, squares / (n - 1), np.nan)),
        }
        if order == 4:
            has_spread = variance**2 > 0.0  # squared: what underflows has no shape
            results |= {
                "skewness": np.where(has_spread, cubes / n / np.sqrt(variance) ** 3, np.nan),
                "kurtosis": np.where(has_spread, fourths / n / variance**2 - 3.0, np.nan),
            }
    return results


def _places(n_valid: NDArray[np.float64]) -> NDArray[np.int64]:
    """(P, S, Q, 2) places in the order of a segment, below and above each of `_QUANTILES`; 0 where nothing is valid."""
    last = np.maximum(n_valid.astype(np.int64) - 1, 0)[..., None]
    below = np.floor(_SHARES * last).astype(np.int64)
    return np.stack([below, np.minimum(below + 1, last)], axis=-1)


def _quantiles(
    picked: NDArray[np.float32], n_valid: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Quantiles between the two nearest values (NumPy's `linear`, Hyndman and Fan's type 7), from the nearer end."""
    low, high = np.moveaxis(picked.astype(np.float64), -1, 0)
    at = _SHARES * np.maximum(n_valid - 1, 0)[..., None]
    part, step = at - np.floor(at), high - low
    values = np.where(part >= 0.5, high - step * (1.0 - part), low + step * part)
    values = np.where(n_valid[..., None] > 0, values, np.nan)
    results = dict(zip(_QUANTILES, np.moveaxis(values, -1, 0), strict=True))
    return {**results, "iqr": results["p75"] - results["p25"]}


def _in_order(
    backend: Backend, values: Any, starts: NDArray[np.int64], places: NDArray[np.int64], n_bins: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Values at places of the order of each segment, as `places` has them, and counts in bins of its range (P, S, n_bins).

    values : (P, N) float32, each segment's together
    """
    if array_namespace(values) is np:
        of_loop = order_statistics(
            values, starts, places.reshape(*places.shape[:2], -1), n_bins=n_bins
        )
        if of_loop is not None:
            return of_loop[0].reshape(places.shape), of_loop[1]
    ordered = backend.sort_segments(values, starts)
    first = np.minimum(starts[:-1], int(starts[-1]) - 1)  # of an empty one at the end
    picked = _picked(ordered, first[:, None, None] + places)
    if not n_bins:
        return picked, np.zeros((*places.shape[:2], 0), np.int64)
    ends = picked.astype(np.float64)
    low, high = ends[:, :, _MIN, 0], ends[:, :, _MAX, 0]
    low, width = np.nan_to_num(low), np.nan_to_num(high - low)
    width = np.where(width > 0.0, width, 1.0)
    if array_namespace(ordered) is np:
        return picked, histograms_of_ordered(ordered, starts, low, width, n_bins)
    return picked, backend.segment_histograms(ordered, starts, low, width, n_bins)


def _picked(ordered: Any, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Values at (P, ...) columns of (P, N) rows, on the host."""
    xp = array_namespace(ordered)
    rows = np.arange(len(ordered)).reshape(-1, *[1] * (columns.ndim - 1))
    if xp is np:
        return np.asarray(ordered[rows, columns])
    flat = xp.asarray(rows * ordered.shape[1] + columns)
    picked: NDArray[np.float32] = ordered.ravel()[flat].get()
    return picked


def _entropy(counts: NDArray[np.int64], n_valid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits, of the values in bins of equal width over their range."""
    with np.errstate(invalid="ignore"):
        p = counts / n_valid[..., None]
    entropy = -(p * np.log2(np.where(p > 0.0, p, 1.0))).sum(axis=-1) + 0.0  # no -0
    return np.asarray(entropy)


def histograms_of_ordered(
    ordered: NDArray[np.float32],
    starts: NDArray[np.int64],
    low: NDArray[np.float64],
    width: NDArray[np.float64],
    n_bins: int,
) -> NDArray[np.int64]:
    """As `gsigpu.backends.Backend.segment_histograms`, of segments in order, NaN last: where each bin begins is looked up.

    The bin of a value never falls with the value, rounding included, so that it has to be known of a few values alone.
    """
    bins = np.arange(1, n_bins + 1)  # the last one is of NaN
    begin = np.broadcast_to(starts[:-1, None], (*low.shape, n_bins))
    first, end = begin.copy(), np.broadcast_to(starts[1:, None], begin.shape).copy()
    rows = np.arange(len(low))[:, None, None]
    while (is_open := first < end).any():
        middle = (first + end) // 2
        values = ordered[rows, np.minimum(middle, ordered.shape[1] - 1)].astype(np.float64)
        scaled = n_bins * (values - low[..., None]) / width[..., None] + BIN_EDGE
        bin_of = np.where(np.isnan(values), n_bins, np.clip(scaled, 0, n_bins - 1))
        is_beyond = np.trunc(bin_of) >= bins
        end = np.where(is_open & is_beyond, middle, end)
        first = np.where(is_open & ~is_beyond, middle + 1, first)
    edges = np.concatenate([begin[..., :1], first], axis=-1)
    return np.diff(edges, axis=-1)
