"""How well a lesion's surroundings lie on each other: the offset that is left after registration.

The image of the moving phase, pulled through the transform, is shifted in small steps around the lesion, and the mean
squared difference D from the fixed image is taken for each shift. With N independent voxels, a shift is as good as the
best one where N (D / D_min - 1) is below the 95th percentile of χ² with three degrees of freedom: the likelihood-ratio
region of a shift under Gaussian noise of unknown size. The offset lies between the shortest and the longest of these.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.regions.region_mask import RegionMask
from gsigpu.registration.images import sitk
from gsigpu.registration.register import Registration
from gsigpu.volume import VolumeGeometry

# Around the lesion, what is compared: without its neighbours a round lesion of even density has no place.
_SURROUNDINGS_MM = 15.0
_FARTHEST_MM = 6.0  # shifts that are looked at
_STEP_MM = 2.0
_CHI2_95 = 7.815  # of χ² with three degrees of freedom
# Voxels of noise with a grain of about two voxels say as much as one that is independent.
_VOXELS_PER_GRAIN = 8.0
_NO_IMAGE = -1e9


@dataclass(frozen=True, slots=True)
class Offset:
    """What registration left at a lesion.

    proven_mm : offset that the images prove; 0 where the surroundings lie on each other as well as anywhere
    possible_mm : offset that they do not exclude; the farthest that was looked at where there is no structure
    """

    proven_mm: float
    possible_mm: float


def offset_left(mask: RegionMask, grid: VolumeGeometry, registration: Registration) -> Offset:
    """The offset at a lesion, as a range.

    mask : of the lesion, carried over, on `grid`, that of the fixed phase

    Tested on phantoms whose true offset is known.
    """
    lattice = _lattice(mask, grid)
    n = round(_FARTHEST_MM / _STEP_MM)
    still = _sampled(registration.fixed, lattice, sitk.Transform())
    moved = _sampled(registration.moving, _grown(lattice, n), registration.transform)
    costs = np.full((2 * n + 1,) * 3, np.nan)
    n_z, n_y, n_x = still.shape
    valid = still > _NO_IMAGE
    for shift in itertools.product(range(2 * n + 1), repeat=3):
        z, y, x = shift
        part = moved[z : z + n_z, y : y + n_y, x : x + n_x]
        both = valid & (part > _NO_IMAGE)
        if both.sum() >= both.size / 2:
            costs[shift] = ((still[both] - part[both]) ** 2).mean()
    if np.isnan(costs).all():
        return Offset(0.0, _FARTHEST_MM)
    step_mm3 = _STEP_MM**3
    grain_mm3 = max(step_mm3, float(np.prod(registration.fixed.GetSpacing()))) * _VOXELS_PER_GRAIN
    n_independent = valid.sum() * step_mm3 / grain_mm3
    as_good = costs <= np.nanmin(costs) * (1.0 + _CHI2_95 / n_independent)
    steps = np.stack(np.meshgrid(*[np.arange(-n, n + 1)] * 3, indexing="ij"))
    distances = _STEP_MM * np.sqrt((steps**2).sum(axis=0))[as_good]
    return Offset(float(distances.min()), float(distances.max()))


def _lattice(mask: RegionMask, grid: VolumeGeometry) -> Any:
    """An empty image around a lesion, along the axes of the patient."""
    ends = [(side.start, side.stop - 1.0) for side in mask.box]
    corners = np.array([grid.position_mm(*corner) for corner in itertools.product(*ends)])
    low = corners.min(axis=0) - _SURROUNDINGS_MM
    size = np.ceil((corners.max(axis=0) + _SURROUNDINGS_MM - low) / _STEP_MM).astype(int) + 1
    image = sitk.Image(size.tolist(), sitk.sitkUInt8)
    image.SetOrigin(low.tolist())
    image.SetSpacing((_STEP_MM,) * 3)
    return image


def _grown(lattice: Any, n: int) -> Any:
    """The lattice with n more points on each side."""
    image = sitk.Image([size + 2 * n for size in lattice.GetSize()], sitk.sitkUInt8)
    image.SetOrigin([first - n * _STEP_MM for first in lattice.GetOrigin()])
    image.SetSpacing(lattice.GetSpacing())
    return image


def _sampled(image: Any, lattice: Any, transform: Any) -> NDArray[np.float64]:
    """(z, y, x) values of an image at the points of a lattice, pulled through a transform."""
    made = sitk.Resample(image, lattice, transform, sitk.sitkLinear, _NO_IMAGE)
    return np.asarray(sitk.GetArrayFromImage(made), np.float64)
