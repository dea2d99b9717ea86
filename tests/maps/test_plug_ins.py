"""A map that another package adds: a small package with an entry point, as pip would have installed it."""

import numpy as np
import pytest

import gsigpu
from gsigpu.maps.registry import define
from gsigpu.physics import iodine_water_hu

CODE = """
from dataclasses import replace
from gsigpu.maps.definitions import LinearRows
from gsigpu.maps.registry import define

def half(energies):
    rows = define("iodine").rows(energies)
    return LinearRows(rows.weights / 2, rows.offsets / 2)

HALF = replace(define("iodine"), name="half-iodine", parameter="half_iodine", title="Half of it", rows=half)

def made():
    return replace(HALF, name="made-iodine")
"""
ENTRIES = """[gsigpu.maps]
half-iodine = {name}:HALF
made-iodine = {name}:made
iodine = {name}:HALF
misnamed = {name}:HALF
broken = {name}:NOTHING
"""
ENERGIES = (60.0, 100.0)


def install(folder, name, entries=ENTRIES):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(CODE)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries.format(name=name))


@pytest.fixture
def package(tmp_path, monkeypatch):
    install(tmp_path / "site", "half_of_it")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def test_it_is_a_map_like_any_other(package):
    hu = iodine_water_hu(ENERGIES, iodine_mg_per_ml=3.0)[:, None, None]
    for name in ("half-iodine", "made-iodine"):
        made = gsigpu.compute(hu, ENERGIES, name)
        np.testing.assert_allclose(made, 1.5, rtol=1e-5)


def test_names_of_gsigpu_go_first(package):
    assert define("iodine").title == "Iodine"


def test_what_is_wrong_with_it_is_told(package):
    with pytest.raises(gsigpu.SettingsError, match="let it give a MapDefinition whose name is"):
        define("misnamed")
    with pytest.raises(gsigpu.MissingDependency, match="pip uninstall half_of_it"):
        define("broken")
    with pytest.raises(gsigpu.SettingsError, match="did you mean half-iodine"):
        define("half-iodin")


def test_two_packages_may_not_add_one_name(package):
    install(package, "other_half", "[gsigpu.maps]\nhalf-iodine = {name}:HALF\n")
    with pytest.raises(gsigpu.SettingsError) as told:
        define("half-iodine")
    assert str(told.value) == (
        "'half-iodine' is added by half_of_it and other_half; remove one: pip uninstall other_half"
    )


def test_without_the_package_it_is_unknown():
    with pytest.raises(gsigpu.SettingsError, match="unknown map 'half-iodine'"):
        define("half-iodine")
