"""The maps by name.

`lambda-hu`, `iodine`, `water`, `vnc`, `mono-E`, `electron-density`, `zeff`, `residual`,
`sigma-lambda-hu`, `sigma-iodine`, `fat-fraction`. A λHU map may name its definition, `lambda-hu[40-100]`;
the plain name takes the run's default slope. `calcium[water-calcium]` is a material of other basis materials (`basis`).

Formulas and their sources stand in the modules that the definitions come from (`slope`, `water_iodine`, `nonlinear`,
`local_noise`). Tested against mixtures of known content, NumPy's `lstsq` and `polyfit`, the figures that the NIST
tables give, and ICRU tissues for electron density and Zeff. Where a map's assumption fails, as water and iodine do in
bone and metal, look at `residual`, which needs three energies, before the map is believed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.choices import DEFAULT_SLOPE
from gsigpu.errors import SettingsError
from gsigpu.maps import local_noise, nonlinear, water_iodine
from gsigpu.maps.basis import MATERIALS, Basis, Material, named_basis
from gsigpu.maps.definitions import (
    HU,
    HU_PER_KEV,
    MG_PER_ML,
    NO_UNIT,
    PERCENT,
    Code,
    Energies,
    LinearRows,
    MapDefinition,
)
from gsigpu.maps.slope import Slope, parse_slope
from gsigpu.one_or_more import one_or_more
from gsigpu.physics import HIGH_KEV, LOW_KEV, iodine_hu_per_mg_per_ml
from gsigpu.plug_ins import MAPS, guarded, plug_in, plug_in_names

OWN_SCHEME = "99GSIGPU"
HOUNSFIELD = Code("112031", "DCM", "Attenuation Coefficient")
IODINE_CONCENTRATION = Code("122093", "DCM", "Concentration")
# Not the code of the iodine: whoever looks for one of the two by its code must not find the other.
WATER_DENSITY = Code("WATER", OWN_SCHEME, "Water density of the water-iodine fit")
_SLOPE_CODE = Code("SLOPE", OWN_SCHEME, "Slope of spectral HU curve")
_WATER_IODINE = (
    "water-iodine fit 1000 + HU(E) = rho_w + c r(E), r = (mu/rho)_I / (mu/rho)_w (XrayDB, Elam)"
)


# Colours whose lightness rises evenly, and that colour-blind readers tell apart.
_SLOPE_COLOURS = "viridis"
# Upper end of a slope's window, as iodine: liver has 2 to 2.5 mg/mL in the venous phase, and lies in the middle.
_WINDOW_MG_PER_ML = 4.7


def _slope_window(slope: Slope) -> tuple[float, float]:
    """(centre, width) from 0 to the slope of 4.7 mg/mL of iodine, rounded to one digit: 2 HU/keV for `paper`.

    >>> [_slope_window(parse_slope(name)) for name in ("paper", "60-100", "40-100")]
    [(1.0, 2.0), (1.5, 3.0), (3.0, 6.0)]
    """
    low, high = iodine_hu_per_mg_per_ml([slope.low_kev, slope.high_kev])
    divisor = slope.divisor_kev or slope.high_kev - slope.low_kev
    upper = float(f"{_WINDOW_MG_PER_ML * (low - high) / divisor:.1g}")
    return upper / 2, upper


def _lambda_hu(slope: Slope, *, is_default: bool) -> MapDefinition:
    suffix = "" if is_default else f"[{slope.name}]"
    return MapDefinition(
        name=f"lambda-hu{suffix}",
        parameter=f"lambda_hu{suffix}",
        title=f"Lambda HU ({slope.name})",
        formula=slope.formula,
        unit=HU_PER_KEV,
        quantity=_SLOPE_CODE,
        rescale_type="US",
        step=0.001,
        window=_slope_window(slope),
        colormap=_SLOPE_COLOURS,
        energies_for=slope.energies_for,
        rows=slope.rows,
    )


def _all_energies(n_least: int, what: str) -> Callable[[Energies], Energies]:
    return partial(water_iodine.at_least, n_least, what)


def _sigma(
    base: MapDefinition, *, step: float, window: tuple[float, float], code: Code
) -> MapDefinition:
    """One standard deviation of a linear map, from the noise on the map itself."""
    definition = replace(
        base,
        name=f"sigma-{base.name}",
        parameter=f"sigma_{base.parameter}",
        title=f"One SD of {base.title}",
        formula=f"local noise SD of: {base.formula}",
        quantity=code,
        rescale_type="US" if base.rescale_type != "MGML" else "MGML",
        step=step,
        window=window,
        colormap="magma",
        combine=lambda _energies: (
            lambda planes: local_noise.local_noise_sd(
                planes[0], local_noise.grain_of_plane(planes[0])
            )
        ),
        needs_neighbours=True,
    )
    return replace(definition, calibrate=partial(_with_grain, definition))


def _with_grain(
    definition: MapDefinition, sample: NDArray[np.float32], soft_tissue: NDArray[np.bool_]
) -> MapDefinition:
    """A sigma map for a stack whose noise was measured in the sample."""
    grain = local_noise.measure_grain(sample[0], soft_tissue)
    if grain is None:
        how = "the correlation of the noise cannot be told, no value"
        caution = (
            f"{definition.name}: the noise's correlation cannot be told in this stack (its grain is above"
            f" {local_noise.LARGEST_GRAIN_PIXELS:g} pixels, or there is too little soft tissue): all values are missing"
        )
    else:
        how = (
            f"second differences at a lag of {grain.lag_pixels} pixels times {grain.gain:.2f},"
            f" noise grain {grain.grain_pixels:.1f} pixels"
        )
        caution = ""
    return replace(
        definition,
        formula=f"{definition.formula}; {how}",
        combine=lambda _energies: lambda planes: local_noise.local_noise_sd(planes[0], grain),
        calibrate=None,
        caution=caution,
    )


def _basis_map(
    template: MapDefinition,
    name: str,
    title: str,
    formula: str,
    rows: Callable[[Energies], LinearRows],
    **changes: Any,
) -> MapDefinition:
    """A linear map of the water-iodine fit: `template` with another row and what else changes."""
    return replace(
        template,
        name=name,
        parameter=name.replace("-", "_"),
        title=title,
        formula=formula,
        rows=rows,
        energies_for=_all_energies(2, name),
        **changes,
    )


_IODINE = MapDefinition(
    name="iodine",
    parameter="iodine",
    title="Iodine",
    formula=f"c of the {_WATER_IODINE}",
    unit=MG_PER_ML,
    quantity=IODINE_CONCENTRATION,
    rescale_type="MGML",
    step=0.01,
    window=(2.5, 5.0),
    colormap="inferno",
    energies_for=_all_energies(2, "iodine"),
    rows=water_iodine.iodine_rows,
)

_VNC = _basis_map(
    _IODINE,
    "vnc",
    "Virtual non-contrast",
    f"rho_w - 1000 of the {_WATER_IODINE}",
    water_iodine.vnc_rows,
    unit=HU,
    quantity=HOUNSFIELD,
    rescale_type="HU",
    step=1.0,
    window=(40.0, 400.0),
    colormap="gray",
)

_WATER = _basis_map(
    _IODINE,
    "water",
    "Water",
    f"rho_w of the {_WATER_IODINE}",
    water_iodine.water_rows,
    quantity=WATER_DENSITY,
    step=0.1,
    window=(1040.0, 400.0),
    colormap="gray",
)

_ELECTRON_DENSITY = _basis_map(
    _IODINE,
    "electron-density",
    "Relative electron density",
    f"(rho_w + c (Z/A)_I / (Z/A)_w) / 1000 of the {_WATER_IODINE}",
    water_iodine.electron_density_rows,
    unit=NO_UNIT,
    quantity=Code("130083", "DCM", "Relative Electron Density"),
    rescale_type="EDW",
    step=0.0001,
    window=(1.0, 0.4),
    colormap="gray",
)


def _ends(available: Energies) -> Energies:
    energies = water_iodine.at_least(2, "zeff", available)
    return (energies[0], energies[-1])


_ZEFF = MapDefinition(
    name="zeff",
    parameter="zeff",
    title="Effective atomic number",
    formula="Z whose elemental mu(E_low)/mu(E_high) equals the voxel's, lowest and highest energy",
    unit=NO_UNIT,
    quantity=Code("129320", "DCM", "Effective Atomic Number"),
    rescale_type="Z_EFF",
    step=0.001,
    window=(8.5, 5.0),
    colormap=_SLOPE_COLOURS,
    energies_for=_ends,
    rows=nonlinear.attenuation_rows,
    combine=nonlinear.effective_atomic_number,
)

_RESIDUAL = MapDefinition(
    name="residual",
    parameter="residual",
    title="Residual of the water-iodine fit",
    formula=f"RMS over energies of what the {_WATER_IODINE} leaves",
    unit=HU,
    quantity=Code("RESIDUAL", OWN_SCHEME, "Residual of water-iodine fit"),
    rescale_type="HU",
    step=0.01,
    window=(10.0, 20.0),
    colormap="magma",
    energies_for=_all_energies(3, "residual"),
    rows=water_iodine.residual_rows,
    combine=nonlinear.rms_over_energies,
)

_SIGMA_IODINE = _sigma(
    _IODINE,
    step=0.001,
    window=(0.5, 1.0),
    code=Code("SDIODINE", OWN_SCHEME, "Standard deviation of iodine concentration"),
)


def _of_basis(material: Material, basis: Basis) -> MapDefinition:
    """A material of two or three basis materials, mg/mL."""
    names = " + ".join(f"c_{m.name} r_{m.name}(E)" for m in basis.materials)
    shares = f", volumes of {' + '.join(m.name for m in basis.materials)} = 1"
    is_shared = len(basis.materials) == 3
    return _basis_map(
        _IODINE,
        f"{material.name}[{basis.name}]",
        f"{material.name} of {basis.name}",
        f"c_{material.name} of the fit 1000 + HU(E) = {names}{shares if is_shared else ''}, nothing else in the voxel",
        lambda energies: basis.concentration_rows(energies, material),
        quantity=Code("BASISCONC", OWN_SCHEME, "Concentration of basis material"),
        step=0.1,
        window=(500.0, 1000.0),
    )


def _fat_fraction() -> MapDefinition:
    """Share of the volume that is fat, in liver with iodine."""
    fat, liver, iodine = MATERIALS["fat"], MATERIALS["liver"], MATERIALS["iodine"]
    basis = Basis((fat, liver, iodine))
    return _basis_map(
        _IODINE,
        "fat-fraction",
        "Fat fraction",
        "volume of triglyceride (0.91 g/mL) / whole, 1000 + HU(E) = sum 1000 v rho r(E) of fat, liver (ICRU 44, 1.06 g/mL) and"
        " iodine, sum of v = 1; assumes liver tissue of that density and nothing else",
        lambda energies: _percent(basis.volume_rows(energies, fat)),
        unit=PERCENT,
        quantity=Code("FATVOLUME", OWN_SCHEME, "Volume fraction of fat in liver"),
        rescale_type="US",
        step=0.01,
        window=(20.0, 60.0),
    )


def _percent(rows: LinearRows) -> LinearRows:
    return LinearRows(100.0 * rows.weights, 100.0 * rows.offsets)


_FAT_FRACTION = _fat_fraction()

_FIXED = {
    definition.name: definition
    for definition in (
        _IODINE,
        _WATER,
        _VNC,
        _ELECTRON_DENSITY,
        _ZEFF,
        _RESIDUAL,
        _SIGMA_IODINE,
        _FAT_FRACTION,
    )
}

_LAMBDA_HU = re.compile(r"(?P<sigma>sigma-)?lambda-hu(?:\[(?P<slope>[^\]]+)\])?")
_MONO = re.compile(r"mono-(?P<kev>\d+(?:\.\d+)?)")

KNOWN_NAMES = ("lambda-hu", "mono-70", "sigma-lambda-hu", *_FIXED)


def define(name: str, *, slope: str = DEFAULT_SLOPE) -> MapDefinition:
    """The definition of a map.

    name : see the module
    slope : what plain `lambda-hu` means
    Raises SettingsError for an unknown name, slope or energy.

    >>> define("lambda-hu").formula
    '(HU[60 keV] - HU[100 keV]) / 60 keV'
    >>> define("lambda-hu[40-100]").parameter
    'lambda_hu[40-100]'
    """
    stripped = name.strip()
    if match := _LAMBDA_HU.fullmatch(stripped):
        named_slope = match["slope"]
        base = _lambda_hu(parse_slope(named_slope or slope), is_default=named_slope is None)
        if not match["sigma"]:
            return base
        code = Code("SDSLOPE", OWN_SCHEME, "Standard deviation of slope of spectral HU curve")
        return _sigma(base, step=0.0001, window=(0.25, 0.5), code=code)
    if match := _MONO.fullmatch(stripped):
        kev = float(match["kev"])
        if not LOW_KEV <= kev <= HIGH_KEV:
            raise SettingsError(
                f"map {stripped!r} lies outside {LOW_KEV:g}-{HIGH_KEV:g} keV",
                remedy="choose between mono-40 and mono-140",
            )
        return _basis_map(
            _VNC,
            f"mono-{kev:g}",
            f"Mono {kev:g} keV",
            f"rho_w + c r({kev:g} keV) - 1000 of the {_WATER_IODINE}",
            partial(water_iodine.mono_rows, kev=kev),
        )
    if stripped in _FIXED:
        return _FIXED[stripped]
    if (named := named_basis(stripped)) is not None:
        return _of_basis(*named)
    if (added := plug_in(MAPS, stripped)) is not None:
        return _added(stripped, added)
    known = (*KNOWN_NAMES, *plug_in_names(MAPS))
    close = difflib.get_close_matches(stripped, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    raise SettingsError(f"unknown map {name!r}", remedy=hint)


def is_added(name: str) -> bool:
    """Whether a map's name is one that only another package has."""
    return name in plug_in_names(MAPS) and name not in KNOWN_NAMES


