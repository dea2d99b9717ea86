"""Adjusted differences where covariates of patients are missing: multiple imputation, beside the complete cases.

Missing numbers of patients (age, a laboratory value) are drawn from their linear regression on the group, the patient's mean
of the values and the other covariates, in turn (chained equations; van Buuren, Flexible Imputation of Missing Data, 2018,
algorithms 3.1 and 4.3): first σ² from its scaled inverse χ², then β from its normal distribution, then the number. A patient
has one number for all lesions, so that the patients stay the units. Each completed table has the tests of `adjusted`;
differences are pooled by Rubin's rules with Barnard and Rubin's degrees of freedom (Biometrika 1999; 86: 948-955):

    T = Ū + (1 + 1/m) B,  λ = (1 + 1/m) B / T,  ν = 1 / (λ² / (m - 1) + (ν_c + 3) / (ν_c (ν_c + 1) (1 - λ)))

Assumes that numbers are missing at random given these columns, and linear relations with normal residuals: neither can be
seen in the data. Where patients lack a number because of the number, both these and the complete cases are wrong. Text and
numbers that differ between lesions of a patient are not imputed. Pooling is tested against the formulas and R's mice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from gsigpu.cohort_statistics.frames import ADJUSTED_COLUMNS
from gsigpu.cohort_statistics.groups.adjusted import COMPUTATION, adjusted_tests
from gsigpu.cohort_statistics.inference import cannot_be_tested, quantile, two_sided
from gsigpu.cohort_statistics.multiplicity import bonferroni, holm
from gsigpu.cohort_statistics.roc.roc_settings import Seed
from gsigpu.cohort_statistics.sample import Array, dense, group_codes

N_IMPUTATIONS = (
    20  # the error of a pooled standard error is then a few per cent for usual shares of gaps
)
N_CYCLES = 10  # chained equations settle within five to ten cycles (van Buuren, section 4.5.2)
ASSUMED = "missing at random given group, values and the other covariates; linear, normal; one number per patient"


def imputed_tests(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    covariates: pd.DataFrame,
    *,
    order: Sequence[str],
    seed: Seed,
    n_imputations: int = N_IMPUTATIONS,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Every pair of groups, as the rows `adjusted` of `adjusted_tests`; arguments as there.

    seed : of the imputations
    Returns ADJUSTED_COLUMNS with `test` adjusted-imputed; no row where no number of a patient is missing, or too few
    are known to impute from. `n_incomplete` are lesions that are still left out.
    """
    y = np.asarray(values, np.float64)
    usable = np.isfinite(y)
    gaps = _gaps(covariates[usable].reset_index(drop=True), np.asarray(patients)[usable])
    rng = np.random.default_rng(seed)
    codes = group_codes(groups, order)
    frames = []
    for _ in range(n_imputations if gaps else 0):
        completed = _completed(y, codes, np.asarray(patients), covariates, gaps, rng)
        if completed is None:
            break
        frames.append(
            adjusted_tests(y, groups, patients, completed, order=order, confidence=confidence)
        )
    if len(frames) < 2:
        return pd.DataFrame(columns=list(ADJUSTED_COLUMNS))
    pairs = [frame[frame["test"] == "adjusted"].reset_index(drop=True) for frame in frames]
    pooled = pairs[0].assign(
        test="adjusted-imputed", computation=f"{COMPUTATION}; {len(frames)} imputations, Rubin"
    )
    rows = []
    for k, row in enumerate(pooled.to_dict("records")):
        each = pd.DataFrame([frame.loc[k] for frame in pairs])
        rows.append(row | _pooled_row(each, confidence))
    frame = pd.DataFrame(rows, columns=list(ADJUSTED_COLUMNS))
    p = frame["p"].astype(float)
    return frame.assign(p_holm=holm(p), p_bonferroni=bonferroni(p))


def _gaps(covariates: pd.DataFrame, patients: ArrayLike) -> list[str]:
    """Numbers that belong to the patient, and that some patients lack."""
    names = []
    for name in covariates:
        column = covariates[name]
        if not pd.api.types.is_numeric_dtype(column) or not column.isna().any():
            continue
        by_patient = column.groupby(dense(np.asarray(patients).astype(str).astype(object)))
        if (by_patient.nunique() <= 1).all():
            names.append(str(name))
    return names


