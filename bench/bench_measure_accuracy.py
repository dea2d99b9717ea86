"""How right are core and rim, by the lesion's diameter and the thickness of the measured rim?

Synthetic studies with known truth, measured from DICOM with the lesions' own mask. Every study is written
twice, with noise and without: what is left without noise is partial volume and voxels.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from common import arguments, report, scratch

from gsigpu.choices import PHASES
from gsigpu.dicom.study.read_study import read_study
from gsigpu.phantom import Lesion, PhantomSettings, PhantomTruth, write_phantom
from gsigpu.phantom.anatomy import VESSELS, upper_abdomen
from gsigpu.phantom.lesions import CORE_WATER_MG_PER_ML, IODINE_MG_PER_ML, RIM_WATER_MG_PER_ML
from gsigpu.phantom.tissues import LIVER
from gsigpu.phantom.truth import expected
from gsigpu.pipeline.measure.measure_study import MaskFiles, measure_study
from gsigpu.pipeline.measure.measurement import Measurement, MeasureSettings
from gsigpu.pipeline.measure.parameters import ParameterSettings
from gsigpu.regions.boundary import depth_mm
from gsigpu.regions.region_layout import RegionSettings
from gsigpu.regions.region_mask import RegionMask
from gsigpu.regions.shells import RimRule, parse_rim

PHASE, PRIMARY = "PVP", "colorectal"
SPACING_MM = (1.25, 0.7, 0.7)
# Diameter in mm -> lesions of it in each study.
PER_STUDY = {5.0: 8, 8.0: 6, 10.0: 5, 15.0: 4, 20.0: 3, 30.0: 2}
RULES = {name: parse_rim(name) for name in ("auto", "1mm", "2mm", "3mm", "30%")}
# Clear of the true rim by 2 mm, more than a voxel's diagonal.
DEEP, DEEP_MM, DEEP_FROM_MM = "deep core", 5.0, 15.0
CLEARANCE_MM, GAP_MM, N_TRIES = 2.0, 6.0, 20_000

CORE_IODINE, RIM_IODINE = (of[PHASES.index(PHASE)] for of in IODINE_MG_PER_ML[PRIMARY])
LIVER_IODINE = LIVER.iodine_mg_per_ml[PHASE]
WATER = {"core": CORE_WATER_MG_PER_ML, "rim": RIM_WATER_MG_PER_ML}
IODINE = {"core": CORE_IODINE, "rim": RIM_IODINE}


def true_rim_mm(diameter_mm: float) -> float:
    """As the phantom's own lesions have it."""
    return min(3.0, diameter_mm / 4.0)


def true_value(region: str, parameter: str) -> float:
    """Of the region's material."""
    truth = expected(WATER[region], IODINE[region], (70.0,))
    return truth["iodine_mg_per_ml"] if parameter == "iodine" else truth["lambda_hu"]["paper"]


def spheres(
    per_study: Mapping[float, int], shape: tuple[int, int, int], seed: int
) -> tuple[Lesion, ...]:
    """Spherical lesions at random in the liver, clear of its surface, its vessels and one another."""
    rng = np.random.default_rng((seed, 99))
    anatomy = upper_abdomen()
    vessels = anatomy.shapes_of(*VESSELS, "gallbladder")
    directions = rng.normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    reach_mm = np.array([(n - 1) / 2.0 * mm for n, mm in zip(shape, SPACING_MM, strict=True)])[::-1]
    placed: list[Lesion] = []
    for diameter_mm in sorted(per_study, reverse=True):
        radius_mm = diameter_mm / 2.0
        clear_mm = radius_mm + CLEARANCE_MM
        n_wanted = len(placed) + per_study[diameter_mm]
        for _ in range(N_TRIES):
            if len(placed) == n_wanted:
                break
            centre = rng.uniform(-reach_mm + clear_mm, reach_mm - clear_mm)
            if any(
                np.linalg.norm(centre - lesion.centre_mm) < radius_mm + lesion.radii_mm[0] + GAP_MM
                for lesion in placed
            ):
                continue
            points = np.concatenate([centre + directions * d for d in (clear_mm, radius_mm / 2)]).T
            if anatomy.liver.depth_mm(*points).min() < 0.0:
                continue
            if any(vessel.depth_mm(*points).max() > 0.0 for vessel in vessels):
                continue
            placed.append(
                Lesion(
                    label=len(placed) + 1,
                    centre_mm=tuple(map(float, centre)),
                    radii_mm=(radius_mm,) * 3,
                    rim_mm=true_rim_mm(diameter_mm),
                    core_iodine_mg_per_ml={PHASE: CORE_IODINE},
                    rim_iodine_mg_per_ml={PHASE: RIM_IODINE},
                )
            )
        else:
            raise SystemExit(f"no room for {per_study[diameter_mm]} lesions of {diameter_mm:g} mm")
    return tuple(placed)


