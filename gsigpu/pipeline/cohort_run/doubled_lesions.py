"""Lesions of one row that are the same lesion: masks that lie almost wholly in one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from gsigpu.caution import Caution
from gsigpu.errors import MaskError
from gsigpu.pipeline.measure.collected_masks import Failure
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.regions.region_layout import Lesion
from gsigpu.regions.region_mask import RegionMask

# Share of the smaller mask that lies in the other. Two readers' masks of one lesion share 80 to 95 % of their
# voxels (Dice 0.8 and more), so nine tenths of the smaller in the larger is one lesion; two lesions that touch share
# little, and a quarter is more than partial volume explains.
_DOUBLED_SHARE = 0.9
_TOLD_SHARE = 0.25


def without_doubled(
    measurement: Measurement, *, is_allowed: bool
) -> tuple[Measurement, list[Caution]]:
    """The measurement without lesions that lie almost wholly in another, and warnings of lesions that overlap.

    is_allowed : keep them, with a warning
    Both lesions of a pair go: nothing says which is meant. Raises MaskError if no other lesion is left.
    """
    lesions = [placed.lesion for placed in measurement.layout.lesions]
    warnings: list[Caution] = []
    failures: dict[str, Failure] = {}
    for first, other, share in overlaps(lesions):
        text = f"lesions {first.lesion_id} and {other.lesion_id} overlap: {share:.0%} of the smaller lies in the other"
        if share < _DOUBLED_SHARE or is_allowed:
            warnings.append(Caution("overlap", text))
            continue
        error = MaskError(
            f"{text}, as two masks of one lesion do",
            remedy="keep one of them, or measure both with --allow-overlap",
        )
        for lesion in (first, other):
            failures.setdefault(
                lesion.lesion_id, Failure(lesion.lesion_id, lesion.mask.n_voxels, error)
            )
    if not failures:
        return measurement, warnings
    if len(failures) == len(lesions):
        raise next(iter(failures.values())).error
    return (
        replace(
            measurement,
            rows=tuple(row for row in measurement.rows if row.lesion_id not in failures),
            failures=(*measurement.failures, *failures.values()),
        ),
        warnings,
    )


def overlaps(lesions: Sequence[Lesion]) -> Iterator[tuple[Lesion, Lesion, float]]:
    """Pairs of lesions that overlap by more than a quarter, with the share of the smaller in the other."""
    for first, other in combinations(lesions, 2):
        smaller = min(first.mask.n_voxels, other.mask.n_voxels)
        share = _n_common(first.mask, other.mask) / smaller if smaller else 0.0
        if share >= _TOLD_SHARE:
            yield first, other, share


def _n_common(first: RegionMask, other: RegionMask) -> int:
    """Voxels of both masks."""
    lows = [max(a, b) for a, b in zip(first.origin, other.origin, strict=True)]
    highs = [min(a.stop, b.stop) for a, b in zip(first.box, other.box, strict=True)]
    if any(low >= high for low, high in zip(lows, highs, strict=True)):
        return 0
    parts = [
        mask.voxels[
            tuple(
                slice(low - start, high - start)
                for low, high, start in zip(lows, highs, mask.origin, strict=True)
            )
        ]
        for mask in (first, other)
    ]
    return int(np.count_nonzero(parts[0] & parts[1]))
