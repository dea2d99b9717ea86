"""Air around a lesion at the surface of the liver, which is left out where no liver mask does it; lesions that are air."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gsigpu.caution import Caution
from gsigpu.pipeline.measure.gather import Gathered
from gsigpu.regions import flags
from gsigpu.regions.region_layout import Layout, MeasuredRegion, MissingRegion
from gsigpu.regions.region_mask import trimmed
from gsigpu.regions.shells import FEW_VOXELS

# At or below this a voxel is air, or lung, or mixed with it. Fat is -90 to -120 HU at 70 keV and about -190 HU at
# 40 keV, and lung is below -500 HU: this is beyond the noise of either.
AIR_HU = -300.0
# The energy whose image decides, or the nearest that is read: fat and air are far apart, noise is least.
_AIR_KEV = 70.0
# A lesion at the surface takes some lung or air with it, by its partial volume; not half of it.
_INSIDE = ("lesion", "rim", "core")
_MOSTLY = 0.5


def without_air(
    layout: Layout, gathered: Gathered, energies_kev: Sequence[float]
) -> tuple[Layout, Gathered]:
    """Regions that reach out of a lesion without a liver mask, and their values, less the voxels that are air.

    energies_kev : of the first channels of the gathered values, in HU
    A region that is all air becomes a missing one.
    """
    channel = _channel(energies_kev)
    regions: list[MeasuredRegion] = []
    voxels, errors = [], []
    missing = list(layout.missing)
    for i, (region, of_region, error) in enumerate(
        zip(layout.regions, gathered.voxels, gathered.errors, strict=True)
    ):
        may_hold_air = flags.NO_LIVER_MASK in region.flags and error is None
        is_air = gathered.values(i, channel) <= AIR_HU if may_hold_air else np.zeros(1, bool)
        if not is_air.any():
            kept, kept_voxels = region, of_region
        elif is_air.all():
            why = (*region.flags, flags.AIR_LEFT_OUT, flags.empty(region.region))
            if region.region != "profile":
                missing.append(MissingRegion(region.lesion_id, region.region, why))
            continue
        else:
            kept, kept_voxels = _cut(region, is_air), of_region[~is_air]
        regions.append(kept)
        voxels.append(kept_voxels)
        errors.append(error)
    return (
        replace(layout, regions=tuple(regions), missing=tuple(missing)),
        replace(gathered, voxels=tuple(voxels), errors=tuple(errors)),
    )


def lesions_in_air(
    layout: Layout, gathered: Gathered, energies_kev: Sequence[float]
) -> list[Caution]:
    """A warning of each lesion that is mostly air or lung: its mask does not lie where it was drawn."""
    channel = _channel(energies_kev)
    shares: dict[str, float] = {}
    for i, (region, error) in enumerate(zip(layout.regions, gathered.errors, strict=True)):
        if region.region in _INSIDE and error is None:
            share = float(np.mean(gathered.values(i, channel) <= AIR_HU))
            shares[region.lesion_id] = max(share, shares.get(region.lesion_id, 0.0))
    return [
        Caution(
            "in-air",
            f"lesion {lesion_id}: {share:.0%} of its voxels are air or lung; check where its mask lies",
            lesion_id,
        )
        for lesion_id, share in shares.items()
        if share > _MOSTLY
    ]


def _channel(energies_kev: Sequence[float]) -> int:
    return int(np.argmin([abs(kev - _AIR_KEV) for kev in energies_kev]))


def _cut(region: MeasuredRegion, is_air: np.ndarray) -> MeasuredRegion:
    voxels = region.mask.voxels.copy()
    voxels[voxels] = ~is_air
    mask = trimmed(replace(region.mask, voxels=voxels))
    few = (flags.FEW_VOXELS,) if mask.n_voxels < FEW_VOXELS else ()
    of_region = dict.fromkeys((*region.flags, *few, flags.AIR_LEFT_OUT))
    return replace(region, mask=mask, flags=tuple(of_region))