def written(
    folder: Path, lesions: tuple[Lesion, ...], shape: tuple[int, int, int], **settings: object
) -> PhantomTruth:
    """A study of these lesions, in place of the one before."""
    settings = PhantomSettings(
        shape=shape,
        spacing_mm=SPACING_MM,
        phases=(PHASE,),
        primary=PRIMARY,
        extras=(),
        with_padding=False,
        **settings,
    )
    shutil.rmtree(folder, ignore_errors=True)
    return write_phantom(folder, settings, lesions=lesions)


def measured(truth: PhantomTruth, rules: Mapping[str, RimRule]) -> dict[str, Measurement]:
    """By each of the rules."""
    study = read_study(truth.dicom_folder)
    return {
        name: measure_study(
            study,
            MaskFiles((truth.lesion_mask,)),
            settings=MeasureSettings(
                ParameterSettings(curve=False), RegionSettings(("rim", "core"), rim=rule)
            ),
        )
        for name, rule in rules.items()
    }


def errors_of(truth: PhantomTruth, rules: Mapping[str, RimRule], **labels: object) -> pd.DataFrame:
    """One row per lesion, rule, region and parameter: the mean's error against the material."""
    diameters = {str(lesion.label): 2.0 * lesion.radii_mm[0] for lesion in truth.lesions}
    rows = []
    for rule, measurement in measured(truth, rules).items():
        rims_mm = {lesion.lesion.lesion_id: lesion.rim_mm for lesion in measurement.layout.lesions}
        for row in measurement.rows:
            if row.statistic == "mean" and row.parameter in ("iodine", "lambda_hu"):
                error = row.value - true_value(row.region, row.parameter)
                of_lesion = {"diameter": diameters[row.lesion_id], "lesion": row.lesion_id}
                kind = {"rule": rule, "region": row.region, "parameter": row.parameter}
                rows.append(
                    labels | of_lesion | kind | {"error": error, "rim": rims_mm[row.lesion_id]}
                )
    return pd.DataFrame(rows)


def true_depth_mm(truth: PhantomTruth, lesion: Lesion, mask: RegionMask) -> np.ndarray:
    """(n,) depth of a mask's voxel centres below the sphere's surface."""
    index = (np.argwhere(mask.voxels) + mask.origin)[:, ::-1]
    points = index * truth.geometry.spacing_mm[::-1] + truth.geometry.origin_mm
    return lesion.radii_mm[0] - np.linalg.norm(points - lesion.centre_mm, axis=1)


def depth_error_mm(truth: PhantomTruth, lesion: Lesion, mask: RegionMask) -> float:
    """Mean error of the measured depth of voxels within 0.5 mm of the true boundary of rim and core."""
    depth = true_depth_mm(truth, lesion, mask)
    measured_depth = depth_mm(mask.voxels, SPACING_MM)[mask.voxels]
    near = np.abs(depth - lesion.rim_mm) <= 0.5
    return float((measured_depth - depth)[near].mean())


