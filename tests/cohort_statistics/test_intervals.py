"""An interval contains its estimate, in every row of every frame."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsigpu.cohort_statistics.frames import INTERVALS
from gsigpu.cohort_statistics.groups.group_frames import group_tests
from gsigpu.cohort_statistics.readers.agreement import reader_agreement
from gsigpu.cohort_statistics.roc.comparisons import roc_comparisons
from gsigpu.cohort_statistics.roc.roc_frames import roc_tables
from gsigpu.cohort_statistics.roc.roc_settings import RocSettings

FEW = RocSettings(n_replicates=200)


def outside(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of a frame whose estimate lies outside its interval, rounding allowed for."""
    wrong = []
    for low, estimate, high in INTERVALS[name]:
        three = frame[[low, estimate, high]].astype(float)
        slack = 1e-9 * three.replace([np.inf, -np.inf], np.nan).abs().max(axis=1).fillna(0.0)
        below = three[estimate] < three[low] - slack
        wrong.append(frame[below | (three[estimate] > three[high] + slack)])
    return pd.concat(wrong)


def frames_of(values, groups, patients, order, seed=1):
    tests = group_tests(values, groups, patients, order=order)
    yield "descriptives", tests.descriptives
    yield "omnibus", tests.omnibus
    yield "pairwise", tests.pairwise
    yield "roc", roc_tables(values, groups, patients, order=order, seed=seed, settings=FEW).roc
    table = np.column_stack([values, np.asarray(values)[::-1]])
    comparisons = roc_comparisons(table, ["a", "b"], groups, patients, order=order)
    yield "roc_comparisons", comparisons
    n = len(values)
    halves = [1] * (n // 2) + [2] * (n - n // 2)
    lesions = [*range(n // 2), *range(n - n // 2)]
    patients_of_lesions = [lesion // 2 for lesion in lesions]
    agreement = reader_agreement(values, lesions, patients_of_lesions, halves)
    yield "icc", agreement.icc
    yield "bland_altman", agreement.bland_altman


@pytest.mark.parametrize("seed", range(6))
def test_studies_with_little_to_find(seed):
    """Where groups hardly differ, biased estimates and percentiles leave their intervals most easily."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(36), rng.integers(1, 5, 36))
    groups = np.array(list("abcd"))[patients % 4]
    values = np.round(rng.normal(size=36)[patients] + rng.normal(size=patients.size), 1)
    for name, frame in frames_of(values, groups, patients, list("abcd"), seed):
        assert outside(frame, name).empty, name


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 5)), min_size=2, max_size=14),
    st.integers(0, 2**16),
)
@settings(max_examples=30, deadline=None)
def test_small_tables(rows, seed):
    values, patients = (list(column) for column in zip(*rows, strict=True))
    groups = ["ab"[patient % 2] for patient in patients]
    for name, frame in frames_of(np.array(values, float), groups, patients, ["a", "b"], seed):
        assert outside(frame, name).empty, name


def test_the_check_sees_an_estimate_outside():
    frame = pd.DataFrame({"ci_low": [0.0, 0.0], "auc": [0.5, 0.7], "ci_high": [0.6, 0.6]})
    for name in ("cutoff", "sensitivity", "specificity"):
        frame[[f"{name}_low", name, f"{name}_high"]] = np.nan
    assert outside(frame, "roc")["auc"].tolist() == [0.7]
