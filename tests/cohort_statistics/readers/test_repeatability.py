"""How a reader repeats himself, held to Bland and Altman's example."""

import numpy as np
import pytest
from scipy import stats

from gsigpu.cohort_statistics.readers.intraclass import intraclass_correlation
from gsigpu.cohort_statistics.readers.repeatability import repeatability

# Peak expiratory flow of twenty children, four times each, l/min: Bland & Altman, BMJ 1996; 313: 744, Table 1. They print
# a within-subject variance of 460.52 and a standard deviation of 21.5 l/min.
PEAK_FLOW = np.fromstring("""
190 220 200 200  220 200 240 230  260 260 240 280  210 300 280 265  270 265 280 270  280 280 270 275  260 280 280 300
275 275 275 305  280 290 300 290  320 290 300 290  300 300 310 300  270 250 330 370  320 330 330 330  335 320 335 375
350 320 340 365  360 320 350 345  330 340 380 390  335 385 360 370  400 420 425 420  430 460 480 470
""", sep=" ").reshape(20, 4)  # fmt: skip
CHILD = np.repeat(np.arange(20), 4)


def test_bland_and_altman_s_example():
    frame = repeatability(PEAK_FLOW.ravel(), CHILD, CHILD, ["one"] * 80)
    assert frame["within_sd"].iloc[0] ** 2 == pytest.approx(460.52, abs=0.005)
    assert frame["repeatability"].iloc[0] == pytest.approx(1.96 * np.sqrt(2) * 21.46, abs=0.02)
    assert frame[["n_readings", "n_lesions", "n_patients"]].iloc[0].tolist() == [80, 20, 20]


def test_with_equally_many_readings_the_icc_is_shrout_and_fleiss_first():
    frame = repeatability(PEAK_FLOW.ravel(), CHILD, CHILD, ["one"] * 80)
    first = next(form for form in intraclass_correlation(PEAK_FLOW) if form.form == "ICC1")
    assert frame["icc"].tolist() == pytest.approx([first.icc] * 2, abs=1e-12)


def test_lesions_read_once_do_not_count_and_readers_stand_apart():
    y = np.r_[PEAK_FLOW.ravel(), 999.0, 1.0, 2.0]
    lesion = np.r_[CHILD, 77, 1, 1]
    frame = repeatability(y, lesion, lesion, ["one"] * 81 + ["two"] * 2).set_index(
        ["reader", "track"]
    )
    assert frame.loc[("one", "paper"), "n_lesions"] == 20
    assert frame.loc[("two", "paper"), "within_sd"] == pytest.approx(np.sqrt(0.5))
    assert "three patients" in frame.loc[("two", "recommended"), "note"]


def test_intervals_cover_where_lesions_of_a_patient_scatter_alike():
    """Half of the patients are hard to read: a χ² interval that takes lesions as independent is too narrow."""
    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(30), 8)
    lesion = np.repeat(np.arange(120), 2)
    truth = float(np.sqrt((0.5**2 + 2.0**2) / 2))
    covered = np.zeros(2)
    n = 120
    for _ in range(n):
        spread = np.where(rng.random(30) < 0.5, 0.5, 2.0)[patient]
        frame = repeatability(spread * rng.normal(size=240), lesion, patient, np.full(240, "r"))
        covered += (frame["within_sd_low"] <= truth) & (truth <= frame["within_sd_high"])
    paper, recommended = covered / n
    assert recommended > 0.88
    assert paper < 0.8
    assert stats.binomtest(int(covered[1]), n, 0.95).pvalue > 0.001