def voxel_check(truth: PhantomTruth) -> pd.DataFrame:
    """Hard boundaries and no noise, each lesion cut at its true rim: which voxels fall on the wrong side?

    `unexplained` : what is left of the error after those
    """
    thicknesses = sorted({lesion.rim_mm for lesion in truth.lesions})
    lesions = {str(lesion.label): lesion for lesion in truth.lesions}
    measurements = measured(truth, {f"{mm:g}": RimRule(mm, 1.0) for mm in thicknesses})
    rows = []
    for rule, measurement in measurements.items():
        means = {
            (row.lesion_id, row.region): row.value
            for row in measurement.rows
            if row.statistic == "mean" and row.parameter == "iodine"
        }
        masks = {lesion.lesion_id: lesion.mask for lesion in measurement.masks.masks.lesions}
        for region in measurement.layout.regions:
            lesion = lesions[region.lesion_id]
            if f"{lesion.rim_mm:g}" != rule:
                continue
            in_core = true_depth_mm(truth, lesion, region.mask) > lesion.rim_mm
            value = means[region.lesion_id, region.region]
            expected_value = np.where(in_core, CORE_IODINE, RIM_IODINE).mean()
            rows.append(
                {
                    "diameter": 2.0 * lesion.radii_mm[0],
                    "region": region.region,
                    "error": value - IODINE[region.region],
                    "wrong": 100.0 * np.mean(in_core == (region.region == "rim")),
                    "unexplained": abs(value - expected_value),
                    "depth": depth_error_mm(truth, lesion, masks[region.lesion_id]),
                }
            )
    return pd.DataFrame(rows)


def signed(value: float, digits: int) -> str:
    """+0.12, or a dash where there is nothing."""
    return "-" if np.isnan(value) else f"{value:+.{digits}f}"


def spread(values: pd.Series, digits: int) -> str:
    """Sample SD, or a dash."""
    return "-" if len(values) < 2 else f"{values.std(ddof=1):.{digits}f}"


def errors_at(errors: pd.DataFrame, diameter: float, rule: str, noisy: bool) -> dict:
    """(region, parameter) -> errors of the lesions."""
    chosen = errors[(errors.diameter == diameter) & (errors.rule == rule) & (errors.noisy == noisy)]
    return {key: group.error for key, group in chosen.groupby(["region", "parameter"])}


def main_table(errors: pd.DataFrame, diameters: list[float]) -> list[str]:
    """Bias and SD per diameter and rule."""
    lines = [
        (
            "| diameter (true rim), mm | measured rim | lesions (with a core) |"
            " iodine of core: bias | of it without noise | SD | iodine of rim: bias | of it without noise | SD |"
            " λHU of core: bias | SD | λHU of rim: bias | SD |"
        ),
        "|---:|---|---:|" + "---:|" * 10,
    ]
    nothing = pd.Series(dtype=float)
    for diameter in diameters:
        for rule in RULES:
            noisy, clean = (
                errors_at(errors, diameter, rule, is_noisy) for is_noisy in (True, False)
            )
            cells = []
            for parameter, digits in (("iodine", 2), ("lambda_hu", 3)):
                for region in ("core", "rim"):
                    region_errors = noisy.get((region, parameter), nothing)
                    cells.append(signed(region_errors.mean(), digits))
                    if parameter == "iodine":
                        without = clean.get((region, parameter), nothing)
                        cells.append(signed(without.mean(), digits))
                    cells.append(spread(region_errors, digits))
            n_all, n_core = (
                len(noisy.get((region, "iodine"), nothing)) for region in ("rim", "core")
            )
            lines.append(
                f"| {diameter:g} ({true_rim_mm(diameter):g}) | {rule} | {n_all} ({n_core}) | "
                + " | ".join(cells)
                + " |"
            )
    return lines


def compact_table(errors: pd.DataFrame, diameters: list[float]) -> list[str]:
    """Of the main table what the README shows: iodine, bias ± SD of core / rim."""
    lines = [
        "| diameter (true rim), mm | " + " | ".join(f"`{rule}`" for rule in RULES) + " |",
        "|---:|" + ":---:|" * len(RULES),
    ]
    for diameter in diameters:
        cells = []
        for rule in RULES:
            by_region = errors_at(errors, diameter, rule, noisy=True)
            n_lesions = len(by_region["rim", "iodine"])
            parts = []
            for region in ("core", "rim"):
                region_errors = by_region.get((region, "iodine"), pd.Series(dtype=float))
                # A core that some lesions lack is none.
                shown = f"{signed(region_errors.mean(), 2)} ± {spread(region_errors, 2)}"
                parts.append(shown if len(region_errors) == n_lesions else "none")
            cells.append(" / ".join(parts))
        lines.append(f"| {diameter:g} ({true_rim_mm(diameter):g}) | {' | '.join(cells)} |")
    return lines


