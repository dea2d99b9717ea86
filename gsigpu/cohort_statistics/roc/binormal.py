"""The area under the ROC curve from means and standard deviations alone.

With both groups normal,  AUC = Φ(δ),  δ = (mean_a - mean_b) / √(sd_a² + sd_b²), and by the delta method

    Var(δ) = (sd_a²/n_a + sd_b²/n_b) / S + (mean_a - mean_b)² / (2 S³) (sd_a⁴/(n_a - 1) + sd_b⁴/(n_b - 1))

with S = sd_a² + sd_b² (Reiser & Guttman, Technometrics 1986; 28: 253-257). A published table gives no
more than this: no cut-off, no clustering, and no sign of values that are not normal. Where the values are
at hand use `delong` or `obuchowski`. Tested against numerical derivatives, and by coverage on normal data.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from gsigpu.cohort_statistics.inference import quantile, two_sided
from gsigpu.cohort_statistics.roc.area_estimate import AucEstimate, without_test
from gsigpu.cohort_statistics.roc.curve import Direction
from gsigpu.errors import InputError


def binormal_auc(
    n_a: int,
    mean_a: float,
    sd_a: float,
    n_b: int,
    mean_b: float,
    sd_b: float,
    *,
    direction: Direction = "higher",
    confidence: float = 0.95,
) -> AucEstimate:
    """Area for group a (positive) against b, its interval on the scale of δ, and the test of .5.

    n_a, n_b : independent measurements; sd_a, sd_b : sample standard deviations (n - 1)
    Raises InputError for n below 1, negative or missing numbers. NaN with a note where a group has
    one measurement, or neither varies.

    >>> estimate = binormal_auc(50, 6.588, 0.6359, 50, 5.936, 0.5162)
    >>> round(estimate.auc, 4), round(estimate.se, 4)
    (0.787, 0.0444)
    """
    if not np.isfinite([n_a, mean_a, sd_a, n_b, mean_b, sd_b]).all():
        raise InputError("n, mean and SD of both groups must be given as numbers")
    if min(n_a, n_b) < 1 or min(sd_a, sd_b) < 0:
        raise InputError("n must be at least 1 and no SD negative")
    gap = mean_a - mean_b if direction == "higher" else mean_b - mean_a
    spread = sd_a**2 + sd_b**2
    if spread == 0.0:
        auc = float(0.5 * (1 + np.sign(gap)))
        return without_test(auc, df=np.inf, note="no variation")
    delta = gap / float(np.sqrt(spread))
    auc = float(norm.cdf(delta))
    if min(n_a, n_b) < 2:
        few = "a group has one measurement: no standard error"
        return without_test(auc, df=np.inf, note=few)
    variance = (sd_a**2 / n_a + sd_b**2 / n_b) / spread
    variance += gap**2 / (2 * spread**3) * (sd_a**4 / (n_a - 1) + sd_b**4 / (n_b - 1))
    se = float(np.sqrt(variance))
    half = quantile(confidence, np.inf) * se
    return AucEstimate(
        auc=auc,
        se=float(norm.pdf(delta)) * se,
        ci_low=float(norm.cdf(delta - half)),
        ci_high=float(norm.cdf(delta + half)),
        statistic=delta / se,
        df=np.inf,
        p=two_sided(delta / se, np.inf),
    )
