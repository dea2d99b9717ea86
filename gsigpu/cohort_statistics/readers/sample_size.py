"""How many lesions and patients a planned study needs: an ICC, or an area, known to a given width."""

from __future__ import annotations

from math import ceil

from scipy.stats import norm

from gsigpu.cohort_statistics.groups.power import auc_standard_error
from gsigpu.errors import SettingsError


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
