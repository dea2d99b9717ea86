"""The ROC family of one phase, region and parameter as tables, on both tracks.

`paper`: every lesion independent, DeLong, Youden's cut-off, curves turned so that AUC >= .5 as users
of SPSS do (the note says so). `recommended`: patients are the units, and the direction is the declared
one; an area below .5 stays there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from gsigpu.cohort_statistics.frames import CURVE_COLUMNS, ROC_COLUMNS
from gsigpu.cohort_statistics.inference import (
    LEVEL,
    cannot_be_tested,
    containing,
    joined,
    quantile,
    smallest_exact_p,
    two_sided,
)
from gsigpu.cohort_statistics.multiplicity import within_families
from gsigpu.cohort_statistics.roc.area_estimate import AucEstimate
from gsigpu.cohort_statistics.roc.bootstrap import (
    Pair,
    Replicates,
    bootstrap_pairs,
    interpolated,
)
from gsigpu.cohort_statistics.roc.clustered import obuchowski
from gsigpu.cohort_statistics.roc.clustered_rate import share_interval
from gsigpu.cohort_statistics.roc.curve import (
    Array,
    Cutoff,
    Direction,
    area,
    oriented,
    roc_curve,
    youden,
)
from gsigpu.cohort_statistics.roc.delong import delong
from gsigpu.cohort_statistics.roc.roc_settings import RocResult, RocSettings, Seed, pairs
from gsigpu.cohort_statistics.sample import Group, clean_sample

Curve = dict[str, str | Array]

FROM_THE_DATA = "direction taken from the data"
SAME = {"delong": "one lesion per patient: the same variance as obuchowski"}
UNREACHABLE = (
    "with so few units an exact test cannot go below p = {p:.3g}, after Holm over {n} pairs {adjusted:.3g}: "
    "not shown is not the same as no difference"
)
AGAINST = "below .5: the pair lies against the declared direction"


def roc_tables(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    seed: Seed,
    settings: RocSettings | None = None,
) -> RocResult:
    """ROC analysis of every pair of groups, one value per lesion.

    values (n,) float, NaN where missing (dropped and counted); groups (n,) and patients (n,) str
    order : the groups, first the one that is positive in its pairs
    seed : of the patient bootstrap; the same seed gives the same bytes
    Returns `roc` (ROC_COLUMNS) and `curves` (CURVE_COLUMNS). Methods: delong on the paper track;
    obuchowski, bootstrap, and delong where every patient has one lesion, on the recommended.
    `p_holm` is over the pairs of one track and method; `p_holm_all` is left NaN for the caller.
    Raises InputError for what `clean_sample` refuses.

    >>> result = roc_tables([3, 4, 2, 1.5, 1, 2], list("aaabbb"), list("ppqrst"), order="ab", seed=1)
    >>> result.roc[["track", "method", "auc", "n_patients_a"]].round(3).values.tolist()
    [['paper', 'delong', 0.944, 2], ['recommended', 'obuchowski', 0.944, 2],
     ['recommended', 'bootstrap', 0.944, 2]]
    """
    options = settings or RocSettings()
    members = clean_sample(values, groups, patients, order).groups
    declared = {pair: options.direction_of(*pair) for pair in pairs(tuple(order))}
    replicates = _replicates(members, declared, options, np.random.default_rng(seed))
    rows: list[dict[str, object]] = []
    curves: list[Curve] = []
    for (a, b), direction in declared.items():
        positive, negative = members[a], members[b]
        head = {"group_a": a, "group_b": b} | _counts(positive, negative)
        if positive.values.size == 0 or negative.values.size == 0:
            rows += _nothing(head, direction, positive, negative, a, b)
            continue
        for track_rows, curve in (
            _paper(head, positive, negative, options),
            _recommended(head, positive, negative, direction, options, replicates[a, b]),
        ):
            rows += track_rows
            curves.append(curve)
    roc = pd.DataFrame(rows, columns=list(ROC_COLUMNS))
    adjusted = within_families(roc, "pairs of groups of one phase, region and parameter")
    return RocResult(_with_unreachable(adjusted), _stacked(curves))


def _with_unreachable(roc: pd.DataFrame) -> pd.DataFrame:
    """Notes where the exact p of a perfect separation cannot pass Holm, however far apart the groups are."""
    exact = roc["p"].notna() & np.isclose(roc["p"], roc["p_smallest"], rtol=1e-12)
    exact &= roc["auc"].isin([0.0, 1.0])
    if not exact.any():
        return roc
    n_tests = roc.groupby(["track", "method"])["p"].transform("count")
    lost = exact & (roc["p_smallest"] * n_tests >= LEVEL)
    notes = [
        joined(row["note"], UNREACHABLE.format(p=row["p_smallest"], n=n, adjusted=row["p_holm"]))
        if unreachable
        else row["note"]
        for row, n, unreachable in zip(roc.to_dict("records"), n_tests, lost, strict=True)
    ]
    return roc.assign(note=notes)


def _replicates(
    members: Mapping[str, Group],
    declared: Mapping[tuple[str, str], Direction],
    options: RocSettings,
    rng: np.random.Generator,
) -> dict[tuple[str, str], Replicates]:
    """The bootstrap of all pairs that have lesions, from common draws."""
    present = [name for name, group in members.items() if group.values.size]
    code = {name: k for k, name in enumerate(present)}
    possible = {pair: d for pair, d in declared.items() if pair[0] in code and pair[1] in code}
    if not possible:
        return {}
    _, patients = np.unique(
        np.concatenate([members[name].patients for name in present]), return_inverse=True
    )
    replicates = bootstrap_pairs(
        np.concatenate([members[name].values for name in present]),
        np.repeat(np.arange(len(present)), [members[name].values.size for name in present]),
        patients,
        [Pair(code[a], code[b], direction) for (a, b), direction in possible.items()],
        n_replicates=options.n_replicates,
        fpr_grid=np.linspace(0.0, 1.0, options.n_grid),
        rng=rng,
    )
    return dict(zip(possible, replicates, strict=True))


def _counts(positive: Group, negative: Group) -> dict[str, object]:
    return {
        "n_a": positive.values.size,
        "n_b": negative.values.size,
        "n_patients_a": positive.n_patients,
        "n_patients_b": negative.n_patients,
        "n_missing_a": positive.n_missing,
        "n_missing_b": negative.n_missing,
    }


def _nothing(
    head: dict[str, object], direction: Direction, positive: Group, negative: Group, a: str, b: str
) -> list[dict[str, object]]:
    """Rows of a pair with an empty group: present, and saying why they are empty."""
    empty = " and ".join(name for name, g in ((a, positive), (b, negative)) if g.values.size == 0)
    row = head | {"direction": direction, "note": cannot_be_tested(f"no value in {empty}")}
    return [
        row | {"track": track, "method": method}
        for track, method in (
            ("paper", "delong"),
            ("recommended", "obuchowski"),
            ("recommended", "bootstrap"),
        )
    ]


def _paper(
    head: dict[str, object], positive: Group, negative: Group, options: RocSettings
) -> tuple[list[dict[str, object]], Curve]:
    """DeLong per lesion, turned to AUC >= .5, and every point of the curve."""
    direction: Direction = "higher" if area(positive.values, negative.values) >= 0.5 else "lower"
    x, y = oriented(positive.values, direction), oriented(negative.values, direction)
    estimated = delong(x, y, confidence=options.confidence)
    cut = youden(positive.values, negative.values, direction=direction)
    lesions = np.arange(x.size), np.arange(y.size)
    row = (
        head
        | {"track": "paper", "method": "delong", "direction": direction}
        | _estimated(estimated, FROM_THE_DATA)
        | {"p_smallest": smallest_exact_p(x.size, y.size)}
        | _operating_point(positive, negative, cut, direction, lesions, options.confidence)
    )
    points = roc_curve(positive.values, negative.values, direction=direction)
    fpr, tpr = thinned(points.fpr, points.tpr, most=2 * options.n_grid)
    return [row], _curve(row, fpr, tpr, np.full((2, fpr.size), np.nan))


def _recommended(
    head: dict[str, object],
    positive: Group,
    negative: Group,
    direction: Direction,
    options: RocSettings,
    replicates: Replicates,
) -> tuple[list[dict[str, object]], Curve]:
    """Obuchowski, the bootstrap, DeLong where it holds; the curve with its band."""
    x, y = oriented(positive.values, direction), oriented(negative.values, direction)
    units = positive.patients, negative.patients
    clustered = obuchowski(x, y, *units, confidence=options.confidence)
    booted = _of_replicates(replicates, clustered, options.confidence)
    estimates = {"obuchowski": clustered, "bootstrap": booted}
    if np.unique(np.concatenate(units)).size == x.size + y.size:
        estimates["delong"] = delong(x, y, confidence=options.confidence, scale="logit")
    cut = youden(positive.values, negative.values, direction=direction)
    point = _operating_point(positive, negative, cut, direction, units, options.confidence)
    # One patient in a group: nothing was drawn there, and replicates would pretend otherwise.
    alone = min(positive.n_patients, negative.n_patients) < 2
    if not alone:
        point |= _booted_point(cut, replicates, options.confidence)
    note = AGAINST if clustered.auc < 0.5 else ""
    rows = [
        head
        | {"track": "recommended", "method": method, "direction": direction}
        | _estimated(estimated, joined(note, SAME.get(method, "")))
        | {"p_smallest": smallest_exact_p(positive.n_patients, negative.n_patients)}
        | point
        for method, estimated in estimates.items()
    ]
    points = roc_curve(positive.values, negative.values, direction=direction)
    grid = np.linspace(0.0, 1.0, options.n_grid)
    tails = (1.0 - options.confidence) / 2.0, (1.0 + options.confidence) / 2.0
    band = np.quantile(replicates.tpr, tails, axis=1)
    return rows, _curve(
        {**rows[0], "method": "bootstrap"},
        grid,
        interpolated(points.fpr, points.tpr, options.n_grid),
        np.full((2, grid.size), np.nan) if alone else band.astype(np.float64),
    )


def _of_replicates(
    replicates: Replicates, clustered: AucEstimate, confidence: float
) -> AucEstimate:
    """Interval and test with the replicates' standard error, on the log odds as for `obuchowski`."""
    auc = clustered.auc
    se = float(np.nanstd(replicates.auc, ddof=1))
    if clustered.note or not 0.0 < auc < 1.0 or se == 0.0:
        return clustered
    point, spread = float(logit(auc)), se / (auc * (1.0 - auc))
    half = quantile(confidence, clustered.df) * spread
    return AucEstimate(
        auc=auc,
        se=se,
        ci_low=float(expit(point - half)),
        ci_high=float(expit(point + half)),
        statistic=point / spread,
        df=clustered.df,
        p=two_sided(point / spread, clustered.df),
    )


