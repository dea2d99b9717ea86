"""Are the keV labels right? A wrong one shows, because the stack is of rank two.

In soft tissue the E monoenergetic values of a voxel lie in the plane of water and iodine,
HU(E) + 1000 = ρw + c r(E). What varies between voxels beside ρw follows r(E) up to a factor and an
added constant, whatever the labels say. So the direction d(E) of greatest variance across the
energies is found from the data alone, with its uncertainty, and compared with a + b r(label).

Without contrast medium what varies is calcium and fat instead. All light elements share one curve up
to a factor and a constant (photoelectric absorption falls alike in them), so calcium's is tried beside
iodine's, and one between them. More of either makes tissue brighter, less fat too; so the direction
is turned to grow with brightness, and b is positive whatever varies.

Two energies leave only that sign. Up to six: all orders of the labels are tried, and an exchange is
named where one order alone fits. From seven: the largest set of series that agree on a line, and
each energy read off it. What fits no better otherwise is told without a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from gsigpu.maps.spectral_direction import (
    LARGEST_ANGLE,
    LEAST_PAIRS,
    LEAST_SPREAD_HU,
    N_PARTS,
    Direction,
    block_means,
    soft_tissue_pairs,
    spectral_direction,
)
from gsigpu.physics import element_mass_attenuation, water_mass_attenuation

# ---- What counts as off its label. ----
# A scanner's curve may depart so much from the tables: as published for inserts of known iodine.
_CURVE_DEPARTURE = 0.03
# Chance of a misfit as large by noise and departure alone; a study has one check per phase.
_CHANCE = 1e-4
# The same in standard errors, where one value is looked at.
_LEAST_ERRORS = 3.9
# Another order of the labels must explain the data better by so much of chi-square than any third,
# and be as good as right ones are (per degree of freedom).
_LEAST_LEAD = 12.0
_BEST_FIT = 4.0
# A lead over the labels as they are that counts even where they are not refuted by themselves, as for an
# exchange of 110 and 120 keV among eleven.
_CLEAR_LEAD = 16.0
# Between whole-decade labels half the gap is 5 keV; a series is off when it reads past that.
_LEAST_OFFSET_KEV = 5.0
# All orders of so many labels are tried, 720; of more, exchanges of two alone.
_MOST_TRIED = 6
# Two energies: difference that image noise and the table's rounding leave in a mean, HU.
_LEAST_REVERSAL_HU = 2.0
# No soft tissue without contrast medium is denser; what lies below may be fat, which darkens at low
# energies by its own curve (adipose tissue, ICRU 44: -152 HU at 40, -54 at 140 keV).
_DENSEST_PLAIN_HU = 80.0
_FAT_HU_CURVE = (-34.6, -17.13)  # HU = a + b r(E) of calcium, within 0.5 HU from 40 to 140 keV

_IODINE, _CALCIUM = 53, 20
_BETWEEN = (0.0, 0.5, 1.0)  # parts of calcium's curve in that of iodine
_FLOOR_OF_CURVE = (
    -0.07
)  # the curves, 1 at 40 and 0 at 140 keV, where attenuation by the element is none
# Energies that can be read off: above iodine's K edge, 33.2 keV, and beyond any scanner's highest.
_READ_OFF_KEV = np.linspace(35.0, 200.0, 1101)


@dataclass(frozen=True, slots=True)
class LabelDoubt:
    """A series whose label does not fit the data.

    fitted_kev : the energy read off the data; None where the labels do not fit together, and the
        data do not tell which of them is wrong
    """

    label_kev: float
    fitted_kev: float | None


def check_labels(
    energies_kev: Sequence[float], stack_hu: NDArray[np.floating]
) -> tuple[LabelDoubt, ...]:
    """Series whose keV label does not fit the data.

    Model: HU(E) + 1000 = ρw + c r(E) in each voxel, with r(E) of iodine or of calcium; d(E) = a + b r(E) for the
    direction d in which neighbouring blocks of soft tissue vary together. Source: the two-material decomposition
    of Alvarez & Macovski (Phys. Med. Biol. 21 (1976) 733); trying the orders of the labels is gsigpu's.

    energies_kev : (E,) labels, ascending
    stack_hu : (E, z, y, x) HU, a few slices that show enhanced tissue; NaN where there is none
    Returns the doubtful series, ascending in label; empty where all fit, and where there is too little soft tissue,
    or too little in it that varies, to tell. All series without a fitted energy: the labels do not fit together.
    Raises SettingsError if a label is outside 20-200 keV.

    Tolerance: a departure of the scanner's curve by 3 %, and the standard error of the direction.
    Tested against stacks of known labels, exchanged and shifted, with iodine, fat and calcium and departures of
    3 %. Where it says nothing, a region of known iodine concentration, or of water, compared with
    `physics.iodine_water_hu` decides.
    """
    return check_block_labels(energies_kev, block_means(stack_hu))


def check_block_labels(
    energies_kev: Sequence[float], blocks_hu: NDArray[np.float64]
) -> tuple[LabelDoubt, ...]:
    """`check_labels` of means over blocks, (E, z, y / 4, x / 4) as `block_means` gives them."""
    labels = np.asarray(energies_kev, dtype=float)
    pairs, bands = soft_tissue_pairs(blocks_hu)
    if len(labels) < 2 or pairs.shape[2] < LEAST_PAIRS:
        return ()
    if len(labels) == 2:
        return _reversed_pair(labels, pairs)
    direction = spectral_direction(pairs, bands)
    if direction.spread_hu < LEAST_SPREAD_HU or np.trace(direction.covariance) > LARGEST_ANGLE**2:
        return ()  # nothing varies, or nothing but noise
    known = _best_order(labels, direction)
    if known is not None:
        return known
    if len(labels) > _MOST_TRIED:
        return _off_the_line(labels, direction)
    single = _single_wrong_label(labels, direction)
    return single or tuple(LabelDoubt(float(label), None) for label in labels)


def _reversed_pair(
    labels: NDArray[np.float64], pairs: NDArray[np.float64]
) -> tuple[LabelDoubt, ...]:
    """Two energies, exchanged: the brighter tissue is, the more it darkens towards the low label.

    pairs : (2, 2, n) HU of the low and the high label in neighbouring blocks
    Fat alone darkens so too, but not tissue that is denser than any without contrast medium.
    """
    low_hu, high_hu = pairs.mean(axis=0)  # of both blocks
    order = np.argsort(low_hu + high_hu)
    bright = order[3 * len(order) // 4 :]
    groups = np.array_split(bright, N_PARTS)
    fat_low, fat_high = _fat_hu(labels)
    excess_hu = []
    for group in groups:
        low, high = float(low_hu[group].mean()), float(high_hu[group].mean())
        part_of_fat = max(_DENSEST_PLAIN_HU - low, 0.0) / (_DENSEST_PLAIN_HU - fat_low)
        excess_hu.append(high - low - part_of_fat * (fat_high - fat_low))
    error_hu = float(np.std(excess_hu, ddof=1)) / np.sqrt(len(groups))
    if float(np.mean(excess_hu)) <= _LEAST_REVERSAL_HU + _LEAST_ERRORS * error_hu:
        return ()
    if _grows_with_brightness(pairs) >= 0.0:
        return ()
    first, second = (float(label) for label in labels)
    return (LabelDoubt(first, second), LabelDoubt(second, first))


def _fat_hu(energies_kev: NDArray[np.float64]) -> tuple[float, ...]:
    a, b = _FAT_HU_CURVE
    return tuple(float(hu) for hu in a + b * _curve(_CALCIUM, tuple(energies_kev)))


def _grows_with_brightness(pairs: NDArray[np.float64]) -> float:
    """Covariance between neighbours of the difference low - high and the mean of both, HU²."""
    deviation = pairs - pairs.mean(axis=(0, 2), keepdims=True)
    difference, brightness = deviation[:, 0] - deviation[:, 1], deviation.mean(axis=1)
    return float((difference[0] * brightness[1] + difference[1] * brightness[0]).mean())


def _best_order(labels: NDArray[np.float64], direction: Direction) -> tuple[LabelDoubt, ...] | None:
    """Doubts by the fit of other orders of the labels; None where the labels do not fit and no one order does."""
    orders = _orders(len(labels))
    misfit = _misfit(labels[orders], direction.value, direction.covariance)
    best, second = np.partition(misfit, 1)[:2]
    if misfit[0] <= _limit(len(labels)) and misfit[0] - best < _CLEAR_LEAD:
        return ()
    if best <= _BEST_FIT * (len(labels) - 2) and second - best >= _LEAST_LEAD:
        fitted = labels[orders[int(misfit.argmin())]]
        return tuple(
            LabelDoubt(float(label), float(kev))
            for label, kev in zip(labels, fitted, strict=True)
            if label != kev
        )
    return None


def _limit(n_energies: int) -> float:
    """Chi-square of a fit of two numbers that right labels exceed once in 10,000 times."""
    from scipy.special import (
        chdtri,
    )  # a fifth of the time of scipy.stats, and nothing else of a map needs it

    return float(chdtri(n_energies - 2, _CHANCE))


def _orders(n_energies: int) -> NDArray[np.intp]:
    """The labels as they are, then other orders: all of up to six, every exchange of two of more."""
    if n_energies <= _MOST_TRIED:
        return np.array(list(permutations(range(n_energies))))
    orders = [list(range(n_energies))]
    for i, j in combinations(range(n_energies), 2):
        exchanged = list(range(n_energies))
        exchanged[i], exchanged[j] = j, i
        orders.append(exchanged)
    return np.array(orders)


def _misfit(
    labels: NDArray[np.float64], direction: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Chi-square of d = a + b r(labels), b > 0, for each row of labels; the best of the curves.

    labels : (n, E) keV; direction : (E,); covariance : (E, E)
    To the error of the direction comes that of the curve, b r(E) times what a scanner may depart.
    """
    n_energies = len(direction)
    best = np.full(len(labels), np.inf)
    floor = 1e-6 * float(np.ptp(direction)) ** 2 * np.eye(n_energies)
    for part in _BETWEEN:
        r = _mixed_curve(labels, part)
        inverse = np.broadcast_to(
            np.linalg.inv(covariance + floor), (len(labels), n_energies, n_energies)
        )
        for _ in range(3):  # the departure's error depends on the slope that is fitted
            a, b = _weighted_line(r, direction, inverse)
            departure = _CURVE_DEPARTURE * b[:, None] * (r - _FLOOR_OF_CURVE)
            variance = np.einsum("ne,ef->nef", departure**2, np.eye(n_energies))
            inverse = np.linalg.inv(covariance + floor + variance)
        off = direction - a[:, None] - b[:, None] * r
        chi_square = np.einsum("ne,nef,nf->n", off, inverse, off)
        best = np.minimum(best, np.where(b > 0.0, chi_square, np.inf))
    # The inverse of a covariance from few parts is too large by this (Hartlap et al. 2007).
    return best * (N_PARTS - n_energies - 2) / (N_PARTS - 1)


