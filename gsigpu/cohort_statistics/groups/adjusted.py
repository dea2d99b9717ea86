"""Groups compared with covariates held equal: age, sex, size, scanner, or any other column of a manifest.

    y_ij = µ_g(i) + z_ij β + b_i + e_ij

The mixed model of `mixed_model`, covariates beside the groups: numbers as they are, centred, so that µ is the mean of
a lesion with average covariates; text as indicators of each level but the first. Variances are cluster-robust (CR2),
groups are told apart by Hotelling's T² (HTZ) and single pairs by Student's t with Satterthwaite's degrees of freedom.

An adjusted difference answers another question than the plain one, and is wrong where the covariate is a consequence
of the group, or where groups hardly overlap in it; it is a sensitivity analysis unless it was planned. Groups that
differ completely in a covariate (a site with one group only) cannot be separated from it, and are refused in words.

The adjusted area is that of Janes & Pepe (Biometrika 2009; 96: 371-382): covariates are taken out of the values by
their regression among the negative lesions. Tested against lme4 with clubSandwich, and lm with pROC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from gsigpu.cohort_statistics.frames import ADJUSTED_COLUMNS
from gsigpu.cohort_statistics.inference import cannot_be_tested, quantile
from gsigpu.cohort_statistics.mixed_model.cluster_robust import ClusterRobust, cluster_robust
from gsigpu.cohort_statistics.mixed_model.nested_intercepts import fit_nested_intercepts
from gsigpu.cohort_statistics.multiplicity import bonferroni, holm
from gsigpu.cohort_statistics.roc.area_estimate import AucEstimate, estimate, without_test
from gsigpu.cohort_statistics.roc.curve import Direction, area, oriented, two_groups
from gsigpu.cohort_statistics.sample import Array, Codes, Sample, clean_sample, dense
from gsigpu.errors import InputError

# Regressions of a jackknife: a hundred blocks give the same standard error as single patients, in less time.
MOST_LEFT_OUT = 100
COMPUTATION = (
    "random intercept per patient, covariates fixed: REML, cluster-robust variances (CR2), "
    "Satterthwaite or HTZ degrees of freedom; gsigpu"
)


def adjusted_tests(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    covariates: pd.DataFrame,
    *,
    order: Sequence[str],
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Test of all groups and of every pair, and the covariates' own coefficients.

    values (n,) float, NaN where missing; groups (n,), patients (n,) str; order : the groups
    covariates : n rows in the same order, a column per covariate, numbers or text; a lesion without one of them
        is left out and counted (`n_incomplete`)
    Returns ADJUSTED_COLUMNS: `test` adjusted-overall, adjusted (pairs, difference = a - b) and covariate
    (`group_a` names it, `group_b` its level against the first). `p_holm` is over the pairs.
    Raises InputError for what `clean_sample` refuses, and for covariates of another length.

    >>> frame = adjusted_tests(
    ...     [1.0, 2.1, 3.2, 2.0, 3.1, 4.3, 1.4, 2.6], list("aaabbbab"), range(8),
    ...     pd.DataFrame({"age": [40.0, 50, 60, 40, 50, 60, 45, 45]}), order=["a", "b"],
    ... )
    >>> frame[["test", "group_a", "group_b", "difference"]].round(2).values.tolist()[1:]
    [['adjusted', 'a', 'b', -1.07], ['covariate', 'age', '', 0.11]]
    """
    lesions = complete_lesions(values, groups, patients, covariates, order)
    sample, z, names = lesions.sample, lesions.covariates, lesions.names
    head: dict[str, object] = {
        "track": "recommended",
        "unit": "patient",
        "covariates": "+".join(covariates.columns),
        "n_incomplete": lesions.n_incomplete,
        "computation": COMPUTATION,
    }
    present = sample.present
    cells = (sample.group[:, None] == np.array(present)).astype(np.float64)
    model = _model(sample, cells, z)
    rows = [_overall(model, sample, head)]
    width = len(present) + z.shape[1]
    for a, b in sample.pairs:
        row = head | {"test": "adjusted", "group_a": sample.order[a], "group_b": sample.order[b]}
        row |= {
            "n_a": sample.lesions[a].size,
            "n_b": sample.lesions[b].size,
            "n_patients_a": sample.sizes[a].size,
            "n_patients_b": sample.sizes[b].size,
        }
        if a not in present or b not in present:
            rows.append(row | {"note": cannot_be_tested("a group has no values")})
            continue
        weights = np.zeros(width)
        weights[[present.index(a), present.index(b)]] = 1.0, -1.0
        rows.append(row | _contrast(model, weights, confidence))
    for k, (covariate, level) in enumerate(names):
        weights = np.zeros(width)
        weights[len(present) + k] = 1.0
        row = head | {"test": "covariate", "group_a": covariate, "group_b": level}
        rows.append(row | _contrast(model, weights, confidence))
    frame = pd.DataFrame(rows, columns=list(ADJUSTED_COLUMNS))
    pairs = frame["test"] == "adjusted"
    frame.loc[pairs, "p_holm"] = holm(frame.loc[pairs, "p"].astype(float))
    frame.loc[pairs, "p_bonferroni"] = bonferroni(frame.loc[pairs, "p"].astype(float))
    return frame


