"""A wrong keV label is seen, a right one is left alone."""

from itertools import combinations

import numpy as np
import pytest

from gsigpu import physics
from gsigpu.maps.label_check import check_labels
from tests.support.tissue import liver

ELEVEN = tuple(float(kev) for kev in range(40, 141, 10))


def tissue(energies, noise_hu=10.0, seed=0, enhancement=1.0):
    """Three slices of soft tissue, fat, air and bone, with noise."""
    rng = np.random.default_rng(seed)
    shape = (3, 96, 96)
    water = np.full(shape, 1040.0) + rng.normal(0, 5, shape)
    iodine = np.zeros(shape)
    iodine[:, 10:60, 10:60] = 1.5 * enhancement
    iodine[:, 60:80, 20:60] = 4.0 * enhancement
    water[:, :8] = 0.0  # air
    water[:, 8:10] = 920.0  # fat
    r = physics.iodine_hu_per_mg_per_ml(energies)[:, None, None, None]
    hu = water + iodine * r - 1000.0
    calcium = physics.element_mass_attenuation(20, energies) / physics.water_mass_attenuation(
        energies
    )
    bone = np.zeros(shape)
    bone[:, 60:80, 70:90] = 250.0  # mg/mL
    hu = hu + bone * calcium[:, None, None, None]
    return hu + rng.normal(0, noise_hu, hu.shape)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "energies", [ELEVEN, (40.0, 60.0, 80.0, 100.0), (50.0, 70.0), (60.0, 100.0)]
)
def test_right_labels_pass(energies, seed):
    assert check_labels(energies, tissue(energies, seed=seed)) == ()


@pytest.mark.parametrize("highest_kev", [140, 190])
def test_right_labels_pass_without_contrast_medium_and_up_to_190_kev(highest_kev):
    """What varies is then calcium and fat, whose curve at high energies is not iodine's."""
    energies = tuple(float(kev) for kev in range(40, highest_kev + 1, 10))
    assert check_labels(energies, tissue(energies)) == ()
    plain = tissue(energies, noise_hu=3.0, enhancement=0.0)
    rng = np.random.default_rng(1)
    calcium = physics.element_mass_attenuation(20, energies) / physics.water_mass_attenuation(
        energies
    )
    patches = np.kron(rng.uniform(0, 8, (3, 12, 12)), np.ones((1, 8, 8)))  # mg/mL
    plain = plain + patches * calcium[:, None, None, None]
    assert check_labels(energies, plain) == ()


@pytest.mark.parametrize(("i", "j"), list(combinations(range(11), 2)))
def test_every_exchange_of_two_in_eleven_is_named(i, j):
    stack = tissue(ELEVEN)
    stack[[i, j]] = stack[[j, i]]
    doubts = check_labels(ELEVEN, stack)
    assert [doubt.label_kev for doubt in doubts] == [ELEVEN[i], ELEVEN[j]]
    assert doubts[0].fitted_kev == pytest.approx(ELEVEN[j], abs=5)
    assert doubts[1].fitted_kev == pytest.approx(ELEVEN[i], abs=5)


def test_exchanged_pair_of_a_two_point_slope_is_named():
    doubts = check_labels((60.0, 100.0), tissue((60.0, 100.0))[::-1])
    assert [doubt.label_kev for doubt in doubts] == [60.0, 100.0]


@pytest.mark.parametrize(("i", "j"), [(0, 1), (0, 2), (1, 2)])
def test_an_exchange_in_three_energies_is_named(i, j):
    energies = (40.0, 70.0, 140.0)
    stack = tissue(energies)
    assert check_labels(energies, stack) == ()
    stack[[i, j]] = stack[[j, i]]
    doubts = check_labels(energies, stack)
    assert [doubt.label_kev for doubt in doubts] == [energies[i], energies[j]]
    assert [doubt.fitted_kev for doubt in doubts] == [energies[j], energies[i]]


def test_one_series_with_a_wrong_label():
    truth = (40.0, 50.0, 60.0, 75.0, 100.0, 120.0)
    doubts = check_labels((40.0, 50.0, 60.0, 90.0, 100.0, 120.0), tissue(truth, noise_hu=3))
    assert [doubt.label_kev for doubt in doubts] == [90.0]
    assert doubts[0].fitted_kev == pytest.approx(75.0, abs=2)


