"""Are the keV labels right? A wrong one shows, because the stack is of rank two.

In soft tissue the E monoenergetic values of a voxel lie in the plane of water and iodine,
HU(E) + 1000 = ρw + c r(E). What varies between voxels beside ρw follows r(E) up to a factor and an
added constant, whatever the labels say. So the direction d(E) of greatest variance across the
energies is found from the data alone, the line d = a + b r(label) is fitted to the largest
consistent set of series, and each series' energy is read off it: the E* where a + b r(E*) = d.

Without contrast medium what varies is calcium and fat instead. All light elements share one curve up
to a factor and a constant (photoelectric absorption falls alike in them), so calcium's is tried beside
iodine's, and the one that more series agree on is taken.

Three energies or fewer leave nothing to vote with; there only the order is checked: enhanced tissue
grows darker as the energy rises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from gsigpu.physics import element_mass_attenuation, water_mass_attenuation

# Soft tissue with contrast medium, at the energy where it is darkest, which is the highest one
# whatever it is labelled: fat and air are below, bone and metal above.
_LOWEST_HU, _HIGHEST_HU = 0.0, 120.0
_BLOCK_PIXELS = 4
_LEAST_PAIRS, _MOST_PAIRS = 200, 20_000  # enough to tell; more only take longer
_TRIMMING_ROUNDS = 4
_TRIMMED_BEYOND = 2.5  # times the median distance from the plane
# Between whole-decade labels half the gap is 5 keV; a series is off when it reads past that.
_LEAST_OFFSET_KEV = 5.0
# Few energies: a mean out of order must be so by more than image noise leaves in a mean.
_LEAST_REVERSAL_HU = 2.0
_PARTS = 8
_LEAST_ERRORS = 3.0
_LEAST_SPREAD_HU = 1.0
_LEAST_COSINE = 0.995  # between the directions of a part and of the whole; noise has no direction
_IODINE, _CALCIUM = 53, 20
# Energies that can be read off: above iodine's K edge, 33.2 keV, and beyond any scanner's highest.
_READ_OFF_KEV = np.linspace(35.0, 200.0, 1101)


@dataclass(frozen=True, slots=True)
class LabelDoubt:
    """A series whose energy, read off the data, is not its label."""

    label_kev: float
    fitted_kev: float


def check_labels(
    energies_kev: Sequence[float], stack_hu: NDArray[np.floating]
) -> tuple[LabelDoubt, ...]:
    """Series whose keV label does not fit the data.

    Model: HU(E) + 1000 = ρw + c r(E) in each voxel, with r(E) of iodine or of calcium; d(E) = a + b r(E) for the
    direction d in which neighbouring blocks of soft tissue vary together. Source: the two-material decomposition
    of Alvarez & Macovski (Phys. Med. Biol. 21 (1976) 733); the voting for labels is gsigpu's.

    energies_kev : (E,) labels, ascending
    stack_hu : (E, z, y, x) HU, a few slices that show enhanced tissue; NaN where there is none
    Returns the doubtful series, ascending in label; empty where all fit, and where there is too
    little soft tissue, or too little in it that varies, to tell. With two or three energies only an exchange shows.
    Raises SettingsError if a label is outside 20-200 keV.

    Tested against stacks of known labels, exchanged and shifted. Where it says nothing, a region of known
    iodine concentration, or of water, compared with `physics.iodine_water_hu` decides.
    """
    labels = np.asarray(energies_kev, dtype=float)
    pairs = _soft_tissue_pairs(np.asarray(stack_hu, dtype=np.float64))
    if len(labels) < 2 or pairs.shape[2] < _LEAST_PAIRS:
        return ()
    if len(labels) <= 3:
        return _out_of_order(labels, pairs.mean(axis=0))
    direction, parts, spread_hu = _spectral_direction(pairs)
    if spread_hu < _LEAST_SPREAD_HU or np.median(np.abs(parts @ direction)) < _LEAST_COSINE:
        return ()  # nothing varies, or nothing but noise
    fitted, error_kev = _fitted_energies(labels, direction, parts)
    gaps = np.abs(labels[:, None] - labels[None, :]) + np.where(np.eye(len(labels)) > 0, np.inf, 0)
    tolerance = np.maximum(gaps.min(axis=1) / 2, _LEAST_OFFSET_KEV) + _LEAST_ERRORS * error_kev
    return tuple(
        LabelDoubt(float(label), float(kev))
        for label, kev, allowed in zip(labels, fitted, tolerance, strict=True)
        if abs(label - kev) > allowed
    )


def _out_of_order(
    labels: NDArray[np.float64], tissue: NDArray[np.float64]
) -> tuple[LabelDoubt, ...]:
    """Series whose place in the order of brightness is another's; tissue is (E, n) HU."""
    overall = tissue.mean(axis=0)
    bright_hu = tissue[:, overall >= np.quantile(overall, 0.75)].mean(axis=1)
    rank = np.argsort(np.argsort(-bright_hu))
    return tuple(
        LabelDoubt(float(labels[i]), float(labels[place]))
        for i, place in enumerate(rank)
        if place != i and abs(bright_hu[i] - bright_hu[place]) > _LEAST_REVERSAL_HU
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
    for first, second in ((np.s_[:, :, :-1], np.s_[:, :, 1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        both_mask = soft_mask[first] & soft_mask[second]
        pairs.append(np.stack([blocks[:, *first][:, both_mask], blocks[:, *second][:, both_mask]]))
    all_pairs = np.concatenate(pairs, axis=2)
    return all_pairs[:, :, :: -(-all_pairs.shape[2] // _MOST_PAIRS) or 1]


def _spectral_direction(
    pairs: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """(E,) direction in which neighbours vary together most, density alone (equal at all energies) taken out.

    Tissue is alike in neighbouring blocks and noise is not, so the covariance between the two of
    each pair is that of tissue. Bone follows calcium's curve, not iodine's, and so lies off the plane
    of most pairs; what lies far off is left out, and the direction computed again.
    Returns it, (n, E) those of several parts of the tissue, and the SD of tissue along it, HU.
    """
    kept = pairs
    for _ in range(_TRIMMING_ROUNDS):
        direction, across, spread_hu = _leading(kept)
        middle = across.mean(axis=0)
        off_plane = middle - np.outer(direction, direction @ middle)
        off_hu = np.sqrt((off_plane**2).mean(axis=0))
        kept = kept[:, :, off_hu <= _TRIMMED_BEYOND * np.median(off_hu)]
    parts = [_leading(part)[0] for part in np.array_split(kept, _PARTS, axis=2)]
    return direction, np.stack(parts), spread_hu


def _leading(
    pairs: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The direction of pairs, (2, E, n) their deviations from the mean, density taken out, and the SD along it."""
    across = pairs - pairs.mean(axis=1, keepdims=True)
    across -= across.mean(axis=(0, 2), keepdims=True)
    together = across[0] @ across[1].T
    variances, directions = np.linalg.eigh((together + together.T) / (2 * max(pairs.shape[2], 1)))
    return directions[:, -1], across, float(np.sqrt(max(variances[-1], 0.0)))


def _fitted_energies(
    labels: NDArray[np.float64],
    direction: NDArray[np.float64],
    parts: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energies read off the line d = a + b r(E), of iodine or calcium, whichever suits more series.

    parts : (n, E) the direction of each of several parts of the tissue
    Returns them and their standard errors, from the spread between the parts: where little varies,
    and at high energies where r is flat, noise alone moves them far.
    """
    fits = {element: _read_off(element, labels, direction) for element in (_IODINE, _CALCIUM)}
    element = max(fits, key=lambda element: _agreement(np.abs(fits[element] - labels)))
    of_parts = [_read_off(element, labels, part) for part in parts]
    return fits[element], np.std(of_parts, axis=0, ddof=1) / np.sqrt(len(parts))


def _agreement(off_kev: NDArray[np.float64]) -> tuple[int, float]:
    """The more series lie near their labels the better, then the nearer they lie."""
    return int((off_kev <= _LEAST_OFFSET_KEV).sum()), -float(np.median(off_kev))


def _read_off(
    element: int, labels: NDArray[np.float64], direction: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Energies read off the line through the largest set of series that agrees with its labels."""
    r, fine_r = (
        element_mass_attenuation(element, kev) / water_mass_attenuation(kev)
        for kev in (labels, _READ_OFF_KEV)
    )

    def on_line(a: float, b: float) -> NDArray[np.float64]:
        return np.interp(-(direction - a) / b, -fine_r, _READ_OFF_KEV)

    agreeing_mask = np.ones(len(labels), dtype=bool)
    best = (-1, -np.inf)
    for i, j in combinations(range(len(labels)), 2):
        b = (direction[i] - direction[j]) / (r[i] - r[j])
        if b == 0.0:
            continue
        off_kev = np.abs(on_line(direction[i] - b * r[i], b) - labels)
        if _agreement(off_kev) > best:
            agreeing_mask, best = off_kev <= _LEAST_OFFSET_KEV, _agreement(off_kev)
    b, a = np.polyfit(r[agreeing_mask], direction[agreeing_mask], 1)
    return on_line(a, b)