def _weighted_line(
    r: NDArray[np.float64], direction: NDArray[np.float64], inverse: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n,) intercepts and slopes of d = a + b r by generalised least squares.

    r : (n, E); inverse : (n, E, E) of the covariance
    """
    weight = inverse.sum(axis=2)
    total = weight.sum(axis=1)
    mean_r = (weight * r).sum(axis=1) / total
    mean_d = weight @ direction / total
    off_r, off_d = r - mean_r[:, None], direction - mean_d[:, None]
    weighted = np.einsum("nef,nf->ne", inverse, off_r)
    b = (weighted * off_d).sum(axis=1) / (weighted * off_r).sum(axis=1)
    return mean_d - b * mean_r, b


def _single_wrong_label(
    labels: NDArray[np.float64], direction: Direction
) -> tuple[LabelDoubt, ...]:
    """The one series without which the others fit, if one alone is such; five energies or more."""
    if len(labels) < 5:
        return ()
    doubts = []
    for i in range(len(labels)):
        others = np.flatnonzero(np.arange(len(labels)) != i)
        value, covariance = direction.value[others], direction.covariance[np.ix_(others, others)]
        if _misfit(labels[None, others], value, covariance)[0] <= _limit(len(others)):
            kev = _energy_at(float(direction.value[i]), labels[others], value)
            doubts.append(LabelDoubt(float(labels[i]), kev))
    return tuple(doubts) if len(doubts) == 1 else ()


def _energy_at(value: float, labels: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
    """The energy of a value on the line through the other series, of the curve that fits them best."""
    fits = []
    for part in _BETWEEN:
        r, fine_r = _mixed_curve(labels, part), _mixed_curve(_READ_OFF_KEV, part)
        b, a = np.polyfit(r, direction, 1)
        off = float(((direction - a - b * r) ** 2).sum())
        fits.append((off, float(np.interp(-(value - a) / b, -fine_r, _READ_OFF_KEV))))
    return min(fits)[1]


def _off_the_line(labels: NDArray[np.float64], direction: Direction) -> tuple[LabelDoubt, ...]:
    """Doubts of seven series or more: those that read off the line of most too far from their labels."""
    fitted, error_kev, part = _fitted_energies(labels, direction)
    gaps = np.abs(labels[:, None] - labels[None, :]) + np.where(np.eye(len(labels)) > 0, np.inf, 0)
    tolerance = np.maximum(gaps.min(axis=1) / 2, _LEAST_OFFSET_KEV) + _LEAST_ERRORS * np.hypot(
        error_kev, _departure_kev(labels, part)
    )
    off = np.abs(labels - fitted) > tolerance
    if 2 * int(off.sum()) >= len(labels):  # no majority stands against them
        return tuple(LabelDoubt(float(label), None) for label in labels)
    return tuple(
        LabelDoubt(float(label), float(kev))
        for label, kev in zip(labels[off], fitted[off], strict=True)
    )


def _departure_kev(labels: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    """How far an energy reads off where the curve there departs by 3 % of its height over the lowest."""
    fine_r = _mixed_curve(_READ_OFF_KEV, part)
    slope = np.abs(np.interp(labels, _READ_OFF_KEV, np.gradient(fine_r, _READ_OFF_KEV)))
    r = _mixed_curve(labels, part)
    return np.asarray(_CURVE_DEPARTURE * (r - _FLOOR_OF_CURVE) / slope)


def _fitted_energies(
    labels: NDArray[np.float64], direction: Direction
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Energies read off the line d = a + b r(E), of iodine, calcium or between, whichever suits most series.

    Returns them, their standard errors from leaving out parts of the tissue (where little varies, and at high
    energies where r is flat, noise alone moves them far), and the part of calcium in the curve.
    """
    fits = {part: _read_off(part, labels, direction.value) for part in _BETWEEN}
    part = max(fits, key=lambda part: _agreement(np.abs(fits[part] - labels)))
    without = np.array([_read_off(part, labels, value) for value in direction.without])
    return fits[part], np.sqrt((N_PARTS - 1) * np.var(without, axis=0)), part