@dataclass(frozen=True, slots=True)
class CompleteLesions:
    """The lesions that have a value and every covariate.

    covariates (n, K) : numbers centred, text as indicators of each level but the first
    names : (covariate, level against the first or "") of each column
    n_incomplete : lesions with a value that lack a covariate
    """

    sample: Sample
    covariates: Array
    names: list[tuple[str, str]]
    n_incomplete: int


def complete_lesions(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    covariates: pd.DataFrame,
    order: Sequence[str],
) -> CompleteLesions:
    """The lesions with every covariate, and their design columns; arguments as of `adjusted_tests`."""
    y = np.asarray(values, np.float64)
    if len(covariates) != y.size or not covariates.shape[1]:
        raise InputError("covariates need one row per value and at least one column")
    text = [name for name in covariates if not pd.api.types.is_numeric_dtype(covariates[name])]
    known = covariates.reset_index(drop=True)
    missing = known.isna()
    for name in text:
        missing[name] |= known[name].astype(str) == ""
    usable = ~missing.any(axis=1).to_numpy()
    n_incomplete = int((np.isfinite(y) & ~usable).sum())
    clean_sample(
        y, groups, patients, order
    )  # refuses what every test refuses, left-out lesions too
    sample = clean_sample(np.where(usable, y, np.nan), groups, patients, order)
    kept = known[np.isfinite(y) & usable]
    columns: list[Array] = []
    names: list[tuple[str, str]] = []
    for name in known:
        if name in text:
            levels = sorted(kept[name].astype(str).unique())
            for level in levels[1:]:
                columns.append((kept[name].astype(str) == level).to_numpy(np.float64))
                names.append((str(name), f"{level} against {levels[0]}"))
        else:
            column = kept[name].to_numpy(np.float64)
            columns.append(column - column.mean() if column.size else column)
            names.append((str(name), ""))
    z = np.stack(columns, axis=1) if columns else np.zeros((len(kept), 0))
    return CompleteLesions(sample=sample, covariates=z, names=names, n_incomplete=n_incomplete)


def _model(sample: Sample, cells: Array, z: Array) -> ClusterRobust | str:
    design = np.column_stack([cells, z])
    if sample.values.size <= design.shape[1]:
        return "more groups and covariates than lesions"
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return "groups cannot be told apart from the covariates, or covariates from each other"
    lesions = np.arange(sample.values.size)
    fit = fit_nested_intercepts(sample.values, design, dense(sample.patient), lesions)
    return fit if isinstance(fit, str) else cluster_robust(fit)


def _overall(
    model: ClusterRobust | str, sample: Sample, head: dict[str, object]
) -> dict[str, object]:
    g = len(sample.present)
    row = head | {"test": "adjusted-overall", "group_a": "", "group_b": ""}
    row |= {"n_a": sample.values.size, "n_patients_a": sample.n_patients}
    if isinstance(model, str):
        return row | {"note": cannot_be_tested(model)}
    if g < 2:
        return row | {"note": cannot_be_tested("fewer than two groups have values")}
    weights = np.zeros((g - 1, model.fit.coefficients.size))
    weights[:, :g] = np.column_stack([np.ones(g - 1), -np.eye(g - 1)])
    test = model.wald(weights)
    note = cannot_be_tested(test.note) if test.note else model.fit.note
    return row | {
        "statistic": test.f, "df1": test.df1, "df2": test.df2, "p": test.p, "note": note,
    }  # fmt: skip


