"""Agreement of readers: intraclass correlation and Bland-Altman, on both tracks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gsigpu.cohort_statistics.frames import (
    BLAND_ALTMAN_COLUMNS,
    BLAND_ALTMAN_POINT_COLUMNS,
    ICC_COLUMNS,
)
from gsigpu.cohort_statistics.inference import joined
from gsigpu.cohort_statistics.readers.all_ratings import icc_of_all_ratings
from gsigpu.cohort_statistics.readers.bland_altman import clustered_limits, limits_of_agreement
from gsigpu.cohort_statistics.readers.intraclass import intraclass_correlation, patient_jackknife
from gsigpu.cohort_statistics.sample import dense
from gsigpu.errors import InputError


@dataclass(frozen=True, slots=True)
class Agreement:
    """Frames of one family member: ICC_COLUMNS, BLAND_ALTMAN_COLUMNS, BLAND_ALTMAN_POINT_COLUMNS."""

    icc: pd.DataFrame
    bland_altman: pd.DataFrame
    points: pd.DataFrame


def reader_agreement(
    values: ArrayLike,
    lesions: ArrayLike,
    patients: ArrayLike,
    readers: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Agreement:
    """How well readers agree on one parameter, one row of the input per lesion and reader.

    values (n,) float, NaN where missing; lesions, patients, readers (n,) str; a lesion is named by
    patient and lesion together, and has at most one value per reader
    The six forms need a value of every reader: other lesions are left out and counted in `n_incomplete`. Where
    there are such, ICC2-all and ICC3-all take every rating (`all_ratings`; n_lesions then are those of two readers
    or more);
    a pair of readers uses all lesions that both measured. With one reader the frames are empty.
    Readers stand in order of first appearance. Raises InputError for a lesion read twice by one.

    >>> agreement = reader_agreement(
    ...     [1, 2, 4, 1.5, 2, 4.5], ["l"] * 6, [1, 2, 3, 1, 2, 3], ["x"] * 3 + ["y"] * 3
    ... )
    >>> agreement.icc.loc[agreement.icc["form"] == "ICC3", ["track", "icc"]].round(4).values.tolist()
    [['paper', 0.9831], ['recommended', 0.9831]]
    """
    table = wide_ratings(values, lesions, patients, readers)
    names = list(table.columns)
    if len(names) < 2:
        empty = (ICC_COLUMNS, BLAND_ALTMAN_COLUMNS, BLAND_ALTMAN_POINT_COLUMNS)
        return Agreement(*(pd.DataFrame(columns=list(columns)) for columns in empty))
    limits, points = [], []
    for a, b in combinations(names, 2):
        rows, frame = _pair(table, a, b, confidence)
        limits.extend(rows)
        points.append(frame)
    return Agreement(
        icc=pd.DataFrame(_icc_rows(table, confidence), columns=list(ICC_COLUMNS)),
        bland_altman=pd.DataFrame(limits, columns=list(BLAND_ALTMAN_COLUMNS)),
        points=pd.concat(points, ignore_index=True)[list(BLAND_ALTMAN_POINT_COLUMNS)],
    )


def wide_ratings(
    values: ArrayLike, lesions: ArrayLike, patients: ArrayLike, readers: ArrayLike
) -> pd.DataFrame:
    """Rows (patient_id, lesion_id) and one column per reader, both in order of first appearance.

    Raises InputError for lists of different lengths, and a lesion with two values of one reader.
    """
    keys = {"patient_id": patients, "lesion_id": lesions, "reader": readers}
    try:
        tidy = pd.DataFrame(
            {name: np.asarray(labels).astype(str).astype(object) for name, labels in keys.items()}
            | {"value": np.asarray(values, np.float64)}
        )
    except ValueError as error:
        raise InputError("values, lesions, patients and readers differ in length") from error
    tidy["value"] = tidy["value"].where(np.isfinite(tidy["value"]))
    twice = tidy.duplicated(list(keys))
    if twice.any():
        first = tidy[twice].iloc[0]
        raise InputError(
            f"reader {first['reader']} has two values of lesion {first['lesion_id']} of patient "
            f"{first['patient_id']}",
            remedy="keep one",
        )
    wide = tidy.set_index(list(keys))["value"].unstack("reader")
    index = pd.MultiIndex.from_frame(tidy[["patient_id", "lesion_id"]].drop_duplicates())
    return wide.reindex(index=index, columns=pd.unique(tidy["reader"]))


def _patient_codes(table: pd.DataFrame) -> NDArray[np.intp]:
    return dense(table.index.get_level_values("patient_id").to_numpy(dtype=object))


def _icc_rows(table: pd.DataFrame, confidence: float) -> list[dict[str, object]]:
    complete = table.dropna()
    ratings, patients = complete.to_numpy(np.float64), _patient_codes(complete)
    forms = intraclass_correlation(ratings, confidence=confidence)
    low, high = patient_jackknife(ratings, patients, confidence=confidence)
    n_patients = int(patients.max()) + 1 if patients.size else 0
    shared = {
        "n_lesions": len(complete),
        "n_patients": n_patients,
        "n_readers": table.shape[1],
        "n_incomplete": len(table) - len(complete),
    }
    rows: list[dict[str, object]] = [
        {
            "track": "paper",
            "unit": "lesion",
            "form": form.form,
            "icc": form.icc,
            "ci_low": form.ci_low,
            "ci_high": form.ci_high,
            "statistic": form.f,
            "df1": form.df1,
            "df2": form.df2,
            "p": form.p,
            "note": form.note,
            **shared,
        }
        for form in forms
    ]
    unknown = "interval needs three patients and readers that do not agree perfectly"
    for place, form in enumerate(forms):
        known = np.isfinite([form.icc, low[place]]).all()
        rows.append(
            {
                "track": "recommended",
                "unit": "patient",
                "form": form.form,
                "icc": form.icc,
                "ci_low": low[place] if known else np.nan,
                "ci_high": high[place] if known else np.nan,
                "note": form.note or ("" if known else unknown),
                **shared,
            }
        )
    return [*rows, *_rows_of_all_ratings(table, confidence)]


def _rows_of_all_ratings(table: pd.DataFrame, confidence: float) -> list[dict[str, object]]:
    """ICC2-all and ICC3-all where some lesions lack a reader: every rating counts; none where all are there."""
    values = table.to_numpy(np.float64)
    lesion, reader = np.nonzero(~np.isnan(values))
    if lesion.size == values.size:
        return []
    names = {
        name: table.index.get_level_values(name).to_numpy(dtype=object)[lesion]
        for name in ("lesion_id", "patient_id")
    }
    icc = icc_of_all_ratings(
        values[lesion, reader],
        names["lesion_id"],
        names["patient_id"],
        reader,
        confidence=confidence,
    )
    shared = {
        "track": "recommended",
        "unit": "patient",
        "n_lesions": icc.n_lesions_of_several,
        "n_patients": icc.n_patients,
        "n_readers": icc.n_readers,
        "n_incomplete": icc.n_lesions - icc.n_lesions_of_several,
        "note": joined(f"{icc.n_ratings} ratings", icc.note),
    }
    agreement = (icc.agreement, icc.agreement_low, icc.agreement_high)
    consistency = (icc.consistency, icc.consistency_low, icc.consistency_high)
    return [
        {"form": form, "icc": value, "ci_low": low, "ci_high": high, **shared}
        for form, (value, low, high) in (("ICC2-all", agreement), ("ICC3-all", consistency))
    ]


def _pair(
    table: pd.DataFrame, a: str, b: str, confidence: float
) -> tuple[list[dict[str, object]], pd.DataFrame]:
    both = table[[a, b]].dropna()
    first, second = both[a].to_numpy(np.float64), both[b].to_numpy(np.float64)
    gap, patients = first - second, _patient_codes(both)
    limits = {
        "paper": limits_of_agreement(gap, confidence=confidence),
        "recommended": clustered_limits(gap, patients, confidence=confidence),
    }
    rows = [
        {
            "track": track,
            "unit": "lesion" if track == "paper" else "patient",
            "reader_a": a,
            "reader_b": b,
            "n": gap.size,
            "n_patients": int(np.unique(patients).size),
            "n_incomplete": len(table) - len(both),
            **asdict(agreement),
        }
        for track, agreement in limits.items()
    ]
    points = both.index.to_frame(index=False)
    points["reader_a"], points["reader_b"] = a, b
    points["mean"], points["difference"] = (first + second) / 2, gap
    return rows, points
