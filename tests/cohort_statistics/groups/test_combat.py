"""Harmonised values against R's sva, and what cannot be harmonised."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gsigpu.cohort_statistics.groups import combat
from gsigpu.cohort_statistics.groups.combat import require_combat, without_site_effects
from gsigpu.errors import SettingsError

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "combat.json").read_text("utf-8"))
VALUES = np.array(GOLDEN["values"])
SITE, GROUP = np.array(GOLDEN["site"], dtype=object), np.array(GOLDEN["group"], dtype=object)
AGE = pd.DataFrame({"age": GOLDEN["age"]}, dtype=float)


@pytest.fixture(scope="module")
def harmonised():
    pytest.importorskip("scanpy")
    return without_site_effects(VALUES, SITE, GROUP, covariates=AGE)


def test_it_is_what_sva_gives(harmonised):
    moved = np.abs(VALUES - GOLDEN["sva"]).max()
    assert np.abs(harmonised.values - GOLDEN["sva"]).max() < 0.01 * moved
    # Both stop when a step is below 1e-4 of the last.
    np.testing.assert_allclose(harmonised.values, GOLDEN["population"], rtol=0, atol=1e-6 * moved)
    assert harmonised.used.all()
    assert not harmonised.note


def test_a_lesion_that_lacks_something_is_left_out(harmonised):
    values, site = VALUES.copy(), SITE.copy()
    values[3, 2], site[7] = np.nan, ""
    age = AGE.copy()
    age.loc[9, "age"] = np.nan
    result = without_site_effects(values, site, GROUP, covariates=age)
    rest = np.setdiff1d(np.arange(len(values)), [3, 7, 9])
    assert np.flatnonzero(~result.used).tolist() == [3, 7, 9]
    assert np.isnan(result.values[[3, 7, 9]]).all()
    alone = without_site_effects(values[rest], site[rest], GROUP[rest], covariates=age.iloc[rest])
    np.testing.assert_array_equal(result.values[rest], alone.values)


def test_units_and_names_do_not_matter(harmonised):
    other = without_site_effects(
        VALUES * 3.0 - 7.0, np.char.add("site ", SITE.astype(str)), GROUP, covariates=AGE
    )
    np.testing.assert_allclose(other.values, harmonised.values * 3.0 - 7.0, atol=1e-9)


@pytest.mark.parametrize("factor", [2.0, 3.0, 0.1])
def test_parameters_that_are_multiples_of_each_other(factor):
    """As iodine and the slope of images without noise. By a power of two their spreads are the same to the last bit on any processor."""
    pytest.importorskip("scanpy")
    result = without_site_effects(
        np.stack([VALUES[:, 0], factor * VALUES[:, 0]], axis=1), SITE, GROUP, covariates=AGE
    )
    assert result.used.all()
    spread = np.ptp(VALUES[:, 0])
    np.testing.assert_allclose(
        result.values[:, 1] / factor, result.values[:, 0], atol=1e-6 * spread
    )
    # Where the other is a multiple but for its millionth part, the prior is a point nearly.
    close = factor * VALUES[:, 0] * (1 + 1e-6 * np.sin(np.arange(len(VALUES))))
    nearly = without_site_effects(
        np.stack([VALUES[:, 0], close], axis=1), SITE, GROUP, covariates=AGE
    )
    np.testing.assert_allclose(nearly.values[:, 0], result.values[:, 0], atol=1e-4 * spread)
    assert np.abs(result.values[:, 0] - VALUES[:, 0]).max() > 0.01 * spread


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"values": VALUES[:, :1]}, "two parameters"),
        ({"sites": np.full(len(VALUES), "A", object)}, "fewer than two sites"),
        ({"sites": np.where(np.arange(len(VALUES)) == 0, "Z", SITE)}, "Z has one lesion"),
        ({"groups": np.array(["of " + name for name in SITE], object)}, "told from groups"),
        ({"values": VALUES * (np.arange(6) != 2)}, "does not vary at a site"),
        ({"values": VALUES * np.nan}, "fewer than two sites"),
    ],
)
def test_what_cannot_be_harmonised_says_why(change, reason):
    result = without_site_effects(**{"values": VALUES, "sites": SITE, "groups": GROUP} | change)
    assert result.note.startswith("cannot be tested: ")
    assert reason in result.note
    assert np.isnan(result.values).all()
    assert not result.used.any()


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(combat, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "scanpy", None)
    with pytest.raises(SettingsError) as caught:
        require_combat()
    assert "gsigpu[combat]" in caught.value.remedy
