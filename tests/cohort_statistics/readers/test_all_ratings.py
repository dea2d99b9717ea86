"""Readers who did not read everything, decisions at a cut-off, areas over readers, planned sizes."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from gsigpu.cohort_statistics.readers.all_ratings import icc_of_all_ratings
from gsigpu.cohort_statistics.readers.intraclass import intraclass_correlation
from gsigpu.cohort_statistics.readers.kappa import decision_kappa
from gsigpu.cohort_statistics.readers.multireader import compare_over_readers
from gsigpu.cohort_statistics.readers.sample_size import lesions_for_icc, patients_for_area
from gsigpu.cohort_statistics.roc.clustered import clustered_areas, obuchowski
from gsigpu.errors import InputError, SettingsError
from tests.support.places import GOLDEN as GOLDEN_FOLDER

GOLDEN = json.loads((Path(GOLDEN_FOLDER) / "readers.json").read_text())


def table(seed, n=30, k=3):
    rng = np.random.default_rng(seed)
    return rng.normal(10, 2, n)[:, None] + rng.normal(0, 1, (n, k)) + np.linspace(0, 1, k)


def long(ratings):
    n, k = ratings.shape
    lesion, reader = (axis.ravel() for axis in np.indices((n, k)))
    return ratings.ravel(), lesion, lesion // 2, reader


@pytest.mark.parametrize("seed", range(3))
def test_complete_ratings_give_shrout_and_fleiss_estimates(seed):
    ratings = table(seed)
    forms = {form.form: form.icc for form in intraclass_correlation(ratings)}
    icc = icc_of_all_ratings(*long(ratings))
    assert icc.consistency == pytest.approx(forms["ICC3"], rel=1e-6)
    assert icc.agreement == pytest.approx(forms["ICC2"], rel=1e-6)
    assert icc.consistency_low < icc.consistency < icc.consistency_high
    assert (icc.n_lesions, icc.n_lesions_of_several, icc.n_patients) == (30, 30, 15)


def test_incomplete_ratings_are_lme4s():
    r, rows = GOLDEN["ratings"], pd.DataFrame(GOLDEN["ratings"]["rows"])
    icc = icc_of_all_ratings(rows["value"], rows["lesion"], rows["patient"], rows["reader"])
    assert icc.consistency == pytest.approx(r["consistency"], rel=1e-6)
    assert icc.agreement == pytest.approx(r["agreement"], rel=1e-6)
    assert icc.n_ratings == len(rows)
    assert icc.n_lesions_of_several == (rows["lesion"].value_counts() > 1).sum()


def test_readers_without_a_common_lesion_cannot_be_compared():
    icc = icc_of_all_ratings([1.0, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], list("xxyy"))
    assert np.isnan(icc.agreement)
    assert icc.note == "cannot be tested: no lesion was measured by two readers"
    with pytest.raises(InputError, match="two values"):
        icc_of_all_ratings([1.0, 2], [1, 1], [1, 1], ["x", "x"])


def test_kappa_is_scikit_learns_and_its_error_psychs():
    r = GOLDEN["kappa"]
    values = np.array(r["values"])
    kappa = decision_kappa(*values.T, np.arange(60), cutoff=r["cutoff"])
    assert kappa.kappa == pytest.approx(r["kappa"], abs=1e-12)
    assert kappa.kappa == pytest.approx(cohen_kappa_score(*(values > r["cutoff"]).T))
    assert kappa.se**2 * 59 / 60 == pytest.approx(r["variance"], rel=1e-6)
    copies = decision_kappa(
        *np.repeat(values, 3, axis=0).T, np.repeat(np.arange(60), 3), cutoff=0.3
    )
    assert copies.kappa == pytest.approx(kappa.kappa)
    assert copies.se == pytest.approx(kappa.se)  # copies of a lesion add nothing
    alike = decision_kappa([1.0, 2], [1.5, 2], ["a", "b"], cutoff=0.0)
    assert alike.note.startswith("cannot be tested")


def readers_of(rng, n_readers=3, gap=0.0, n=20):
    """(2, r, 2 n) values of n positive and n negative patients, one lesion each; and how many are positive."""
    truth = np.repeat([1.0, 0.0], n)
    case = rng.normal(size=2 * n) * 0.7
    parameter = rng.normal(size=(2, 1, 2 * n)) * 0.4
    shift = np.array([1.0 + gap, 1.0])[:, None, None]
    reader = rng.normal(size=(2, n_readers, 1)) * 0.15
    return (
        (shift + reader) * truth + case + parameter + rng.normal(size=(2, n_readers, 2 * n)) * 0.5
    )


def test_areas_over_readers_are_the_formulas_counted_out():
    n, r = 20, 3
    values = readers_of(np.random.default_rng(1))
    x, y = values[..., :n], values[..., n:]
    test = compare_over_readers(x, y, np.arange(n), np.arange(n, 2 * n))
    single = {
        (i, j): clustered_areas(x[i, j], y[i, j], np.arange(n), np.arange(n, 2 * n))
        for i, j in product(range(2), range(r))
    }
    area = {key: float(areas.auc[0]) for key, areas in single.items()}

    def covariance(first, second):
        a, b = single[first], single[second]
        scale = n / (n - 1)
        return scale * float(
            a.positive_share[0] @ b.positive_share[0] + a.negative_share[0] @ b.negative_share[0]
        )

    pairs = [(j, k) for j in range(r) for k in range(r) if j != k]
    cov2 = np.mean([covariance((i, j), (i, k)) for i in range(2) for j, k in pairs])
    cov3 = np.mean([covariance((0, j), (1, k)) for j, k in pairs])
    mean_i = [np.mean([area[i, j] for j in range(r)]) for i in range(2)]
    mean_j = [np.mean([area[i, j] for i in range(2)]) for j in range(r)]
    grand = np.mean(mean_i)
    ms_t = r * sum((m - grand) ** 2 for m in mean_i)
    ms_tr = sum((area[i, j] - mean_i[i] - mean_j[j] + grand) ** 2 for i, j in area) / (r - 1)
    noise = ms_tr + max(r * (cov2 - cov3), 0)
    assert test.f == pytest.approx(ms_t / noise)
    assert test.df2 == pytest.approx(noise**2 / (ms_tr**2 / (r - 1)))
    assert test.difference == pytest.approx(mean_i[0] - mean_i[1])
    assert test.ci_low < test.difference < test.ci_high
    same = compare_over_readers(x[[0, 0]], y[[0, 0]], np.arange(n), np.arange(n, 2 * n))
    assert (same.difference, same.p) == (0.0, 1.0)


def test_areas_over_readers_hold_their_level():
    rng = np.random.default_rng(2)
    n, rejected = 20, 0
    for _ in range(400):
        values = readers_of(rng)
        test = compare_over_readers(
            values[..., :n], values[..., n:], np.arange(n), np.arange(n, 2 * n)
        )
        rejected += test.p < 0.05
    assert 0.01 < rejected / 400 < 0.083  # 5 % and three standard errors


def test_planned_lesions_give_the_planned_width_of_an_icc():
    n = lesions_for_icc(0.8, 2, 0.2)
    rng = np.random.default_rng(3)
    widths = []
    for _ in range(200):
        ratings = rng.normal(size=(n, 1)) * 2 + rng.normal(size=(n, 2))
        form = intraclass_correlation(ratings)[2]
        widths.append(form.ci_high - form.ci_low)
    assert np.mean(widths) == pytest.approx(0.2, abs=0.02)
    with pytest.raises(SettingsError):
        lesions_for_icc(1.0, 2, 0.2)


def test_planned_patients_give_at_most_the_planned_width_of_an_area():
    n = patients_for_area(0.8, 0.2, lesions_per_patient=3, icc=0.5)
    rng = np.random.default_rng(4)
    widths = []
    for _ in range(150):
        patients = np.repeat(np.arange(2 * n), 3)
        values = np.sqrt(0.5) * (rng.normal(size=2 * n)[patients] + rng.normal(size=6 * n))
        values[patients < n] += 1.19  # an area of .8
        mine = patients < n
        estimate = obuchowski(values[mine], values[~mine], patients[mine], patients[~mine])
        widths.append(estimate.ci_high - estimate.ci_low)
    assert 0.13 < np.mean(widths) < 0.21
