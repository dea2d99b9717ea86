"""Elam's tables against xraydb, whose file they are read from."""

import numpy as np
import pytest
import xraydb

from gsigpu import elam_tables

# Every keV of the range that physics takes, its ends, points of the tables themselves, and energies between.
ENERGIES_EV = np.unique(
    np.concatenate(
        [np.arange(20, 201) * 1e3, [33_169.0, 69_525.0, 88_005.0], np.geomspace(20e3, 200e3, 57)]
    )
)


@pytest.mark.parametrize("atomic_number", range(1, 93))
def test_every_element_is_what_xraydb_computes(atomic_number):
    np.testing.assert_array_equal(
        elam_tables.element_attenuation(atomic_number, ENERGIES_EV),
        xraydb.mu_elam(atomic_number, ENERGIES_EV),
    )


def test_water_is_what_xraydb_computes():
    np.testing.assert_array_equal(
        elam_tables.water_attenuation(ENERGIES_EV),
        xraydb.material_mu("water", ENERGIES_EV, density=1.0),
    )


def test_without_xraydb_its_name_is_told(monkeypatch):
    monkeypatch.setattr(elam_tables.importlib.util, "find_spec", lambda name: None)
    elam_tables._element.cache_clear()
    with pytest.raises(ModuleNotFoundError, match="xraydb"):
        elam_tables.element_attenuation(53, ENERGIES_EV)
