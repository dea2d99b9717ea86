"""Where tests of ranks have nothing to test: held to every arrangement of the ranks."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import stats

from gsigpu.cohort_statistics.groups.group_frames import omnibus_tests, pairwise_tests
from gsigpu.cohort_statistics.groups.omnibus import kruskal
from gsigpu.cohort_statistics.groups.pairwise import dunn
from gsigpu.cohort_statistics.groups.rank_reach import dunn_reach, kruskal_reach


def _arrangements(sizes):
    """Each way to deal the ranks out to groups of these sizes."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    for order in set(permutations(labels.tolist())):
        yield [np.flatnonzero(np.array(order) == code) + 1.0 for code in range(len(sizes))]


@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (1, 1, 1, 1), (3, 3), (2, 2, 2), (1, 2, 3), (1, 5), (2, 4), (1, 1, 3), (1, 2, 2)]
)  # fmt: skip
def test_the_smallest_p_of_kruskal_wallis_is_that_of_all_arrangements(sizes):
    h = np.array([stats.kruskal(*groups).statistic for groups in _arrangements(sizes)])
    exact = float((h > h.max() - 1e-9).mean())
    reach = kruskal_reach(sizes)
    # Below the level a bound is enough: the test is made anyhow.
    assert reach == pytest.approx(exact) if exact >= 0.05 else exact <= reach < 0.05


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 2), (2, 2, 2), (1, 2, 3), (2, 3, 1)])
def test_the_smallest_p_of_dunn_is_that_of_all_arrangements(sizes):
    for a, b in combinations(range(len(sizes)), 2):
        gap = np.array([abs(g[a].mean() - g[b].mean()) for g in _arrangements(sizes)])
        exact = float((gap > gap.max() - 1e-9).mean())
        assert dunn_reach(sizes[a], sizes[b], sum(sizes)) == pytest.approx(exact)


def test_one_patient_a_group_leaves_no_test_of_ranks():
    """Whatever the number of groups and of lesions; every arrangement of the ranks is as extreme as any."""
    values, groups, patients = [1.0, 2.0, 5.0, 9.0, 9.5], list("abcdd"), list("wxyzz")
    data = (values, groups, patients)
    row = omnibus_tests(*data, order=list("abcd")).set_index("test").loc["kruskal"]
    assert np.isnan(row["p"])
    assert np.isnan(row["statistic"])
    assert row["note"].startswith("cannot be tested: 1 against 1 against 1 against 1")
    assert row["note"].endswith("1.000")
    pairs = pairwise_tests(*data, order=list("abcd")).query("test == 'dunn'")
    assert pairs["p"].isna().all()
    assert (pairs["note"] == "cannot be tested: a group has one value").all()
    assert np.isfinite(pairs["difference"]).all()


def test_three_against_three_apart_are_not_called_different_by_chi_square():
    low, high = np.array([1.0, 2.0, 3.0]), np.array([7.0, 8.0, 9.0])
    assert stats.kruskal(low, high).pvalue < 0.05
    assert np.isnan(kruskal([low, high]).p)
    assert "reach is .100" in kruskal([low, high]).note
    assert np.isnan(dunn([low, high], [(0, 1)])[0].p)
    four = [np.arange(4.0), np.arange(10.0, 14.0)]
    assert kruskal(four).p < 0.05
    assert not np.isnan(dunn(four, [(0, 1)])[0].p)


def test_a_pair_that_borrows_from_the_other_groups_says_so():
    samples = [np.arange(3.0), np.arange(20.0, 23.0), np.arange(5.0, 15.0)]
    test = dunn(samples, [(0, 1)])[0]
    assert test.p < 0.05
    assert test.note == (
        "alone, 3 against 3 reach no exact p below .100: this rests on the ranks of all groups"
    )
