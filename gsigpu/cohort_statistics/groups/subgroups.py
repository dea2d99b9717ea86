"""The primary test inside the levels of another column, and whether the groups differ alike in all of them.

    y_ij = µ_(g, l) + b_i + e_ij        g the group, l the level

A difference that is shown in one level and not in another is no evidence that the levels differ: that is what the
interaction tests, µ_(g, l) - µ_(h, l) the same in every l, by Hotelling's T² (HTZ) with cluster-robust variances (CR2).
Each level by itself has the mixed model of `group_frames`. Tested against the closed form of balanced groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gsigpu.cohort_statistics.frames import SUBGROUP_COLUMNS
from gsigpu.cohort_statistics.groups.group_frames import primary_tests
from gsigpu.cohort_statistics.inference import cannot_be_tested
from gsigpu.cohort_statistics.mixed_model.cluster_robust import cluster_robust
from gsigpu.cohort_statistics.mixed_model.nested_intercepts import fit_nested_intercepts
from gsigpu.cohort_statistics.sample import Array, Codes, Sample, clean_sample, dense
from gsigpu.errors import InputError

# More levels than this are a measurement and no classes.
MOST_LEVELS = 12


def subgroup_tests(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    levels: ArrayLike,
    *,
    order: Sequence[str],
    column: str,
    level_order: Sequence[str] = (),
    confidence: float = 0.95,
) -> pd.DataFrame:
    """The interaction of groups and levels, then all groups and every pair inside each level.

    values (n,) float, NaN where missing; groups (n,), patients (n,), levels (n,) str, "" where not known (left out)
    column : what the levels are called; level_order : as `cut_at` gives it, sorted by name if not given
    Returns SUBGROUP_COLUMNS: `test` mixed-interaction, then mixed-overall and mixed per level, `p_holm` over the
    pairs of a level.
    Raises InputError for what `clean_sample` refuses, and for more than MOST_LEVELS levels.

    >>> frame = subgroup_tests(
    ...     [1.0, 1.2, 2.0, 2.1, 1.4, 1.1, 3.0, 3.3], list("aabbaabb"), range(8), list("mmmmffff"),
    ...     order=["a", "b"], column="sex")
    >>> frame[["test", "level", "group_a", "difference"]].round(2).values.tolist()
    [['mixed-interaction', '', '', nan], ['mixed-overall', 'f', '', nan], ['mixed', 'f', 'a', -1.9],
     ['mixed-overall', 'm', '', nan], ['mixed', 'm', 'a', -0.95]]
    """
    y = np.asarray(values, np.float64)
    level = np.array([str(name) for name in np.asarray(levels, dtype=object)], dtype=object)
    if level.shape != y.shape:
        raise InputError("a level per value is needed for subgroups")
    present = set(level[np.isfinite(y)]) - {""}
    names = [name for name in level_order or sorted(present) if name in present]
    if len(names) > MOST_LEVELS:
        raise InputError(
            f"{column} has {len(names)} different values: too many for subgroups",
            remedy="cut the numbers into a few classes (`cut_at`), or take a column of classes",
        )
    known = np.where(level == "", np.nan, y)
    sample = clean_sample(known, groups, patients, order)
    kept = level[np.isfinite(known)]
    frames = [pd.DataFrame([_interaction(sample, dense(kept), names)])]
    for name in names:
        tests = primary_tests(
            np.where(level == name, y, np.nan), groups, patients, order=order, confidence=confidence
        )
        is_pair = tests["test"] == "mixed"
        of_level = tests.assign(
            level=name,
            n_lesions=int(tests["n_lesions"].iloc[0]),
            n_patients=int(tests["n_patients"].iloc[0]),
            df1=tests["df1"].mask(is_pair, 1.0),
            df2=tests["df2"].mask(is_pair, tests["df"]),
        )
        frames.append(of_level.reindex(columns=list(SUBGROUP_COLUMNS)))
    frame = pd.concat(frames, ignore_index=True).reindex(columns=list(SUBGROUP_COLUMNS))
    return frame.assign(track="recommended", column=column)


def cut_at(
    numbers: ArrayLike, cuts: Sequence[float]
) -> tuple[NDArray[np.object_], tuple[str, ...]]:
    """Numbers as classes between cut points that were fixed beforehand; a cut point belongs to the class above it.

    numbers (n,) float, NaN where not known; cuts : one at least, increasing
    Returns the class of each number (n,) str, "" where not known, and all classes from the lowest to the highest.
    Raises InputError for cut points that do not increase or are none.

    >>> levels, names = cut_at([49.0, 50.0, 70.5, float("nan")], [50, 65])
    >>> levels.tolist()
    ['below 50', '50 to below 65', '65 and above', '']
    """
    x, at = np.asarray(numbers, np.float64), np.asarray(cuts, np.float64)
    if at.size == 0 or not np.isfinite(at).all() or not (np.diff(at) > 0).all():
        raise InputError("cut points must be numbers, each above the one before")
    shown = [f"{cut:g}" for cut in at]
    between = [f"{low} to below {high}" for low, high in pairwise(shown)]
    names = (f"below {shown[0]}", *between, f"{shown[-1]} and above")
    levels = np.array(names, dtype=object)[np.searchsorted(at, x, side="right")]
    levels[np.isnan(x)] = ""
    return levels, names


def _interaction(sample: Sample, levels: Codes, names: Sequence[str]) -> dict[str, object]:
    row: dict[str, object] = {
        "test": "mixed-interaction", "level": "", "group_a": "", "group_b": "",
        "n_lesions": sample.values.size, "n_patients": sample.n_patients, "note": "",
    }  # fmt: skip
    present, n_levels = sample.present, len(names)
    n_groups = len(present)
    if n_groups < 2 or n_levels < 2:
        return row | {"note": cannot_be_tested("fewer than two groups or levels have values")}
    group = np.searchsorted(present, sample.group)
    cell = group * n_levels + levels
    counts = np.bincount(cell, minlength=n_groups * n_levels)
    if not counts.all():
        return row | {"note": cannot_be_tested("a group has no value in a level")}
    design = (cell[:, None] == np.arange(counts.size)).astype(np.float64)
    fit = fit_nested_intercepts(
        sample.values, design, dense(sample.patient), np.arange(sample.values.size)
    )
    if isinstance(fit, str):
        return row | {"note": cannot_be_tested(fit)}
    test = cluster_robust(fit).wald(_contrasts(n_groups, n_levels))
    note = cannot_be_tested(test.note) if test.note else fit.note
    return row | {
        "statistic": test.f, "df1": test.df1, "df2": test.df2, "p": test.p, "note": note,
    }  # fmt: skip


def _contrasts(n_groups: int, n_levels: int) -> Array:
    """((G - 1)(L - 1), G L) differences of differences against the first group and level."""
    groups = np.column_stack([-np.ones(n_groups - 1), np.eye(n_groups - 1)])
    levels = np.column_stack([-np.ones(n_levels - 1), np.eye(n_levels - 1)])
    return np.asarray(np.kron(groups, levels), np.float64)
