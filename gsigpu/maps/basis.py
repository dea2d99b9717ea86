"""Other basis materials than water and iodine: two of them, or three that share the volume.

With two, as with water and iodine, the concentrations c (mg/mL) solve, by least squares over the energies,

    1000 + HU(E) = c_a r_a(E) + c_b r_b(E),            r_m(E) = (µ/ρ)_m(E) / (µ/ρ)_water(E)

(Alvarez & Macovski, Phys Med Biol 1976; 21: 733). A stack of monoenergetic images is of rank two and holds no third
number. A third material needs a third condition: that the volumes of the three add up to the voxel, as in an ideal
mixture,

    1000 + HU(E) = Σ_m v_m 1000 ρ_m r_m(E),            Σ_m v_m = 1

(Mendonça, Lamb & Sahani, IEEE Trans Med Imaging 2014; 33: 99). ρ_m is the density in g/mL, and c_m = 1000 ρ_m v_m.

What is assumed, and read out wrong where it does not hold: nothing but these materials is in the voxel. With three, also
that each has the density that is given here: a liver of 1.05 in place of 1.06 g/mL is 7 % of fat. No clipping: a negative
volume shows that the materials do not fit.

Attenuation of the named materials is summed by mass from the elements (XrayDB, Elam). Tested against mixtures made with
XrayDB's own `material_mu`, and the constrained least squares of SciPy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gsigpu.attenuation_file import AttenuationTable, read_attenuation
from gsigpu.errors import SettingsError
from gsigpu.maps.definitions import Energies, LinearRows
from gsigpu.physics import element_mass_attenuation, water_mass_attenuation

# Beyond this, noise of a tenth of a HU becomes a litre of one material: the curves of the materials are alike.
_LARGEST_CONDITION = 300.0


@dataclass(frozen=True, slots=True)
class Material:
    """A basis material.

    by_mass : atomic number -> share of the mass; empty where `table` has its attenuation
    density_g_per_ml : of the pure material; None where nobody says
    """

    name: str
    density_g_per_ml: float | None
    by_mass: Mapping[int, float] = field(default_factory=dict)
    table: AttenuationTable | None = None

    def relative_attenuation(self, energies: Energies) -> NDArray[np.float64]:
        """(E,) r_m(E), of the mass attenuation to that of water. Raises SettingsError outside a file's table."""
        if self.table is None:
            parts = [
                share * element_mass_attenuation(z, energies) for z, share in self.by_mass.items()
            ]
            attenuation = np.sum(parts, axis=0)
        else:
            attenuation = self.table.at(np.array(energies))
            if np.isnan(attenuation).any():
                ends = f"{self.table.energies_kev[0]:g} to {self.table.energies_kev[-1]:g}"
                raise SettingsError(
                    f"the attenuation of {self.name} is known from {ends} keV alone",
                    remedy="add lines to its file, or choose energies with --energies",
                )
        ratio: NDArray[np.float64] = attenuation / water_mass_attenuation(energies)
        return ratio


def _material(name: str, density: float, **by_mass: float) -> Material:
    numbers = {"H": 1, "C": 6, "N": 7, "O": 8, "Na": 11, "P": 15, "S": 16, "Cl": 17, "K": 19, "Ca": 20, "I": 53}  # fmt: skip
    return Material(
        name, density, MappingProxyType({numbers[symbol]: w for symbol, w in by_mass.items()})
    )


MATERIALS: Mapping[str, Material] = MappingProxyType(
    {
        material.name: material
        for material in (
            # What the Hounsfield scale takes for 0, which is water of 1 g/mL.
            _material("water", 1.0, H=0.111887, O=0.888113),
            _material("iodine", 4.933, I=1.0),
            _material("calcium", 1.55, Ca=1.0),
            # Ca5(PO4)3(OH): what calcium in bone and in most calcified lesions is.
            _material(
                "hydroxyapatite", 3.16, Ca=0.398940, P=0.184990, O=0.414064, H=0.002006
            ),
            # Triolein, C57H104O6: the fat of hepatocytes is triglyceride, not fat tissue with its water and protein.
            _material("fat", 0.91, H=0.118373, C=0.773212, O=0.108415),
            # Adult liver without fat: ICRU Report 44 (1989), table 4.4.
            _material(
                "liver", 1.06, H=0.102, C=0.139, N=0.030, O=0.716, Na=0.002, P=0.003, S=0.003, Cl=0.002, K=0.003,
            ),
        )
    }
)  # fmt: skip

