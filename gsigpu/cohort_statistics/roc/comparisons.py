"""Which of two parameters separates a pair of groups better, on the same lesions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from gsigpu.cohort_statistics.frames import COMPARISON_COLUMNS
from gsigpu.cohort_statistics.inference import cannot_be_tested, joined
from gsigpu.cohort_statistics.multiplicity import within_families
from gsigpu.cohort_statistics.roc.area_estimate import AucDifference, opposite_sides
from gsigpu.cohort_statistics.roc.clustered import obuchowski_paired
from gsigpu.cohort_statistics.roc.curve import Array, Direction, area, oriented
from gsigpu.cohort_statistics.roc.delong import delong_paired
from gsigpu.cohort_statistics.roc.equivalence import equivalence
from gsigpu.cohort_statistics.roc.roc_settings import RocSettings
from gsigpu.cohort_statistics.sample import Codes, clean_parameters
from gsigpu.errors import InputError


def roc_comparisons(
    values: ArrayLike,
    parameters: Sequence[str],
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    settings: RocSettings | Sequence[RocSettings] | None = None,
    margin: float | None = None,
) -> pd.DataFrame:
    """Paired comparison of the areas of every two parameters, for every pair of groups.

    values (n, K) : one column per parameter, one row per lesion; lesions without both parameters are
        left out of that comparison and counted (`n_incomplete`)
    settings : one for all, or one per parameter (for its declared direction)
    margin : a difference of areas that does not matter, fixed beforehand; then `p_equivalence` and the interval
        `equivalence_low`, `equivalence_high` of the two one-sided tests (`equivalence`)
    Returns COMPARISON_COLUMNS; difference is the area of parameter_a less that of parameter_b.
    Methods: delong on the paper track (lesions independent, each curve turned to AUC >= .5),
    obuchowski on the recommended, and delong there too where every patient has one lesion.
    `p_holm` is over all rows of one track and method.

    >>> x = np.array([[3.0, 9.0], [2.0, 4.0], [4.0, 16.0], [1.0, 1.0], [2.5, 6.25]])
    >>> compared = roc_comparisons(x, ["t", "t²"], list("aaabb"), list("pqrst"), order="ab")
    >>> compared[["track", "method", "difference", "p"]].values.tolist()
    [['paper', 'delong', 0.0, 1.0], ['recommended', 'obuchowski', 0.0, 1.0],
     ['recommended', 'delong', 0.0, 1.0]]
    """
    table = clean_parameters(values, parameters, groups, patients, order)
    each = _per_parameter(settings, len(parameters))
    rows: list[dict[str, object]] = []
    for code_a, code_b in combinations(range(len(table.order)), 2):
        pair = table.order[code_a], table.order[code_b]
        positive, negative = table.groups == code_a, table.groups == code_b
        for k, m in combinations(range(len(parameters)), 2):
            columns = table.values[:, [k, m]]
            complete = ~np.isnan(columns).any(axis=1)
            lesions = columns[positive & complete].T, columns[negative & complete].T
            units = table.patients[positive & complete], table.patients[negative & complete]
            head = {
                "group_a": pair[0],
                "group_b": pair[1],
                "parameter_a": parameters[k],
                "parameter_b": parameters[m],
                "n_a": units[0].size,
                "n_b": units[1].size,
                "n_patients_a": np.unique(units[0]).size,
                "n_patients_b": np.unique(units[1]).size,
                "n_incomplete": int(((positive | negative) & ~complete).sum()),
            }
            declared = each[k].direction_of(*pair), each[m].direction_of(*pair)
            rows += _compared(head, lesions, units, declared, each[k].confidence, margin)
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
    units: tuple[Codes, Codes],
    declared: tuple[Direction, Direction],
    confidence: float,
    margin: float | None,
) -> list[dict[str, object]]:
    """The rows of one pair of groups and one pair of parameters."""
    x, y = lesions
    if x.shape[1] == 0 or y.shape[1] == 0:
        empty = {"note": cannot_be_tested("no lesion has both parameters in a group")}
        return [
            head | {"track": track, "method": method} | empty
            for track, method in (("paper", "delong"), ("recommended", "obuchowski"))
        ]
    turned: tuple[Direction, Direction] = (_turned(x[0], y[0]), _turned(x[1], y[1]))
    results = [("paper", "delong", turned, _delong(x, y, turned, confidence))]
    clustered = obuchowski_paired(
        _oriented(x, declared), _oriented(y, declared), *units, confidence=confidence
    )
    results.append(("recommended", "obuchowski", declared, clustered))
    if np.unique(np.concatenate(units)).size == x.shape[1] + y.shape[1]:
        results.append(("recommended", "delong", declared, _delong(x, y, declared, confidence)))
    return [
        head
        | {
            "track": track,
            "method": method,
            "direction_a": directions[0],
            "direction_b": directions[1],
            "auc_a": result.auc_a,
            "auc_b": result.auc_b,
            "difference": result.difference,
            "se": result.se,
            "ci_low": result.ci_low,
            "ci_high": result.ci_high,
            "z": result.z,
            "p": result.p,
            "df": result.df,
            "note": joined(result.note, opposite_sides(result.auc_a, result.auc_b)),
        }
        | _equivalent(result, margin)
        for track, method, directions, result in results
    ]


def _equivalent(result: AucDifference, margin: float | None) -> dict[str, object]:
    if margin is None:
        return {}
    tested = equivalence(result, margin=margin)
    return {
        "equivalence_margin": margin,
        "equivalence_low": tested.ci_low,
        "equivalence_high": tested.ci_high,
        "p_equivalence": tested.p,
    }


def _turned(x: Array, y: Array) -> Direction:
    return "higher" if area(x, y) >= 0.5 else "lower"


def _oriented(values: Array, directions: tuple[Direction, Direction]) -> Array:
    return np.stack([oriented(row, d) for row, d in zip(values, directions, strict=True)])


def _delong(
    x: Array, y: Array, directions: tuple[Direction, Direction], confidence: float
) -> AucDifference:
    (xa, xb), (ya, yb) = _oriented(x, directions), _oriented(y, directions)
    return delong_paired(xa, ya, xb, yb, confidence=confidence)
