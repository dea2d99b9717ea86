"""Synthetic spectral studies with known truth."""

from gsigpu.phantom.lesions import Lesion
from gsigpu.phantom.painting import Composition
from gsigpu.phantom.settings import (
    EXTRAS,
    LAYOUTS,
    PHASES,
    PRIMARIES,
    TRANSFER_SYNTAXES,
    VENDORS,
    PhantomSettings,
)
from gsigpu.phantom.study import write_phantom
from gsigpu.phantom.truth import PhantomTruth, plan_phantom

__all__ = [
    "EXTRAS",
    "LAYOUTS",
    "PHASES",
    "PRIMARIES",
    "TRANSFER_SYNTAXES",
    "VENDORS",
    "Composition",
    "Lesion",
    "PhantomSettings",
    "PhantomTruth",
    "plan_phantom",
    "write_phantom",
]
