"""How many lesions and patients a planned study needs: an ICC, or an area, known to a given width."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm

from gsigpu.cohort_statistics.frames import SAMPLE_SIZE_COLUMNS
from gsigpu.cohort_statistics.groups.power import auc_standard_error
from gsigpu.cohort_statistics.roc.curve import area
from gsigpu.cohort_statistics.sample import clean_sample, clustering_of
from gsigpu.errors import SettingsError

# Of whole intervals: .1 is what a paper would like to print, .2 what a pilot study can reach.
WIDTHS = (0.1, 0.2)


def lesions_for_icc(icc: float, n_readers: int, width: float, *, confidence: float = 0.95) -> int:
    """Lesions of independent patients whose ICC's interval has this width (Bonett, Stat Med 2002; 21: 1331-1335).

    n = 8 z² (1 - ρ)² (1 + (k - 1) ρ)² / (k (k - 1) w²) + 1
    icc : ρ that is expected, n_readers : k, width : of the whole interval
    Where patients have several lesions multiply by `design_effect`. Tested by simulation.

    >>> lesions_for_icc(0.8, 2, 0.2)
    51
    """
    if not (0.0 <= icc < 1.0 and 0.0 < width < 1.0 and 0.0 < confidence < 1.0 and n_readers > 1):
        raise SettingsError(
            "an ICC from 0 to 1, a width and confidence inside (0, 1), two readers or more"
        )
    z, k = float(norm.ppf((1 + confidence) / 2)), n_readers
    above = 8 * z**2 * (1 - icc) ** 2 * (1 + (k - 1) * icc) ** 2
    return ceil(above / (k * (k - 1) * width**2) + 1)


def design_effect(lesions_per_patient: float, icc: float) -> float:
    """1 + (m - 1) ICC of equally many lesions per patient (Kish 1965).

    >>> round(design_effect(3.0, 0.5), 6)
    2.0
    """
    if lesions_per_patient < 1 or not 0.0 <= icc <= 1.0:
        raise SettingsError("at least one lesion per patient, and an ICC from 0 to 1")
    return 1.0 + (lesions_per_patient - 1.0) * icc


def patients_for_area(
    auc: float,
    width: float,
    *,
    lesions_per_patient: float = 1.0,
    icc: float = 0.0,
    confidence: float = 0.95,
) -> int:
    """Patients per group whose area's interval has this width.

    Hanley and McNeil's standard error of n independent lesions per group, n = patients · m / design effect. Equal
    groups; the area's own clustering is taken as that of its values, which errs to the safe side. Tested by
    simulation against `obuchowski`.

    >>> patients_for_area(0.8, 0.2), patients_for_area(0.8, 0.2, lesions_per_patient=3, icc=0.5)
    (39, 26)
    """
    if not (0.5 <= auc < 1.0 and 0.0 < width < 1.0 and 0.0 < confidence < 1.0):
        raise SettingsError("an area from .5 to 1, a width and confidence inside (0, 1)")
    reach = 2 * float(norm.ppf((1 + confidence) / 2))
    low, high = 2, 4
    while reach * auc_standard_error(auc, high, high) > width:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        enough = reach * auc_standard_error(auc, middle, middle) <= width
        low, high = (low, middle) if enough else (middle, high)
    return ceil(high * design_effect(lesions_per_patient, icc) / lesions_per_patient)


def area_sample_sizes(
    values: ArrayLike,
    groups: ArrayLike,
    patients: ArrayLike,
    *,
    order: Sequence[str],
    widths: Sequence[float] = WIDTHS,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Patients per group so that each pair's area is known to an interval of these widths, clustered as here.

    values (n,) float, NaN where missing; groups (n,), patients (n,) str; order : the groups
    Returns SAMPLE_SIZE_COLUMNS. The expected area is the observed one on its side of .5; `lesions_needed` and
    `patients_needed` are of each group.
    """
    sample = clean_sample(values, groups, patients, order)
    rows: list[dict[str, object]] = []
    for a, b in sample.pairs:
        head: dict[str, object] = {"quantity": "auc", "group_a": order[a], "group_b": order[b]}
        if not (sample.lesions[a].size and sample.lesions[b].size):
            rows += [head | {"width": width, "note": "a group has no values"} for width in widths]
            continue
        observed = area(sample.lesions[a], sample.lesions[b])
        expected = max(observed, 1.0 - observed)
        sizes = np.concatenate([sample.sizes[a], sample.sizes[b]])
        icc, effect = clustering_of(sample.mixed, sizes)
        per_patient = float(sizes.mean())
        head |= {"expected": expected, "lesions_per_patient": per_patient, "icc": icc}
        head |= {"design_effect": effect}
        for width in widths:
            if expected >= 1.0 or not np.isfinite(effect):
                note = "perfect separation" if expected >= 1.0 else "clustering unknown"
                rows.append(head | {"width": width, "note": note})
                continue
            independent = patients_for_area(expected, width, confidence=confidence)
            n = ceil(independent * effect / per_patient)
            needed = {"lesions_needed": ceil(independent * effect), "patients_needed": n}
            rows.append(head | {"width": width, "note": ""} | needed)
    return _sized(rows, confidence)


def icc_sample_sizes(
    icc: float,
    n_readers: int,
    *,
    clustering: tuple[float, float],
    lesions_per_patient: float,
    widths: Sequence[float] = WIDTHS,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Lesions and patients so that readers' agreement is known to an interval of these widths.

    icc : expected; clustering : ICC of lesions within patients, and the design effect it brings
    Returns SAMPLE_SIZE_COLUMNS.
    """
    within, effect = clustering
    head: dict[str, object] = {
        "quantity": "icc", "group_a": "", "group_b": "", "expected": icc, "n_readers": n_readers,
        "lesions_per_patient": lesions_per_patient, "icc": within, "design_effect": effect,
    }  # fmt: skip
    rows: list[dict[str, object]] = []
    for width in widths:
        if not (0.0 <= icc < 1.0 and np.isfinite(effect)):
            rows.append(head | {"width": width, "note": "agreement or clustering unknown"})
            continue
        n = lesions_for_icc(icc, n_readers, width, confidence=confidence) * effect
        needed = {"lesions_needed": ceil(n), "patients_needed": ceil(n / lesions_per_patient)}
        rows.append(head | {"width": width, "note": ""} | needed)
    return _sized(rows, confidence)


def _sized(rows: Sequence[dict[str, object]], confidence: float) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(SAMPLE_SIZE_COLUMNS))
    return frame.assign(track="recommended", confidence=confidence)
