"""Attenuation against NIST, and the closed form of iodine in water."""

import numpy as np
import pytest

from gsigpu import physics
from gsigpu.errors import SettingsError

# NIST Standard Reference Database 126 (Hubbell & Seltzer), X-Ray Mass Attenuation Coefficients,
# table 3 (iodine, Z = 53) and table 4 (water, liquid): µ/ρ in cm²/g, total with coherent scattering.
NIST_KEV = [40, 50, 60, 80, 100]
NIST_WATER = [0.2683, 0.2269, 0.2059, 0.1837, 0.1707]
NIST_IODINE = [22.10, 12.32, 7.579, 3.510, 1.942]


def test_water_agrees_with_nist():
    np.testing.assert_allclose(physics.water_mass_attenuation(NIST_KEV), NIST_WATER, rtol=1e-3)


def test_iodine_agrees_with_nist():
    np.testing.assert_allclose(physics.iodine_mass_attenuation(NIST_KEV), NIST_IODINE, rtol=2e-3)


@pytest.mark.parametrize("kev", range(40, 141, 10))
def test_one_mg_per_ml_adds_the_ratio_of_attenuations(kev):
    """Closed form: µ = ρw (µ/ρ)w + c (µ/ρ)I, HU = 1000 (µ/µw - 1), with water of 1 g/mL."""
    water = physics.water_mass_attenuation([kev])[0]
    iodine = physics.iodine_mass_attenuation([kev])[0]
    mu = 1.0 * water + 1e-3 * iodine  # 1 g/mL of water and 1 mg/mL of iodine
    expected_hu = 1000.0 * (mu / water - 1.0)
    assert physics.iodine_water_hu([kev], iodine_mg_per_ml=1.0)[0] == pytest.approx(
        expected_hu, rel=1e-12
    )


def test_hu_of_iodine_falls_with_energy_and_water_is_zero():
    kev = np.arange(40, 141)
    assert np.all(np.diff(physics.iodine_hu_per_mg_per_ml(kev)) < 0)
    np.testing.assert_array_equal(physics.iodine_water_hu(kev), np.zeros(101))


@pytest.mark.parametrize("kev", [5, 19.9, 201, float("nan")])
def test_energies_out_of_range_are_refused(kev):
    with pytest.raises(SettingsError, match="outside 20-200 keV"):
        physics.water_mass_attenuation([kev])


def test_unknown_element_is_refused():
    with pytest.raises(SettingsError, match="atomic number 0"):
        physics.element_mass_attenuation(0, [70])
