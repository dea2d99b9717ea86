"""Regions of the same lesion, or phases of the same region, compared on both tracks.

`paper`: paired t of lesions, and repeated-measures ANOVA for three conditions or more, Bonferroni.
`recommended`: a mixed model with random intercepts of patients and of lesions inside them, cluster-robust
variances, Holm. A value of the patient (normal liver) enters the model once; the paper track, as the source
study's readers did, pairs it with each lesion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from gsigpu.cohort_statistics.frames import WITHIN_COLUMNS, WITHIN_MIXED, placed
from gsigpu.cohort_statistics.inference import cannot_be_tested, joined, quantile
from gsigpu.cohort_statistics.mixed_model.cluster_robust import ClusterRobust, cluster_robust
from gsigpu.cohort_statistics.mixed_model.nested_intercepts import fit_nested_intercepts
from gsigpu.cohort_statistics.multiplicity import bonferroni, holm
from gsigpu.cohort_statistics.sample import Array, Codes, dense, group_codes
from gsigpu.cohort_statistics.within.ratio import Ratio, fieller
from gsigpu.cohort_statistics.within.repeated_measures import (
    RepeatedMeasures,
    paired_t,
    repeated_measures,
)
from gsigpu.errors import InputError

Row = dict[str, object]
FAMILY = "pairs of conditions of one parameter"


@dataclass(frozen=True, slots=True)
class _Values:
    """Cleaned values with codes; `wide` has a row per lesion and a column per condition, NaN where missing."""

    values: Array
    condition: Codes
    patient: Codes
    lesion: Codes
    group: Codes
    wide: Array
    patient_of_row: Codes
    group_of_row: Codes
    n_missing: int
    order: tuple[str, ...]
    groups: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return list(combinations(range(len(self.order)), 2))

    def counts(self, columns: Sequence[int], group: int | None = None) -> dict[str, int]:
        """Lesions with all of these conditions, their patients, and lesions with some of them."""
        mine = np.ones(len(self.wide), bool) if group is None else self.group_of_row == group
        present = np.isfinite(self.wide[mine][:, list(columns)])
        complete = present.all(axis=1)
        return {
            "n_lesions": int(complete.sum()),
            "n_patients": int(np.unique(self.patient_of_row[mine][complete]).size),
            "n_incomplete": int((present.any(axis=1) & ~complete).sum()),
            "n_missing": self.n_missing,
        }


def within_tests(
    values: ArrayLike,
    lesions: ArrayLike,
    patients: ArrayLike,
    conditions: ArrayLike,
    *,
    order: Sequence[str],
    comparison: str,
    groups: ArrayLike | None = None,
    group_order: Sequence[str] = (),
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Differences and ratios of every two conditions, and tests of all conditions together.

    values (n,) float, NaN where missing (dropped and counted); lesions (n,) str, "" for a value of the patient;
    patients (n,), conditions (n,) str, at most one value per patient, lesion and condition
    order : the conditions, at least two; comparison : what they are, `region` or `phase`
    groups (n,) : with `group_order`, the groups whose conditions may differ by different amounts
    Returns WITHIN_COLUMNS, difference = a - b, ratio = a / b; `p_holm_all` is left NaN for `adjust_over_all`.
    What is assumed, what it is tested against and what to use instead: `repeated_measures`, `cluster_robust`,
    `ratio`. Raises InputError for unequal lengths, infinite values, unknown or repeated names, and a lesion
    with two values of a condition.

    >>> frame = within_tests(
    ...     [3.0, 1.0, 5.0, 2.0, 4.0, 2.5], ["1"] * 6, list("ppqqrr"), ["rim", "core"] * 3,
    ...     order=["rim", "core"], comparison="region",
    ... )
    >>> frame[["track", "test", "difference", "p"]].round(3).values.tolist()
    [['paper', 'paired-t', 2.167, 0.039], ['recommended', 'mixed', 2.167, 0.039]]
    """
    cells = _clean(values, lesions, patients, conditions, order, groups, group_order)
    rows = [*_paper(cells, confidence), *_recommended(cells, confidence)]
    frame = pd.DataFrame(rows, columns=list(WITHIN_COLUMNS))
    frame["comparison"], frame["p_holm_all"], frame["family_all"] = comparison, np.nan, ""
    families = frame.groupby(["track", "test"], sort=False)["p"]
    frame["p_bonferroni"], frame["p_holm"] = (
        families.transform(bonferroni),
        families.transform(holm),
    )
    frame["family"] = families.transform("count").astype(int).astype(str) + f" {FAMILY}"
    return frame