def _added(name: str, added: object) -> MapDefinition:
    """A map that another package adds; what it raises names it."""
    definition = guarded(added, MAPS, name)() if callable(added) else added
    if not isinstance(definition, MapDefinition) or definition.name != name:
        raise SettingsError(
            f"the package that adds {name!r} gives {definition!r}",
            remedy=f"let it give a MapDefinition whose name is {name!r}",
        )
    combine = definition.combine
    return replace(
        definition,
        energies_for=guarded(definition.energies_for, MAPS, name),
        rows=guarded(definition.rows, MAPS, name),
        combine=None
        if combine is None
        else lambda energies: guarded(guarded(combine, MAPS, name)(energies), MAPS, name),
    )


def define_all(names: Iterable[str], *, slope: str = DEFAULT_SLOPE) -> tuple[MapDefinition, ...]:
    """Definitions of several maps, in order.

    Raises SettingsError for an empty list, an unknown name, or a name given twice.
    """
    definitions = tuple(define(name, slope=slope) for name in one_or_more(names) if name.strip())
    if not definitions:
        raise SettingsError("no map is named", remedy=f"known are {', '.join(KNOWN_NAMES)}")
    seen: set[str] = set()
    for definition in definitions:
        if definition.name in seen:
            raise SettingsError(
                f"map {definition.name!r} is named twice", remedy="name each map once"
            )
        seen.add(definition.name)
    return definitions