def test_too_little_tissue_says_nothing():
    assert check_labels(ELEVEN, np.full((11, 2, 32, 32), -1000.0)) == ()
    assert check_labels(ELEVEN, np.full((11, 2, 32, 32), np.nan)) == ()


def test_tissue_that_does_not_vary_says_nothing():
    """As after a copy of one image to all energies, or with noise alone."""
    image = tissue((70.0,), enhancement=0.0)
    assert check_labels(ELEVEN, np.repeat(image, 11, axis=0)) == ()
    for seed in range(5):
        assert check_labels(ELEVEN, tissue(ELEVEN, seed=seed, enhancement=0.0)) == ()


FOUR = [
    (40.0, 60.0, 80.0, 100.0),
    (40.0, 70.0, 100.0, 140.0),
    (50.0, 60.0, 70.0, 80.0),
    (45.0, 65.0, 85.0, 110.0),
]
ENHANCED = {"iodine": (0.0, 4.0)}
SETS = [(60.0, 100.0), (40.0, 70.0, 100.0), FOUR[1], (40.0, 50.0, 60.0, 70.0, 100.0, 140.0), ELEVEN]


def departures():
    """By energy, factors of the contrast with water: a tilt, a bow, and one drawn for each energy."""
    yield lambda kev: 1.0 + 0.03 * (90.0 - kev) / 50.0
    yield lambda kev: 1.0 - 0.03 * (90.0 - kev) / 50.0
    yield lambda kev: 1.0 + 0.03 * np.cos((kev - 40.0) / 50.0 * np.pi)
    for seed in range(4):
        yield (
            lambda kev, seed=seed: 1.0 + np.random.default_rng(seed).uniform(-0.03, 0.03, len(kev))
        )


@pytest.mark.parametrize("energies", FOUR, ids=str)
def test_every_exchange_of_two_in_four_is_named_and_no_other(energies):
    for seed in range(3):
        for i, j in combinations(range(4), 2):
            stack = liver(energies, seed=seed, **ENHANCED)
            stack[[i, j]] = stack[[j, i]]
            doubts = check_labels(energies, stack)
            assert [(doubt.label_kev, doubt.fitted_kev) for doubt in doubts] == [
                (energies[i], energies[j]),
                (energies[j], energies[i]),
            ]


def test_a_rotation_of_three_in_five_is_named():
    energies = (40.0, 60.0, 80.0, 100.0, 120.0)
    stack = liver(energies, seed=1, **ENHANCED)[[1, 2, 0, 3, 4]]
    doubts = check_labels(energies, stack)
    assert [(doubt.label_kev, doubt.fitted_kev) for doubt in doubts] == [
        (40.0, 60.0),
        (60.0, 80.0),
        (80.0, 40.0),
    ]


@pytest.mark.parametrize("energies", SETS, ids=len)
@pytest.mark.parametrize(
    "contents",
    [
        ENHANCED,
        {"fat": (0.0, 0.4)},
        {"fat": (0.25, 0.35)},
        {"calcium": (0.0, 8.0), "noise_hu": 3.0},
        {"calcium": (0.0, 8.0), "fat": (0.0, 0.3), "iodine": (0.0, 2.0)},
        {},
    ],
    ids=str,
)
def test_right_labels_pass_whatever_the_liver_holds(energies, contents):
    for seed in range(2):
        assert check_labels(energies, liver(energies, seed=seed, **contents)) == ()


@pytest.mark.parametrize("energies", SETS, ids=len)
@pytest.mark.parametrize("departure", list(departures()))
def test_a_scanner_whose_curve_departs_by_3_percent_gives_no_alarm(energies, departure):
    assert check_labels(energies, liver(energies, seed=0, departure=departure, **ENHANCED)) == ()


def test_labels_that_fit_no_order_are_told_without_a_name():
    """Two of four are wrong in different ways: no exchange explains it, and no advice is given."""
    truth, labels = (40.0, 95.0, 55.0, 120.0), (40.0, 60.0, 80.0, 100.0)
    doubts = check_labels(labels, liver(truth, seed=0, noise_hu=3.0, **ENHANCED))
    assert [doubt.label_kev for doubt in doubts] == list(labels)
    assert {doubt.fitted_kev for doubt in doubts} == {None}
