"""The hot functions on the CPU: by the compiled loop where there is one (`compiled`), else in NumPy.

In NumPy, work goes in blocks small enough for the L2 cache. A block of stored values becomes float32 with a row
of ones below it, so that one matrix product gives weights and offset at once, straight into `out`.
The caller runs slices in several threads. NumPy releases the GIL in all that matters here, and every
release may mean to wait for the other threads: so what follows the products (padding, rounding) is done
for several blocks at once, with fewer and longer calls.

Tested against float64 matrix products, for every block size alike. The NumPy form is itself the oracle of the
compiled loop and of the CUDA kernel.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import BIN_EDGE, LARGEST_STORED, PADDING, compiled_regions
from gsigpu.backends.compiled import choose_loop
from gsigpu.errors import GridMismatch

# Values, ones and results of a block, as float32, stay in the L2 cache: 16384 voxels for eleven energies
# and four maps; more for fewer, where calls would else cost as much as maths. With four blocks per piece two
# threads do twice the work of one; with half the block and one per piece they did no more than one alone.
BLOCK_BYTES = 1024 * 1024
BLOCKS_PER_PIECE = 4

_scratch = threading.local()


def linear_maps(
    stored: NDArray[np.int16],
    weights: NDArray[np.float32],
    offsets: NDArray[np.float32],
    out: NDArray[Any],
    *,
    padding: NDArray[np.int16] | None = None,
) -> NDArray[np.int64]:
    """K linear maps of a slab of stored values; see `gsigpu.backends.Backend.linear_maps`.

    >>> stored = np.int16([[[100, 200], [10, 20]]])
    >>> out = np.empty((1, 1, 2), np.float32)
    >>> _ = linear_maps(stored, np.float32([[[1, -1]]]), np.float32([[5]]), out)
    >>> out
    array([[[ 95., 185.]]], dtype=float32)
    """
    require_shapes(stored, weights, offsets, out, padding)
    loop, _ = choose_loop()
    n_clipped = None if loop is None else loop.linear_maps(stored, weights, offsets, out, padding)
    if n_clipped is None:
        n_clipped = in_numpy(stored, weights, offsets, out, padding=padding)
    return n_clipped


def in_numpy(
    stored: NDArray[np.int16],
    weights: NDArray[np.float32],
    offsets: NDArray[np.float32],
    out: NDArray[Any],
    *,
    padding: NDArray[np.int16] | None = None,
) -> NDArray[np.int64]:
    """The same, by NumPy alone; shapes as `require_shapes` has checked them."""
    n_energies, n_voxels = stored.shape[1:]
    n_maps = weights.shape[1]
    n_clipped = np.zeros(n_maps, dtype=np.int64)
    is_integer = out.dtype == np.int16
    values, results = _buffers(n_energies, n_maps)
    piece_voxels = results.shape[1]
    for s, slice_values in enumerate(stored):
        with_offset = np.concatenate([weights[s], offsets[s][:, None]], axis=1)
        for start in range(0, n_voxels, piece_voxels):
            piece = slice_values[:, start : start + piece_voxels]
            target = out[s, :, start : start + piece_voxels]
            result = results[:, : piece.shape[1]] if is_integer else target
            _products(piece, with_offset, values, result)
            padded_mask = None if padding is None else _padded_mask(piece, padding[s])
            if padded_mask is not None:
                result[:, padded_mask] = 0.0 if is_integer else np.nan
            if is_integer:
                _quantise(result, target, n_clipped)
                if padded_mask is not None:
                    target[:, padded_mask] = PADDING
    return n_clipped


def _products(
    piece: NDArray[np.int16],
    with_offset: NDArray[np.float32],
    values: NDArray[np.float32],
    result: NDArray[np.float32],
) -> None:
    """`with_offset` (K, E + 1) times the stored values (E, n) over a row of ones, into `result` (K, n)."""
    n_energies, n_voxels = piece.shape
    block_voxels = values.shape[1]
    for start in range(0, n_voxels, block_voxels):
        block = piece[:, start : start + block_voxels]
        n = block.shape[1]
        values[:n_energies, :n] = block
        np.matmul(with_offset, values[:, :n], out=result[:, start : start + n])


def _buffers(n_energies: int, n_maps: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """This thread's block of values (E + 1, B), the last row ones, and piece of results (K, several B)."""
    key = (n_energies, n_maps, BLOCK_BYTES)
    if getattr(_scratch, "key", None) != key:
        block_voxels = max(BLOCK_BYTES // (4 * (n_energies + 1 + n_maps)), 1)
        _scratch.values = np.ones((n_energies + 1, block_voxels), np.float32)
        _scratch.results = np.empty((n_maps, BLOCKS_PER_PIECE * block_voxels), np.float32)
        _scratch.key = key
    return _scratch.values, _scratch.results


def _quantise(
    result: NDArray[np.float32], target: NDArray[np.int16], n_clipped: NDArray[np.int64]
) -> None:
    """Round half to even into int16; clip and count only in a piece where something is too large."""
    np.rint(result, out=result)
    if result.max() > LARGEST_STORED or result.min() < -LARGEST_STORED:
        n_clipped += (np.abs(result) > LARGEST_STORED).sum(axis=1)
        np.clip(result, -LARGEST_STORED, LARGEST_STORED, out=result)
    target[...] = result


def _padded_mask(block: NDArray[np.int16], ranges: NDArray[np.int16]) -> NDArray[np.bool_] | None:
    """(B,) voxels in the range of any energy; None where the piece holds none."""
    # Padding is low as a rule, so the lowest values alone rule it out of most pieces.
    may_hold = (block.min(axis=1) <= ranges[:, 1]) & (ranges[:, 0] <= ranges[:, 1])
    if not may_hold.any():
        return None
    may_hold &= block.max(axis=1) >= ranges[:, 0]
    if not may_hold.any():
        return None
    padded_mask = np.zeros(block.shape[1], dtype=bool)
    for values, (low, high) in zip(block[may_hold], ranges[may_hold], strict=True):
        padded_mask |= (values >= low) & (values <= high)
    return padded_mask


# Values of a block of a segment, as float64, and their powers stay in the L2 cache.
_MOMENT_BLOCK = 16384


def sort_segments(values: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Each segment of each row in order; see `gsigpu.backends.Backend.sort_segments`.

    >>> sort_segments(np.float32([[3, np.nan, 1, 9, 8]]), np.array([0, 3, 5]))
    array([[ 1.,  3., nan,  8.,  9.]], dtype=float32)
    """
    ordered = values.copy()
    for first, end in pairwise(starts.tolist()):
        ordered[:, first:end].sort(axis=1)
    return ordered


def gather_voxels(
    planes: NDArray[np.int16],
    starts: NDArray[np.int64],
    indices: NDArray[np.integer[Any]],
    out: NDArray[np.int16],
    *,
    origin: int = 0,
) -> None:
    """Voxels of planes by their indices; see `gsigpu.backends.Backend.gather_voxels`.

    >>> out = np.zeros(3, np.int16)
    >>> gather_voxels(np.int16([[5, 6], [7, 8]]), np.array([0, 1, 3]), np.array([1, 0, 1]), out)
    >>> out
    array([6, 7, 8], dtype=int16)
    """
    for plane, (first, end) in zip(planes, pairwise(starts.tolist()), strict=True):
        here = indices[first:end] - origin if origin else indices[first:end]
        np.take(plane, here, out=out[first:end], mode="clip")  # unbuffered; all lie within


def segment_moments(
    values: NDArray[np.float32],
    starts: NDArray[np.int64],
    centres: NDArray[np.float64],
    *,
    order: int,
) -> NDArray[np.float64]:
    """Sums of powers in each segment; see `gsigpu.backends.Backend.segment_moments`.

    >>> segment_moments(np.float32([[1, 3, np.nan]]), np.array([0, 3]), np.array([[1.0]]), order=2)
    array([[[2., 2., 4.]]])
    """
    n_rows, n_segments = centres.shape
    sums = np.zeros((n_rows, n_segments, order + 1))
    n_columns = max(_MOMENT_BLOCK // max(n_rows, 1), 1)
    for s, (first, end) in enumerate(pairwise(starts.tolist())):
        for begin in range(first, end, n_columns):
            block = values[:, begin : min(begin + n_columns, end)]
            sums[:, s] += _block_moments(block - centres[:, s, None], order)
    return sums


def _block_moments(deviations: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """(P, order + 1) sums of the powers of (P, n) deviations, NaN left out."""
    sums = np.empty((len(deviations), order + 1))
    sums[:, 0] = deviations.shape[1]
    sums[:, 1] = deviations.sum(axis=1)
    if np.isnan(sums[:, 1]).any():
        is_nan = np.isnan(deviations)
        sums[:, 0] -= is_nan.sum(axis=1)
        deviations[is_nan] = 0.0
        sums[:, 1] = deviations.sum(axis=1)
    power = deviations
    for j in range(2, order + 1):
        power = power * deviations
        sums[:, j] = power.sum(axis=1)
    return sums


def segment_histograms(
    values: NDArray[np.float32],
    starts: NDArray[np.int64],
    low: NDArray[np.float64],
    width: NDArray[np.float64],
    n_bins: int,
) -> NDArray[np.int64]:
    """Values of each segment in bins; see `gsigpu.backends.Backend.segment_histograms`.

    >>> ends = np.array([[0.0]]), np.array([[4.0]])
    >>> segment_histograms(np.float32([[0, 1, 4, 4]]), np.array([0, 4]), *ends, 4)
    array([[[1, 1, 0, 2]]])
    """
    n_rows, n_segments = low.shape
    counts = np.zeros((n_rows, n_segments, n_bins), np.int64)
    for s, (first, end) in enumerate(pairwise(starts.tolist())):
        for p in range(n_rows):
            row = values[p, first:end].astype(np.float64)
            row = row[~np.isnan(row)]
            scaled = n_bins * (row - low[p, s]) / width[p, s] + BIN_EDGE
            bins = np.clip(scaled, 0, n_bins - 1).astype(np.int64)
            counts[p, s] = np.bincount(bins, minlength=n_bins)
    return counts


def distance_transform(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]
) -> NDArray[np.float64]:
    """Distances to the background, by a compiled loop or SciPy; see `gsigpu.backends.Backend.distance_transform`.

    >>> distance_transform(np.array([[True, True, False], [True, True, True]]), (1.0,))
    array([[ 2.,  1.,  0.],
           [inf, inf, inf]])
    """
    distances = compiled_regions.distance_transform(mask, spacing_mm)
    return distance_by_scipy(mask, spacing_mm) if distances is None else distances


def distance_by_scipy(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]
) -> NDArray[np.float64]:
    """`distance_transform`, the truth that the loop is tested against."""
    from scipy.ndimage import distance_transform_edt

    if mask.ndim > len(spacing_mm):
        return np.stack([distance_by_scipy(part, spacing_mm) for part in mask])
    if not mask.any():
        return np.zeros(mask.shape)
    if mask.all():  # SciPy's distances mean nothing then
        return np.full(mask.shape, np.inf)
    distances: NDArray[np.float64] = distance_transform_edt(mask, sampling=spacing_mm)
    return distances


def require_shapes(
    stored: NDArray[np.int16],
    weights: NDArray[np.float32],
    offsets: NDArray[np.float32],
    out: NDArray[Any],
    padding: NDArray[np.int16] | None,
) -> None:
    """Raises GridMismatch if the arguments of `linear_maps` do not fit together."""
    n_slices, n_energies, n_voxels = stored.shape
    n_maps = weights.shape[1]
    expected = {
        "weights": (weights.shape, (n_slices, n_maps, n_energies)),
        "offsets": (offsets.shape, (n_slices, n_maps)),
        "out": (out.shape, (n_slices, n_maps, n_voxels)),
    }
    if padding is not None:
        expected["padding"] = (padding.shape, (n_slices, n_energies, 2))
    for name, (shape, expected_shape) in expected.items():
        if shape != expected_shape:
            raise GridMismatch(
                f"{name} has shape {shape}, expected {expected_shape} for stored values of shape {stored.shape}",
                remedy="see gsigpu.backends.Backend",
            )
