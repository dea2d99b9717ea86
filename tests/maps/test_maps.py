"""Every map against its definition in float64, and the laws that hold between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsigpu import physics
from gsigpu.errors import SettingsError, TooFewEnergies
from gsigpu.maps.plan import fold_rescale, maps_of_hu, plan_maps
from gsigpu.maps.quantise import quantise
from gsigpu.maps.registry import KNOWN_NAMES, define, define_all
from gsigpu.maps.slope import parse_slope

ELEVEN = tuple(float(kev) for kev in range(40, 141, 10))
RNG = np.random.default_rng(5)


def mixture(water, iodine, energies=ELEVEN):
    """(E, y, x) HU of water-iodine mixtures."""
    r = physics.iodine_hu_per_mg_per_ml(energies)[:, None, None]
    return np.asarray(water)[None] + np.asarray(iodine)[None] * r - 1000.0


def one_map(name, stack, energies=ELEVEN, slope="paper"):
    plan = plan_maps([define(name, slope=slope)], energies)
    chosen = stack[[energies.index(kev) for kev in plan.energies_kev]]
    (values,) = maps_of_hu(plan, chosen).values()
    return values


WATER = RNG.uniform(900, 1100, (5, 7))
IODINE = RNG.uniform(0, 15, (5, 7))
STACK = mixture(WATER, IODINE)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("iodine", IODINE),
        ("water", WATER),
        ("vnc", WATER - 1000),
        ("mono-65", mixture(WATER, IODINE, (65.0,))[0]),
        ("electron-density", (WATER + IODINE * 0.41764 / 0.55508) / 1000),
        ("residual", np.zeros((5, 7))),
    ],
)
def test_maps_of_a_mixture_are_what_was_mixed(name, expected):
    np.testing.assert_allclose(one_map(name, STACK), expected, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize("subset", [(40.0, 140.0), (60.0, 100.0), (50.0, 70.0, 90.0)])
def test_decomposition_from_fewer_energies_is_the_same(subset):
    stack = STACK[[ELEVEN.index(kev) for kev in subset]]
    np.testing.assert_allclose(one_map("iodine", stack, subset), IODINE, rtol=1e-5, atol=1e-4)


def test_iodine_is_the_least_squares_solution():
    """numpy.linalg.lstsq on a noisy stack, voxel by voxel."""
    noisy = STACK + RNG.normal(0, 30, STACK.shape)
    design = np.column_stack([np.ones(11), physics.iodine_hu_per_mg_per_ml(ELEVEN)])
    solution, *_ = np.linalg.lstsq(design, noisy.reshape(11, -1) + 1000, rcond=None)
    np.testing.assert_allclose(one_map("water", noisy).ravel(), solution[0], rtol=1e-5)
    np.testing.assert_allclose(one_map("iodine", noisy).ravel(), solution[1], atol=1e-4)
    left = noisy.reshape(11, -1) + 1000 - design @ solution
    np.testing.assert_allclose(
        one_map("residual", noisy).ravel(), np.sqrt((left**2).mean(axis=0)), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("slope", "low", "high", "divisor"),
    [
        ("paper", 60, 100, 60),
        ("60-100", 60, 100, 40),
        ("40-100", 40, 100, 60),
        ("50-70/25", 50, 70, 25),
    ],
)
def test_two_point_slope_is_the_analytic_one(slope, low, high, divisor):
    r = physics.iodine_hu_per_mg_per_ml([low, high])
    np.testing.assert_allclose(
        one_map("lambda-hu", STACK, slope=slope),
        IODINE * (r[0] - r[1]) / divisor,
        rtol=1e-4,
        atol=1e-4,
    )


def test_figures_of_the_specification():
    """1 mg/mL of iodine: 0.636 HU/keV for 60-100, 0.424 for paper, 1.183 for 40-100."""
    stack = mixture(np.full((1, 1), 1000.0), np.ones((1, 1)))
    for slope, expected in (("60-100", 0.636), ("paper", 0.424), ("40-100", 1.183)):
        assert one_map("lambda-hu", stack, slope=slope)[0, 0] == pytest.approx(expected, abs=5e-4)


def test_fitted_slope_is_minus_polyfit():
    noisy = STACK + RNG.normal(0, 20, STACK.shape)
    inside = slice(0, 7)  # 40-100 keV
    expected = -np.polyfit(ELEVEN[inside], noisy[inside].reshape(7, -1), 1)[0]
    np.testing.assert_allclose(one_map("lambda-hu[fit:40-100]", noisy).ravel(), expected, rtol=1e-4)


def test_vnc_of_iodine_in_water_is_zero():
    stack = mixture(np.full((3, 3), 1000.0), np.linspace(0, 20, 9).reshape(3, 3))
    np.testing.assert_allclose(one_map("vnc", stack), 0.0, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["lambda-hu", "iodine", "lambda-hu[fit:40-140]"]),
    st.floats(-3, 3),
    st.floats(-3, 3),
)
def test_maps_without_offset_are_linear(name, a, b):
    first, second = RNG.normal(0, 100, (2, 11, 2, 2))
    # Iodine of water, HU 0, is 0: so contrasts add.
    combined = one_map(name, a * first + b * second)
    separate = a * one_map(name, first) + b * one_map(name, second)
    np.testing.assert_allclose(combined, separate, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("z", [6, 7, 8, 13, 20, 26, 40])
@pytest.mark.parametrize("energies", [ELEVEN, (50.0, 120.0)])
def test_zeff_of_an_element_is_its_atomic_number(z, energies):
    mu = physics.element_mass_attenuation(z, energies)
    hu = 1000.0 * (mu / physics.water_mass_attenuation(energies) - 1.0)
    assert one_map("zeff", hu[:, None, None], energies)[0, 0] == pytest.approx(z, abs=0.02)


def test_zeff_of_water_lies_between_hydrogen_and_oxygen_and_rises_with_iodine():
    """At 40-140 keV the per-electron ratio of water is that of Z near 7.5."""
    atomic_number = one_map("zeff", mixture(np.full((1, 3), 1000.0), np.array([[0.0, 2.0, 10.0]])))[
        0
    ]
    assert 7.0 < atomic_number[0] < 8.0
    assert atomic_number[0] < atomic_number[1] < atomic_number[2]


# ICRU Report 44: mass fractions by Z, density in g/mL, electron density relative to water.
_TISSUES = {
    "liver": (
        {1: 0.102, 6: 0.139, 7: 0.030, 8: 0.716, 11: 0.002, 15: 0.003, 16: 0.003, 17: 0.002, 19: 0.003},
        1.06,
        1.050,
    ),
    "muscle": (
        {1: 0.102, 6: 0.143, 7: 0.034, 8: 0.710, 11: 0.001, 15: 0.002, 16: 0.003, 17: 0.001, 19: 0.004},
        1.05,
        1.040,
    ),
    "adipose": (
        {1: 0.114, 6: 0.598, 7: 0.007, 8: 0.278, 11: 0.001, 16: 0.001, 17: 0.001},
        0.95,
        0.951,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", _TISSUES)
def test_electron_density_and_zeff_of_icru_tissues(name):
    """Electron density as published, within 0.3 %; Zeff as the power law of Mayneord has it, within 0.15."""
    fractions, density, published = _TISSUES[name]
    attenuation = density * sum(
        part * physics.element_mass_attenuation(z, ELEVEN) for z, part in fractions.items()
    )
    hu = 1000 * (attenuation / physics.water_mass_attenuation(ELEVEN) - 1)
    plan = plan_maps(define_all(["electron-density", "zeff"]), ELEVEN)
    maps = maps_of_hu(plan, hu.reshape(11, 1, 1))
    assert maps["electron-density"].item() == pytest.approx(published, rel=3e-3)
    electrons = {z: part * (0.992 if z == 1 else 0.4995) for z, part in fractions.items()}
    total = sum(electrons.values())
    power_law = sum(n / total * z**2.94 for z, n in electrons.items()) ** (1 / 2.94)
    assert maps["zeff"].item() == pytest.approx(power_law, abs=0.15)


def test_zeff_of_air_is_nan():
    assert np.isnan(one_map("zeff", np.full((11, 2, 2), -1000.0))).all()
    assert np.isnan(one_map("zeff", np.full((11, 2, 2), -950.0))).all()


def correlated_noise(shape, sd, seed):
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 0.9)
    return sd * noise / noise.std()


@pytest.mark.parametrize(
    ("name", "sigma"), [("iodine", "sigma-iodine"), ("lambda-hu", "sigma-lambda-hu")]
)
def test_sigma_is_the_propagated_covariance(name, sigma):
    """sqrt(wᵀ Σ w) with the covariance that the noise was made with."""
    energies = (40.0, 60.0, 80.0, 100.0)
    mixing = RNG.normal(0, 10, (4, 2))
    basis = np.stack([correlated_noise((160, 160), 1.0, seed) for seed in (1, 2)])
    noise = np.tensordot(mixing, basis, axes=1)
    covariance = mixing @ mixing.T
    plan = plan_maps([define(name)], energies)
    weights = np.zeros(4)
    weights[[energies.index(kev) for kev in plan.energies_kev]] = plan.linear.weights[0]
    expected = np.sqrt(weights @ covariance @ weights)
    sd = one_map(sigma, noise, energies)
    assert np.median(sd) == pytest.approx(expected, rel=0.1)


def test_plan_reads_only_what_is_needed():
    assert plan_maps([define("lambda-hu")], ELEVEN).energies_kev == (60.0, 100.0)
    assert plan_maps(define_all(["lambda-hu", "zeff"]), ELEVEN).energies_kev == (
        40.0,
        60.0,
        100.0,
        140.0,
    )
    assert plan_maps(define_all(["lambda-hu", "iodine"]), ELEVEN).energies_kev == ELEVEN
    assert plan_maps([define("lambda-hu[fit:60-90]")], ELEVEN).energies_kev == (
        60.0,
        70.0,
        80.0,
        90.0,
    )


def test_maps_together_equal_maps_alone():
    names = ["residual", "lambda-hu", "zeff", "iodine", "sigma-lambda-hu", "mono-70"]
    stack = STACK + RNG.normal(0, 5, STACK.shape)
    together = maps_of_hu(plan_maps(define_all(names), ELEVEN), stack)
    assert list(together) == names
    for name in names:
        np.testing.assert_allclose(together[name], one_map(name, stack), rtol=1e-4, atol=1e-3)


def test_volumes_are_mapped_slice_by_slice():
    volume = np.stack([STACK, STACK + 10], axis=1)
    plan = plan_maps(define_all(["iodine", "residual"]), ELEVEN)
    for of_volume, alone in zip(
        maps_of_hu(plan, volume).values(), maps_of_hu(plan, STACK).values(), strict=True
    ):
        assert of_volume.shape == (2, 5, 7)
        np.testing.assert_allclose(of_volume[0], alone, atol=1e-3)


def test_rescale_and_step_fold_into_the_weights():
    rows = plan_maps(define_all(["lambda-hu", "vnc"]), ELEVEN).linear
    slopes, intercepts = RNG.uniform(0.5, 2, (3, 11)), RNG.uniform(-1100, -900, (3, 11))
    steps = np.array([0.001, 1.0])
    weights, offsets = fold_rescale(rows, slopes, intercepts, steps)
    stored = RNG.integers(0, 3000, (3, 11, 4))
    hu = slopes[..., None] * stored + intercepts[..., None]
    expected = (rows.weights @ hu + rows.offsets[:, None]) / steps[:, None]
    np.testing.assert_allclose(
        weights @ stored + offsets[..., None], expected, rtol=1e-4, atol=0.05
    )


@pytest.mark.parametrize(
    "text", ["", "60", "100-60", "30-60", "60-150", "60-100/0", "fit:60", "60-100/x", "paper2"]
)
def test_bad_slopes_are_refused(text):
    with pytest.raises(SettingsError):
        parse_slope(text)


@pytest.mark.parametrize(
    ("name", "available", "message"),
    [
        (
            "lambda-hu",
            (40.0, 60.0, 140.0),
            "slope paper needs a monoenergetic series at 100 keV; available are 40, 60, 140 keV",
        ),
        (
            "lambda-hu[fit:50-60]",
            (40.0, 60.0),
            "two energies or more in 50-60 keV; there are 60 keV",
        ),
        ("iodine", (70.0,), "iodine needs monoenergetic series at 2 energies or more; there are 1"),
        ("residual", (40.0, 70.0), "residual needs monoenergetic series at 3 energies"),
    ],
)
def test_too_few_energies(name, available, message):
    with pytest.raises(TooFewEnergies, match=message):
        plan_maps([define(name)], available)


def test_unknown_and_repeated_maps_are_refused():
    with pytest.raises(SettingsError, match="did you mean iodine"):
        define("iodin")
    with pytest.raises(SettingsError, match="is named twice"):
        define_all(["iodine", "iodine"])
    with pytest.raises(SettingsError, match="no map is named"):
        define_all([""])
    with pytest.raises(SettingsError, match="mono-40 and mono-140"):
        define("mono-30")


@pytest.mark.parametrize("name", KNOWN_NAMES)
def test_every_known_map_is_complete(name):
    definition = define(name)
    assert definition.name == name
    assert definition.parameter == name.replace("-", "_")
    assert definition.formula
    assert definition.title
    assert definition.step > 0
    assert len(definition.rescale_type) <= 16
    assert plan_maps([definition], ELEVEN).definitions == (definition,)


def test_quantise_rounds_half_to_even_and_counts_clipped():
    stored, n_clipped = quantise(np.float32([0.5, 1.5, np.nan, 40000, -40000, -2.4]), 1.0)
    np.testing.assert_array_equal(stored, [0, 2, -32768, 32767, -32767, -2])
    assert n_clipped == 2
