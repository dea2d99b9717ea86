"""From the voxels of the regions to the rows of the measurement table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import NoValidVoxels, SettingsError
from gsigpu.pipeline.measure.carried_rows import carried_rows
from gsigpu.pipeline.measure.collected_masks import CarriedLesion, Failure
from gsigpu.pipeline.measure.gather import Gathered
from gsigpu.pipeline.measure.parameters import Measurand, Measured, Parameter
from gsigpu.pipeline.measure.region_numbers import Numbers, RegionNumbers
from gsigpu.regions import flags
from gsigpu.regions.added_statistics import RegionStatistic
from gsigpu.regions.region_layout import Layout, LesionLayout, MeasuredRegion
from gsigpu.regions.region_mask import RegionMask, Spacing
from gsigpu.regions.size import feret_diameter_mm, longest_axial_diameter_mm, volume_ml
from gsigpu.regions.standard_error import noise_autocovariance, standard_error
from gsigpu.regions.statistics import ratio
from gsigpu.tables.measurement_table import TABLE_STATISTICS, MeasurementRow, cells

# Parameters whose ratio to parenchyma, and of rim to core, is told.
_COMPARED = ("lambda_hu", "iodine", "ct_value")


@dataclass(frozen=True, slots=True, repr=False)
class CaseLabels:
    """Whose measurement it is; what is not given is "", or the study's for patient and phase."""

    case_id: str = ""
    patient_id: str = ""
    group: str = ""
    reader: str = ""
    phase: str = ""

    def __repr__(self) -> str:
        """Without whose it is."""
        given = [name for name in ("case_id", "patient_id", "reader") if getattr(self, name)]
        return f"CaseLabels(group={self.group!r}, phase={self.phase!r}, with {', '.join(given) or 'no id'})"


@dataclass(frozen=True, slots=True)
class Rows:
    """The table's rows, and lesions that have no value at all."""

    rows: list[MeasurementRow]
    failures: list[Failure]


def measurement_rows(
    layout: Layout,
    gathered: Gathered,
    numbers: Numbers,
    measurand: Measurand,
    spacing_mm: Spacing,
    labels: CaseLabels,
    failures: Sequence[Failure],
    *,
    carried: Sequence[CarriedLesion] = (),
    with_se: bool = False,
    more: Sequence[RegionStatistic] = (),
) -> Rows:
    """All rows of a study: lesion by lesion, the study's regions, then what failed.

    numbers : of each of the layout's regions
    carried : lesions that were drawn on another phase
    more : further statistics of every parameter and region
    with_se : also the standard error of every mean, from the noise in the parenchyma
    Raises SettingsError if `with_se` and there is no parenchyma.
    """
    noise = _noise(layout, numbers, spacing_mm) if with_se else {}
    blank = MeasurementRow(
        case_id=labels.case_id,
        patient_id=labels.patient_id,
        group=labels.group,
        reader=labels.reader,
        phase=labels.phase,
        lesion_id="",
        region="",
        parameter="",
        statistic="",
        value=float("nan"),
        unit="",
        definition="",
        n_voxels=0,
        n_valid=0,
        flags="",
    )
    all_failures = list(failures)
    unread: dict[str, list[MeasuredRegion]] = {}
    rows: list[MeasurementRow] = []
    means: dict[tuple[str, str, str], float] = {}
    for i, (region, of_region, error) in enumerate(
        zip(layout.regions, numbers.regions, gathered.errors, strict=True)
    ):
        if error is not None or of_region is None:
            assert error is not None
            name = region.lesion_id or region.region
            if name not in unread:
                all_failures.append(
                    Failure(
                        lesion_id=name,
                        n_voxels=region.mask.n_voxels,
                        error=error,
                        region=region.region,
                    )
                )
            unread.setdefault(name, []).append(region)
            continue
        has_values = bool(noise or more) and region.region != "profile"
        measured = numbers.measured(i, "") if has_values else {}
        rows += _region_rows(blank, region, of_region, means, measured, noise, more)
        if region.region != "profile":
            rows += _curve_rows(blank, region, of_region, measurand)
    all_failures += _lesions_without_values(layout, rows, set(unread))
    rows += _ratio_rows(layout, rows, means, blank)
    by_lesion = {layout_of.lesion.lesion_id: layout_of for layout_of in layout.lesions}
    for region in layout.regions:
        if region.region != "profile":
            rows += _size_rows(blank, region, by_lesion.get(region.lesion_id), spacing_mm)
    rows += carried_rows(blank, carried)
    rows += [
        replace(
            blank, lesion_id=region.lesion_id, region=region.region, flags=";".join(region.flags)
        )
        for region in layout.missing
    ]
    order = {layout_of.lesion.lesion_id: i for i, layout_of in enumerate(layout.lesions)} | {
        "": len(layout.lesions)
    }
    rows.sort(key=lambda row: order[row.lesion_id])
    for failure in all_failures:
        flag = (
            flags.NO_VALID
            if isinstance(failure.error, NoValidVoxels)
            else flags.failed(failure.error.code)
        )
        row = replace(
            blank,
            lesion_id="" if failure.lesion_id == failure.region else failure.lesion_id,
            region=failure.region,
            n_voxels=failure.n_voxels,
            flags=flag,
        )
        rows.append(row)
        rows += [
            replace(row, region=region.region, n_voxels=region.mask.n_voxels)
            for region in unread.get(failure.lesion_id, [])[1:]
            if region.region != "profile"
        ]
    return Rows(rows, all_failures)


