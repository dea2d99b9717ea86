"""Descriptives and tests of one phase, region and parameter between groups, on both tracks.

`paper`: every lesion independent; one-way ANOVA, LSD, Bonferroni.
`recommended`: patients are the units; a mixed model with a random intercept per patient (the primary
test), and on the patients' means Welch's ANOVA with Games-Howell, Kruskal-Wallis with Dunn; Holm.
Why the means: with one value per patient these tests meet independent values, which they assume.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from gsigpu.cohort_statistics.frames import (
    DESCRIPTIVE_COLUMNS,
    OMNIBUS_COLUMNS,
    PAIRWISE_COLUMNS,
)
from gsigpu.cohort_statistics.groups import omnibus, pairwise
from gsigpu.cohort_statistics.multiplicity import bonferroni, holm
from gsigpu.cohort_statistics.sample import GroupMember, clustering_of, group_member

Array = NDArray[np.float64]


def descriptives(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Counts, centre and spread of each group, of lesions and of patients' means.

    values (n,) float, NaN where missing (dropped and counted); groups (n,) and patients (n,) str
    order : the groups, in the order of the tables; one without any lesion keeps its row
    Returns DESCRIPTIVE_COLUMNS; the interval is the mean's (t), and takes the units as independent.

    >>> frame = descriptives([1, 3, 5, 8], ["a", "a", "a", "b"], [1, 1, 2, 3], order=["a", "b"])
    >>> frame.loc[frame["group"] == "a", ["track", "n_lesions", "n_patients", "mean"]]
             track  n_lesions  n_patients  mean
    0        paper          3           2   3.0
    2  recommended          3           2   3.5
    """
    member = group_member(values, groups, patients, order)
    rows = []
    for track, unit, samples in (
        ("paper", "lesion", member.lesions),
        ("recommended", "patient", member.patient_means),
    ):
        for code, name in enumerate(member.order):
            icc, design_effect = clustering_of(member.one_group(code), member.sizes[code])
            rows.append(
                {
                    "track": track,
                    "unit": unit,
                    "group": name,
                    "n_lesions": member.lesions[code].size,
                    "n_patients": member.sizes[code].size,
                    "n_missing": int(member.missing[code]),
                    "icc": icc,
                    "design_effect": design_effect,
                    **_described(samples[code], confidence),
                }
            )
    return pd.DataFrame(rows, columns=list(DESCRIPTIVE_COLUMNS))


def _described(sample: Array, confidence: float) -> dict[str, float | str]:
    """Centre and spread of one sample; quartiles as NumPy's default (R's type 7)."""
    if not sample.size:
        return {"note": "no values"}
    mean = float(sample.mean())
    q1, median, q3 = (float(one) for one in np.quantile(sample, [0.25, 0.5, 0.75]))
    centre = {"mean": mean, "median": median, "q1": q1, "q3": q3}
    if sample.size == 1:
        return {**centre, "note": "one value: no SD"}
    sd = float(np.sqrt(omnibus.variances([sample])[0]))
    half = float(stats.t.ppf((1 + confidence) / 2, sample.size - 1)) * sd / np.sqrt(sample.size)
    return {**centre, "sd": sd, "ci_low": mean - half, "ci_high": mean + half, "note": ""}


