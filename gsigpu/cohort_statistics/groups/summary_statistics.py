"""Tests from a published table of n, mean and SD per group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gsigpu.cohort_statistics.frames import (
    BINORMAL_COLUMNS,
    DESCRIPTIVE_COLUMNS,
    OMNIBUS_COLUMNS,
    PAIRWISE_COLUMNS,
    labelled,
    placed,
)
from gsigpu.cohort_statistics.groups import omnibus, pairwise
from gsigpu.cohort_statistics.groups.effect_sizes import eta_squared, omega_squared
from gsigpu.cohort_statistics.groups.group_frames import omnibus_row, pairwise_rows
from gsigpu.cohort_statistics.groups.pairwise import Summaries
from gsigpu.cohort_statistics.inference import as_p
from gsigpu.cohort_statistics.multiplicity import adjust_over_all
from gsigpu.cohort_statistics.roc.binormal import binormal_auc
from gsigpu.cohort_statistics.roc.roc_settings import pairs
from gsigpu.errors import InputError

LABELS = ("phase", "region", "parameter")
NOT_COMPUTED = (
    (
        "clustering (mixed model, patients' means, ICC, design effect, clustered AUC): a table of n, "
        "mean and SD does not say which lesions share a patient; every lesion counts as independent"
    ),
    (
        "Levene's and Brown-Forsythe's tests: they need each value's distance from its group's "
        "centre; compare the SDs instead"
    ),
    "Kruskal-Wallis, Dunn, Cliff's delta, medians, quartiles: they need the order of the values",
    (
        "empirical ROC curves, cut-offs with sensitivity and specificity, DeLong, paired comparisons "
        "of areas: they need the values; the binormal area takes both groups as normal"
    ),
    "agreement of readers, combined models: they need each lesion's measurements together",
    "missing values: the table counts only what was measured",
)


@dataclass(frozen=True, slots=True)
class SummaryResult:
    """Frames with `phase, region, parameter` behind `track`, all members of the table.

    descriptives, omnibus, pairwise : the columns of the tests on lesions; what a summary cannot give
        is NaN
    roc : BINORMAL_COLUMNS
    not_computed : what needs the values of the lesions, and why, in words
    """

    descriptives: pd.DataFrame
    omnibus: pd.DataFrame
    pairwise: pd.DataFrame
    roc: pd.DataFrame
    not_computed: tuple[str, ...]


def summary_tests(
    summary: pd.DataFrame,
    *,
    order: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> SummaryResult:
    """ANOVA, LSD, Welch, Games-Howell and binormal AUC from n, mean and SD.

    summary : columns `group, n, mean, sd`, optional `phase, region, parameter`; SD over n - 1, NaN
        where n is 1
    order : the groups, by default in order of first appearance
    Every n counts as independent, on both tracks: a table does not say which lesions share a patient.
    Raises InputError for missing columns, duplicate or unknown groups, n below 1 or not whole, a
    missing mean, a negative or missing SD; all problems at once.

    >>> table = pd.DataFrame({"group": ["ctrl", "trt1", "trt2"], "n": 10,
    ...     "mean": [5.032, 4.661, 5.526], "sd": [0.5830914, 0.7936757, 0.4425733]})
    >>> summary_tests(table).omnibus[["test", "statistic", "p"]].round(4).values.tolist()
    [['anova', 4.8461, 0.0159], ['welch', 5.181, 0.0174]]
    """
    table = _checked(summary, order)
    names = tuple(order) if order is not None else tuple(dict.fromkeys(table["group"]))
    parts: list[list[pd.DataFrame]] = [[], [], [], []]
    for labels, member in table.groupby(list(LABELS), sort=False):
        phase, region, parameter = (str(label) for label in labels)
        groups = _summaries(member, names)
        for place, frame in enumerate(
            (
                _descriptives(groups, names, confidence),
                _omnibus(groups, confidence),
                _pairwise(groups, names, confidence),
                _roc(groups, names, confidence),
            )
        ):
            named = labelled(frame, phase=phase, region=region, parameter=parameter)
            parts[place].append(named)
    described, omnibus_frame, pairwise_frame, roc = (
        pd.concat(frames, ignore_index=True) for frames in parts
    )
    return SummaryResult(
        descriptives=described,
        omnibus=adjust_over_all(omnibus_frame),
        pairwise=adjust_over_all(pairwise_frame),
        roc=roc,
        not_computed=NOT_COMPUTED,
    )


def _checked(summary: pd.DataFrame, order: Sequence[str] | None) -> pd.DataFrame:
    gone = [name for name in ("group", "n", "mean", "sd") if name not in summary.columns]
    if gone:
        raise InputError(
            f"the summary table lacks {', '.join(gone)}", remedy="give group, n, mean, sd"
        )
    table = summary.reset_index(drop=True).copy()
    for name in LABELS:
        table[name] = table[name].astype(str) if name in table.columns else ""
    table["group"] = table["group"].astype(str)
    for name in ("n", "mean", "sd"):
        table[name] = pd.to_numeric(table[name], errors="coerce").astype(np.float64)
    problems = []
    for number, row in table.iterrows():
        where = f"row {int(str(number)) + 1} ({row['group']})"
        if not (row["n"] >= 1 and row["n"] == np.floor(row["n"]) and np.isfinite(row["n"])):
            problems.append(f"{where}: n is not a whole number of at least 1")
        if not np.isfinite(row["mean"]):
            problems.append(f"{where}: no mean")
        if row["sd"] < 0 or np.isinf(row["sd"]) or (np.isnan(row["sd"]) and row["n"] != 1):
            problems.append(f"{where}: SD is missing or negative")
        if order is not None and row["group"] not in order:
            problems.append(f"{where}: unknown group")
    twice = table.duplicated([*LABELS, "group"])
    problems += [f"{name} appears twice" for name in dict.fromkeys(table["group"][twice])]
    if not len(table):
        problems.append("it has no rows")
    elif len(set(table["group"])) < 2 and order is None:
        problems.append("it names fewer than two groups")
    if problems:
        raise InputError(f"summary table: {'; '.join(problems)}", remedy="mend the table")
    return table


def _summaries(member: pd.DataFrame, names: tuple[str, ...]) -> Summaries:
    rows = member.set_index("group").reindex(list(names))
    n = rows["n"].fillna(0.0).to_numpy(np.float64)
    variance = np.where(n > 1, rows["sd"].to_numpy(np.float64) ** 2, np.nan)
    return Summaries(n, rows["mean"].to_numpy(np.float64), variance)


def _descriptives(groups: Summaries, names: tuple[str, ...], confidence: float) -> pd.DataFrame:
    from scipy.stats import t

    rows = []
    for code, name in enumerate(names):
        n, mean = int(groups.n[code]), float(groups.mean[code])
        sd = float(np.sqrt(groups.variance[code]))
        half = float(t.ppf((1 + confidence) / 2, n - 1)) * sd / np.sqrt(n) if n > 1 else np.nan
        rows.append(
            {
                "track": "paper",
                "unit": "lesion",
                "group": name,
                "n_lesions": n,
                "mean": mean,
                "sd": sd,
                "ci_low": mean - half,
                "ci_high": mean + half,
                "note": "" if n else "no values",
            }
        )
    return pd.DataFrame(rows, columns=list(DESCRIPTIVE_COLUMNS))


def _omnibus(groups: Summaries, confidence: float) -> pd.DataFrame:
    rows = [
        {**placed(name, unit="lesion"), **omnibus_row(test), "n_lesions": int(groups.n.sum())}
        for name, test in (
            ("anova", _anova(groups, confidence)),
            ("welch", _welch(groups, confidence)),
        )
    ]
    return pd.DataFrame(rows, columns=list(OMNIBUS_COLUMNS))


def _used(groups: Summaries) -> tuple[NDArray[np.float64], ...]:
    used = groups.n > 0
    return groups.n[used], groups.mean[used], groups.variance[used]


def _anova(groups: Summaries, confidence: float) -> omnibus.Omnibus:
    n, mean, variance = _used(groups)
    if n.size < 2:
        return omnibus.undefined("fewer than two groups have values", "eta²")
    if not np.nansum((n - 1) * variance) > 0:
        return omnibus.undefined("no variance within groups", "eta²")
    return _generic(n, mean, np.nan_to_num(variance), "equal", confidence)


def _welch(groups: Summaries, confidence: float) -> omnibus.Omnibus:
    n, mean, variance = _used(groups)
    if n.size < 2:
        return omnibus.undefined("fewer than two groups have values", "omega²")
    if not (n > 1).all():
        return omnibus.undefined("a group has one value: no variance of its own", "omega²")
    if not (variance > 0).all():
        return omnibus.undefined("a group has equal values only: variance 0", "omega²")
    return _generic(n, mean, variance, "unequal", confidence)


def _generic(
    n: NDArray[np.float64],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    use_var: str,
    confidence: float,
) -> omnibus.Omnibus:
    from statsmodels.stats.oneway import anova_generic

    # Tests do not change with the origin; large means would lose digits.
    test = anova_generic(mean - mean.mean(), variance, n, use_var=use_var)
    f, df1, df2 = float(test.statistic), float(test.df_num), float(test.df_denom)
    omega = omega_squared(f, df1, df2, float(n.sum()), confidence=confidence)
    equal = use_var == "equal"
    effect = eta_squared(f, df1, df2, confidence=confidence) if equal else omega
    return omnibus.Omnibus(
        statistic=f,
        df1=df1,
        df2=df2,
        p=as_p(test.pvalue),
        effect=effect,
        omega_squared=omega.effect,
    )


def _pairwise(groups: Summaries, names: tuple[str, ...], confidence: float) -> pd.DataFrame:
    places = {name: code for code, name in enumerate(names)}
    codes = [(places[a], places[b]) for a, b in pairs(names)]
    frames = []
    for name, results in (
        ("lsd", pairwise.lsd(groups, codes, confidence=confidence)),
        ("games-howell", pairwise.games_howell(groups, codes, confidence=confidence)),
    ):
        frame = pairwise_rows(results, names, codes, placed(name, unit="lesion"))
        frame["n_a"] = [int(groups.n[a]) for a, _ in codes]
        frame["n_b"] = [int(groups.n[b]) for _, b in codes]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True).reindex(columns=list(PAIRWISE_COLUMNS))


def _roc(groups: Summaries, names: tuple[str, ...], confidence: float) -> pd.DataFrame:
    rows = []
    for a, b in pairs(names):
        first, second = names.index(a), names.index(b)
        shared = {
            "track": "paper", "method": "binormal", "group_a": a, "group_b": b,
            "n_a": int(groups.n[first]), "n_b": int(groups.n[second]),
        }  # fmt: skip
        if min(groups.n[first], groups.n[second]) < 1:
            rows.append({**shared, "note": "a group has no values"})
            continue
        sides = [
            (int(groups.n[code]), float(groups.mean[code]), _sd(groups, code))
            for code in (first, second)
        ]
        # As the paper track does: the group with the higher mean is called positive above.
        direction = "higher" if sides[0][1] >= sides[1][1] else "lower"
        estimated = binormal_auc(
            *sides[0],
            *sides[1],
            direction="higher" if direction == "higher" else "lower",
            confidence=confidence,
        )
        rows.append(
            {
                **shared,
                "direction": direction,
                "auc": estimated.auc,
                "se": estimated.se,
                "ci_low": estimated.ci_low,
                "ci_high": estimated.ci_high,
                "p": estimated.p,
                "note": estimated.note,
            }
        )
    return pd.DataFrame(rows, columns=list(BINORMAL_COLUMNS))


def _sd(groups: Summaries, code: int) -> float:
    return float(np.sqrt(np.nan_to_num(groups.variance[code])))
