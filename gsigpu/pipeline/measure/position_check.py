"""Where a mask would lie under each of its possible positions, and whether its name says another phase."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gsigpu.caution import Caution
from gsigpu.dicom.model import SpectralStack, Study
from gsigpu.dicom.reading.hu_planes import rescaled
from gsigpu.dicom.study.patterns import phase_meant
from gsigpu.errors import GsigpuError, UnclearPosition
from gsigpu.masks import MaskSet, read_masks
from gsigpu.masks.layers import Owner
from gsigpu.masks.positions import position_remedy
from gsigpu.masks.roles import Role
from gsigpu.masks.volume_masks import position_doubt
from gsigpu.phase_words import phase_words
from gsigpu.pipeline.measure.collected_masks import CollectedMasks
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.stack_source import PlaneStore
from gsigpu.regions.region_mask import RegionMask

# Figures of the question that is put to the user.
#   _TISSUE_HU   fat is at -100, lung at -800 HU: what is above is body without lung, at any energy
#   _LOOKED_AT   slices of the mask that are read; the share in tissue needs no more to tell right from wrong
_TISSUE_HU = -300.0
_LOOKED_AT = 5


def named_for_another_phase(collected: CollectedMasks, study: Study, phase: str) -> list[Caution]:
    """A warning of each file of lesions whose name says another phase of the study than the measured one.

    One mask may serve two phases; one that was drawn on the other lies where the other breath had the lesion.
    """
    others = {series.phase for series in study.series} - {phase, ""}
    warnings = []
    for file in dict.fromkeys(entry.file for entry in collected.roles if entry.role is Role.LESION):
        words = re.sub(r"[_.\-]+", " ", Path(file).name.partition(".")[0])
        meant = phase_meant(words, study.phase_patterns)
        if meant in others:
            text = f"{file}: its name says {meant}, and {phase_words(phase)} is measured; check that it was drawn for this phase"
            warnings.append(Caution("phase", text))
    return warnings


def with_overlaps(
    error: UnclearPosition,
    path: Path,
    stack: SpectralStack,
    owner: Owner,
    files: MaskFiles,
    store: PlaneStore,
) -> UnclearPosition:
    """The same error, telling how much of the mask lies in the body and in the liver under each choice.

    A choice under which the mask cannot be used is no remedy.

    files : where the liver is among them, and the threshold of masks of probabilities
    store : reads the slices that are looked at
    """
    told, usable = [], []
    _, choices = position_doubt(path, stack.geometry)
    threshold, whole_liver = files.threshold, _liver(files.liver, stack, owner, files.threshold)
    for choice in choices:
        try:
            mask_set = read_masks(
                path, stack.geometry, owner=owner, position=choice, threshold=threshold
            )
        except GsigpuError as reason:
            told.append(f"by {choice} it cannot be used ({reason.what})")
            continue
        usable.append(choice)
        told.append(f"by {choice} {_overlaps(mask_set, stack, whole_liver, store)}")
    if not told:
        return error
    return UnclearPosition(
        f"{error.what}: {', '.join(told)}", where=error.where, remedy=position_remedy(usable)
    )


def _liver(
    path: Path | None, stack: SpectralStack, owner: Owner, threshold: float | None
) -> Sequence[RegionMask]:
    if path is None:
        return ()
    try:
        return read_masks(path, stack.geometry, owner=owner, threshold=threshold).masks
    except GsigpuError:
        return ()


def _overlaps(
    mask_set: MaskSet, stack: SpectralStack, liver: Sequence[RegionMask], store: PlaneStore
) -> str:
    share = _share_in_tissue(mask_set.masks, stack, store)
    text = "nothing can be read" if np.isnan(share) else f"{100 * share:.0f} % lies in the body"
    if liver:
        text += f" and {100 * _share_in(mask_set.masks, liver):.0f} % in the liver"
    return text


def _share_in_tissue(masks: Sequence[RegionMask], stack: SpectralStack, store: PlaneStore) -> float:
    """Share of voxels, on some slices, that are tissue; NaN where none can be read."""
    by_slice: dict[int, list[RegionMask]] = {}
    for mask in masks:
        for local in np.flatnonzero(mask.voxels.any(axis=(1, 2))):
            by_slice.setdefault(mask.origin[0] + int(local), []).append(mask)
    slices = sorted(by_slice)
    chosen = slices[:: max(1, len(slices) // _LOOKED_AT)]
    series = next((series for series in stack.series if series.problem is None), None)
    n_inside, n_all = 0, 0
    for z in chosen if series is not None else []:
        assert series is not None
        try:
            at = [series.planes[z]]
            plane = rescaled(at, store.look(at))[0]
        except GsigpuError:
            continue
        for mask in by_slice[z]:
            _, rows, columns = mask.box
            values = plane[rows, columns][mask.voxels[z - mask.origin[0]]]
            n_inside += int((values > _TISSUE_HU).sum())
            n_all += values.size
    return n_inside / n_all if n_all else float("nan")


def _share_in(masks: Sequence[RegionMask], others: Sequence[RegionMask]) -> float:
    """Share of voxels of `masks` that lie in one of `others`."""
    n_inside, n_all = 0, 0
    for mask in masks:
        inside = np.zeros(mask.voxels.shape, bool)
        for other in others:
            lows = [max(a.start, b.start) for a, b in zip(mask.box, other.box, strict=True)]
            highs = [min(a.stop, b.stop) for a, b in zip(mask.box, other.box, strict=True)]
            if all(low < high for low, high in zip(lows, highs, strict=True)):
                here, there = (
                    tuple(
                        slice(low - first, high - first)
                        for low, high, first in zip(lows, highs, region.origin, strict=True)
                    )
                    for region in (mask, other)
                )
                inside[here] |= other.voxels[there]
        n_inside += int((inside & mask.voxels).sum())
        n_all += mask.n_voxels
    return n_inside / n_all if n_all else 0.0
