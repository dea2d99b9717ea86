"""How a cut-off fares at a site that had no part in choosing it: each site is left out in turn.

Youden's cut-off of the lesions of all other sites, in the declared direction, is applied to the site's own lesions; the
area there stands beside that of the others. It is an internal-external validation (Steyerberg & Harrell, J Clin Epidemiol
2016; 69: 245-247): nothing of the site enters what is judged on it, but the sites share a protocol and a choice of patients,
so that a new hospital may fare worse. Patients are the units. Tested against `youden`, `obuchowski` and `decision_at` on
the same lesions taken apart by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gsigpu.cohort_statistics.frames import SITE_COLUMNS
from gsigpu.cohort_statistics.inference import cannot_be_tested, joined
from gsigpu.cohort_statistics.roc.clustered import obuchowski
from gsigpu.cohort_statistics.roc.curve import area, oriented, youden
from gsigpu.cohort_statistics.roc.decisions import decision_at
from gsigpu.cohort_statistics.roc.roc_settings import RocSettings, pairs
from gsigpu.cohort_statistics.sample import Sample, clean_sample
from gsigpu.errors import InputError

_DECIDED = (
    "sensitivity", "sensitivity_low", "sensitivity_high", "specificity", "specificity_low",
    "specificity_high", "accuracy", "accuracy_low", "accuracy_high", "true_positive",
    "false_negative", "false_positive", "true_negative",
)  # fmt: skip


def leave_one_site_out(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    sites: ArrayLike,
    *,
    order: Sequence[str],
    settings: RocSettings | None = None,
) -> pd.DataFrame:
    """Every pair of groups at every site, by the cut-off of the other sites.

    values (n,) float, NaN where missing; groups (n,), patients (n,), sites (n,) str, "" where not known (left out)
    Returns SITE_COLUMNS; a site that lacks a group, or whose others do (as that of a phase with one site), keeps its row
    and says so. Raises InputError for what `clean_sample` refuses.

    >>> frame = leave_one_site_out([3, 4, 1, 2, 3.5, 5, 2, 0], list("aabbaabb"), range(8), list("xxxxyyyy"), order="ab")
    >>> frame[["site", "cutoff", "sensitivity", "auc"]].values.tolist()
    [['x', 2.75, 1.0, 1.0], ['y', 2.5, 1.0, 1.0]]
    """
    options = settings or RocSettings()
    y = np.asarray(values, np.float64)
    site = np.array([str(name) for name in np.asarray(sites, dtype=object)], dtype=object)
    if site.shape != y.shape:
        raise InputError("a site per value is needed")
    known = np.where(site == "", np.nan, y)
    sample = clean_sample(known, groups, patients, order)
    here = site[np.isfinite(known)]
    names = sorted(set(here))
    rows = [
        _at_site(sample, here == name, pair, options) | {"site": name}
        for name in names
        for pair in pairs(sample.order)
    ]
    return pd.DataFrame(rows, columns=list(SITE_COLUMNS)).assign(track="recommended")


def _at_site(
    sample: Sample, here: NDArray[np.bool_], pair: tuple[str, str], options: RocSettings
) -> dict[str, object]:
    direction = options.direction_of(*pair)
    codes = [sample.order.index(name) for name in pair]
    inside = [here & (sample.group == code) for code in codes]
    others = [~here & (sample.group == code) for code in codes]
    row: dict[str, object] = {
        "group_a": pair[0],
        "group_b": pair[1],
        "direction": direction,
        "n_a": int(inside[0].sum()),
        "n_b": int(inside[1].sum()),
        "n_patients_a": np.unique(sample.patient[inside[0]]).size,
        "n_patients_b": np.unique(sample.patient[inside[1]]).size,
    }
    if not all(side.any() for side in others):
        return row | {"note": cannot_be_tested("the other sites lack a group")}
    elsewhere = [sample.values[side] for side in others]
    row["auc_elsewhere"] = area(*elsewhere, direction=direction)
    cut = youden(*elsewhere, direction=direction)
    row["cutoff"] = cut.cutoff
    if not all(side.any() for side in inside):
        return row | {"note": cannot_be_tested("the site lacks a group")}
    x, y = (sample.values[side] for side in inside)
    units = [sample.patient[side] for side in inside]
    estimated = obuchowski(
        oriented(x, direction), oriented(y, direction), *units, confidence=options.confidence
    )
    row |= {
        "auc": estimated.auc,
        "se": estimated.se,
        "ci_low": estimated.ci_low,
        "ci_high": estimated.ci_high,
        "note": estimated.note,
    }
    if np.isnan(cut.cutoff):
        return row | {"note": joined(estimated.note, "no cut-off of the other sites beats chance")}
    decided = asdict(
        decision_at(
            x, y, *units, cutoff=cut.cutoff, direction=direction, confidence=options.confidence
        )
    )
    return row | {name: decided[name] for name in _DECIDED}