def _clean(
    values: ArrayLike,
    lesions: ArrayLike,
    patients: ArrayLike,
    conditions: ArrayLike,
    order: Sequence[str],
    groups: ArrayLike | None,
    group_order: Sequence[str],
) -> _Values:
    value = np.asarray(values, np.float64)
    labels = {"lesion": lesions, "patient": patients}
    text = {name: np.asarray(column, dtype=object).astype(str) for name, column in labels.items()}
    shapes = {value.shape, np.shape(conditions), *(column.shape for column in text.values())}
    if groups is not None:
        shapes.add(np.shape(groups))
    if len(shapes) != 1 or value.ndim != 1:
        raise InputError("values, lesions, patients, conditions and groups must be of one length")
    if np.isinf(value).any():
        raise InputError("a value is infinite", remedy="mark it as missing")
    condition = group_codes(conditions, order)
    group = np.zeros(value.size, np.intp) if groups is None else group_codes(groups, group_order)
    frame = pd.DataFrame({**text, "condition": condition, "group": group, "value": value})
    twice = frame.duplicated(["patient", "lesion", "condition"])
    if twice.any():
        first = frame[twice].iloc[0]
        raise InputError(
            f"lesion {first['lesion']} of patient {first['patient']} has two values of "
            f"{order[first['condition']]}",
            remedy="keep one",
        )
    kept = frame[np.isfinite(frame["value"])]
    wide = _wide(kept, len(order))
    return _Values(
        values=kept["value"].to_numpy(np.float64),
        condition=kept["condition"].to_numpy(np.intp),
        patient=dense(kept["patient"].to_numpy(object)),
        lesion=dense((kept["patient"] + "\x1f" + kept["lesion"]).to_numpy(object)),
        group=kept["group"].to_numpy(np.intp),
        wide=wide[list(range(len(order)))].to_numpy(np.float64),
        patient_of_row=dense(wide["patient"].to_numpy(object)),
        group_of_row=wide["group"].to_numpy(np.intp),
        n_missing=len(frame) - len(kept),
        order=tuple(order),
        groups=tuple(group_order) if groups is not None else (),
    )


def _wide(kept: pd.DataFrame, n_conditions: int) -> pd.DataFrame:
    """A row per lesion, the values of its patient beside; a row per patient where no value is a lesion's."""
    of_lesion = kept[kept["lesion"] != ""]
    of_patient = kept[kept["lesion"] == ""]
    named = of_lesion if len(of_lesion) else of_patient
    rows = named[["patient", "lesion", "group"]].drop_duplicates(["patient", "lesion"])
    for code in range(n_conditions):
        mine = named.loc[named["condition"] == code, ["patient", "lesion", "value"]]
        rows = rows.merge(
            mine.rename(columns={"value": code}), on=["patient", "lesion"], how="left"
        )
        if len(of_lesion):
            shared = of_patient[of_patient["condition"] == code].set_index("patient")["value"]
            rows[code] = rows[code].fillna(rows["patient"].map(shared))
    return rows


def _paper(cells: _Values, confidence: float) -> list[Row]:
    every = np.isfinite(cells.wide).all(axis=1)
    complete, whole = cells.wide[every], range(len(cells.order))
    rows: list[Row] = []
    if len(cells.order) > 2:
        rows.append(_anova_row("rm-anova", repeated_measures(complete)) | cells.counts(whole))
    if cells.groups:
        present, group = np.unique(cells.group_of_row[every], return_inverse=True)
        test = repeated_measures(complete, group, interaction=True)
        row = _anova_row("rm-anova-interaction", test) | cells.counts(whole)
        absent = [name for code, name in enumerate(cells.groups) if code not in present]
        row["note"] = joined(test.note, f"without {', '.join(absent)}" if absent else "")
        rows.append(row)
    for a, b in cells.pairs:
        first, second = complete[:, a], complete[:, b]
        t = paired_t(first, second, confidence=confidence)
        n = max(first.size, 1)
        spread = np.cov(first, second) / n if n > 1 else np.full((2, 2), np.nan)
        mean_a, mean_b = (float(side.mean()) if side.size else np.nan for side in (first, second))
        ratio = fieller(
            mean_a,
            mean_b,
            spread[0, 0],
            spread[1, 1],
            spread[0, 1],
            df=n - 1.0,
            confidence=confidence,
        )
        rows.append(
            placed("paired-t")
            | _pair_columns(cells, a, b, ratio)
            | {
                "difference": t.difference,
                "ci_low": t.ci_low,
                "ci_high": t.ci_high,
                "statistic": t.t,
                "df1": 1.0,
                "df2": t.df,
                "p": t.p,
                "note": joined(t.note, _without_ratio(ratio)),
            }
            | cells.counts(whole)
        )
    return rows


def _anova_row(name: str, test: RepeatedMeasures) -> Row:
    return placed(name) | {
        "group": "",
        "statistic": test.f,
        "df1": test.df1 * test.epsilon,
        "df2": test.df2 * test.epsilon,
        "p": test.p_corrected,
        "p_uncorrected": test.p,
        "epsilon": test.epsilon,
        "mauchly_w": test.mauchly_w,
        "mauchly_p": test.mauchly_p,
        "note": test.note,
    }