def _contrast(model: ClusterRobust | str, weights: Array, confidence: float) -> dict[str, object]:
    if isinstance(model, str):
        return {"note": cannot_be_tested(model)}
    contrast = model.contrast(weights)
    if not (contrast.se > 0 and np.isfinite(contrast.df)):
        reason = cannot_be_tested("too few patients for a variance")
        return {"difference": contrast.estimate, "note": reason}
    half = quantile(confidence, contrast.df) * contrast.se
    return {
        "difference": contrast.estimate,
        "ci_low": contrast.estimate - half,
        "ci_high": contrast.estimate + half,
        "statistic": contrast.estimate / contrast.se,
        "df1": 1.0,
        "df2": contrast.df,
        "p": contrast.p,
        "note": model.fit.note,
    }


def adjusted_area(
    positive: ArrayLike,
    negative: ArrayLike,
    positive_patients: ArrayLike,
    negative_patients: ArrayLike,
    positive_covariates: ArrayLike,
    negative_covariates: ArrayLike,
    *,
    direction: Direction = "higher",
    confidence: float = 0.95,
) -> AucEstimate:
    """Area of the values with the covariates taken out, patients as units.

    positive (m,), negative (n,) : finite; *_patients of each lesion; *_covariates (m, K), (n, K) finite numbers
    Its variance is a jackknife over patients that fits the regression anew each time; interval and test are on
    the log odds, Student's t with patients less groups and covariates. NaN with a note where there are too few
    patients for it, or the negatives do not suffice for the regression.
    """
    x, y = two_groups(oriented(positive, direction), oriented(negative, direction))
    z = [
        np.asarray(side, np.float64).reshape(n, -1)
        for side, n in ((positive_covariates, x.size), (negative_covariates, y.size))
    ]
    if not all(np.isfinite(side).all() for side in z) or z[0].shape[1] != z[1].shape[1]:
        raise InputError(
            "covariates of an adjusted area must be finite, and the same in both groups"
        )
    units = np.concatenate([np.asarray(positive_patients), np.asarray(negative_patients)]).astype(
        str
    )
    names, codes = np.unique(units, return_inverse=True)
    of_x, of_y = codes[: x.size], codes[x.size :]
    designs = [np.column_stack([np.ones(len(side)), side]) for side in z]

    def of_lesions(keep_x: Array, keep_y: Array) -> float:
        design = designs[1][keep_y]
        if np.linalg.matrix_rank(design) < design.shape[1] or not keep_x.any():
            return np.nan
        slope = np.linalg.lstsq(design, y[keep_y], rcond=None)[0]
        return area(x[keep_x] - designs[0][keep_x] @ slope, y[keep_y] - design @ slope)

    whole = of_lesions(np.ones(x.size, bool), np.ones(y.size, bool))
    block = _blocks(of_x, of_y, names.size)
    n = int(block.max()) + 1
    left_out = np.array([of_lesions(block[of_x] != k, block[of_y] != k) for k in range(n)])
    df = n - 1.0 - designs[1].shape[1]
    reason = _too_few(whole, left_out, df, np.unique(of_x).size, np.unique(of_y).size)
    if reason:
        return without_test(whole, note=reason)
    variance = (n - 1) / n * float(((left_out - left_out.mean()) ** 2).sum())
    return estimate(
        whole, variance, n_positive=np.unique(of_x).size, n_negative=np.unique(of_y).size, df=df,
        confidence=confidence, scale="logit", unit="patient",
    )  # fmt: skip


def _too_few(
    whole: float, left_out: Array, df: float, n_positive_patients: int, n_negative_patients: int
) -> str:
    """Why an adjusted area has no test, or nothing."""
    if np.isnan(whole):
        return "the negative lesions are too few or too alike for the regression on covariates"
    if min(n_positive_patients, n_negative_patients) < 2:
        return "a group has one patient: no standard error"
    if not np.isfinite(left_out).all():
        return "the regression on covariates rests on one patient of the negatives"
    if df < 1:
        return "no more patients than groups and covariates"
    return ""


def _blocks(of_positive: Codes, of_negative: Codes, n_patients: int) -> Codes:
    """Which patients are left out together: single ones, or blocks with a share of both groups in each."""
    if n_patients <= MOST_LEFT_OUT:
        return np.arange(n_patients)
    home = np.zeros(n_patients, np.intp)
    home[of_negative] = 1
    home[of_positive] = 0
    block = np.empty(n_patients, np.intp)
    for code in (0, 1):
        mine = np.flatnonzero(home == code)
        block[mine] = np.arange(mine.size) % MOST_LEFT_OUT
    return block
