"""Means of lesions with intervals that know which lesions share a patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t

from gsigpu.errors import InputError


def clustered_means(
    frame: pd.DataFrame, by: Sequence[str], *, confidence: float = 0.95
) -> pd.DataFrame:
    """Mean of each cell, its interval from the sums of residuals per patient.

    frame : `value`, `patient_id` and the columns `by`; NaN values are dropped
    With n lesions of G patients in a cell and e_i = Σ over the lesions of patient i of (x - mean),

        Var(mean) = G / (G - 1) · Σ_i e_i² / n²,    interval mean ± t(G - 1) √Var

    the cluster-robust variance of an intercept (Liang & Zeger, Biometrika 1986; 73: 13-22, with the
    G / (G - 1) of Stata). Returns `by`, n_lesions, n_patients, mean, se, ci_low, ci_high, in the order
    of first appearance; no interval where a cell has one patient.

    >>> cells = pd.DataFrame({"group": "a", "patient_id": ["1", "1", "2"], "value": [1.0, 2.0, 6.0]})
    >>> means = clustered_means(cells, ["group"])
    >>> means["mean"].item(), round(means["se"].item(), 6)
    (3.0, 2.0)
    """
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence {confidence} is not between 0 and 1")
    by = list(by)
    valid = frame.loc[np.isfinite(frame["value"]), [*by, "patient_id", "value"]]
    cells = valid.groupby(by, sort=False, dropna=False)["value"]
    residual = valid["value"] - cells.transform("mean")
    sums = residual.groupby([valid[column] for column in [*by, "patient_id"]], dropna=False).sum()
    squares = (sums**2).groupby(level=list(range(len(by))), dropna=False).agg(["sum", "count"])
    means = cells.agg(["mean", "count"]).rename(columns={"count": "n_lesions"})
    means = means.join(squares.rename(columns={"count": "n_patients"}))
    n, g = means["n_lesions"].to_numpy(float), means["n_patients"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(g > 1, g / (g - 1) * means["sum"].to_numpy() / n**2, np.nan)
    se = np.sqrt(variance)
    half = t.ppf((1 + confidence) / 2, np.maximum(g - 1, 1)) * se
    means = means.assign(se=se, ci_low=means["mean"] - half, ci_high=means["mean"] + half)
    columns = ["n_lesions", "n_patients", "mean", "se", "ci_low", "ci_high"]
    return pd.DataFrame(means[columns].reset_index())
