"""The compiled loop of the patient bootstrap against its NumPy twin: the same draws, the same counts, the same curves."""

import numpy as np
import pytest

from gsigpu.backends import compiled, compiled_bootstrap
from gsigpu.backends.compiled_bootstrap import FIELDS, Drawing
from gsigpu.cohort_statistics.roc.bootstrap import bin_values, home_groups, in_numpy


def drawing(values, groups, patients, *, n_replicates=70, chunk=25, n_grid=101):
    """Every pair of groups in both directions."""
    bins = bin_values(np.asarray(values, float))
    codes = np.asarray(groups, np.intp), np.asarray(patients, np.intp)
    n_groups = max(codes[0]) + 1
    return Drawing(
        of_bin=bins.of_value,
        groups=codes[0],
        patients=codes[1],
        strata=home_groups(*codes),
        pairs=[
            (i, j, lower)
            for i in range(n_groups)
            for j in range(n_groups)
            if i != j
            for lower in (False, True)
        ],
        n_bins=bins.top.size,
        n_grid=n_grid,
        n_replicates=n_replicates,
        chunk=chunk,
    )


def mixed(n_patients, n_groups, step, seed):
    """Several lesions per patient, some patients with lesions of two groups, and ties."""
    rng = np.random.default_rng(seed)
    patients = np.sort(rng.integers(0, n_patients, 3 * n_patients))
    _, patients = np.unique(patients, return_inverse=True)
    groups = patients % n_groups
    groups[:: n_patients // 2] = 0
    values = rng.normal(size=patients.size) + 0.3 * groups
    return np.round(values / step) * step, groups, patients


CASES = {
    "ties": mixed(40, 3, 0.5, 1),
    "more values than bins": mixed(700, 2, 1e-9, 2),
    "all equal": (np.ones(12), np.arange(12) % 2, np.arange(12)),
    "perfectly separated": (np.arange(12.0), np.arange(12) // 6, np.arange(12)),
    "one patient in a group": ([3.0, 1.0, 2.0, 2.0, 5.0], [0, 0, 0, 1, 1], [0, 1, 2, 3, 3]),
    # The second group's lesions all belong to patients at home in the first, who may all not be drawn.
    "a replicate without a group": ([1.0, 2.0, 3.0, 0.5, 4.0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 2]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("n_grid", [2, 101])
def test_counts_and_curves_are_those_of_numpy(loop, name, n_grid, monkeypatch):
    monkeypatch.setattr("gsigpu.cohort_statistics.roc.bootstrap.CHUNK", 25)
    sample = drawing(*CASES[name], n_grid=n_grid)
    fast_rng, truth_rng = np.random.default_rng(7), np.random.default_rng(7)
    fast = compiled_bootstrap.run(loop, sample, fast_rng)
    truth = in_numpy(sample, truth_rng)
    for k, field in enumerate(FIELDS):
        np.testing.assert_array_equal(fast.counts[..., k], truth.counts[..., k], field)
    np.testing.assert_allclose(fast.curves, truth.curves, rtol=0, atol=2e-7)
    assert fast_rng.integers(1000) == truth_rng.integers(1000)  # as many numbers were used
    if name == "a replicate without a group":
        assert (fast.counts[..., FIELDS.index("n_true")] == 0).any()
        assert np.isnan(fast.curves).any()


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937, np.random.Philox])
def test_any_generator_draws_the_same_patients(loop, bits):
    sample = drawing(*CASES["ties"], n_replicates=20, chunk=250)
    fast = compiled_bootstrap.run(loop, sample, np.random.Generator(bits(3)))
    truth = in_numpy(sample, np.random.Generator(bits(3)))
    np.testing.assert_array_equal(fast.counts, truth.counts)


@pytest.mark.parametrize("n_drawn", [0, 1, 2, 255, 256, 257, 258, 1023])
def test_the_generator_goes_on_where_the_loop_left_it(loop, n_drawn):
    """Numbers are made some hundred at a time, and those that nobody took are left to the next who draws."""
    sample = drawing(*CASES["ties"], n_replicates=3)
    fast_rng, truth_rng = np.random.default_rng(5), np.random.default_rng(5)
    for rng in (fast_rng, truth_rng):
        rng.integers(2**16, size=n_drawn, dtype=np.int32)
    compiled_bootstrap.run(loop, sample, fast_rng)
    in_numpy(sample, truth_rng)
    assert fast_rng.bit_generator.state == truth_rng.bit_generator.state


def test_every_set_gives_the_same_bits(loop):
    sample = drawing(*CASES["more values than bins"])
    plain = compiled.Loop(loop.functions, compiled.sets_of(loop.functions)[-1])
    counted, expected = (
        compiled_bootstrap.run(by, sample, np.random.default_rng(2)) for by in (loop, plain)
    )
    assert counted.counts.tobytes() == expected.counts.tobytes()
    assert counted.curves.tobytes() == expected.curves.tobytes()


def test_numpy_computes_where_the_variable_says_so(monkeypatch):
    monkeypatch.setenv(compiled.VARIABLE, "numpy")
    compiled.choose_loop.cache_clear()
    try:
        sample = drawing(*CASES["ties"])
        assert compiled_bootstrap.replicates(sample, np.random.default_rng(1)) is None
    finally:
        compiled.choose_loop.cache_clear()
