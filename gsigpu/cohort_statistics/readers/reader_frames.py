"""What readers decide at the cut-offs, and how their areas compare, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gsigpu.cohort_statistics.frames import KAPPA_COLUMNS, READER_COMPARISON_COLUMNS
from gsigpu.cohort_statistics.inference import cannot_be_tested, joined
from gsigpu.cohort_statistics.multiplicity import within_families
from gsigpu.cohort_statistics.readers.agreement import wide_ratings
from gsigpu.cohort_statistics.readers.kappa import decision_kappa
from gsigpu.cohort_statistics.readers.multireader import compare_over_readers
from gsigpu.cohort_statistics.roc.area_estimate import opposite_sides
from gsigpu.cohort_statistics.roc.curve import Direction, oriented
from gsigpu.cohort_statistics.roc.roc_settings import RocSettings, pairs
from gsigpu.errors import InputError

KAPPA_NAMES = (
    "kappa", "se", "ci_low", "ci_high", "observed", "expected", "both_positive", "only_a", "only_b",
    "both_negative", "n_patients", "note",
)  # fmt: skip


def decision_agreement(
    values: ArrayLike,
    lesions: ArrayLike,
    patients: ArrayLike,
    readers: ArrayLike,
    groups: ArrayLike,
    cutoffs: pd.DataFrame,
    *,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Cohen's kappa of every two readers at the cut-off of every pair of groups, on lesions that both measured.

    values (n,) float, NaN where missing; lesions, patients, readers, groups (n,) str : a row per lesion and reader
    cutoffs : `group_a, group_b, direction, cutoff`, a row per pair of groups; pairs without a cut-off give no row
    Returns KAPPA_COLUMNS. The cut-off is one number for both readers, chosen on these lesions: kappa is that of
    readers who use it, not of readers who choose their own.
    Raises InputError for what `reader_agreement` refuses.
    """
    table = wide_ratings(values, lesions, patients, readers)
    group_of = dict(
        zip(np.asarray(patients).astype(str), np.asarray(groups).astype(str), strict=True)
    )
    patient = table.index.get_level_values("patient_id").to_numpy(dtype=object)
    group = np.array([group_of[name] for name in patient], dtype=object)
    rows = []
    for cut in cutoffs[np.isfinite(cutoffs["cutoff"].astype(float))].to_dict("records"):
        inside = np.isin(group, [cut["group_a"], cut["group_b"]])
        for a, b in combinations(table.columns, 2):
            first, second = table[a].to_numpy(np.float64), table[b].to_numpy(np.float64)
            both = inside & np.isfinite(first) & np.isfinite(second)
            head: dict[str, object] = {"track": "recommended", "reader_a": a, "reader_b": b}
            head |= {name: cut[name] for name in ("group_a", "group_b", "direction", "cutoff")}
            head["n_lesions"] = int(both.sum())
            if not both.any():
                rows.append(head | {"note": cannot_be_tested("no lesion was measured by both")})
                continue
            kappa = decision_kappa(
                first[both],
                second[both],
                patient[both],
                cutoff=float(cut["cutoff"]),
                direction="lower" if cut["direction"] == "lower" else "higher",
                confidence=confidence,
            )
            rows.append(head | {name: asdict(kappa)[name] for name in KAPPA_NAMES})
    return pd.DataFrame(rows, columns=list(KAPPA_COLUMNS))


