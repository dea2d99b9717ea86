"""Synthetic spectral studies with known truth."""

from gsigpu.choices import EXTRAS, LAYOUTS, PHASES, PRIMARIES, TRANSFER_SYNTAXES, VENDORS
from gsigpu.phantom.from_ct import CtTruth, IodineRegion, disc_mask, write_spectral_from_ct
from gsigpu.phantom.lesions import Lesion
from gsigpu.phantom.painting import Composition
from gsigpu.phantom.phantom_settings import PhantomSettings
from gsigpu.phantom.truth import PhantomTruth, plan_phantom
from gsigpu.phantom.write_cohort import PhantomCohort, PhantomCohortSettings, write_phantom_cohort
from gsigpu.phantom.write_phantom import write_phantom

__all__ = [
    "EXTRAS",
    "LAYOUTS",
    "PHASES",
    "PRIMARIES",
    "TRANSFER_SYNTAXES",
    "VENDORS",
    "Composition",
    "CtTruth",
    "IodineRegion",
    "Lesion",
    "PhantomCohort",
    "PhantomCohortSettings",
    "PhantomSettings",
    "PhantomTruth",
    "disc_mask",
    "plan_phantom",
    "write_phantom",
    "write_phantom_cohort",
    "write_spectral_from_ct",
]
