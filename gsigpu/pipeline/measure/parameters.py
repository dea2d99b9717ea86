"""What is measured in a region: which series are read, and which parameters come of their values.

lambda_hu, lambda_hu[...]  every definition of the slope in the settings
iodine, and other maps     of the water-iodine fit over all energies read
iodine[vendor]             the scanner's own iodine series, in mg/mL where its unit is known
ct_value                   the VMI of a chosen energy, or the conventional series
mono_40 ... mono_140       the spectral curve: every monoenergetic series as it is stored
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gsigpu.caution import Caution
from gsigpu.choices import DEFAULT_SLOPE
from gsigpu.dicom.model import Series, SeriesKind, SpectralStack, Study
from gsigpu.dicom.study.stack import companions
from gsigpu.errors import SettingsError, StudyError
from gsigpu.maps.definitions import MapDefinition, nearest
from gsigpu.maps.plan import MapPlan, plan_maps
from gsigpu.maps.registry import define, define_all
from gsigpu.maps.slope import Slope, parse_slope
from gsigpu.one_or_more import set_one_or_more
from gsigpu.pipeline.calibrate import calibrated
from gsigpu.pipeline.reading_series import other_energy, reading_series
from gsigpu.pipeline.stack_source import PlaneStore, StackSource
from gsigpu.regions.flags import UNIT_UNKNOWN

CONVENTIONAL = "conventional"
# Rescale Type of a vendor's iodine series -> shown unit per mg/mL. 37.41 in units of 100 µg/cm³ is
# 3.74 mg/mL, which a table headed mg/mL has printed as 37.41.
_IODINE_UNITS = {
    "mgml": 1.0, "mg/ml": 1.0, "mg/cc": 1.0, "mg/cm3": 1.0,
    "100ug/cc": 10.0, "100ug/ml": 10.0, "100ug/cm3": 10.0,
    "ug/cc": 1000.0, "ug/ml": 1000.0, "ug/cm3": 1000.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameter:
    """One quantity of a table.

    name : as in the table
    definition : the formula, or which series it is
    flags : what to know about all its values
    """

    name: str
    unit: str
    definition: str
    flags: tuple[str, ...] = ()


# (n,) float32 of each parameter in the voxels of a region, in the order of the tables.
Measured = Mapping[Parameter, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class ParameterSettings:
    """What to measure.

    slopes : definitions of λHU; the first is the plain `lambda_hu`
    maps : further maps by name, see gsigpu.maps.registry
    ct_value : keV of the VMI, or `conventional`
    curve : measure every monoenergetic series
    vendor_iodine_unit : of the scanner's iodine series where its header does not say, `mg/mL` or `100ug/mL`
    """

    slopes: tuple[str, ...] = (DEFAULT_SLOPE,)
    maps: tuple[str, ...] = ("iodine",)
    ct_value: str = "70"
    curve: bool = True
    vendor_iodine_unit: str = ""

    def __post_init__(self) -> None:
        """One name is a list of one."""
        set_one_or_more(self, "slopes", "maps")


class Measurand:
    """The series to read and the parameters that come of their voxels.

    series : to read, all on the stack's grid; monoenergetic ones first, ascending in energy
    energies_kev : of the monoenergetic ones among them
    warnings : for a person to read
    """

    def __init__(
        self,
        study: Study,
        stack: SpectralStack,
        settings: ParameterSettings,
        store: PlaneStore | None = None,
    ) -> None:
        """Decides what to read.

        store : of the planes, where others read them too

        Raises SettingsError and TooFewEnergies for what cannot be measured, the problem of a series that
        is needed, and StudyError where there is no conventional series, or several.
        """
        self.warnings: list[Caution] = []
        self._stack = stack
        self.slopes = tuple(parse_slope(slope) for slope in settings.slopes)
        definitions = _definitions(settings)
        usable = tuple(series for series in stack.series if series.problem is None)
        available = tuple(float(series.energy_kev or 0.0) for series in usable)
        plan = plan_maps(definitions, stack.energies_kev)
        for series in stack.series:
            if series.problem is not None and series.energy_kev in plan.energies_kev:
                raise series.problem
        self._ct_kev, more = _ct_value(settings, available)
        if more is not None:
            plan = plan_maps((*definitions, more), available)
        # Of the settings; `_ct_kev` only where that energy is stored.
        self._ct_value_kev = 0.0 if settings.ct_value == CONVENTIONAL else _kev(settings.ct_value)
        self._has_curve = settings.curve
        kevs = set(plan.energies_kev) | (set(available) if settings.curve else set())
        if self._ct_kev is not None and more is None:
            kevs.add(self._ct_kev)
        vmis = [series for series in usable if series.energy_kev in kevs]
        self.energies_kev = tuple(float(series.energy_kev or 0.0) for series in vmis)
        self._synthesised = more
        self._conventional = (
            _conventional(study, stack) if settings.ct_value == CONVENTIONAL else None
        )
        asks_iodine = any(definition.name == "iodine" for definition in definitions)
        vendor = companions(study, stack, SeriesKind.IODINE) if asks_iodine else ()
        self._vendor = _on_grid(vendor, stack)
        others = [series for series in (self._conventional, *self._vendor) if series is not None]
        self.series: tuple[Series, ...] = (*vmis, *others)
        self._vendor_units = [
            _vendor_unit(series, settings, self.warnings) for series in self._vendor
        ]
        sampled = tuple(series for series in usable if series.energy_kev in plan.energies_kev)
        on_stack, cautions = calibrated(
            plan.definitions,
            plan.energies_kev,
            stack.geometry.shape[0],
            StackSource(replace(stack, series=sampled), store).read_hu,
        )
        plan = replace(plan, definitions=on_stack)
        self.warnings += cautions
        alone = [definition for definition in plan.definitions if not definition.needs_neighbours]
        around = [definition for definition in plan.definitions if definition.needs_neighbours]
        self.plan = plan_maps(alone, available) if alone else None
        self.around_plan = plan_maps(around, available) if around else None
        self.definitions = plan.definitions

    @property
    def reference_series(self) -> Series:
        """The series that stands for the measurement: that of the CT value, or the nearest to its energy."""
        return self._conventional or reading_series(self._stack, self._ct_value_kev)

    @property
    def has_one_rescale(self) -> bool:
        """Whether `reference_series` has one rescale for all slices, which is all that a presentation state holds."""
        planes = self.reference_series.planes
        return len({(plane.slope, plane.intercept) for plane in planes}) == 1

    def reference_notes(self) -> list[Caution]:
        """That `reference_series` is not at the energy of the CT value, where the stack has none there."""
        if self._conventional is not None:
            return []
        return other_energy(
            self._stack,
            "SEG, SR and presentation state",
            self._ct_value_kev,
            advice="their energy is chosen with --ct-value",
        )

    @property
    def n_more(self) -> int:
        """Maps that need a voxel's neighbours."""
        return 0 if self.around_plan is None else len(self.around_plan.definitions)

    @property
    def n_rows(self) -> int:
        """Rows of values; see `rows`."""
        n_maps = 0 if self.plan is None else len(self.plan.definitions)
        return n_maps + len(self.series) + self.n_more

    @property
    def has_vendor_iodine(self) -> bool:
        """Whether a series of the scanner's iodine is measured beside the computed one."""
        return bool(self._vendor)

    @property
    def scaled_channels(self) -> dict[int, float]:
        """Channel of `series` -> what its values are divided by to be in the unit of the table."""
        first = len(self.series) - len(self._vendor)
        factors = [factor for factor, _, _ in self._vendor_units]
        return {first + k: factor for k, factor in enumerate(factors) if factor != 1.0}

    def rows(self) -> dict[Parameter, int]:
        """The parameters in the order of the tables, the plain λHU first, and the row of values that each is.

        Rows are the maps of `plan`, then the channels of `series`, then the maps of `around_plan`.
        """
        plans = [plan for plan in (self.plan, self.around_plan) if plan is not None]
        n_maps = 0 if self.plan is None else len(self.plan.definitions)
        row_of = {
            definition.name: k + (0 if plan is self.plan else n_maps + len(self.series))
            for plan in plans
            for k, definition in enumerate(plan.definitions)
        }
        rows = {
            _parameter(definition): row_of[definition.name]
            for definition in self.definitions
            if definition is not self._synthesised
        }
        rows |= self._ct_value_row(row_of, n_maps)
        first_vendor = n_maps + len(self.series) - len(self._vendor)
        for k, (series, (_, unit, flags)) in enumerate(
            zip(self._vendor, self._vendor_units, strict=True)
        ):
            suffix = "" if k == 0 else f" {k + 1}"
            parameter = Parameter(
                name=f"iodine[vendor{suffix}]",
                unit=unit,
                definition=_series_name(series),
                flags=flags,
            )
            rows[parameter] = first_vendor + k
        if self._has_curve:
            rows |= {
                Parameter(f"mono_{kev:g}", "HU", f"VMI at {kev:g} keV as stored"): n_maps + k
                for k, kev in enumerate(self.energies_kev)
            }
        return rows

    def channels(self, plan: MapPlan) -> list[int]:
        """The channels of `series` that a plan reads."""
        return [self.energies_kev.index(kev) for kev in plan.energies_kev]

    def curve_slopes(self) -> list[tuple[Parameter, Slope]]:
        """The slopes of the settings that can be taken from the curve, and the straight line through all of it."""
        slopes = []
        for slope, definition in zip(self.slopes, self.definitions, strict=False):
            slopes.append((_parameter(definition), slope))
        if self._has_curve and len(self.energies_kev) > 2:
            low, high = self.energies_kev[0], self.energies_kev[-1]
            line = parse_slope(f"fit:{low:g}-{high:g}")
            if line.name not in {known.name for known in self.slopes}:
                name = f"lambda_hu[{line.name}]"
                slopes.append((Parameter(name, "HU/keV", line.formula), line))
        return slopes

    def _ct_value_row(self, row_of: Mapping[str, int], n_maps: int) -> dict[Parameter, int]:
        if self._conventional is not None:
            definition = f"conventional series {_series_name(self._conventional)}"
            return {Parameter("ct_value", "HU", definition): n_maps + len(self.energies_kev)}
        if self._synthesised is not None:
            formula, row = self._synthesised.formula, row_of[self._synthesised.name]
            return {Parameter("ct_value", "HU", formula): row}
        assert self._ct_kev is not None
        definition = f"VMI at {self._ct_kev:g} keV as stored"
        return {
            Parameter("ct_value", "HU", definition): n_maps + self.energies_kev.index(self._ct_kev)
        }