def _estimated(estimated: AucEstimate, note: str) -> dict[str, object]:
    return {
        "auc": estimated.auc,
        "se": estimated.se,
        "ci_low": estimated.ci_low,
        "ci_high": estimated.ci_high,
        "p": estimated.p,
        "df": estimated.df,
        "note": joined(note, estimated.note),
    }


def _operating_point(
    positive: Group,
    negative: Group,
    cut: Cutoff,
    direction: Direction,
    units: tuple[NDArray[np.intp], NDArray[np.intp]],
    confidence: float,
) -> dict[str, object]:
    """The cut-off, and the intervals of what this very cut-off does."""
    if np.isnan(cut.cutoff):
        return {}
    at = float(oriented(cut.cutoff, direction))
    true = share_interval(
        oriented(positive.values, direction) > at, units[0], confidence=confidence
    )
    false = share_interval(
        oriented(negative.values, direction) <= at, units[1], confidence=confidence
    )
    return {
        "cutoff": cut.cutoff,
        "sensitivity": cut.sensitivity,
        "specificity": cut.specificity,
        "sensitivity_low": true[0],
        "sensitivity_high": true[1],
        "specificity_low": false[0],
        "specificity_high": false[1],
    }


def _booted_point(cut: Cutoff, replicates: Replicates, confidence: float) -> dict[str, object]:
    """Where else the cut-off might have fallen, and what is left of it on new patients."""
    if np.isnan(cut.cutoff):
        return {}
    tails = (1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0
    # An order statistic: a cut-off of ±inf (no use of the parameter) is a possible answer.
    low, high = containing(
        float(np.quantile(replicates.cutoff, tails[0], method="inverted_cdf")),
        cut.cutoff,
        float(np.quantile(replicates.cutoff, tails[1], method="inverted_cdf")),
    )
    sensitivity = cut.sensitivity - replicates.sensitivity_optimism
    specificity = cut.specificity - replicates.specificity_optimism
    return {
        "cutoff_low": low,
        "cutoff_high": high,
        "sensitivity_corrected": float(np.clip(sensitivity, 0.0, 1.0)),
        "specificity_corrected": float(np.clip(specificity, 0.0, 1.0)),
    }


def thinned(fpr: Array, tpr: Array, *, most: int) -> tuple[Array, Array]:
    """The curve without points on straight stretches, and never more than about `most` points.

    >>> thinned(np.array([0, 0, 0, 0.5, 1]), np.array([0, 0.5, 1, 1, 1]), most=9)
    (array([0., 0., 1.]), array([0., 1., 1.]))
    """
    df, dt = np.diff(fpr), np.diff(tpr)
    turns = df[1:] * dt[:-1] != df[:-1] * dt[1:]
    kept = np.flatnonzero(np.concatenate([[True], turns, [True]]))
    if kept.size > most:
        kept = kept[np.unique(np.linspace(0, kept.size - 1, most).round().astype(int))]
    return np.asarray(fpr[kept], np.float64), np.asarray(tpr[kept], np.float64)


def _curve(row: Mapping[str, object], fpr: Array, tpr: Array, band: Array) -> Curve:
    names = ("track", "method", "group_a", "group_b", "direction")
    points = {"fpr": fpr, "tpr": tpr, "tpr_low": band[0], "tpr_high": band[1]}
    return {name: str(row[name]) for name in names} | points


def _stacked(curves: Sequence[Curve]) -> pd.DataFrame:
    """All curves in one frame, CURVE_COLUMNS."""
    if not curves:
        return pd.DataFrame(columns=list(CURVE_COLUMNS))
    sizes = [np.size(curve["fpr"]) for curve in curves]
    columns: dict[str, object] = {}
    for name in CURVE_COLUMNS:
        if isinstance(curves[0][name], str):
            columns[name] = np.repeat([str(curve[name]) for curve in curves], sizes)
        else:
            columns[name] = np.concatenate([np.asarray(curve[name]) for curve in curves])
    return pd.DataFrame(columns)
