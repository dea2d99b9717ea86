"""More than two groups: one group against all others, and the mean area of all pairs.

`one_against_rest` asks what the source study concludes ("colorectal against the others"); the rest is all other
groups together, as they were sampled. `hand_till` is the mean over pairs of groups (Hand & Till, Mach Learn 2001;
45: 171-186), which does not depend on how many lesions each group has; the variance sums each patient's share in
all pairs, as `clustered` does for one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from gsigpu.cohort_statistics.frames import CURVE_COLUMNS, MULTICLASS_COLUMNS, ROC_COLUMNS
from gsigpu.cohort_statistics.multiplicity import within_families
from gsigpu.cohort_statistics.roc.area_estimate import (
    AucEstimate,
    of_several_groups,
    without_test,
)
from gsigpu.cohort_statistics.roc.clustered import clustered_areas
from gsigpu.cohort_statistics.roc.curve import oriented
from gsigpu.cohort_statistics.roc.roc_frames import roc_tables
from gsigpu.cohort_statistics.roc.roc_settings import RocResult, RocSettings, Seed, pairs
from gsigpu.cohort_statistics.sample import clean_sample

REST = "rest"


def one_against_rest(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    seed: Seed,
    settings: RocSettings | None = None,
) -> RocResult:
    """`roc_tables` of each group (group_a) against all others together (group_b `rest`).

    Arguments and frames as of `roc_tables`; a direction is declared for the pair (group, "rest"). `p_holm` is
    over the groups of one track and method. With two groups the rest is the other one: take `roc_tables`.

    >>> result = one_against_rest([3, 4, 1, 2, 1, 2], list("aabbcc"), range(6), order="abc", seed=1)
    >>> result.roc.loc[result.roc["method"] == "obuchowski", ["group_a", "auc"]].values.tolist()
    [['a', 1.0], ['b', 0.25], ['c', 0.25]]
    """
    sample = clean_sample(values, groups, patients, order)
    labels = np.array([str(group) for group in np.asarray(groups, dtype=object)], dtype=object)
    seeds = np.random.SeedSequence(seed) if isinstance(seed, int) else seed
    results = [
        roc_tables(
            values,
            np.where(labels == name, name, REST),
            patients,
            order=(name, REST),
            seed=member,
            settings=settings,
        )
        for name, member in zip(sample.order, seeds.spawn(len(sample.order)), strict=True)
    ]
    roc = pd.concat([result.roc for result in results], ignore_index=True)[list(ROC_COLUMNS)]
    curves = pd.concat([result.curves for result in results], ignore_index=True)
    return RocResult(
        within_families(roc, "groups against the rest of one phase, region and parameter"),
        curves[list(CURVE_COLUMNS)],
    )


def hand_till(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    settings: RocSettings | None = None,
) -> AucEstimate:
    """Mean area of all pairs of groups, each in its declared direction, patients as units.

    values (n,) of one parameter, NaN where missing; or (n, G) scores, one column per group in `order`, complete:
    a pair's area is then the mean of the two that its groups' own columns give
    Tested against pROC's `multiclass.roc`, its standard error against a jackknife over patients.

    >>> round(hand_till([3, 4, 1, 2, 1, 2], list("aabbcc"), range(6), order="abc").auc, 4)
    0.8333
    """
    options = settings or RocSettings()
    scores = np.asarray(values, np.float64)
    single = scores.ndim == 1
    complete = scores if single else np.where(np.isnan(scores).any(axis=1), np.nan, scores[:, 0])
    sample = clean_sample(complete, groups, patients, order)
    kept = scores[~np.isnan(complete)]
    n_patients = int(sample.patient.max()) + 1 if sample.values.size else 0
    areas, shares = [], []
    place = {name: code for code, name in enumerate(sample.order)}
    for a, b in pairs(sample.order):
        first, second = sample.group == place[a], sample.group == place[b]
        if not (first.any() and second.any()):
            continue
        sides = (
            [oriented(kept, options.direction_of(a, b))]
            if single
            else [kept[:, place[a]], -kept[:, place[b]]]
        )
        for side in sides:
            areas_of_pair = clustered_areas(
                side[first], side[second], sample.patient[first], sample.patient[second]
            )
            areas.append(float(areas_of_pair.auc[0]) / len(sides))
            share = np.zeros(n_patients)
            of_pair = np.unique(np.concatenate([sample.patient[first], sample.patient[second]]))
            share[of_pair] = (
                areas_of_pair.positive_share[0] + areas_of_pair.negative_share[0]
            ) / len(sides)
            shares.append(share)
    n_pairs = len(areas) if single else len(areas) // 2
    if not n_pairs:
        return without_test(np.nan, note="fewer than two groups have values")
    total = np.sum(shares, axis=0) / n_pairs
    counts = np.bincount(sample.patient, minlength=n_patients).astype(np.float64)
    factor = n_patients / (n_patients - 1.0) if n_patients > 1 else np.nan
    return of_several_groups(
        float(np.sum(areas)) / n_pairs,
        factor * float(total @ total),
        n_patients=[np.unique(sample.patient[sample.group == g]).size for g in sample.present],
        df=max(float(counts.sum() ** 2 / (counts**2).sum()) - len(sample.present), 1.0),
        confidence=options.confidence,
    )


def multiclass_frame(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    method: str = "hand-till",
    settings: RocSettings | None = None,
) -> pd.DataFrame:
    """`hand_till` as one row of MULTICLASS_COLUMNS; arguments as there.

    >>> frame = multiclass_frame([3, 4, 1, 2, 1, 2], list("aabbcc"), range(6), order="abc")
    >>> frame[["auc", "n_groups", "n_lesions"]].round(4).values.tolist()
    [[0.8333, 3.0, 6.0]]
    """
    scores = np.asarray(values, np.float64)
    single = scores if scores.ndim == 1 else scores.sum(axis=1)
    sample = clean_sample(single, groups, patients, order)
    area = hand_till(scores, groups, patients, order=order, settings=settings)
    row = {
        "track": "recommended",
        "method": method,
        "auc": area.auc,
        "se": area.se,
        "ci_low": area.ci_low,
        "ci_high": area.ci_high,
        "df": area.df,
        "p": area.p,
        "n_groups": len(sample.present),
        "n_lesions": sample.values.size,
        "n_patients": sample.n_patients,
        "n_missing": int(sample.missing.sum()),
        "family_all": "",
        "note": area.note,
    }
    return pd.DataFrame([row], columns=list(MULTICLASS_COLUMNS))
