"""What the demo measures, beside what is true."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TruthComparison:
    """Means over a region of one study, or over the lesions of a group, beside the true ones.

    n : voxels of the region, or lesions of the group
    """

    name: str
    n: int
    iodine_mg_per_ml: float
    true_iodine_mg_per_ml: float
    lambda_hu: float
    true_lambda_hu: float
