"""What two phases of one region say together: uptake and release of iodine, and the extracellular space.

All are of means of a region, not of voxels: phases are never aligned voxel by voxel. Iodine is what the contrast
medium brought, so its concentration before the injection is 0 and needs no unenhanced phase.
"""

from __future__ import annotations

from gsigpu.errors import SettingsError
from gsigpu.regions.statistics import ratio

# Volume of red cells in blood, of which no iodine is in: what lies outside is an error of typing (42 for 0.42).
LOWEST_HAEMATOCRIT, HIGHEST_HAEMATOCRIT = 0.1, 0.7


def wash_in(early_mg_per_ml: float, late_mg_per_ml: float) -> float:
    """Iodine that a region takes up from one phase to the next, c_late - c_early; negative where it loses some.

    early_mg_per_ml, late_mg_per_ml : mean iodine of the region, mg/mL
    Returns mg/mL. Differences of iodine between phases are compared so by Kawano et al., Tomography 2025.

    >>> wash_in(0.5, 2.0)
    1.5
    """
    return late_mg_per_ml - early_mg_per_ml


def wash_out(early_mg_per_ml: float, late_mg_per_ml: float) -> float:
    """Share of its iodine that a region loses from one phase to the next, (c_early - c_late) / c_early.

    The relative percentage washout of adrenal CT, (HU_early - HU_late) / HU_early (Caoili et al., Radiology 2002; 222:
    629), with iodine in the place of CT numbers, so that it is the absolute washout as well: there is none before.

    Returns a share; negative where iodine is taken up, NaN where there is none to lose.

    >>> wash_out(2.0, 1.5)
    0.25
    """
    return ratio(early_mg_per_ml - late_mg_per_ml, early_mg_per_ml) if early_mg_per_ml > 0 else _NAN


def arterial_enhancement_fraction(arterial_mg_per_ml: float, portal_mg_per_ml: float) -> float:
    """Enhancement of the arterial phase as a share of that of the portal venous phase, c_AP / c_PVP.

    AEF = (HU_AP - HU_unenhanced) / (HU_PVP - HU_unenhanced) (Kim et al., Radiology 2009; 250: 425; Lee et al., Korean J
    Radiol 2013; 14: 51). Iodine is what enhances, HU - HU_unenhanced = c r(E), so that r(E) falls out. The same
    number is the iodine concentration ratio of Lv et al., Korean J Radiol 2012; 13: 434.

    Returns a share; NaN without iodine in the portal venous phase.

    >>> arterial_enhancement_fraction(0.5, 2.0)
    0.25
    """
    return ratio(arterial_mg_per_ml, portal_mg_per_ml) if portal_mg_per_ml > 0 else _NAN


def extracellular_volume(
    tissue_mg_per_ml: float, aorta_mg_per_ml: float, *, haematocrit: float
) -> float:
    """Extracellular share of a tissue's volume, (1 - Hct) c_tissue / c_aorta.

    Of a phase in which the contrast medium is in equilibrium between blood and interstitium: 3 minutes after the
    injection or later (Kokubo et al., Curr Med Imaging 2022, doi 10.2174/1573405618666220407100237).

    haematocrit : share of the blood's volume, 0.42
    Returns a share; NaN without iodine in the aorta. Raises SettingsError for a haematocrit that is none.

    >>> round(extracellular_volume(1.2, 2.4, haematocrit=0.4), 3)
    0.3
    """
    if not LOWEST_HAEMATOCRIT <= haematocrit <= HIGHEST_HAEMATOCRIT:
        raise SettingsError(
            f"haematocrit {haematocrit:g} is no share of the blood's volume",
            remedy="write --haematocrit 0.42",
        )
    share = ratio(tissue_mg_per_ml, aorta_mg_per_ml) if aorta_mg_per_ml > 0 else _NAN
    return (1.0 - haematocrit) * share


_NAN = float("nan")
