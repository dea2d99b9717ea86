"""Two and three basis materials, against mixtures that XrayDB makes and the constrained least squares of SciPy."""

import numpy as np
import pytest
import xraydb
from scipy.optimize import minimize

from gsigpu.attenuation_file import read_attenuation
from gsigpu.errors import InputError, SettingsError
from gsigpu.maps.basis import MATERIALS
from gsigpu.maps.plan import maps_of_hu, plan_maps
from gsigpu.maps.registry import define

ELEVEN = tuple(float(kev) for kev in range(40, 141, 10))
TWO = (60.0, 100.0)
EV = 1e3
FORMULAS = {
    "water": ("H2O", 1.0), "iodine": ("I", 4.933), "calcium": ("Ca", 1.55), "fat": ("C57H104O6", 0.91),
    "hydroxyapatite": ("Ca5P3O13H", 3.16),
}  # fmt: skip
# What is printed, with ways out that tests below take.
LINES = [
    "the attenuation of narrow is known from 60 to 100 keV alone; add lines to its file, or choose energies with --energies",
    "water-twin cannot be told apart at these energies; choose materials that differ more, or export energies farther apart",
    "the density of narrow is not known, and three materials share the volume; write a line `# density 1.10` (g/mL) into its file",
    "'water[water]' does not name two or three materials; write calcium[water-calcium] or fat[fat-iodine-water]",
    "'fat' is none of water, calcium; write water[water-calcium]",
    "'fat[fat-gold]': unknown material 'gold'; use water, iodine, calcium, hydroxyapatite, fat, liver, or a file with an ending: iodine[water+my-iodine.txt]",
]


def mu(name, energies):
    """1/cm of the pure material, by XrayDB itself."""
    formula, density = FORMULAS[name]
    return xraydb.material_mu(formula, np.array(energies) * EV, density=density)


def hu(volumes, energies=ELEVEN):
    """HU of an ideal mixture: attenuations add by volume."""
    mixed = sum(share * mu(name, energies) for name, share in volumes.items())
    return 1000.0 * mixed / mu("water", energies) - 1000.0


def value(name, stack, energies=ELEVEN):
    plan = plan_maps([define(name)], energies)
    chosen = np.asarray(stack)[[energies.index(kev) for kev in plan.energies_kev]]
    (values,) = maps_of_hu(plan, chosen[:, None, None].astype(np.float64)).values()
    return float(values[0, 0])


@pytest.mark.parametrize("energies", [ELEVEN, TWO])
def test_two_materials_of_a_mixture(energies):
    stack = hu({"water": 0.93, "calcium": 0.04}, energies)
    assert value("calcium[water-calcium]", stack, energies) == pytest.approx(62.0, rel=2e-4)
    assert value("water[water-calcium]", stack, energies) == pytest.approx(930.0, rel=2e-4)


def test_water_and_iodine_are_the_map_iodine():
    stack = hu({"water": 1.02, "iodine": 0.0006}) + np.linspace(-5, 5, 11) ** 2  # off the plane
    assert value("iodine[water-iodine]", stack) == pytest.approx(value("iodine", stack), rel=1e-5)


@pytest.mark.parametrize("energies", [ELEVEN, TWO])
@pytest.mark.parametrize("order", ["fat-iodine-water", "iodine-water-fat", "water-fat-iodine"])
def test_three_materials_of_a_mixture(energies, order):
    shares = {"fat": 0.20, "iodine": 0.0004, "water": 0.7996}
    stack = hu(shares, energies)
    for name, share in shares.items():
        expected = 1000.0 * share * FORMULAS[name][1]
        assert value(f"{name}[{order}]", stack, energies) == pytest.approx(
            expected, rel=2e-4, abs=2e-3
        )


def test_three_materials_are_the_constrained_least_squares():
    rng = np.random.default_rng(3)
    stack = hu({"fat": 0.1, "iodine": 0.0005, "water": 0.8995}) + rng.normal(0, 8, 11)
    names = ("fat", "iodine", "water")
    columns = np.column_stack([1000.0 * mu(n, ELEVEN) / mu("water", ELEVEN) for n in names])
    scale = np.array([1.0, 1e-3, 1.0])

    def cost(v):
        return ((columns @ (v * scale) - 1000.0 - stack) ** 2).sum() / 1e4

    solution = minimize(
        cost, [0.3, 0.3, 0.7], constraints={"type": "eq", "fun": lambda v: (v * scale).sum() - 1.0},
        method="SLSQP", options={"ftol": 1e-15, "maxiter": 500},
    ).x * scale  # fmt: skip
    for name, share in zip(names, solution, strict=True):
        made = value(f"{name}[fat-iodine-water]", stack)
        assert made == pytest.approx(1000.0 * share * FORMULAS[name][1], rel=1e-3)


def liver_hu(energies, density=1.06):
    liver = MATERIALS["liver"]
    mass = sum(w * xraydb.mu_elam(z, np.array(energies) * EV) for z, w in liver.by_mass.items())
    return mass * density


