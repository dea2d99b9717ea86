"""How well a reader repeats himself: the scatter of several readings of the same lesion.

    s_w² = Σ_l Σ_r (y_lr - ȳ_l)² / Σ_l (k_l - 1),   repeatability = 1.96 √2 s_w

two readings of one lesion differ by less than the repeatability in 95 of 100 cases (Bland & Altman, BMJ 1996; 312: 1654
and 313: 41; Stat Methods Med Res 1999; 8: 135-160). The ICC is that of lesions against readings, one-way: ICC1 of Shrout
and Fleiss, with mean k for unequal numbers. Paper track: the interval of s_w from χ² with Σ (k_l - 1) degrees of freedom,
lesions independent. Recommended: a jackknife over patients of log s_w and of Fisher's z. Assumes that the scatter does not
grow with the value. Tested against Bland and Altman's peak flow of twenty children.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from gsigpu.cohort_statistics.frames import REPEATABILITY_COLUMNS
from gsigpu.cohort_statistics.inference import cannot_be_tested, containing
from gsigpu.cohort_statistics.sample import Array, Codes, dense
from gsigpu.errors import InputError

# Two readings' difference has √2 times the spread of one.
FACTOR = float(stats.norm.ppf(0.975)) * float(np.sqrt(2.0))


@dataclass(frozen=True, slots=True)
class _Spread:
    within: float
    df: float
    icc: float


def repeatability(
    values: ArrayLike,
    lesions: ArrayLike,
    patients: ArrayLike,
    readers: ArrayLike,
    *,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Of each reader, on the lesions that he read more than once.

    values (n,) float, NaN where missing (left out); lesions, patients, readers (n,) str, a row per reading
    Returns REPEATABILITY_COLUMNS, two rows (paper, recommended) per reader in order of first appearance.
    Raises InputError for lists of different lengths.

    >>> frame = repeatability([1.0, 1.2, 3.0, 2.8], ["1", "1", "2", "2"], list("aabb"), ["r"] * 4)
    >>> frame.loc[0, ["within_sd", "n_lesions"]].round(4).tolist()
    [0.1414, 2.0]
    """
    y = np.asarray(values, np.float64)
    labels = [np.asarray(side).astype(str).astype(object) for side in (lesions, patients, readers)]
    if y.ndim != 1 or any(side.shape != y.shape for side in labels):
        raise InputError("values, lesions, patients and readers must be of one length")
    lesion, patient, reader = labels
    rows: list[dict[str, object]] = []
    for name in dict.fromkeys(reader):
        mine = (reader == name) & np.isfinite(y)
        code = dense(patient[mine] + "\x1f" + lesion[mine])
        several = np.bincount(code)[code] > 1 if code.size else np.zeros(0, bool)
        rows += _of_reader(
            str(name),
            y[mine][several],
            dense(code[several]),
            dense(patient[mine][several]),
            confidence,
        )
    return pd.DataFrame(rows, columns=list(REPEATABILITY_COLUMNS))


def _of_reader(
    name: str, y: Array, lesion: Codes, patient: Codes, confidence: float
) -> list[dict[str, object]]:
    counts: dict[str, object] = {
        "reader": name,
        "n_readings": y.size,
        "n_lesions": int(lesion.max()) + 1 if y.size else 0,
        "n_patients": int(patient.max()) + 1 if y.size else 0,
    }
    places = [{"track": "paper", "unit": "lesion"}, {"track": "recommended", "unit": "patient"}]
    if y.size == 0:
        note = cannot_be_tested("no lesion was read twice")
        return [place | counts | {"note": note} for place in places]
    whole = _spread(y, lesion)
    bounds = [_chi_squared(whole, confidence), _jackknifed(whole, y, lesion, patient, confidence)]
    return [
        place
        | counts
        | {
            "within_sd": whole.within,
            "within_sd_low": low,
            "within_sd_high": high,
            "repeatability": FACTOR * whole.within,
            "repeatability_low": FACTOR * low,
            "repeatability_high": FACTOR * high,
            "icc": whole.icc,
            "icc_low": icc_low,
            "icc_high": icc_high,
            "note": note,
        }
        for place, (low, high, icc_low, icc_high, note) in zip(places, bounds, strict=True)
    ]


def _spread(y: Array, lesion: Codes) -> _Spread:
    k = np.bincount(lesion)
    means = np.bincount(lesion, weights=y) / k
    df = float((k - 1).sum())
    within = float(((y - means[lesion]) ** 2).sum()) / df
    n = k.size
    between = float((k * (means - y.mean()) ** 2).sum()) / (n - 1) if n > 1 else np.nan
    k_mean = (k.sum() - (k**2).sum() / k.sum()) / (n - 1) if n > 1 else np.nan
    total = between + (k_mean - 1) * within
    icc = (between - within) / total if total > 0 else np.nan
    return _Spread(within=float(np.sqrt(within)), df=df, icc=float(icc))


Bounds = tuple[float, float, float, float, str]


def _chi_squared(whole: _Spread, confidence: float) -> Bounds:
    tails = (1 + confidence) / 2, (1 - confidence) / 2
    low, high = (
        whole.within * float(np.sqrt(whole.df / stats.chi2.ppf(tail, whole.df))) for tail in tails
    )
    note = "" if whole.within > 0 else "every reading repeats the first exactly"
    return low, high, np.nan, np.nan, note


def _jackknifed(
    whole: _Spread, y: Array, lesion: Codes, patient: Codes, confidence: float
) -> Bounds:
    n = int(patient.max()) + 1
    nan = np.nan
    if n < 3 or whole.within == 0.0:
        return nan, nan, nan, nan, "interval needs three patients and readings that differ"
    without = [_spread(y[patient != k], dense(lesion[patient != k])) for k in range(n)]
    reach = float(stats.t.ppf((1 + confidence) / 2, n - 1))

    def interval(of_all: float, left: Array) -> tuple[float, float]:
        if not np.isfinite([of_all, *left]).all():
            return nan, nan
        pseudo = n * of_all - (n - 1) * left
        half = reach * float(pseudo.std(ddof=1)) / np.sqrt(n)
        return of_all - half, of_all + half

    with np.errstate(divide="ignore", invalid="ignore"):
        log = interval(np.log(whole.within), np.log([part.within for part in without]))
        z = interval(np.arctanh(whole.icc), np.arctanh([part.icc for part in without]))
    low, high = containing(float(np.exp(log[0])), whole.within, float(np.exp(log[1])))
    icc = containing(float(np.tanh(z[0])), whole.icc, float(np.tanh(z[1])))
    known = np.isfinite(z[0])
    return low, high, icc[0] if known else nan, icc[1] if known else nan, ""