def deep_core(errors: pd.DataFrame) -> str:
    """Whether noise alone gives a bias."""
    chosen = errors[(errors.rule == DEEP) & (errors.region == "core")]
    chosen = chosen[chosen.diameter >= DEEP_FROM_MM]
    deep, clean = chosen[chosen.noisy], chosen[~chosen.noisy]
    parts = []
    for parameter, unit, digits in (("iodine", "mg/mL", 4), ("lambda_hu", "HU/keV", 5)):
        parameter_errors = deep[deep.parameter == parameter].error
        error = (
            parameter_errors.std(ddof=1) / np.sqrt(len(parameter_errors))
            if len(parameter_errors) > 1
            else float("nan")
        )
        without = clean[clean.parameter == parameter].error.mean()
        parts.append(
            f"{parameter} {parameter_errors.mean():+.{digits}f} ± {error:.{digits}f} {unit} ({parameter_errors.mean() / error:+.1f} standard errors; without noise {without:+.{digits}f})"
        )
    return (
        f"Deep core (more than {DEEP_MM:g} mm below the boundary, no partial volume; lesions of {DEEP_FROM_MM:g} mm"
        f" or more, n = {len(deep) // 2}), noise alone: mean bias {', '.join(parts)}."
    )


def facts(errors: pd.DataFrame, diameters: list[float]) -> list[str]:
    """What the table means for the choice of rim."""
    least_bias, least_error, of_both, auto_share, needed, thickness = [], [], [], [], [], []
    for diameter in diameters:
        bias: dict[str, dict[str, float]] = {"core": {}, "rim": {}}
        rms: dict[str, dict[str, float]] = {"core": {}, "rim": {}}
        n_lesions = 0
        for rule in RULES:
            noisy, clean = (
                errors_at(errors, diameter, rule, is_noisy) for is_noisy in (True, False)
            )
            n_lesions = max(n_lesions, len(noisy[("rim", "iodine")]))
            for region in ("core", "rim"):
                region_errors = noisy.get((region, "iodine"))
                if (
                    region_errors is None or len(region_errors) < n_lesions
                ):  # a core that some lesions lack is none
                    continue
                bias[region][rule] = clean[region, "iodine"].mean()
                rms[region][rule] = float(np.sqrt((region_errors**2).mean()))
        best = {
            region: min(of, key=lambda rule, of=of: abs(of[rule])) for region, of in bias.items()
        }
        least_bias.append(
            f"{diameter:g} mm {best['core']} ({bias['core'][best['core']]:+.2f}) / {best['rim']} ({bias['rim'][best['rim']]:+.2f})"
        )
        best = {region: min(of, key=of.get) for region, of in rms.items()}
        least_error.append(
            f"{diameter:g} mm {best['core']} ({rms['core'][best['core']]:.2f}) / {best['rim']} ({rms['rim'][best['rim']]:.2f})"
        )
        # How far core and rim stand apart, as a share of the truth: 1 where nothing is lost.
        apart = {
            rule: 1.0 + (bias["rim"][rule] - bias["core"][rule]) / (RIM_IODINE - CORE_IODINE)
            for rule in bias["core"]
        }
        widest = max(apart, key=apart.get)
        of_both.append(f"{diameter:g} mm {widest} {apart[widest]:.0%} (auto {apart['auto']:.0%})")
        share = bias["core"]["auto"] / (RIM_IODINE - CORE_IODINE)
        auto_share.append(f"{diameter:g} mm {share:.0%}")
        sd = errors_at(errors, diameter, "auto", True)["core", "iodine"].std(ddof=1)
        needed.append(f"{diameter:g} mm {sd:.3f}")
        auto_mm = errors[(errors.diameter == diameter) & (errors.rule == "auto")].rim.mean()
        thickness.append(f"{diameter:g} mm {auto_mm:.2f} ({true_rim_mm(diameter):g})")
    return [
        f"- Least |bias| without noise, core / rim, mg/mL: {'; '.join(least_bias)}.",
        f"- Least RMS error with noise, core / rim, mg/mL: {'; '.join(least_error)}.",
        f"- Difference of rim and core that is kept, by the rule that keeps most: {'; '.join(of_both)}.",
        f"- `auto`: thickness used (true), mm: {'; '.join(thickness)}.",
        f"- `auto`: bias of the core as a share of the true difference of rim and core: {'; '.join(auto_share)}.",
        f"- `auto`: SD of one lesion's core by noise, mg/mL: {'; '.join(needed)}.",
    ]