def _lesions_without_values(
    layout: Layout, rows: Sequence[MeasurementRow], unread: set[str]
) -> Iterator[Failure]:
    """Lesions of which nothing has a value: of the lesion itself where that is measured, else of its regions.

    unread : lesions that have failed already
    """
    for layout_of in layout.lesions:
        lesion = layout_of.lesion
        own_rows = [row for row in rows if row.lesion_id == lesion.lesion_id]
        of_lesion = [row for row in own_rows if row.region == "lesion"] or own_rows
        if lesion.lesion_id in unread or any(row.n_valid for row in of_lesion):
            continue
        regions = [part for part in layout.regions if part.lesion_id == lesion.lesion_id]
        if regions:
            n_voxels, region = regions[0].mask.n_voxels, regions[0].region
            error = NoValidVoxels(
                f"lesion {lesion.lesion_id}: none of its {n_voxels} voxels has a value",
                remedy="check that it lies inside the reconstruction circle of every series",
            )
        else:
            missing = [part.region for part in layout.missing if part.lesion_id == lesion.lesion_id]
            n_voxels, region = 0, missing[0]
            error = NoValidVoxels(
                f"lesion {lesion.lesion_id}: has no {' and no '.join(missing)}, and nothing else is measured",
                remedy="add lesion to --regions",
            )
        yield Failure(lesion_id=lesion.lesion_id, n_voxels=n_voxels, error=error, region=region)


def _region_rows(
    blank: MeasurementRow,
    region: MeasuredRegion,
    numbers: RegionNumbers,
    means: dict[tuple[str, str, str], float],
    measured: Measured,
    noise: Mapping[str, NDArray[np.float64]],
    more: Sequence[RegionStatistic],
) -> Iterator[MeasurementRow]:
    """Statistics of every parameter in one region; `means` is filled for the ratios.

    measured : the values themselves where standard errors or further statistics are asked for
    """
    is_profile = region.region == "profile"
    region_statistics = ("mean", "sd") if is_profile else TABLE_STATISTICS
    of_region = cells(blank) | {
        "lesion_id": region.lesion_id,
        "region": region.region,
        "n_voxels": numbers.n_voxels,
        "distance_mm": float("nan") if region.distance_mm is None else region.distance_mm,
    }
    for parameter, values_by_name in numbers.statistics.items():
        is_curve = parameter.name.startswith("mono_")
        n_valid = int(values_by_name["n_valid"])
        of_parameter = of_region | {
            "parameter": parameter.name,
            "unit": parameter.unit,
            "definition": parameter.definition,
            "n_valid": n_valid,
            "flags": _flags(region, parameter, n_valid),
        }
        for name in ("mean", "sd") if is_curve else region_statistics:
            of_parameter["statistic"], of_parameter["value"] = name, values_by_name[name]
            yield MeasurementRow(**of_parameter)
        for statistic in () if is_profile or is_curve else more:
            changes = {
                "statistic": statistic.name,
                "value": statistic.of(measured[parameter]),
                "unit": statistic.unit or parameter.unit,
                "definition": f"{statistic.formula}, of {parameter.definition}",
            }
            yield MeasurementRow(**of_parameter | changes)
        if parameter.name in noise and parameter in measured:
            valid_mask = region.mask.voxels.copy()
            valid_mask[valid_mask] = ~np.isnan(measured[parameter])
            error = standard_error(valid_mask, noise[parameter.name])
            yield MeasurementRow(**of_parameter | {"statistic": "se", "value": error})
        if not is_profile:
            means[region.lesion_id, region.region, parameter.name] = values_by_name["mean"]


def _noise(layout: Layout, numbers: Numbers, spacing_mm: Spacing) -> dict[str, NDArray[np.float64]]:
    """Autocovariance of each parameter's noise, in the parenchyma."""
    for i, region in enumerate(layout.regions):
        if region.region == "parenchyma":
            return {
                parameter.name: noise_autocovariance(array, region.mask.voxels, spacing_mm)
                for parameter, array in numbers.measured(i, "").items()
                if not parameter.name.startswith("mono_")
            }
    raise SettingsError(
        "the standard error needs the noise of the parenchyma",
        remedy=f"{layout.to_get_parenchyma}, or leave out --se",
    )


