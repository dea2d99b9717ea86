"""Descriptives and tests of one phase, region and parameter between groups, on both tracks.

`paper`: every lesion independent; one-way ANOVA, LSD, Bonferroni.
`recommended`: patients are the units; a mixed model with a random intercept per patient (the primary
test), and on the patients' means Welch's ANOVA with Games-Howell, Kruskal-Wallis with Dunn; Holm.
Why the means: with one value per patient these tests meet independent values, which they assume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gsigpu.cohort_statistics.frames import (
    DESCRIPTIVE_COLUMNS,
    OMNIBUS_COLUMNS,
    PAIRWISE_COLUMNS,
    placed,
)
from gsigpu.cohort_statistics.groups import omnibus, pairwise
from gsigpu.cohort_statistics.inference import joined, quantile
from gsigpu.cohort_statistics.multiplicity import bonferroni, holm
from gsigpu.cohort_statistics.sample import Sample, clean_sample, clustering_of

Array = NDArray[np.float64]
EQUALLY_MANY = "every patient has equally many lesions"


@dataclass(frozen=True, slots=True)
class GroupFrames:
    """Frames of one family member: DESCRIPTIVE_COLUMNS, OMNIBUS_COLUMNS, PAIRWISE_COLUMNS."""

    descriptives: pd.DataFrame
    omnibus: pd.DataFrame
    pairwise: pd.DataFrame


def group_tests(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    confidence: float = 0.95,
) -> GroupFrames:
    """`descriptives`, `omnibus_tests` and `pairwise_tests` of the same values, cleaned once."""
    sample = clean_sample(values, groups, patients, order)
    return GroupFrames(
        descriptives=_descriptives(sample, confidence),
        omnibus=_omnibus(sample, confidence),
        pairwise=_pairwise(sample, confidence),
    )


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
    Returns DESCRIPTIVE_COLUMNS; the interval is the mean's (t), and takes the units as independent: for
    lesions that share a patient use the row of the recommended track, or `clustered_means`.
    Tested against R's `mean`, `sd`, `quantile` and `t.test` (tests/golden/make_group_tests.R).

    >>> frame = descriptives([1, 3, 5, 8], ["a", "a", "a", "b"], [1, 1, 2, 3], order=["a", "b"])
    >>> frame.loc[frame["group"] == "a", ["track", "n_lesions", "n_patients", "mean"]]
             track  n_lesions  n_patients  mean
    0        paper          3           2   3.0
    2  recommended          3           2   3.5
    """
    return _descriptives(clean_sample(values, groups, patients, order), confidence)


def _descriptives(sample: Sample, confidence: float) -> pd.DataFrame:
    rows = []
    for track, unit, units in (
        ("paper", "lesion", sample.lesions),
        ("recommended", "patient", sample.patient_means),
    ):
        for code, name in enumerate(sample.order):
            icc, design_effect = clustering_of(sample.model_of_group(code), sample.sizes[code])
            rows.append(
                {
                    "track": track,
                    "unit": unit,
                    "group": name,
                    "n_lesions": sample.lesions[code].size,
                    "n_patients": sample.sizes[code].size,
                    "n_missing": int(sample.missing[code]),
                    "icc": icc,
                    "design_effect": design_effect,
                    **_described(units[code], confidence),
                }
            )
    return pd.DataFrame(rows, columns=list(DESCRIPTIVE_COLUMNS))