def omnibus_tests(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Tests that all groups are alike: anova (paper); mixed, welch, kruskal (recommended).

    values (n,) float, NaN where missing; groups (n,) and patients (n,) str; order : the groups
    Groups without values are left out, and the note names them.
    Returns OMNIBUS_COLUMNS, one row per test; `p_holm_all` is left NaN for `adjust_over_all`.

    >>> frame = omnibus_tests([1, 3, 5, 8, 9], list("aaabb"), [1, 1, 2, 3, 4], order=["a", "b"])
    >>> frame[["track", "test", "unit", "df1", "df2"]].round(3)
             track     test     unit  df1    df2
    0        paper    anova   lesion  1.0  3.000
    1  recommended    mixed  patient  1.0  1.226
    2  recommended    welch  patient  1.0  1.220
    3  recommended  kruskal  patient  1.0    NaN
    """
    member = group_member(values, groups, patients, order)
    lesions = [member.lesions[code] for code in member.present]
    means = [member.patient_means[code] for code in member.present]
    tests = (
        ("paper", "anova", lesions, omnibus.anova(lesions, confidence=confidence)),
        ("recommended", "mixed", means, omnibus.mixed(member.model, confidence=confidence)),
        ("recommended", "welch", means, omnibus.welch(means, confidence=confidence)),
        ("recommended", "kruskal", means, omnibus.kruskal(means, confidence=confidence)),
    )
    icc, design_effect = member.clustering
    notes = {"kruskal": unequal_spread(means)}
    rows = [
        {
            "track": track,
            "test": name,
            "unit": "lesion" if track == "paper" else "patient",
            **omnibus_row(test),
            **levene_row(samples),
            "n_lesions": member.values.size,
            "n_patients": member.n_patients,
            "n_missing": int(member.missing.sum()),
            "icc": icc,
            "design_effect": design_effect,
            "note": joined(test.note, notes.get(name, ""), member.absent_note),
        }
        for track, name, samples, test in tests
    ]
    return pd.DataFrame(rows, columns=list(OMNIBUS_COLUMNS))


def joined(*notes: str) -> str:
    """The notes that say something."""
    return "; ".join(one for one in notes if one)


def unequal_spread(samples: Sequence[Array]) -> str:
    """A caution for tests of ranks where Brown-Forsythe rejects at 5 %, else nothing."""
    _, p = omnibus.levene(samples, center="median")
    return "spreads differ, and ranks may show that rather than a shift" if p < 0.05 else ""


def omnibus_row(test: omnibus.Omnibus) -> dict[str, float | str]:
    """The columns that a test of all groups fills."""
    return {
        "statistic": test.statistic,
        "df1": test.df1,
        "df2": test.df2,
        "p": test.p,
        "p_holm_all": np.nan,
        "effect": test.effect.effect,
        "effect_name": test.effect.name,
        "effect_low": test.effect.low,
        "effect_high": test.effect.high,
        "omega_squared": test.omega_squared,
        "family": "one test per phase, region and parameter",
        "family_all": "",
        "note": test.note,
    }


def levene_row(samples: Sequence[Array]) -> dict[str, float]:
    """Both forms of Levene's test of the values that the row's test used."""
    classic, robust = (omnibus.levene(samples, center=one) for one in ("mean", "median"))
    return {
        "levene_statistic": classic[0],
        "levene_p": classic[1],
        "brown_forsythe_statistic": robust[0],
        "brown_forsythe_p": robust[1],
    }


def pairwise_tests(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Tests of every pair of groups: lsd (paper); mixed, games-howell, dunn (recommended).

    values (n,) float, NaN where missing; groups (n,) and patients (n,) str; order : the groups
    Returns PAIRWISE_COLUMNS, one row per test and pair, difference = a - b (of mean ranks for dunn);
    a pair that cannot be tested keeps its row. `p_holm_all` is left NaN for `adjust_over_all`.

    >>> frame = pairwise_tests([1, 3, 5, 8, 9], list("aaabb"), [1, 1, 2, 3, 4], order=["a", "b"])
    >>> frame["test"].tolist(), frame["difference"].round(3).tolist()
    (['lsd', 'mixed', 'games-howell', 'dunn'], [-5.5, -5.255, -5.0, -2.0])
    """
    member = group_member(values, groups, patients, order)
    means = member.patient_means
    level = {"confidence": confidence}
    tests = (
        ("paper", "lsd", pairwise.lsd(pairwise.summaries(member.lesions), member.pairs, **level)),
        (
            "recommended",
            "mixed",
            pairwise.mixed_contrasts(member.model, member.present, member.pairs, **level),
        ),
        (
            "recommended",
            "games-howell",
            pairwise.games_howell(pairwise.summaries(means), member.pairs, **level),
        ),
        ("recommended", "dunn", pairwise.dunn(means, member.pairs, **level)),
    )
    counts = _pair_counts(member)
    frames = [
        pairwise_rows(
            results,
            member.order,
            member.pairs,
            track=track,
            test=name,
            unit="lesion" if track == "paper" else "patient",
        ).assign(**counts)
        for track, name, results in tests
    ]
    found = pd.concat(frames, ignore_index=True).reindex(columns=list(PAIRWISE_COLUMNS))
    caution = unequal_spread([means[code] for code in member.present])
    ranks = (found["test"] == "dunn") & found["p"].notna()
    found.loc[ranks, "note"] = [joined(one, caution) for one in found.loc[ranks, "note"]]
    return found


def _pair_counts(member: GroupMember) -> dict[str, NDArray[np.int64] | float]:
    icc, design_effect = member.clustering
    first, second = (list(side) for side in zip(*member.pairs, strict=True))
    n = np.array([one.size for one in member.lesions])
    n_patients = np.array([one.size for one in member.sizes])
    return {
        "n_a": n[first],
        "n_b": n[second],
        "n_patients_a": n_patients[first],
        "n_patients_b": n_patients[second],
        "icc": icc,
        "design_effect": design_effect,
    }


def pairwise_rows(
    results: Sequence[pairwise.PairTest],
    order: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    *,
    track: str,
    test: str,
    unit: str,
) -> pd.DataFrame:
    """The columns that the tests of one kind fill, adjusted within this family."""
    frame = pd.DataFrame(
        [
            {
                "track": track,
                "test": test,
                "unit": unit,
                "group_a": order[a],
                "group_b": order[b],
                "difference": one.difference,
                "ci_low": one.ci_low,
                "ci_high": one.ci_high,
                "statistic": one.statistic,
                "df": one.df,
                "p": one.p,
                "p_unadjusted": one.p_unadjusted,
                "effect": one.effect.effect,
                "effect_name": one.effect.name,
                "effect_low": one.effect.low,
                "effect_high": one.effect.high,
                "note": one.note,
            }
            for (a, b), one in zip(pairs, results, strict=True)
        ]
    )
    frame["p_bonferroni"] = bonferroni(frame["p_unadjusted"])
    frame["p_holm"] = holm(frame["p_unadjusted"])
    frame["p_holm_all"] = np.nan
    n_tested = int(frame["p_unadjusted"].notna().sum())
    frame["family"] = f"{n_tested} pairs of groups of one phase, region and parameter"
    frame["family_all"] = ""
    return frame