def _completed(
    y: Array,
    groups: ArrayLike,
    patients: ArrayLike,
    covariates: pd.DataFrame,
    gaps: list[str],
    rng: np.random.Generator,
) -> pd.DataFrame | None:
    """One draw of all gaps; None where too few patients are complete."""
    patient = dense(np.asarray(patients).astype(str).astype(object))
    n = int(patient.max()) + 1
    table = covariates.reset_index(drop=True)
    numbers = [name for name in table if pd.api.types.is_numeric_dtype(table[name])]
    known = table[numbers].groupby(patient).mean().to_numpy(np.float64)
    means = pd.Series(y).groupby(patient).mean().to_numpy(np.float64)
    group = pd.Series(np.asarray(groups)).groupby(patient).first().to_numpy()
    fixed = np.column_stack(
        [group[:, None] == np.unique(group), np.where(np.isnan(means), np.nanmean(means), means)]
    ).astype(np.float64)
    missing = np.isnan(known)
    filled = np.where(missing, np.nanmean(known, axis=0), known)
    places = [numbers.index(name) for name in gaps]
    for _ in range(N_CYCLES if len(places) > 1 else 1):
        for place in places:
            others = np.delete(filled, place, axis=1)
            x = np.column_stack([fixed, others - others.mean(axis=0)])
            observed = ~missing[:, place]
            drawn = _drawn(x, filled[:, place], observed, rng)
            if drawn is None:
                return None
            filled[~observed, place] = drawn
    for name, place in zip(gaps, places, strict=True):
        table[name] = table[name].fillna(pd.Series(filled[:n, place][patient]))
    return table


def _drawn(x: Array, target: Array, observed: np.ndarray, rng: np.random.Generator) -> Array | None:
    """Numbers of the others, by the regression among the observed with its uncertainty."""
    known = x[observed]
    df = int(observed.sum()) - x.shape[1]
    if df < 1 or np.linalg.matrix_rank(known) < x.shape[1]:
        return None
    inverse = np.linalg.inv(known.T @ known)
    beta = inverse @ (known.T @ target[observed])
    residual = target[observed] - known @ beta
    sigma = float(np.sqrt(residual @ residual / rng.chisquare(df)))
    beta = beta + sigma * np.linalg.cholesky(inverse) @ rng.normal(size=beta.size)
    gaps = x[~observed]
    return np.asarray(gaps @ beta + sigma * rng.normal(size=len(gaps)), np.float64)


def _pooled_row(each: pd.DataFrame, confidence: float) -> dict[str, object]:
    difference = each["difference"].to_numpy(np.float64)
    se = difference / each["statistic"].to_numpy(np.float64)
    if not np.isfinite([*difference, *se]).all():
        return {"note": cannot_be_tested("an imputed table has no test"), "p": np.nan}
    estimate, total, df = pooled(difference, se, float(each["df2"].astype(float).mean()))
    t = estimate / total
    half = quantile(confidence, df) * total
    return {
        "difference": estimate,
        "ci_low": estimate - half,
        "ci_high": estimate + half,
        "statistic": t,
        "df2": df,
        "p": two_sided(t, df),
        "note": ASSUMED,
    }


def pooled(estimates: ArrayLike, errors: ArrayLike, df: float) -> tuple[float, float, float]:
    """Rubin's rules: estimate, standard error and degrees of freedom of m completed tables.

    df : of one complete table

    >>> tuple(round(number, 4) for number in pooled([1.0, 1.2, 0.8], [0.5, 0.5, 0.5], 20.0))
    (1.0, 0.5508, 12.2098)
    """
    q, se = np.asarray(estimates, np.float64), np.asarray(errors, np.float64)
    m = q.size
    between = (1.0 + 1.0 / m) * float(q.var(ddof=1))
    total = float((se**2).mean()) + between
    share = between / total
    tail = share**2 / (m - 1.0) + (df + 3.0) / (df * (df + 1.0) * (1.0 - share))
    return float(q.mean()), float(np.sqrt(total)), 1.0 / tail