def voxel_table(check: pd.DataFrame, diameters: list[float]) -> list[str]:
    """Of `voxel_check`."""
    lines = [
        "| diameter (rim), mm | core: mean bias | largest | voxels of it that are rim | rim: mean bias | largest | voxels of it that are core | depth at the rim's inner boundary: mean error, mm |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for diameter in diameters:
        cells = []
        for region in ("core", "rim"):
            rows = check[(check.diameter == diameter) & (check.region == region)]
            largest = rows.error.loc[rows.error.abs().idxmax()]
            cells += [
                signed(rows.error.mean(), 3),
                signed(largest, 3),
                f"{rows.wrong.mean():.1f} %",
            ]
        cells.append(signed(check[check.diameter == diameter].depth.mean(), 2))
        lines.append(f"| {diameter:g} ({true_rim_mm(diameter):g}) | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Runs it."""
    options = arguments(__doc__ or "", studies=6)
    shape, per_study = (80, 240, 366), PER_STUDY
    if options.quick:
        options.studies, shape, per_study = 1, (20, 120, 260), {5.0: 2, 15.0: 2}
    diameters = sorted(per_study)
    rules = RULES | {DEEP: RimRule(DEEP_MM, 1.0)}
    error_tables, check = [], []
    with scratch() as folder:
        for seed in range(options.studies):
            lesions = spheres(per_study, shape, seed)
            for noise_hu in (12.0, 0.0):
                truth = written(folder / "study", lesions, shape, seed=seed, noise_hu=noise_hu)
                error_tables.append(errors_of(truth, rules, study=seed, noisy=noise_hu > 0))
            truth = written(
                folder / "study", lesions, shape, seed=seed, noise_hu=0.0, partial_volume=False
            )
            check.append(voxel_check(truth))
    errors, voxels = (pd.concat(tables, ignore_index=True) for tables in (error_tables, check))
    lines = [
        (
            f"{options.studies} studies with {sum(per_study.values())} spherical lesions each, voxels of {' x '.join(f'{mm:g}' for mm in SPACING_MM)} mm,"
            f" 11 energies, noise 12 HU at 70 keV (30 HU at 40 keV). Iodine, mg/mL: core {CORE_IODINE:.2f}, rim {RIM_IODINE:.2f}, liver {LIVER_IODINE:.2f}."
        ),
        (
            f"λHU (paper), HU/keV: core {true_value('core', 'lambda_hu'):.3f}, rim {true_value('rim', 'lambda_hu'):.3f}."
            " Bias is the mean over lesions of (mean of the region - truth of the material); SD is over lesions."
        ),
        "The bias with noise is known to SD / √lesions.",
        "",
        *main_table(errors, diameters),
        "",
        deep_core(errors),
        "",
        "What it means for the choice of the rim (a rule that leaves a lesion without a core is no choice there):",
        "",
        *facts(errors, diameters),
        "",
        "## In short",
        "",
        (
            "Iodine of core / rim in mg/mL, bias ± SD over lesions, by the rule for the rim; true difference of rim"
            f" and core {RIM_IODINE - CORE_IODINE:.2f}. λHU (paper) errs by"
            f" {true_value('rim', 'lambda_hu') / RIM_IODINE:.3f} HU/keV per mg/mL."
        ),
        "",
        *compact_table(errors, diameters),
        "",
        "## Without noise and partial volume",
        "",
        (
            "Hard boundaries, the rim measured as thick as it is. A bias that is left comes of voxels that the distance"
            " to the mask puts on the wrong side:"
        ),
        "",
        *voxel_table(voxels, diameters),
        "",
        f"Iodine, mg/mL. Those voxels explain all but {voxels.unexplained.max():.4f} mg/mL of every lesion (rounding to whole HU).",
    ]
    report("measure_accuracy", lines, save=options.save)


if __name__ == "__main__":
    main()
