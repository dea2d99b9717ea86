"""Statistics of many regions together are those of each by itself, on the CPU and on a double of CuPy."""

import cupy as real_cupy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gsigpu.backends import cpu
from gsigpu.errors import SettingsError
from gsigpu.regions.segment_statistics import (
    SEGMENT_STATISTICS,
    Segments,
    segments_of,
    statistics_of_segments,
)
from gsigpu.regions.statistics import statistics
from tests.support import host_cupy

RNG = np.random.default_rng(9)
# Equal to the bit: taken from the order, or counted.
EXACT = ("median", "p10", "p90", "iqr", "min", "max", "entropy", "n_valid")


def studies():
    """Rows of noise, of ties, of a large offset, of one value, with NaN; regions that overlap, one voxel, none, NaN alone."""
    values = RNG.normal(60, 9, (5, 30000)).astype(np.float32)
    values[1] = np.rint(values[1] / 8) * 8
    values[2] += 1e5
    values[3] = -4.25
    values[4, ::7] = np.nan
    values[4, ::14] = np.uint32(0xFFC00001).view(
        np.float32
    )  # the NaN of a processor has its sign set
    values[1, 200:230] = np.nan
    values[0, 10:14] = [0.0, -0.0, -1e-40, 3e4]
    voxels = [
        np.arange(10, 22),
        np.sort(RNG.choice(30000, 20011, replace=False)),
        np.arange(205, 225),
        np.array([77]),
        np.zeros(0, np.int64),
        np.arange(29000, 30000),
        np.zeros(0, np.int64),
    ]
    return values, voxels


def require_statistics(values, voxels, of_segments):
    """Against `statistics`, region by region and row by row."""
    for p, row in enumerate(values):
        for s, columns in enumerate(voxels):
            expected = statistics(row[columns])
            for name in (*SEGMENT_STATISTICS, "n_valid"):
                value = of_segments[name][p, s]
                if name in EXACT:
                    np.testing.assert_array_equal(value, expected[name], f"{name} {p} {s}")
                else:
                    scale = max(float(np.nanmax(np.abs(row[columns]), initial=1)), 1)
                    bound = 1e-12 * (scale if name in ("mean", "sd") else 1)
                    # Shapes about a mean that is rounded, as `statistics` has them, move with that rounding; those of
                    # the compiled loop do not (tests/backends/test_compiled_moments.py).
                    bound += 1e-15 * scale / (expected["sd"] or 1) if expected["sd"] > 0 else 0
                    assert float(value) == pytest.approx(
                        expected[name], rel=1e-12, abs=bound, nan_ok=True
                    ), (
                        name,
                        p,
                        s,
                    )


def test_regions_together_are_each_by_itself():
    values, voxels = studies()
    require_statistics(values, voxels, statistics_of_segments(values, segments_of(voxels)))


@settings(max_examples=40, deadline=None)
@given(
    arrays(
        np.float32, (2, 12), elements=st.sampled_from([np.nan, -2.5, 0.0, 1.0, 1.5, 7.0, 900.0])
    ),
    st.lists(st.lists(st.integers(0, 11), unique=True), max_size=4),
)
def test_any_values_and_any_regions(values, lists):
    voxels = [np.array(columns, np.int64) for columns in lists]
    require_statistics(values, voxels, statistics_of_segments(values, segments_of(voxels)))


def on_the_double(monkeypatch, values, voxels, names=SEGMENT_STATISTICS):
    cupy = host_cupy.install(monkeypatch, seed=2, delay_s=0.0005)
    segments = segments_of(voxels)
    of_segments = statistics_of_segments(
        cupy.asarray(values), Segments(cupy.asarray(segments.voxels), segments.starts), names
    )
    cupy.card.check()
    return of_segments, cupy


def test_a_double_of_cupy_gives_the_same(monkeypatch):
    values, voxels = studies()
    of_segments, cupy = on_the_double(monkeypatch, values, voxels)
    require_statistics(values, voxels, of_segments)
    host = statistics_of_segments(values, segments_of(voxels))
    for name in EXACT:
        np.testing.assert_array_equal(of_segments[name], host[name], name)
    # No plane comes back: some numbers for each region and row.
    assert sum(n for direction, n, _ in cupy.card.copies if direction == "out") < values.nbytes / 20


def test_brief_statistics_sort_nothing(monkeypatch):
    values, _ = studies()
    monkeypatch.setattr(cpu, "sort_segments", None)
    of_segments = statistics_of_segments(
        values[:1, 20:], segments_of([np.arange(40)]), ("mean", "sd")
    )
    assert of_segments.keys() == {"mean", "sd", "n_valid"}
    assert of_segments["sd"][0, 0] == pytest.approx(values[0, 20:60].std(ddof=1, dtype=float))


@pytest.mark.parametrize("voxels", [[], [np.zeros(0, np.int64)] * 2])
def test_no_regions_and_no_voxels(monkeypatch, voxels):
    of_segments, _ = on_the_double(monkeypatch, np.ones((3, 4), np.float32), voxels)
    assert of_segments["p10"].shape == of_segments["n_valid"].shape == (3, len(voxels))
    assert not of_segments["n_valid"].any()
    assert np.isnan(of_segments["mean"]).all()


def test_a_statistic_that_there_is_not():
    with pytest.raises(SettingsError, match="no statistic 'mad' of segments"):
        statistics_of_segments(np.zeros((1, 2), np.float32), segments_of([np.arange(2)]), ("mad",))


def test_cupy_has_what_the_double_shows():
    """What the card is given is in the namespace that is installed here; see the double for arguments."""
    for name in ("searchsorted", "bincount", "isnan", "where", "clip"):
        assert callable(getattr(real_cupy, name))


@pytest.mark.gpu
def test_a_card_gives_the_same():
    values, voxels = studies()
    segments = segments_of(voxels)
    of_segments = statistics_of_segments(
        real_cupy.asarray(values), Segments(real_cupy.asarray(segments.voxels), segments.starts)
    )
    require_statistics(values, voxels, of_segments)