def _curve_rows(
    blank: MeasurementRow,
    region: MeasuredRegion,
    numbers: RegionNumbers,
    measurand: Measurand,
) -> Iterator[MeasurementRow]:
    """λHU from the region's mean curve, and how straight the curve is."""
    n_valid = numbers.n_curve
    for parameter, slope in measurand.curve_slopes():
        energies = slope.energies_for(measurand.energies_kev)
        chosen = [measurand.energies_kev.index(kev) for kev in energies]
        hu = numbers.curve_hu[chosen]
        value = float((slope.rows(energies).weights @ hu)[0])
        row = replace(
            blank,
            lesion_id=region.lesion_id,
            region=region.region,
            parameter=parameter.name,
            statistic="from_curve",
            value=value,
            unit=parameter.unit,
            definition=f"{parameter.definition}, of the region's mean curve",
            n_voxels=numbers.n_voxels,
            n_valid=n_valid,
            flags=_flags(region, parameter, n_valid),
        )
        yield row
        if slope.divisor_kev is None and len(energies) > 2:
            r_squared = (
                float(np.corrcoef(energies, hu)[0, 1] ** 2) if np.ptp(hu) > 0 else float("nan")
            )
            definition = (
                f"squared correlation of HU and energy, {energies[0]:g} to {energies[-1]:g} keV"
            )
            yield replace(
                row, statistic="r_squared", value=r_squared, unit="1", definition=definition
            )


def _flags(region: MeasuredRegion, parameter: Parameter, n_valid: int) -> str:
    no_value = (flags.NO_VALID,) if n_valid == 0 else ()
    return ";".join([*region.flags, *parameter.flags, *no_value])


def _ratio_rows(
    layout: Layout,
    rows: Sequence[MeasurementRow],
    means: dict[tuple[str, str, str], float],
    blank: MeasurementRow,
) -> Iterator[MeasurementRow]:
    """NIC and LNR of every region, and rim over core."""
    counts = {
        (row.lesion_id, row.region, row.parameter): (row.n_voxels, row.n_valid)
        for row in rows
        if row.statistic == "mean"
    }
    aorta = means.get(("", "aorta", "iodine"))
    drawn = {
        region.region: list(filter(flags.is_automatic, region.flags))
        for region in layout.regions
        if not region.lesion_id
    }

    def over(row: MeasurementRow, reference: str) -> MeasurementRow:
        """A ratio rests on the mask of what it is divided by too."""
        told = [*filter(None, row.flags.split(";")), *drawn[reference]]
        return replace(row, flags=";".join(dict.fromkeys(told)))

    for region in layout.regions:
        lesion_id, name = region.lesion_id, region.region
        compared = {parameter: means.get((lesion_id, name, parameter)) for parameter in _COMPARED}
        for parameter, mean in compared.items():
            if mean is None:
                continue
            n_voxels, n_valid = counts[lesion_id, name, parameter]
            row = replace(
                blank,
                lesion_id=lesion_id,
                region=name,
                statistic="mean",
                unit="1",
                n_voxels=n_voxels,
                n_valid=n_valid,
                flags=";".join(region.flags),
            )
            if parameter == "iodine" and aorta is not None and name != "aorta":
                value, definition = ratio(mean, aorta), "iodine / mean iodine of the aorta"
                yield replace(
                    over(row, "aorta"), parameter="nic", value=value, definition=definition
                )
            normal = means.get(("", "parenchyma", parameter))
            if normal is not None and lesion_id:
                definition = f"{parameter} / mean {parameter} of the parenchyma"
                value = ratio(mean, normal)
                yield replace(
                    over(row, "parenchyma"),
                    parameter=f"lnr_{parameter}",
                    value=value,
                    definition=definition,
                )
            core = means.get((lesion_id, "core", parameter))
            if name == "rim" and core is not None:
                yield replace(
                    row,
                    parameter=f"rim_core_{parameter}",
                    statistic="ratio",
                    value=ratio(mean, core),
                    definition=f"mean {parameter} of the rim / of the core",
                )


def _size_rows(
    blank: MeasurementRow,
    region: MeasuredRegion,
    lesion: LesionLayout | None,
    spacing_mm: Spacing,
) -> Iterator[MeasurementRow]:
    """Volume of every region; diameters and depth of lesions."""
    mask: RegionMask = region.mask
    n = mask.n_voxels
    row = replace(
        blank,
        lesion_id=region.lesion_id,
        region=region.region,
        statistic="value",
        n_voxels=n,
        n_valid=n,
        flags=";".join(region.flags),
    )
    yield replace(
        row,
        parameter="volume",
        value=volume_ml(mask, spacing_mm),
        unit="mL",
        definition="voxels times their volume",
    )
    if region.region != "lesion" or lesion is None:
        return
    depth = "of a voxel's centre below the boundary"
    divides = "depth that divides rim and core"
    if lesion.dimensions == "2d":
        depth += ", within its slice (2-D region of interest)"
        divides += ", within each slice (2-D region of interest)"
    axial_mm = longest_axial_diameter_mm(mask, spacing_mm)
    feret_mm = feret_diameter_mm(mask, spacing_mm, dimensions=lesion.dimensions, axial_mm=axial_mm)
    for name, value, definition in (
        ("longest_axial_diameter", axial_mm, "longest line within one slice (RECIST 1.1)"),
        ("feret_diameter", feret_mm, "longest distance in space"),
        ("largest_depth", lesion.largest_depth_mm, depth),
        ("rim_thickness", lesion.rim_mm, divides),
    ):
        yield replace(row, parameter=name, value=value, unit="mm", definition=definition)
