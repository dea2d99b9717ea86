"""Adjusted areas of every pair of groups as a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from gsigpu.cohort_statistics.frames import ADJUSTED_ROC_COLUMNS
from gsigpu.cohort_statistics.groups.adjusted import adjusted_area, complete_lesions
from gsigpu.cohort_statistics.inference import cannot_be_tested
from gsigpu.cohort_statistics.multiplicity import within_families
from gsigpu.cohort_statistics.roc.curve import area
from gsigpu.cohort_statistics.roc.roc_settings import RocSettings


def adjusted_areas(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    covariates: pd.DataFrame,
    *,
    order: Sequence[str],
    settings: RocSettings | None = None,
) -> pd.DataFrame:
    """`adjusted_area` of every pair of groups in its declared direction; arguments as of `adjusted_tests`.

    Returns ADJUSTED_ROC_COLUMNS; `auc_plain` is the area of the same lesions without adjustment. `p_holm` is over
    the pairs.

    >>> age = pd.DataFrame({"age": [40.0, 50, 60, 65, 40, 52, 61, 66]})
    >>> frame = adjusted_areas([3, 5, 6, 7, 1, 2, 3, 4], list("aaaabbbb"), range(8), age, order=["a", "b"])
    >>> frame[["auc", "auc_plain"]].round(3).values.tolist()
    [[1.0, 0.906]]
    """
    options = settings or RocSettings()
    lesions = complete_lesions(values, groups, patients, covariates, order)
    sample, z = lesions.sample, lesions.covariates
    rows: list[dict[str, object]] = []
    for a, b in sample.pairs:
        pair = sample.order[a], sample.order[b]
        direction = options.direction_of(*pair)
        first, second = sample.group == a, sample.group == b
        row: dict[str, object] = {
            "track": "recommended",
            "method": "janes-pepe",
            "covariates": "+".join(covariates.columns),
            "group_a": pair[0],
            "group_b": pair[1],
            "direction": direction,
            "n_a": int(first.sum()),
            "n_b": int(second.sum()),
            "n_patients_a": np.unique(sample.patient[first]).size,
            "n_patients_b": np.unique(sample.patient[second]).size,
            "n_incomplete": lesions.n_incomplete,
        }
        if not (first.any() and second.any()):
            rows.append(row | {"note": cannot_be_tested("a group has no values")})
            continue
        estimated = adjusted_area(
            sample.values[first], sample.values[second], sample.patient[first],
            sample.patient[second], z[first], z[second], direction=direction,
            confidence=options.confidence,
        )  # fmt: skip
        rows.append(
            row
            | {
                "auc": estimated.auc,
                "se": estimated.se,
                "ci_low": estimated.ci_low,
                "ci_high": estimated.ci_high,
                "p": estimated.p,
                "df": estimated.df,
                "auc_plain": area(sample.values[first], sample.values[second], direction=direction),
                "note": estimated.note,
            }
        )
    frame = pd.DataFrame(rows, columns=list(ADJUSTED_ROC_COLUMNS))
    return within_families(frame, "pairs of groups of one phase, region and parameter")