def _pair_columns(cells: _Values, a: int, b: int, ratio: Ratio, group: str = "") -> Row:
    return {
        "group": group,
        "condition_a": cells.order[a],
        "condition_b": cells.order[b],
        "ratio": ratio.ratio,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
    }


def _without_ratio(ratio: Ratio) -> str:
    unbounded = np.isfinite(ratio.ratio) and np.isnan(ratio.low)
    return "the denominator may be 0: the ratio has no interval" if unbounded else ""


def _recommended(cells: _Values, confidence: float) -> list[Row]:
    n_conditions = len(cells.order)
    model = _model(cells, cells.condition, n_conditions)
    rows: list[Row] = []
    if n_conditions > 2:
        rows.append(_wald_row("mixed-overall", model, _differences(n_conditions), cells))
    rows += [_pair_row("mixed", model, cells, pair, confidence) for pair in cells.pairs]
    if not cells.groups:
        return rows
    present = [code for code in range(len(cells.groups)) if (cells.group == code).any()]
    place = np.searchsorted(present, cells.group)
    model = _model(cells, place * n_conditions + cells.condition, n_conditions * len(present))
    if len(present) > 1:
        by_group = np.asarray(
            np.kron(_differences(len(present)), _differences(n_conditions)), np.float64
        )
        rows.append(_wald_row("mixed-interaction", model, by_group, cells))
    for position, code in enumerate(present):
        for pair in cells.pairs:
            places = tuple(position * n_conditions + side for side in pair)
            rows.append(_pair_row("mixed-in-group", model, cells, pair, confidence, places, code))
    return rows


def _differences(n: int) -> Array:
    """(n - 1, n): the first mean less each of the others."""
    return np.column_stack([np.ones(n - 1), -np.eye(n - 1)])


def _model(cells: _Values, cell: Codes, n_cells: int) -> ClusterRobust | str:
    """The model with one mean per cell, or why there is none."""
    design = (cell[:, None] == np.arange(n_cells)).astype(np.float64)
    if not design.any(axis=0).all():
        return "a group lacks a condition" if cells.groups else "a condition has no values"
    fit = fit_nested_intercepts(cells.values, design, cells.patient, cells.lesion)
    return fit if isinstance(fit, str) else cluster_robust(fit)


def _wald_row(name: str, model: ClusterRobust | str, weights: Array, cells: _Values) -> Row:
    row: Row = {**placed(name), "group": "", **cells.counts(range(len(cells.order)))}
    if isinstance(model, str):
        return row | {"note": cannot_be_tested(model)}
    test = model.wald(weights)
    note = cannot_be_tested(test.note) if test.note else model.fit.note
    return row | {
        "statistic": test.f, "df1": test.df1, "df2": test.df2, "p": test.p, "note": note,
    }  # fmt: skip


def _pair_row(
    name: str,
    model: ClusterRobust | str,
    cells: _Values,
    pair: tuple[int, int],
    confidence: float,
    places: tuple[int, ...] | None = None,
    group: int | None = None,
) -> Row:
    """Difference and ratio of two cells; places : of the cells in the model, the pair itself without groups."""
    a, b = places or pair
    row: Row = {**placed(name), **cells.counts(pair, group)}
    if name == "mixed":
        row |= {"computation": WITHIN_MIXED}
    named = "" if group is None else cells.groups[group]
    nothing = Ratio(np.nan, np.nan, np.nan)
    if isinstance(model, str):
        return row | _pair_columns(cells, *pair, nothing, named) | {"note": cannot_be_tested(model)}
    weights = np.zeros(model.fit.coefficients.size)
    weights[[a, b]] = 1.0, -1.0
    contrast = model.contrast(weights)
    if not (contrast.se > 0 and np.isfinite(contrast.df)):
        reason = cannot_be_tested("patients do not differ in this difference, or one patient only")
        return row | _pair_columns(cells, *pair, nothing, named) | {
            "difference": contrast.estimate, "note": reason,
        }  # fmt: skip
    half = quantile(confidence, contrast.df) * contrast.se
    v, mean = model.covariance, model.fit.coefficients
    ratio = fieller(
        mean[a], mean[b], v[a, a], v[b, b], v[a, b], df=contrast.df, confidence=confidence
    )
    return (
        row
        | _pair_columns(cells, *pair, ratio, named)
        | {
            "difference": contrast.estimate,
            "ci_low": contrast.estimate - half,
            "ci_high": contrast.estimate + half,
            "statistic": contrast.estimate / contrast.se,
            "df1": 1.0,
            "df2": contrast.df,
            "p": contrast.p,
            "note": joined(model.fit.note, _without_ratio(ratio)),
        }
    )
