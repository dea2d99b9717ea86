"""Which of two parameters separates a pair of groups better, on the same lesions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from gsigpu.cohort_statistics.roc.clustered import obuchowski_paired
from gsigpu.cohort_statistics.roc.curve import Array, Direction, area, oriented
from gsigpu.cohort_statistics.roc.delong import AucDifference, delong_paired
from gsigpu.cohort_statistics.roc.roc_frames import within_families
from gsigpu.cohort_statistics.roc.roc_settings import (
    COMPARISON_COLUMNS,
    RocSettings,
    of_parameters,
    pairs,
)
from gsigpu.errors import InputError


def roc_comparisons(
    values: ArrayLike,
    parameters: Sequence[str],
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    settings: RocSettings | Sequence[RocSettings] | None = None,
) -> pd.DataFrame:
    """Paired comparison of the areas of every two parameters, for every pair of groups.

    values (n, K) : one column per parameter, one row per lesion; lesions without both parameters are
        left out of that comparison and counted (`n_incomplete`)
    settings : one for all, or one per parameter (for its declared direction)
    Returns COMPARISON_COLUMNS; difference is the area of parameter_a less that of parameter_b.
    Methods: delong on the paper track (lesions independent, each curve turned to AUC >= .5),
    obuchowski on the recommended, and delong there too where every patient has one lesion.
    `p_holm` is over all rows of one track and method.

    >>> x = np.array([[3.0, 9.0], [2.0, 4.0], [4.0, 16.0], [1.0, 1.0], [2.5, 6.25]])
    >>> found = roc_comparisons(x, ["t", "t²"], list("aaabb"), list("pqrst"), order="ab")
    >>> found[["track", "method", "difference", "p"]].values.tolist()
    [['paper', 'delong', 0.0, 1.0], ['recommended', 'obuchowski', 0.0, 1.0],
     ['recommended', 'delong', 0.0, 1.0]]
    """
    x, names, owners = of_parameters(values, parameters, groups, patients)
    if np.isinf(x).any():
        raise InputError("a value is infinite", remedy="mark it as missing")
    each = _per_parameter(settings, len(parameters))
    rows: list[dict[str, object]] = []
    for a, b in pairs(tuple(order)):
        one, other = names == a, names == b
        for k, m in combinations(range(len(parameters)), 2):
            both = ~np.isnan(x[:, [k, m]]).any(axis=1)
            head = {
                "group_a": a,
                "group_b": b,
                "parameter_a": parameters[k],
                "parameter_b": parameters[m],
                "n_a": int((one & both).sum()),
                "n_b": int((other & both).sum()),
                "n_patients_a": np.unique(owners[one & both]).size,
                "n_patients_b": np.unique(owners[other & both]).size,
                "n_incomplete": int(((one | other) & ~both).sum()),
            }
            lesions = x[one & both][:, [k, m]].T, x[other & both][:, [k, m]].T
            units = owners[one & both], owners[other & both]
            declared = each[k].direction_of(a, b), each[m].direction_of(a, b)
            rows += _compared(head, lesions, units, declared, each[k].confidence)
    frame = pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))
    return within_families(frame, "pairs of groups and of parameters of one phase and region")


def _per_parameter(
    settings: RocSettings | Sequence[RocSettings] | None, n: int
) -> Sequence[RocSettings]:
    if settings is None or isinstance(settings, RocSettings):
        return [settings or RocSettings()] * n
    if len(settings) != n:
        raise InputError(f"{len(settings)} settings were given for {n} parameters")
    return settings


def _compared(
    head: dict[str, object],
    lesions: tuple[Array, Array],
    units: tuple[Array, Array],
    declared: tuple[Direction, Direction],
    confidence: float,
) -> list[dict[str, object]]:
    """The rows of one pair of groups and one pair of parameters."""
    x, y = lesions
    if x.shape[1] == 0 or y.shape[1] == 0:
        empty = {"note": "no lesion has both parameters in a group"}
        return [
            head | {"track": track, "method": method} | empty
            for track, method in (("paper", "delong"), ("recommended", "obuchowski"))
        ]
    turned: tuple[Direction, Direction] = (_turned(x[0], y[0]), _turned(x[1], y[1]))
    found = [("paper", "delong", turned, _delong(x, y, turned, confidence))]
    clustered = obuchowski_paired(
        _oriented(x, declared), _oriented(y, declared), *units, confidence=confidence
    )
    found.append(("recommended", "obuchowski", declared, clustered))
    if np.unique(np.concatenate(units)).size == x.shape[1] + y.shape[1]:
        found.append(("recommended", "delong", declared, _delong(x, y, declared, confidence)))
    return [
        head
        | {
            "track": track,
            "method": method,
            "direction_a": directions[0],
            "direction_b": directions[1],
            "auc_a": one.auc_a,
            "auc_b": one.auc_b,
            "difference": one.difference,
            "se": one.se,
            "ci_low": one.ci_low,
            "ci_high": one.ci_high,
            "z": one.z,
            "p": one.p,
            "df": one.df,
            "note": one.note,
        }
        for track, method, directions, one in found
    ]


def _turned(x: Array, y: Array) -> Direction:
    return "higher" if area(x, y) >= 0.5 else "lower"


def _oriented(values: Array, directions: tuple[Direction, Direction]) -> Array:
    return np.stack([oriented(row, d) for row, d in zip(values, directions, strict=True)])


def _delong(
    x: Array, y: Array, directions: tuple[Direction, Direction], confidence: float
) -> AucDifference:
    (xa, xb), (ya, yb) = _oriented(x, directions), _oriented(y, directions)
    return delong_paired(xa, ya, xb, yb, confidence=confidence)