_NAME = re.compile(r"(?P<of>[^\[\]]+)\[(?P<basis>[^\[\]]+)\]")


@dataclass(frozen=True, slots=True)
class Basis:
    """Two materials, or three that share the volume."""

    materials: tuple[Material, ...]

    @property
    def name(self) -> str:
        """As in names of maps: `water-calcium`."""
        return "-".join(material.name for material in self.materials)

    def concentration_rows(self, energies: Energies, of: Material) -> LinearRows:
        """Concentration of one of the materials, mg/mL."""
        if len(self.materials) == 2:
            row = self._inverse(self._design(energies))[self.materials.index(of)]
            return LinearRows(row[None, :], np.array([1000.0 * row.sum()]))
        volume = self.volume_rows(energies, of)
        factor = 1000.0 * _density(of)
        return LinearRows(factor * volume.weights, factor * volume.offsets)

    def volume_rows(self, energies: Energies, of: Material) -> LinearRows:
        """Share of the volume of one of three materials."""
        columns = 1000.0 * self._design(energies) * [_density(m) for m in self.materials]
        # One of them takes what the others leave, v = 1 - Σ v: that which attenuates least, because beside iodine as
        # the one that does all others look alike.
        filler = int(np.argmin(np.linalg.norm(columns, axis=0)))
        rest = columns[:, filler]
        inverse = self._inverse(np.delete(columns, filler, axis=1) - rest[:, None])
        inverse = np.insert(inverse, filler, -inverse.sum(axis=0), axis=0)
        position = self.materials.index(of)
        row = inverse[position]
        offset = float(position == filler) + float(row @ (1000.0 - rest))
        return LinearRows(row[None, :], np.array([offset]))

    def _design(self, energies: Energies) -> NDArray[np.float64]:
        return np.column_stack([m.relative_attenuation(energies) for m in self.materials])

    def _inverse(self, design: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pseudo-inverse; raises SettingsError where two materials attenuate alike."""
        scaled = design / np.linalg.norm(design, axis=0)
        if np.linalg.cond(scaled) > _LARGEST_CONDITION:
            raise SettingsError(
                f"{self.name} cannot be told apart at these energies",
                remedy="choose materials that differ more, or export energies farther apart",
            )
        inverse: NDArray[np.float64] = np.asarray(np.linalg.pinv(design), np.float64)
        return inverse


def _density(material: Material) -> float:
    if material.density_g_per_ml is None:
        raise SettingsError(
            f"the density of {material.name} is not known, and three materials share the volume",
            remedy="write a line `# density 1.10` (g/mL) into its file",
        )
    return material.density_g_per_ml


def named_basis(name: str) -> tuple[Material, Basis] | None:
    """What `calcium[water-calcium]` means: the material, and its basis; None for a name of another form.

    A material is one of MATERIALS, or a file (`gsigpu.attenuation_file`); with files, + stands in place of -.
    Raises SettingsError for an unknown material, InputError for a file.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    separator = "+" if "+" in match["basis"] else "-"
    materials = tuple(_found(word.strip(), name) for word in match["basis"].split(separator))
    names = [material.name for material in materials]
    if len(set(names)) != len(names) or len(names) not in (2, 3):
        raise SettingsError(
            f"{name!r} does not name two or three materials",
            remedy="write calcium[water-calcium] or fat[fat-iodine-water]",
        )
    if match["of"] not in names:
        raise SettingsError(
            f"{match['of']!r} is none of {', '.join(names)}",
            remedy=f"write {names[0]}[{match['basis']}]",
        )
    return materials[names.index(match["of"])], Basis(materials)


def _found(word: str, name: str) -> Material:
    if word in MATERIALS:
        return MATERIALS[word]
    if "." not in word.rpartition("/")[2]:
        raise SettingsError(
            f"{name!r}: unknown material {word!r}",
            remedy=f"use {', '.join(MATERIALS)}, or a file with an ending: iodine[water+my-iodine.txt]",
        )
    table = read_attenuation(word)
    return Material(table.name, table.density_g_per_ml, table=table)
