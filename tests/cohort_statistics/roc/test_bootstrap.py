"""The patient bootstrap: its arithmetic against a plain loop, its variance against Obuchowski's."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from gsigpu.cohort_statistics.roc import bootstrap
from gsigpu.cohort_statistics.roc.bootstrap import (
    Pair,
    bootstrap_pairs,
    home_groups,
    interpolated,
    patient_weights,
)
from gsigpu.cohort_statistics.roc.clustered import obuchowski
from gsigpu.cohort_statistics.roc.clustered_rate import effective_number, share_interval
from gsigpu.cohort_statistics.roc.curve import area, roc_curve, sensitivity_specificity, youden
from gsigpu.errors import InputError


def cohort(seed, n_patients=24, step=0.25):
    """Values with ties, groups and patients of lesions; the last patient has lesions of both groups."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 5, n_patients))
    groups = (patients % 2).astype(np.intp)
    groups[np.flatnonzero(patients == n_patients - 1)[:1]] = 0
    values = rng.normal(size=n_patients)[patients] + rng.normal(size=patients.size) + 0.8 * groups
    return np.round(values / step) * step, groups, patients


def booted(values, groups, patients, direction="higher", n_replicates=300, n_grid=21):
    return bootstrap_pairs(
        values,
        groups,
        patients,
        [Pair(1, 0, direction)],
        n_replicates=n_replicates,
        fpr_grid=np.linspace(0, 1, n_grid),
        rng=np.random.default_rng(9),
    )[0]


@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_replicates_are_those_of_a_loop_over_copies_of_lesions(direction):
    values, groups, patients = cohort(1)
    replicates = booted(values, groups, patients, direction)
    weights = np.concatenate(
        list(patient_weights(home_groups(groups, patients), 300, np.random.default_rng(9))), axis=1
    )
    gains = []
    for r in range(300):
        times = weights[patients, r].astype(int)
        x = np.repeat(values[groups == 1], times[groups == 1])
        y = np.repeat(values[groups == 0], times[groups == 0])
        assert replicates.auc[r] == pytest.approx(area(x, y, direction=direction), abs=1e-6)
        cut = youden(x, y, direction=direction)
        curve = roc_curve(x, y, direction=direction)
        assert replicates.tpr[:, r] == pytest.approx(
            interpolated(curve.fpr, curve.tpr, 21), abs=1e-5
        )
        if np.isnan(cut.cutoff):
            assert np.isinf(replicates.cutoff[r])
            gains.append((0.0, 0.0))  # nobody is called positive, in either
            continue
        # In the original lesions the same cut-off does this.
        assert replicates.cutoff[r] == cut.cutoff
        mine = {"cutoff": replicates.cutoff[r], "direction": direction}
        sharp = sensitivity_specificity(x, y, **mine)
        assert sharp == pytest.approx((cut.sensitivity, cut.specificity))
        plain = sensitivity_specificity(values[groups == 1], values[groups == 0], **mine)
        gains.append(np.subtract(sharp, plain))
    optimism = np.mean(gains, axis=0)
    assert replicates.sensitivity_optimism == pytest.approx(optimism[0], abs=1e-6)
    assert replicates.specificity_optimism == pytest.approx(optimism[1], abs=1e-6)


def test_weights_draw_patients_within_their_group():
    strata = np.array([0, 0, 0, 1, 1, 2])
    weights = np.concatenate(list(patient_weights(strata, 2000, np.random.default_rng(0))), axis=1)
    assert weights.shape == (6, 2000)
    assert (weights[:3].sum(axis=0) == 2).all()
    assert (weights[3:5].sum(axis=0) == 1).all()
    assert (weights[5] == 1).all()
    assert weights.mean(axis=1) == pytest.approx([2 / 3] * 3 + [0.5] * 2 + [1], abs=0.05)


def test_standard_error_agrees_with_obuchowskis():
    ratios = []
    for seed in range(8):
        values, groups, patients = cohort(seed + 20, n_patients=40, step=0.01)
        positive = groups == 1
        exact = obuchowski(
            values[positive], values[~positive], patients[positive], patients[~positive]
        )
        ratios.append(booted(values, groups, patients, n_replicates=1000).auc.std() / exact.se)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.05)


def test_many_distinct_values_are_binned_without_harm(monkeypatch):
    values, groups, patients = cohort(3, n_patients=200, step=1e-6)
    exact = booted(values, groups, patients)
    monkeypatch.setattr(bootstrap, "N_CUTOFFS", 100)
    binned = booted(values, groups, patients)
    assert binned.auc == pytest.approx(exact.auc, abs=2e-3)
    assert np.median(binned.cutoff) == pytest.approx(np.median(exact.cutoff), abs=0.15)


def test_shares_of_lesions():
    rng = np.random.default_rng(4)
    hits = rng.random(40) < 0.7
    wilson = proportion_confint(hits.sum(), 40, method="wilson")
    assert share_interval(hits, np.arange(40)) == pytest.approx(wilson, abs=1e-12)
    assert effective_number(np.repeat(hits, 3), np.repeat(np.arange(40), 3)) == pytest.approx(
        39 * 120 / 119, abs=1e-9
    )
    low, high = share_interval([True] * 30, np.repeat(np.arange(5), 6))
    assert high == 1.0
    assert low == pytest.approx(proportion_confint(5, 5, method="wilson")[0], abs=1e-12)
    with pytest.raises(InputError, match="one patient per lesion"):
        share_interval([True, False], ["a"])