def iodine_pairs(
    measured: Measured,
) -> list[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """(parameter, computed, vendor's) iodine of voxels, for each of the vendor's series."""
    named = {parameter.name: array for parameter, array in measured.items()}
    return [
        (name, named["iodine"], array)
        for name, array in named.items()
        if name.startswith("iodine[vendor")
    ]


def check_parameters(settings: ParameterSettings) -> None:
    """Raises SettingsError for what no study could give."""
    _definitions(settings)
    if settings.ct_value != CONVENTIONAL:
        _kev(settings.ct_value)
    if unit := settings.vendor_iodine_unit:
        _require_unit(unit)


def _definitions(settings: ParameterSettings) -> tuple[MapDefinition, ...]:
    if not settings.slopes:
        raise SettingsError("no definition of the slope", remedy="use --slope paper")
    default, *others = settings.slopes
    names = ["lambda-hu", *(f"lambda-hu[{slope_name}]" for slope_name in others)]
    names += [map_name for map_name in settings.maps if map_name != "lambda-hu"]
    return define_all(names, slope=default)


def _parameter(definition: MapDefinition) -> Parameter:
    return Parameter(definition.parameter, definition.unit.display or "1", definition.formula)


def _ct_value(
    settings: ParameterSettings, available: tuple[float, ...]
) -> tuple[float | None, MapDefinition | None]:
    """The energy of the stored series, or the map that synthesises it."""
    if settings.ct_value == CONVENTIONAL:
        return None, None
    kev = _kev(settings.ct_value)
    stored = nearest(available, kev)
    return (stored, None) if stored is not None else (None, define(f"mono-{kev:g}"))


def _kev(ct_value: str) -> float:
    try:
        return float(ct_value)
    except ValueError as error:
        raise SettingsError(
            f"unknown CT value {ct_value!r}", remedy="use an energy in keV, or conventional"
        ) from error


def _conventional(study: Study, stack: SpectralStack) -> Series:
    conventional = _on_grid(companions(study, stack, SeriesKind.CONVENTIONAL), stack)
    if len(conventional) == 1:
        return conventional[0]
    raise StudyError(
        f"{len(conventional) or 'no'} conventional series lie on the grid of the monoenergetic ones",
        where=study.root,
        remedy="measure the CT value on a monoenergetic series with --ct-value 70",
    )


def _on_grid(series: Sequence[Series], stack: SpectralStack) -> list[Series]:
    return [
        candidate
        for candidate in series
        if candidate.geometry is not None and candidate.geometry.same_grid(stack.geometry)
    ]


def _vendor_unit(
    series: Series, settings: ParameterSettings, warnings: list[Caution]
) -> tuple[float, str, tuple[str, ...]]:
    """Shown unit per mg/mL, unit of the table, flags."""
    given_unit = settings.vendor_iodine_unit
    in_brackets = re.findall(r"\[([^\]]+)\]", series.evidence.series_description)
    for text in (given_unit, series.evidence.rescale_type, *in_brackets):
        factor = _iodine_unit(text)
        if factor is not None:
            return factor, "mg/mL", ()
        if text and text is given_unit:
            _require_unit(given_unit)
    warnings.append(
        Caution(
            "vendor-unit",
            f"series {_series_name(series)}: its header does not say its unit"
            f" ({series.evidence.rescale_type or 'no Rescale Type'}); name it with --vendor-iodine-unit",
        )
    )
    return 1.0, "unknown", (UNIT_UNKNOWN,)


def _iodine_unit(text: str) -> float | None:
    """Shown unit per mg/mL."""
    return _IODINE_UNITS.get(text.lower().replace("µ", "u").replace(" ", ""))


def _require_unit(unit: str) -> None:
    if _iodine_unit(unit) is None:
        raise SettingsError(
            f"unknown unit {unit!r} of the vendor's iodine", remedy="use mg/mL or 100ug/mL"
        )


def _series_name(series: Series) -> str:
    unit = series.evidence.rescale_type
    return f"{series.evidence.series_description!r}" + (f" in {unit}" if unit else "")