def _described(units: Array, confidence: float) -> dict[str, float | str]:
    """Centre and spread of lesions or patients' means; quartiles as NumPy's default (R's type 7)."""
    if not units.size:
        return {"note": "no values"}
    mean = float(units.mean())
    q1, median, q3 = (float(quartile) for quartile in np.quantile(units, [0.25, 0.5, 0.75]))
    centre = {"mean": mean, "median": median, "q1": q1, "q3": q3}
    if units.size == 1:
        return {**centre, "note": "one value: no SD"}
    sd = float(np.sqrt(omnibus.variances([units])[0]))
    half = quantile(confidence, units.size - 1) * sd / np.sqrt(units.size)
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
    Groups without values are left out, and the note names them. What each test assumes: `omnibus`.
    Returns OMNIBUS_COLUMNS, one row per test; `p_holm_all` is left NaN for `adjust_over_all`.

    >>> frame = omnibus_tests([1, 3, 5, 8, 9], list("aaabb"), [1, 1, 2, 3, 4], order=["a", "b"])
    >>> frame[["track", "test", "unit", "df1", "df2"]].round(3)
             track     test     unit  df1    df2
    0        paper    anova   lesion  1.0  3.000
    1  recommended    mixed  patient  1.0  1.226
    2  recommended    welch  patient  1.0  1.220
    3  recommended  kruskal  patient  NaN    NaN
    """
    return _omnibus(clean_sample(values, groups, patients, order), confidence)


def _omnibus(sample: Sample, confidence: float) -> pd.DataFrame:
    lesions = [sample.lesions[code] for code in sample.present]
    means = [sample.patient_means[code] for code in sample.present]
    tests = {
        "anova": omnibus.anova(lesions, confidence=confidence),
        "mixed": omnibus.mixed(sample.model, confidence=confidence),
        "welch": omnibus.welch(means, confidence=confidence),
        "kruskal": omnibus.kruskal(means, confidence=confidence),
    }
    cautions = {"kruskal": unequal_spread(means)}
    counts = _counts(sample)
    rows = [
        {
            **placed(name),
            **omnibus_row(test),
            **levene_row(lesions if name == "anova" else means),
            **counts,
            "note": joined(
                test.note, cautions.get(name, ""), _same_as_welch(name, tests), sample.absent_note
            ),
        }
        for name, test in tests.items()
    ]
    return pd.DataFrame(rows, columns=list(OMNIBUS_COLUMNS))


def _counts(sample: Sample) -> dict[str, object]:
    icc, design_effect = sample.clustering
    return {
        "n_lesions": sample.values.size,
        "n_patients": sample.n_patients,
        "n_missing": int(sample.missing.sum()),
        "icc": icc,
        "design_effect": design_effect,
    }


def _same_as_welch(name: str, tests: dict[str, omnibus.Omnibus]) -> str:
    """Says so where every patient has equally many lesions, so that two rows are one test."""
    ours = [tests[name].statistic, tests[name].df2]
    theirs = [tests["welch"].statistic, tests["welch"].df2]
    if name != "mixed" or not np.allclose(ours, theirs, rtol=1e-9, atol=0.0):
        return ""
    return f"the same test as welch here: {EQUALLY_MANY}"


def unequal_spread(samples: Sequence[Array]) -> str:
    """A caution for tests of ranks where Brown-Forsythe rejects at 5 %, else nothing."""
    _, p = omnibus.levene(samples, center="median")
    return "spreads differ, and ranks may show that rather than a shift" if p < 0.05 else ""


def omnibus_row(test: omnibus.Omnibus) -> dict[str, object]:
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
    } | classical_columns(test.classical)


def classical_columns(classical: omnibus.Classical | None) -> dict[str, float]:
    """The columns of the textbook's version of a test, NaN where there is none."""
    if classical is None:
        return {}
    return {
        "statistic_classical": classical.statistic,
        "df_classical": classical.df,
        "p_classical": classical.p,
    }