def test_fat_fraction_of_liver_with_iodine():
    for fat in (0.0, 0.05, 0.30):
        parts = liver_hu(ELEVEN) * (1 - fat - 0.0004) + fat * mu("fat", ELEVEN) + 0.0004 * mu("iodine", ELEVEN)  # fmt: skip
        stack = 1000.0 * parts / mu("water", ELEVEN) - 1000.0
        assert value("fat-fraction", stack) == pytest.approx(100.0 * fat, abs=0.05)


def test_what_a_wrong_density_of_the_liver_does():
    """As the module says: one percent of density is some percent of fat."""
    stack = 1000.0 * liver_hu(ELEVEN, 1.05) / mu("water", ELEVEN) - 1000.0
    assert value("fat-fraction", stack) == pytest.approx(7.0, abs=0.7)


def test_masses_of_named_materials_are_those_of_their_formulas():
    for name in FORMULAS:
        material = MATERIALS[name]
        relative = material.relative_attenuation(ELEVEN) * material.density_g_per_ml
        np.testing.assert_allclose(relative, mu(name, ELEVEN) / mu("water", ELEVEN), rtol=2e-4)
    assert sum(MATERIALS["liver"].by_mass.values()) == pytest.approx(1.0)


@pytest.fixture
def folder(tmp_path):
    """With tables of calcium from XrayDB (any energy), of a narrow range, and of what attenuates as water."""
    grid = np.arange(38.0, 145.0, 1.0)
    calcium = xraydb.material_mu("Ca", grid * EV, density=1.0)
    lines = [f"{kev:g}\t{v:.8g}" for kev, v in zip(grid, calcium, strict=True)]
    (tmp_path / "bone-salt.txt").write_text("\n".join(["# density 1.55", *lines]))
    (tmp_path / "narrow.txt").write_text("60, 0.6578\n\n100, 0.2571\n")
    water = mu("water", ELEVEN) * 1.0000001
    (tmp_path / "twin.txt").write_text(
        "\n".join(f"{kev} {v:.8f}" for kev, v in zip(ELEVEN, water, strict=True))
    )
    return tmp_path


def test_a_material_of_ones_own(folder):
    stack = hu({"water": 0.9, "calcium": 0.05})
    name = f"bone-salt[water+{folder / 'bone-salt.txt'}]"
    assert value(name, stack) == pytest.approx(value("calcium[water-calcium]", stack), rel=1e-4)
    assert define(name).name == "bone-salt[water-bone-salt]"  # no path in a table
    shared = f"fat[fat+iodine+{folder / 'bone-salt.txt'}]"
    stack = hu({"fat": 0.9, "calcium": 0.0995, "iodine": 0.0005})
    assert value(shared, stack) == pytest.approx(819.0, rel=1e-3)


def test_what_makes_no_basis(folder):
    def told(name, energies=ELEVEN):
        with pytest.raises(SettingsError) as error:
            define(name).rows(energies)
        return str(error.value)

    narrow, twin = folder / "narrow.txt", folder / "twin.txt"
    assert told(f"narrow[water+{narrow}]") == LINES[0]
    assert define(f"narrow[water+{narrow}]").rows(TWO).weights.shape == (1, 2)  # --energies 60,100
    assert told(f"twin[water+{twin}]") == LINES[1]
    assert told(f"narrow[fat+water+{narrow}]", TWO) == LINES[2]
    narrow.write_text("# density 1.10\n" + narrow.read_text())
    read_attenuation.cache_clear()
    assert define(f"narrow[fat+water+{narrow}]").rows(TWO).weights.shape == (1, 2)
    assert told("water[water]") == LINES[3]
    assert told("fat[water-calcium]") == LINES[4]
    assert told("fat[fat-gold]") == LINES[5]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("40 0.2683\n60 thick\n", "line 2 is not two numbers"),
        ("40 0.2683\n", "is no table of mass attenuation"),
        ("60 0.2\n40 0.26\n", "is no table of mass attenuation"),
        ("0.04 0.2683\n0.1 0.17\n", "as a table in MeV would"),
    ],
)
def test_a_file_that_is_no_table(tmp_path, content, what):
    path = tmp_path / "m.txt"
    path.write_text(content)
    with pytest.raises(InputError) as told:
        define(f"m[water+{path}]")
    assert what in str(told.value)
    assert "write lines of energy in keV and cm2/g, such as `40 0.2683`" in str(told.value)
    path.write_text("40 0.2683\n100 0.1707\n")
    assert read_attenuation(str(path)).name == "m"


def test_a_name_that_no_file_of_a_map_could_bear(tmp_path):
    path = tmp_path / "Jod µ.txt"
    path.write_text("40 0.2683\n100 0.1707\n")
    with pytest.raises(InputError, match="call it by letters, digits, _ and - alone"):
        define(f"Jod µ[water+{path}]")
    path = path.rename(tmp_path / "Jod.txt")
    assert define(f"Jod[water+{path}]").name == "Jod[water-Jod]"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read as a table of mass attenuation"):
        define(f"m[water+{tmp_path / 'm.txt'}]")