def reader_comparisons(
    values: ArrayLike,
    parameters: Sequence[str],
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    settings: Sequence[RocSettings],
) -> pd.DataFrame:
    """`compare_over_readers` of every two parameters, for every pair of groups.

    values (n, R, K) : a row per lesion, R readers, one column per parameter; a lesion that lacks a value of the
        two parameters by any reader is left out and counted (`n_incomplete`)
    groups (n,), patients (n,) str; settings : one per parameter, for its declared direction
    Returns READER_COMPARISON_COLUMNS; `p_holm` is over all its rows.
    Raises InputError for arrays of other shapes.
    """
    x = np.asarray(values, np.float64)
    group, patient = np.asarray(groups).astype(str), np.asarray(patients).astype(str)
    if x.ndim != 3 or x.shape[2] != len(parameters) or x.shape[:1] != group.shape:
        raise InputError("a comparison over readers needs lesions by readers by parameters")
    rows = [
        _compared(x[:, :, [k, m]], group, patient, pair, (k, m), parameters, settings)
        for pair in pairs(tuple(order))
        for k, m in combinations(range(len(parameters)), 2)
    ]
    frame = pd.DataFrame(rows, columns=list(READER_COMPARISON_COLUMNS))
    return within_families(frame, "pairs of groups and of parameters of one phase and region")


def _compared(
    x: NDArray[np.float64],
    group: NDArray[np.str_],
    patient: NDArray[np.str_],
    pair: tuple[str, str],
    places: tuple[int, int],
    parameters: Sequence[str],
    settings: Sequence[RocSettings],
) -> dict[str, object]:
    complete = np.isfinite(x).all(axis=(1, 2))
    sides = [(group == name) & complete for name in pair]
    declared: list[Direction] = [settings[place].direction_of(*pair) for place in places]
    row: dict[str, object] = {
        "track": "recommended",
        "method": "obuchowski-rockette",
        "group_a": pair[0],
        "group_b": pair[1],
        "parameter_a": parameters[places[0]],
        "parameter_b": parameters[places[1]],
        "direction_a": declared[0],
        "direction_b": declared[1],
        "n_readers": x.shape[1],
        "n_a": int(sides[0].sum()),
        "n_b": int(sides[1].sum()),
        "n_patients_a": np.unique(patient[sides[0]]).size,
        "n_patients_b": np.unique(patient[sides[1]]).size,
        "n_incomplete": int((np.isin(group, pair) & ~complete).sum()),
    }
    if not all(side.any() for side in sides):
        reason = "no lesion of a group has both parameters by every reader"
        return row | {"note": cannot_be_tested(reason)}
    positive, negative = (
        np.stack([oriented(x[side, :, i].T, way) for i, way in enumerate(declared)])
        for side in sides
    )
    compared = compare_over_readers(
        positive, negative, patient[sides[0]], patient[sides[1]], confidence=settings[0].confidence
    )
    return row | {
        "auc_a": compared.auc_a,
        "auc_b": compared.auc_b,
        "difference": compared.difference,
        "ci_low": compared.ci_low,
        "ci_high": compared.ci_high,
        "statistic": compared.f,
        "df1": 1.0 if np.isfinite(compared.f) else np.nan,
        "df2": compared.df2,
        "p": compared.p,
        "note": joined(compared.note, opposite_sides(compared.auc_a, compared.auc_b)),
    }


def by_reader_array(
    table: pd.DataFrame, parameters: Sequence[str]
) -> tuple[NDArray[np.float64], pd.DataFrame]:
    """Values (n, R, K) of `reader_comparisons`, and the lesions that their rows are.

    table : `patient_id, lesion_id, group, reader, parameter, value`, one row each
    Returns the array, readers in order of their names, NaN where nobody measured, and `patient_id, lesion_id,
    group` of its rows.
    """
    key = ["group", "patient_id", "lesion_id"]
    wide = table.set_index([*key, "reader", "parameter"])["value"].unstack(["reader", "parameter"])
    readers = sorted(table["reader"].unique())
    columns = pd.MultiIndex.from_tuples(list(_cells(readers, parameters)))
    array = wide.reindex(columns=columns).to_numpy(np.float64)
    lesions = wide.index.to_frame(index=False)
    return array.reshape(len(wide), len(readers), len(parameters)), lesions


def _cells(readers: Sequence[str], parameters: Sequence[str]) -> Iterator[tuple[str, str]]:
    for reader in readers:
        for parameter in parameters:
            yield reader, parameter
