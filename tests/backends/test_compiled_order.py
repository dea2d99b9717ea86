"""The compiled loop of order statistics and bins against NumPy's sort and histogram."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsigpu.backends import compiled_order, cpu

RNG = np.random.default_rng(26)
# From 1,024 values on they are counted, by pieces of as many.
N_SORTED = 1023


def places_of(values, starts, n_places=14):
    """(P, S, R) places in any order, the ends among them."""
    places = np.zeros((len(values), len(starts) - 1, n_places), np.int64)
    for p, row in enumerate(values):
        for s, (first, end) in enumerate(pairwise(starts)):
            n_valid = np.count_nonzero(~np.isnan(row[first:end]))
            if n_valid:
                places[p, s] = RNG.integers(0, n_valid, n_places)
                places[p, s, :4] = n_valid - 1, 0, n_valid // 2, max(n_valid // 2 - 1, 0)
    return places


def require_order(loop, values, starts, n_bins=32):
    """What the loop says is what stands there after a sort, and what counting one by one gives."""
    values, starts = np.atleast_2d(np.asarray(values, np.float32)), np.asarray(starts, np.int64)
    places = places_of(values, starts)
    picked, counts = compiled_order.run(loop, values, starts, places, n_bins=n_bins)
    ordered = cpu.sort_segments(values, starts)
    has_values = np.zeros(places.shape[:2], bool)
    low, width = np.zeros(has_values.shape), np.ones(has_values.shape)
    for s, (first, end) in enumerate(pairwise(starts.tolist())):
        for p, row in enumerate(ordered[:, first:end]):
            valid = row[~np.isnan(row)]
            has_values[p, s] = valid.size > 0
            if valid.size:
                np.testing.assert_array_equal(picked[p, s], valid[places[p, s]])
                low[p, s] = valid[0]
                width[p, s] = float(valid[-1]) - float(valid[0]) or 1.0
    assert np.isnan(picked[~has_values]).all()
    if n_bins:
        expected = cpu.segment_histograms(values, starts, low, width, n_bins)
        np.testing.assert_array_equal(counts, expected)


def noise(n, scale=9.0):
    return RNG.normal(60, scale, n).astype(np.float32)


VALUES = {
    "noise": noise,
    "whole HU": lambda n: np.rint(noise(n)),
    "two values": lambda n: np.where(RNG.random(n) < 0.3, -2.0, 5.0),
    "one value": lambda n: np.full(n, -4.25),
    "one value and another": lambda n: np.append(np.full(n - 1, -4.25), 7.0),
    "on the edges of bins": lambda n: RNG.integers(0, 33, n) / 32 * 7.0,
    "about the edges of bins": lambda n: (RNG.integers(0, 33, n) - 1.1e-4 * RNG.random(n)) / 32 * 100,
    "an outlier": lambda n: np.append(noise(n - 1), 1e30),
    "outliers at both ends": lambda n: np.concatenate([[-3e37], noise(n - 2), [3e37]]),
    "a large offset": lambda n: noise(n, 0.01) + 1e6,
    "tiny": lambda n: noise(n) * np.float32(1e-36),
    "powers": lambda n: 10.0 ** RNG.uniform(-30, 30, n),
    "zeros of both signs": lambda n: np.where(RNG.random(n) < 0.5, -0.0, RNG.choice([0.0, 3.0], n)),
    "rising": np.arange,
    "falling": lambda n: np.arange(n)[::-1],
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("n", [2, 17, N_SORTED, N_SORTED + 1, 5003, 70_001])
def test_values_at_places_and_bins_are_those_after_a_sort(loop, name, n):
    values = np.asarray(VALUES[name](n), np.float32)
    require_order(loop, values, [0, n])
    require_order(loop, values, [0, n], n_bins=0)
    values[RNG.random(n) < 0.2] = np.nan
    values[0] = -np.float32(np.nan)
    require_order(loop, values, [0, n])


def test_rows_and_segments_are_each_by_itself(loop):
    """Empty segments among them, one of nothing but NaN, and lengths that are no multiple of a vector."""
    values = noise(3 * 9000).reshape(3, 9000)
    values[1, 3000:3100] = np.nan
    values[2] = np.rint(values[2])
    require_order(loop, values, [0, 0, 7, 3000, 3100, 3100, 8999, 9000, 9000])
    require_order(loop, values, [0, 9000], n_bins=5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(N_SORTED + 1, 3000),
    st.integers(1, 12),
    st.sampled_from([1, 2, 31, 32, 64]),
)
def test_any_values(loop, seed, n, n_magnitudes, n_bins):
    """Of some magnitudes, on a lattice and off it, so that narrow bins hold one value, many, and many of one."""
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.integers(-8, 8, n_magnitudes)
    values = rng.choice(scales, n) * np.where(rng.random(n) < 0.5, rng.integers(-3, 4, n), rng.normal(size=n))  # fmt: skip
    values[rng.random(n) < 0.1 * rng.integers(0, 3)] = np.nan
    require_order(loop, values, [0, n], n_bins=n_bins)


@pytest.mark.parametrize("odd", [[np.inf], [-np.inf], [np.inf, -np.inf], [3e38, -3e38]], ids=str)
def test_what_has_no_bins_in_float32_goes_to_numpy(loop, odd):
    values = np.append(noise(3000), odd).astype(np.float32)[None]
    starts = np.array([0, 10, values.size])
    assert (
        compiled_order.run(loop, values, starts, np.zeros((1, 2, 1), np.int64), n_bins=32) is None
    )


def test_values_of_nearly_no_spread_go_to_numpy(loop):
    values = np.zeros((1, 3000), np.float32)
    values[0, 5] = 1e-42
    starts, places = np.array([0, 3000]), np.zeros((1, 1, 1), np.int64)
    assert compiled_order.run(loop, values, starts, places, n_bins=32) is None


def test_what_it_does_not_take_goes_to_numpy(loop):
    values, starts = np.ones((2, 8), np.float32), np.array([0, 4, 8])
    places = np.zeros((2, 2, 3), np.int64)
    assert compiled_order.run(loop, values, starts, places, n_bins=4) is not None
    assert compiled_order.run(loop, values[:, ::2], starts // 2, places, n_bins=4) is None
    assert compiled_order.run(loop, values.astype(float), starts, places, n_bins=4) is None
    assert compiled_order.run(loop, values, starts.astype(np.int32), places, n_bins=4) is None
    too_many = np.zeros((2, 2, 65), np.int64)
    assert compiled_order.run(loop, values, starts, too_many, n_bins=4) is None
