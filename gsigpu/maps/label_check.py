"""Are the keV labels right? A wrong one shows, because the stack is of rank two.

In soft tissue the E monoenergetic values of a voxel lie in the plane of water and iodine,
HU(E) + 1000 = ρw + c r(E). What varies between voxels beside ρw follows r(E) up to a factor and an
added constant, whatever the labels say. So the direction d(E) of greatest variance across the
energies is found from the data alone, the line d = a + b r(label) is fitted to the largest
consistent set of series, and each series' energy is read off it: the E* where a + b r(E*) = d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from gsigpu.physics import HIGH_KEV, LOW_KEV, iodine_hu_per_mg_per_ml

# Soft tissue with contrast medium, at the energy where it is darkest, which is the highest one
# whatever it is labelled: fat and air are below, bone and metal above.
_LOWEST_HU, _HIGHEST_HU = 0.0, 120.0
_BLOCK_PIXELS = 4
_LEAST_PAIRS = 200
_TRIMMING_ROUNDS = 4
_TRIMMED_BEYOND = 2.5  # times the median distance from the plane
# Between whole-decade labels half the gap is 5 keV; a series is off when it reads past that.
_LEAST_OFFSET_KEV = 5.0
# Two energies: the mean difference must be negative by more than image noise leaves in a mean.
_LEAST_REVERSAL_HU = 2.0


@dataclass(frozen=True, slots=True)
class LabelDoubt:
    """A series whose energy, read off the data, is not its label."""

    label_kev: float
    fitted_kev: float


def check_labels(
    energies_kev: Sequence[float], stack_hu: NDArray[np.floating]
) -> tuple[LabelDoubt, ...]:
    """Series whose keV label does not fit the data.

    energies_kev : (E,) labels, ascending
    stack_hu : (E, z, y, x) HU, a few slices that show enhanced tissue; NaN where there is none
    Returns the doubtful series, ascending in label; empty where all fit, and where there is too
    little enhanced tissue, or too few energies (three), to tell. With two energies only an
    exchange shows: enhanced tissue must be brighter at the lower one.
    """
    labels = np.asarray(energies_kev, dtype=float)
    pairs = _soft_tissue_pairs(np.asarray(stack_hu, dtype=np.float64))
    if len(labels) < 2 or pairs.shape[2] < _LEAST_PAIRS:
        return ()
    if len(labels) == 2:
        tissue = pairs.mean(axis=0)
        bright = tissue[:, tissue.mean(axis=0) >= np.quantile(tissue.mean(axis=0), 0.75)]
        if float((bright[0] - bright[1]).mean()) > -_LEAST_REVERSAL_HU:
            return ()
        low, high = float(labels[0]), float(labels[1])
        return (LabelDoubt(low, high), LabelDoubt(high, low))
    if len(labels) == 3:
        return ()
    fitted = _fitted_energies(labels, _spectral_direction(pairs))
    gaps = np.abs(labels[:, None] - labels[None, :]) + np.where(np.eye(len(labels)) > 0, np.inf, 0)
    tolerance = np.maximum(gaps.min(axis=1) / 2, _LEAST_OFFSET_KEV)
    return tuple(
        LabelDoubt(float(label), float(kev))
        for label, kev, allowed in zip(labels, fitted, tolerance, strict=True)
        if abs(label - kev) > allowed
    )


def _soft_tissue_pairs(stack: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, E, n) means over 4 x 4 pixels of soft tissue, in pairs of neighbours along x and along y."""
    n_y, n_x = (size // _BLOCK_PIXELS for size in stack.shape[2:])
    cut = stack[:, :, : n_y * _BLOCK_PIXELS, : n_x * _BLOCK_PIXELS]
    blocks = cut.reshape(*stack.shape[:2], n_y, _BLOCK_PIXELS, n_x, _BLOCK_PIXELS).mean(axis=(3, 5))
    with np.errstate(invalid="ignore"):
        darkest = blocks.min(axis=0)
        soft_mask = (darkest > _LOWEST_HU) & (darkest < _HIGHEST_HU)
    pairs = []
    for one, other in ((np.s_[:, :, :-1], np.s_[:, :, 1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        both_mask = soft_mask[one] & soft_mask[other]
        pairs.append(np.stack([blocks[:, *one][:, both_mask], blocks[:, *other][:, both_mask]]))
    return np.concatenate(pairs, axis=2)


def _spectral_direction(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """(E,) direction in which neighbours vary together most, density alone (equal at all energies) taken out.

    Tissue is alike in neighbouring blocks and noise is not, so the covariance between the two of
    each pair is that of tissue. Bone follows calcium's curve, not iodine's, and so lies off the plane
    of most pairs; what lies far off is left out, and the direction found again.
    """
    kept = pairs
    for _ in range(_TRIMMING_ROUNDS):
        across = kept - kept.mean(axis=1, keepdims=True)
        across -= across.mean(axis=(0, 2), keepdims=True)
        together = across[0] @ across[1].T
        direction = np.linalg.eigh(together + together.T)[1][:, -1]
        middle = across.mean(axis=0)
        off_plane = middle - np.outer(direction, direction @ middle)
        off_hu = np.sqrt((off_plane**2).mean(axis=0))
        kept = kept[:, :, off_hu <= _TRIMMED_BEYOND * np.median(off_hu)]
    return np.asarray(direction, dtype=np.float64)


def _fitted_energies(
    labels: NDArray[np.float64], direction: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Energies read off the line d = a + b r(E) that most series agree on."""
    r = iodine_hu_per_mg_per_ml(labels)
    fine_kev = np.linspace(LOW_KEV - 5.0, HIGH_KEV + 40.0, 1001)  # above iodine's K edge, 33.2 keV
    fine_r = iodine_hu_per_mg_per_ml(fine_kev)

    def read_off(a: float, b: float) -> NDArray[np.float64]:
        return np.interp(-(direction - a) / b, -fine_r, fine_kev)

    agreeing_mask = np.ones(len(labels), dtype=bool)
    best_score = (-1, -np.inf)
    for i, j in combinations(range(len(labels)), 2):
        b = (direction[i] - direction[j]) / (r[i] - r[j])
        if b == 0.0:
            continue
        off = np.abs(read_off(direction[i] - b * r[i], b) - labels)
        score = (int((off <= _LEAST_OFFSET_KEV).sum()), -float(np.median(off)))
        if score > best_score:
            agreeing_mask, best_score = off <= _LEAST_OFFSET_KEV, score
    b, a = np.polyfit(r[agreeing_mask], direction[agreeing_mask], 1)
    return read_off(a, b)
