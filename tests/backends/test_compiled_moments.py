"""The compiled loop of moments against exact fractions, and against its NumPy twin."""

from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from gsigpu.backends import compiled, compiled_moments, cpu
from gsigpu.regions.segment_statistics import (
    histograms_of_ordered,
    moments_by_backend,
    segments_of,
)
from tests.backends.test_compiled import built

RNG = np.random.default_rng(16)


def moments(loop, values, voxels, *, order=4, in_order=None):
    together = segments_of(voxels)
    rows = range(len(values))
    return compiled_moments.run(
        loop, values, together.voxels, together.starts, rows, order=order, in_order=in_order
    )


@cache
def exact(name, n_values):
    """n, mean and central sums, without any rounding before the end."""
    values = VALUES[name][:n_values].astype(np.float32)
    fractions = [Fraction(float(value)) for value in values if not np.isnan(value)]
    n = len(fractions)
    if not n:
        return [0.0] * 5
    mean = sum(fractions) / n
    return [float(n), float(mean), *(float(sum((x - mean) ** j for x in fractions)) for j in (2, 3, 4))]  # fmt: skip


def with_nan(values, step):
    values[::step] = np.nan
    return values


VALUES = {
    "noise": RNG.normal(60, 9, 5000),
    "a large offset": RNG.normal(1e5, 0.1, 5000),
    "an outlier first": np.append(1e6, RNG.normal(0, 1, 5000)),
    "a drift": np.arange(5000.0) ** 2,
    "one value": np.full(5000, -4.25),
    "NaN here and there": with_nan(RNG.normal(0, 300, 5000), 7),
    "NaN alone, then values": np.append(np.full(2100, np.nan), RNG.normal(5, 1, 300)),
    "NaN alone": np.full(30, np.nan),
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("n", [1, 7, 8, 2049, 5000])
def test_moments_are_those_of_exact_fractions(loop, name, n):
    values = VALUES[name][:n].astype(np.float32)
    (moments_of_values,) = moments(loop, values[None], [np.arange(len(values))])[0]
    expected = exact(name, n)
    count, mean, squares, _, _ = expected
    spread = np.sqrt(squares / count) if count else 0.0
    # Of each number: the scale that its terms have.
    scales = [1.0, max(abs(mean), 1e-30), squares, count * spread**3, expected[4]]
    for value, right, scale in zip(moments_of_values, expected, scales, strict=True):
        assert value == pytest.approx(right, rel=1e-13, abs=1e-13 * scale)


@pytest.mark.parametrize("order", [2, 4])
def test_moments_are_those_of_numpy(loop, order):
    """Rows and regions together, regions that share voxels, one that is empty; and the values as they were gathered."""
    values = RNG.normal(0, 5, (4, 9000)).astype(np.float32)
    values[2, ::3] = np.nan
    voxels = [RNG.choice(9000, 7000), np.zeros(0, np.int64), np.arange(3), np.arange(9000)]
    together = segments_of(voxels)
    in_order = np.empty((4, together.voxels.size), np.float32)
    expected = moments_by_backend(
        cpu, values[:, together.voxels], together.starts, order=order
    )  # fmt: skip
    result = moments(loop, values, voxels, order=order, in_order=in_order)
    has_values = expected[..., 0] > 0
    assert (result[~has_values] == 0).all()
    scale = 5.0 ** np.array([0, 1, 2, 3, 4]) * np.maximum(expected[..., :1], 1)
    assert (np.abs(result - expected)[has_values] <= 1e-13 * scale[has_values]).all()
    np.testing.assert_array_equal(in_order, values[:, together.voxels])


def runs_of_columns(n_columns, n_runs, longest):
    """Ascending columns in runs, as regions have them."""
    begins = np.sort(RNG.choice(n_columns - longest, n_runs, replace=False))
    lengths = RNG.integers(1, longest + 1, n_runs)
    runs = [np.arange(a, a + n) for a, n in zip(begins, lengths, strict=True)]
    return np.unique(np.concatenate(runs))


@pytest.mark.parametrize("order", [2, 4])
def test_one_run_is_taken_where_it_lies(loop, order):
    """Not copied where nobody wants the values: nothing behind it is read, and NaN are not taken out of the row itself."""
    values = RNG.normal(0, 5, (2, 9000)).astype(np.float32)
    values[1, 100:4000:9] = np.nan
    before = values.copy()
    for columns in (np.arange(9000), np.arange(5, 4101), np.arange(8997, 9000), np.array([8999])):
        copied = np.empty((2, columns.size), np.float32)
        expected = moments(loop, values, [columns], order=order, in_order=copied)
        np.testing.assert_array_equal(moments(loop, values, [columns], order=order), expected)
        np.testing.assert_array_equal(values, before)


def test_columns_that_begin_and_end_a_run_anywhere(loop):
    """A step back, a step of two, one twice, and the same distance over all, beside and over the eight that are compared at once."""
    values = RNG.normal(0, 5, (1, 400)).astype(np.float32)
    for n in (7, 8, 9, 15, 16, 17, 33, 64):
        for at in range(1, n):
            for step in (-1, 0, 2, 5):
                columns = np.cumsum([50, *np.where(np.arange(1, n) == at, step, 1)])
                in_order = np.empty((1, n), np.float32)
                moments(loop, values, [columns], in_order=in_order)
                np.testing.assert_array_equal(in_order, values[:, columns])


@pytest.mark.parametrize("longest", [1, 7, 8, 9, 40, 3000])
def test_runs_of_voxels_are_gathered_as_single_ones_are(loop, longest):
    """Copied runs are the values at the columns; also at the end of a row, behind which nothing may be read or written."""
    values = RNG.normal(0, 5, (2, 9000)).astype(np.float32)
    values[1, 100:4000:9] = np.nan
    voxels = [runs_of_columns(9000, 12, longest), np.arange(8991, 9000), np.arange(5999, 9000)]
    together = segments_of(voxels)
    in_order = np.full((2, together.voxels.size), 7.0, np.float32)
    result = moments(loop, values, voxels, in_order=in_order)
    np.testing.assert_array_equal(in_order, values[:, together.voxels])
    np.testing.assert_array_equal(result, moments(loop, values, voxels))
    alone = [moments(loop, row[None, columns], [np.arange(columns.size)])[0, 0] for row in values for columns in voxels]  # fmt: skip
    np.testing.assert_array_equal(result.reshape(6, 5), alone)


def test_all_sets_of_instructions_have_the_same_bits():
    library = built(["-O2"])
    values = RNG.normal(1e3, 77, (3, 20_000)).astype(np.float32)
    values[1, ::50] = np.nan
    voxels = [runs_of_columns(20_000, 90, 200), np.arange(20_000), RNG.choice(20_000, 5001)]
    results = [
        moments(compiled.Loop(library, name), values, voxels, order=order)
        for name in compiled.sets_of(library)
        for order in (2, 4)
    ]
    for result in results[2:]:
        np.testing.assert_array_equal(result[..., :3], results[0][..., :3])
    for result in results[3::2]:
        np.testing.assert_array_equal(result, results[1])


def test_infinite_values_are_not_taken_for_none(loop):
    """They cannot come of stored values; a sum of both is not a number, as one of NaN is."""
    values = np.float32([[1.0, np.inf, -np.inf, 2.0, np.nan]])
    n, mean, *_ = moments(loop, values, [np.arange(5)])[0, 0]
    assert n == 4
    assert np.isnan(mean)


def test_what_it_does_not_take_goes_to_numpy(loop):
    values, voxels = np.ones((2, 8), np.float32), [np.arange(3)]
    assert moments(loop, values[:, ::2], voxels) is None
    assert moments(loop, values.astype(np.float64), voxels) is None
    assert moments(loop, values, [np.arange(3, dtype=np.uint16)]) is None
    for dtype in (np.int32, np.int64):
        assert moments(loop, values, [np.arange(3, dtype=dtype)]) is not None


@pytest.mark.parametrize("step", [0.0, 1.0, 0.25])
def test_bins_of_ordered_values_are_those_of_counting(step):
    """Also of values on the edges of bins, which rounding could put to either side."""
    values = RNG.normal(50, 20, (3, 4000)).astype(np.float32)
    if step:
        values = np.rint(values / step).astype(np.float32) * np.float32(step)
    values[1, ::5] = np.nan
    values[2, 3000:] = 7.5
    starts = np.array([0, 1, 1, 1500, 3000, 4000])
    ordered = cpu.sort_segments(values, starts)
    segments = [ordered[:, a:b] for a, b in pairwise(starts)]
    low, high = (
        np.stack([function(s, axis=1, initial=start, where=~np.isnan(s)) for s in segments], axis=1)
        for function, start in ((np.min, 1e6), (np.max, -1e6))
    )
    width = np.where(high > low, high.astype(np.float64) - low, 1.0)
    expected = cpu.segment_histograms(ordered, starts, low.astype(np.float64), width, 32)
    counts = histograms_of_ordered(ordered, starts, low.astype(np.float64), width, 32)
    np.testing.assert_array_equal(counts, expected)
    assert counts.sum() == np.count_nonzero(~np.isnan(values))


def whole_numbers():
    """Rows of the whole range, of its ends alone, and of HU; the ranges of padding; regions in runs and of single voxels."""
    stored = RNG.integers(-(2**15), 2**15, (5, 30_000)).astype(np.int16)
    stored[1] = -(2**15)
    stored[2] = np.where(RNG.random(30_000) < 0.5, -(2**15), 2**15 - 1)
    stored[3] = RNG.normal(60, 9, 30_000)
    padding = np.int16([[1, 0], [1, 0], [2**15 - 1, 2**15 - 1], [55, 58], [-(2**15), 2**15 - 1]])
    voxels = [
        np.arange(30_000),
        runs_of_columns(30_000, 100, 300),
        runs_of_columns(30_000, 40, 20),
        np.concatenate([np.arange(20_000, 20_200), np.arange(3, 8_500)]),
        np.zeros(0, np.int64),
        RNG.choice(30_000, 4099),
        np.array([77]),
        np.arange(29_990, 30_000),
    ]
    return stored, padding, voxels


def test_moments_of_whole_numbers_are_exact(loop):
    stored, padding, voxels = whole_numbers()
    together = segments_of(voxels)
    result = compiled_moments.run_whole(loop, stored, together.voxels, together.starts, padding)
    for row, (low, high), of_row in zip(stored, padding.tolist(), result, strict=True):
        for columns, (n_valid, mean, squares) in zip(voxels, of_row.tolist(), strict=True):
            values = row[columns].astype(np.int64)
            values = values[(values < low) | (values > high)].tolist()
            n = len(values)
            assert n_valid == n
            assert mean == (float(Fraction(sum(values), n)) if n else 0.0)
            exact_squares = Fraction(n * sum(v * v for v in values) - sum(values) ** 2, n or 1)
            assert squares == pytest.approx(float(exact_squares), rel=3e-16, abs=0)


def test_whole_numbers_that_it_does_not_take_go_to_numpy(loop):
    stored, padding, voxels = whole_numbers()
    together = segments_of(voxels)
    arguments = [stored, together.voxels, together.starts, padding]
    for i, other in ((0, stored[:, ::2]), (0, stored.astype(np.int32)), (1, together.voxels.astype(np.uint16)), (3, padding.astype(np.int64))):  # fmt: skip
        assert (
            compiled_moments.run_whole(loop, *[*arguments[:i], other, *arguments[i + 1 :]]) is None
        )