def levene_row(samples: Sequence[Array]) -> dict[str, float]:
    """Both forms of Levene's test of the values that the row's test used."""
    classic, robust = (omnibus.levene(samples, center=center) for center in ("mean", "median"))
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
    a pair that cannot be tested keeps its row. What each test assumes: `pairwise`. `p_holm_all` is left NaN for `adjust_over_all`.

    >>> frame = pairwise_tests([1, 3, 5, 8, 9], list("aaabb"), [1, 1, 2, 3, 4], order=["a", "b"])
    >>> frame["test"].tolist(), frame["difference"].round(3).tolist()
    (['lsd', 'mixed', 'games-howell', 'dunn'], [-5.5, -5.255, -5.0, -2.0])
    """
    return _pairwise(clean_sample(values, groups, patients, order), confidence)


def _pairwise(sample: Sample, confidence: float) -> pd.DataFrame:
    means, pairs = sample.patient_means, sample.pairs
    level = {"confidence": confidence}
    tests = {
        "lsd": pairwise.lsd(pairwise.summaries(sample.lesions), pairs, **level),
        "mixed": pairwise.mixed_contrasts(sample.model, sample.present, pairs, **level),
        "games-howell": pairwise.games_howell(pairwise.summaries(means), pairs, **level),
        "dunn": pairwise.dunn(means, pairs, **level),
    }
    counts = _pair_counts(sample)
    frames = [
        pairwise_rows(results, sample.order, pairs, placed(name)).assign(**counts)
        for name, results in tests.items()
    ]
    frame = pd.concat(frames, ignore_index=True).reindex(columns=list(PAIRWISE_COLUMNS))
    _name_same_tests(frame)
    caution = unequal_spread([means[code] for code in sample.present])
    ranks = (frame["test"] == "dunn") & frame["p"].notna()
    frame.loc[ranks, "note"] = [joined(note, caution) for note in frame.loc[ranks, "note"]]
    return frame


def primary_tests(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    confidence: float = 0.95,
) -> pd.DataFrame:
    """The mixed model alone, of all groups and of every pair, for analyses that repeat the primary test.

    Arguments as of `omnibus_tests`. Returns the rows of `omnibus_tests` (`test` mixed-overall, `group_a` and `group_b`
    empty) and of `pairwise_tests` (mixed) under OMNIBUS_COLUMNS and PAIRWISE_COLUMNS together, without Levene's
    tests and what the notes say of other rows; a tenth of the time of all tests.

    >>> frame = primary_tests([1, 3, 5, 8, 9], list("aaabb"), [1, 1, 2, 3, 4], order=["a", "b"])
    >>> frame[["test", "group_a", "difference", "n_lesions"]].round(3).values.tolist()
    [['mixed-overall', '', nan, 5.0], ['mixed', 'a', -5.255, nan]]
    """
    sample = clean_sample(values, groups, patients, order)
    test = omnibus.mixed(sample.model, confidence=confidence)
    overall = {
        **placed("mixed"),
        **omnibus_row(test),
        **_counts(sample),
        "test": "mixed-overall",
        "group_a": "",
        "group_b": "",
        "note": joined(test.note, sample.absent_note),
    }
    results = pairwise.mixed_contrasts(
        sample.model, sample.present, sample.pairs, confidence=confidence
    )
    pairs = pairwise_rows(results, sample.order, sample.pairs, placed("mixed"))
    columns = list(dict.fromkeys((*OMNIBUS_COLUMNS, *PAIRWISE_COLUMNS)))
    both = [pd.DataFrame([overall]), pairs.assign(**_pair_counts(sample))]
    return pd.concat(both, ignore_index=True).reindex(columns=columns)


def _name_same_tests(frame: pd.DataFrame) -> None:
    """Note in the mixed model's rows where t and p are those of Games-Howell's row before adjustment."""
    mixed, howell = (frame[frame["test"] == test] for test in ("mixed", "games-howell"))
    columns = ["statistic", "df", "p_unadjusted"]
    same = np.isclose(mixed[columns], howell[columns], rtol=1e-9, atol=0.0).all(axis=1)
    text = f"the same t as games-howell's before its adjustment: {EQUALLY_MANY}"
    rows = mixed.index[np.asarray(same, bool)]
    frame.loc[rows, "note"] = [joined(note, text) for note in frame.loc[rows, "note"]]


def _pair_counts(sample: Sample) -> dict[str, NDArray[np.int64] | float]:
    icc, design_effect = sample.clustering
    first, second = (list(side) for side in zip(*sample.pairs, strict=True))
    n = np.array([lesions.size for lesions in sample.lesions])
    n_patients = np.array([sizes.size for sizes in sample.sizes])
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
    place: dict[str, str],
) -> pd.DataFrame:
    """The columns that the tests of one kind fill, adjusted within this family; place : of `placed`."""
    frame = pd.DataFrame(
        [
            {
                **place,
                "group_a": order[a],
                "group_b": order[b],
                "difference": test.difference,
                "ci_low": test.ci_low,
                "ci_high": test.ci_high,
                "statistic": test.statistic,
                "df": test.df,
                "p": test.p,
                "p_unadjusted": test.p_unadjusted,
                "effect": test.effect.effect,
                "effect_name": test.effect.name,
                "effect_low": test.effect.low,
                "effect_high": test.effect.high,
                "note": test.note,
            }
            | classical_columns(test.classical)
            for (a, b), test in zip(pairs, results, strict=True)
        ]
    )
    frame["p_bonferroni"] = bonferroni(frame["p_unadjusted"])
    frame["p_holm"] = holm(frame["p_unadjusted"])
    frame["p_holm_all"] = np.nan
    n_tested = int(frame["p_unadjusted"].notna().sum())
    frame["family"] = f"{n_tested} pairs of groups of one phase, region and parameter"
    frame["family_all"] = ""
    return frame