def _agreement(off_kev: NDArray[np.float64]) -> tuple[int, float]:
    """The more series lie near their labels the better, then the nearer they lie."""
    return int((off_kev <= _LEAST_OFFSET_KEV).sum()), -float(np.median(off_kev))


def _read_off(
    part: float, labels: NDArray[np.float64], direction: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Energies read off the line through the largest set of series that agrees with its labels."""
    r, fine_r = _mixed_curve(labels, part), _mixed_curve(_READ_OFF_KEV, part)

    def on_line(a: float, b: float) -> NDArray[np.float64]:
        return np.interp(-(direction - a) / b, -fine_r, _READ_OFF_KEV)

    agreeing_mask = np.ones(len(labels), dtype=bool)
    best = (-1, -np.inf)
    for i, j in combinations(range(len(labels)), 2):
        b = (direction[i] - direction[j]) / (r[i] - r[j])
        if b <= 0.0:
            continue
        off_kev = np.abs(on_line(direction[i] - b * r[i], b) - labels)
        if _agreement(off_kev) > best:
            agreeing_mask, best = off_kev <= _LEAST_OFFSET_KEV, _agreement(off_kev)
    b, a = np.polyfit(r[agreeing_mask], direction[agreeing_mask], 1)
    return on_line(a, b)


def _mixed_curve(energies_kev: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    """A curve between iodine's and calcium's, each from 1 at 40 keV to 0 at 140 keV."""
    flat = np.asarray(energies_kev, dtype=float)
    unique, place = np.unique(flat, return_inverse=True)
    mixed = np.zeros(len(unique))
    for element, share in ((_IODINE, 1.0 - part), (_CALCIUM, part)):
        top, bottom = _curve(element, (40.0, 140.0))
        mixed += share * (_curve(element, tuple(unique)) - bottom) / (top - bottom)
    return np.asarray(mixed[place].reshape(flat.shape))


@lru_cache(maxsize=64)
def _curve(atomic_number: int, energies_kev: tuple[float, ...]) -> NDArray[np.float64]:
    """r(E) of an element: its attenuation over that of water."""
    return element_mass_attenuation(atomic_number, energies_kev) / water_mass_attenuation(
        energies_kev
    )
