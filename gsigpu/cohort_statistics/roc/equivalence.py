"""Whether two parameters separate groups equally well, within a margin that was fixed beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsigpu.cohort_statistics.inference import as_p, cannot_be_tested, one_sided, quantile
from gsigpu.cohort_statistics.roc.area_estimate import AucDifference
from gsigpu.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Two one-sided tests; equivalent at alpha where p < alpha, that is where the interval lies inside ±margin.

    ci_low, ci_high : of 1 - 2 alpha
    p_lower, p_upper : that the difference is at most -margin, at least +margin; p the larger
    """

    difference: float
    margin: float
    ci_low: float
    ci_high: float
    p_lower: float
    p_upper: float
    p: float
    note: str = ""


def equivalence(
    difference: AucDifference, *, margin: float = 0.05, alpha: float = 0.05
) -> Equivalence:
    """Schuirmann's two one-sided tests of a difference of areas (J Pharmacokinet Biopharm 1987; 15: 657-680).

    difference : of `obuchowski_paired` (patients as units), or `delong_paired` (one lesion per patient)
    margin : a difference of areas that does not matter; an area of .05 is what two readers often differ by
    t_lower = (d + margin) / se, t_upper = (d - margin) / se with the difference's degrees of freedom.
    A p above alpha of the ordinary test is no equivalence. Tested against `t.test` in R, one-sided at ±margin.
    Raises SettingsError for a margin or alpha outside (0, .5).

    >>> from gsigpu.cohort_statistics.roc.area_estimate import difference as compared
    >>> result = equivalence(compared(0.81, 0.80, 0.0001))
    >>> round(result.p, 6), round(result.ci_high, 4)
    (3.2e-05, 0.0264)
    """
    if not (0.0 < margin < 0.5 and 0.0 < alpha < 0.5):
        raise SettingsError("margin and alpha of an equivalence test must lie between 0 and .5")
    gap, se, df, nan = difference.difference, difference.se, difference.df, np.nan
    if not np.isfinite(se):
        return Equivalence(
            difference=gap, margin=margin, ci_low=nan, ci_high=nan, p_lower=nan, p_upper=nan, p=nan,
            note=cannot_be_tested("no standard error of the difference"),
        )  # fmt: skip
    if se == 0.0:
        p = as_p(0.0 if abs(gap) < margin else 1.0)
        return Equivalence(
            difference=gap, margin=margin, ci_low=gap, ci_high=gap, p_lower=p, p_upper=p, p=p,
            note="the difference has no variance",
        )  # fmt: skip
    half = quantile(1.0 - 2.0 * alpha, df) * se
    lower, upper = one_sided((gap + margin) / se, df), one_sided((margin - gap) / se, df)
    return Equivalence(
        difference=gap,
        margin=margin,
        ci_low=gap - half,
        ci_high=gap + half,
        p_lower=lower,
        p_upper=upper,
        p=max(lower, upper),
    )
