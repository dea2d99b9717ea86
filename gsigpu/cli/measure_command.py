"""`gsigpu measure`: statistics of lesions, rims and surroundings from masks."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsigpu.cli import measure_options, options, volume_options
from gsigpu.cli.console import TerminalWatcher, entry, split_numbers, table
from gsigpu.cli.messages import fail, warn
from gsigpu.errors import SettingsError

if TYPE_CHECKING:
    import pandas as pd

    from gsigpu.caution import Caution
    from gsigpu.pipeline.measure.collected_masks import Failure
    from gsigpu.pipeline.measure.measurement import Measurement
    from gsigpu.tables.measurement_table import MeasurementRow


def measure_command(
    folders: volume_options.StudyOrVolumes = None,
    *,
    nifti: volume_options.Volumes = None,
    mask: measure_options.LesionMasks = None,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT.csv",
            help="Table to write, .csv or .parquet; OUT.json goes with it.",
        ),
    ],
    slope: measure_options.Slopes,
    rim: measure_options.Rim = "auto",
    rim_dimensions: measure_options.RimDimensions = "auto",
    phase: options.PhaseOrAll = None,
    haematocrit: Annotated[
        float | None,
        typer.Option(
            "--haematocrit",
            metavar="SHARE",
            help="0.42; with --phase all and a delayed phase also the extracellular volume.",
        ),
    ] = None,
    liver_mask: measure_options.LiverMask = None,
    vessel_mask: measure_options.VesselMask = None,
    aorta_mask: measure_options.AortaMask = None,
    normal_mask: measure_options.NormalMask = None,
    role: measure_options.RoleOptions = None,
    roles: measure_options.RoleFile = None,
    name: measure_options.NameOptions = None,
    split_lesions: measure_options.SplitLesions = False,
    any_mask_phase: measure_options.AnyMaskPhase = False,
    fill_between: measure_options.FillBetween = False,
    threshold: measure_options.Threshold = None,
    mask_phase: measure_options.MaskPhase = "",
    register: measure_options.Register = False,
    mask_position: measure_options.MaskPosition = "",
    segment: measure_options.Segment = "",
    region: measure_options.NamedRegions = None,
    regions: measure_options.Regions,
    perilesional: measure_options.Perilesional = "0-5",
    maps: Annotated[
        list[str],
        options.list_option("--maps", text=measure_options.MAPS_BESIDE, default="iodine"),
    ],
    ct_value: measure_options.CtValue = "70",
    curve: measure_options.Curve = True,
    se: measure_options.StandardErrors = False,
    statistics: measure_options.Statistics,
    vendor_iodine_unit: measure_options.VendorIodineUnit = "",
    case: Annotated[str, typer.Option("--case", help="case_id of the table.")] = "",
    patient: Annotated[
        str, typer.Option("--patient", help="patient_id of the table; the study's if not given.")
    ] = "",
    group: Annotated[str, typer.Option("--group", help="Primary tumour.")] = "",
    reader: Annotated[str, typer.Option("--reader", help="Who drew the masks.")] = "",
    wide: Annotated[
        bool, typer.Option("--wide", help="Also OUT.wide.csv, a row per lesion, for spreadsheets.")
    ] = False,
    dicom: Annotated[
        bool,
        typer.Option(
            "--dicom",
            help="Also OUT.seg.dcm, OUT.sr.dcm and OUT.pr.dcm: the regions, a report on them, and their outlines as a presentation state.",
        ),
    ] = False,
    plot: Annotated[
        bool,
        typer.Option(
            "--plot",
            help="Also OUT.profile.png: λHU and iodine across the boundary; with --register OUT.registration.png: where the masks lay before, and lie after.",
        ),
    ] = False,
    series: options.SeriesChoice,
    energies: options.Energies,
    backend: options.BackendChoice = options.Backend.auto,
    workers: options.Threads = None,
    energy: options.Energy,
    phase_of: options.PhaseOf,
    kind: options.KindOf,
    patterns: options.PatternFile = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT and what goes with it.")
    ] = False,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure lesions, rim, core and surroundings from masks, into a table.

    Example: gsigpu measure /data/study-0042 --mask lesions.nii.gz --liver-mask liver.nii.gz -o study-0042.csv
    """
    from gsigpu.dicom.reading.directory_records import study_name
    from gsigpu.output.staging import require_free
    from gsigpu.pipeline.measure.measure_phases import measure_phases, write_phases
    from gsigpu.pipeline.measure.measure_study import measure_study
    from gsigpu.pipeline.measure.measurement_rows import CaseLabels
    from gsigpu.pipeline.measure.write_measurement import (
        files_beside,
        was_measured,
        write_measurement,
    )

    settings = measure_options.measure_settings(
        slopes=slope,
        maps=maps,
        ct_value=ct_value,
        curve=curve,
        vendor_iodine_unit=vendor_iodine_unit,
        regions=regions,
        rim=rim,
        rim_dimensions=rim_dimensions,
        perilesional=perilesional,
        se=se,
        statistics=statistics,
    )
    if plot and "profile" not in settings.regions.regions:
        raise SettingsError("--plot shows the profile", remedy="add profile to --regions")
    is_all = phase == options.ALL_PHASES
    if haematocrit is not None and not is_all:
        raise SettingsError(
            "--haematocrit is for a table of all phases", remedy="add --phase all, or leave it out"
        )
    require_free(
        files_beside(out, with_wide=wide, with_dicom=dicom, with_plot=plot),
        overwrite=overwrite,
        is_replaceable=lambda path: was_measured(path, out),
    )
    masks = measure_options.mask_files(
        lesions=mask,
        liver=liver_mask,
        vessels=vessel_mask,
        aorta=aorta_mask,
        normal=normal_mask,
        role=role,
        role_file=roles,
        name=name,
        split=split_lesions,
        any_phase=any_mask_phase,
        fill_between=fill_between,
        threshold=threshold,
        drawn_on=mask_phase,
        register=register,
        position=mask_position,
        regions=named_regions(region),
        segment=segment,
    )
    if dicom and masks.regions:
        raise SettingsError(
            "regions of --region have no code for SEG and SR",
            remedy="leave --dicom out, or --region",
        )
    folder = volume_options.only_study(folders)
    watcher = TerminalWatcher({"scan": "reading headers", "measure": "measuring"})
    study = volume_options.read_images(
        folder,
        nifti,
        watcher,
        phase=phase,
        energy=energy,
        phase_of=phase_of,
        kind=kind,
        patterns=patterns,
    )
    request: dict[str, Any] = {
        "settings": settings,
        "labels": CaseLabels(
            case_id=case or ("" if folder is None else study_name(folder.resolve())),
            patient_id=patient,
            group=group,
            reader=reader,
        ),
        "series": series,
        "energies_kev": split_numbers(energies, "--energies"),
        "backend": backend.value,
        "n_workers": workers,
        "watcher": watcher,
    }
    beside = {"with_wide": wide, "with_dicom": dicom, "with_plot": plot}
    if dry_run:
        measure_options.require_drawn(segment)
        from gsigpu.pipeline.dry_run import dry_measure

        planned = dry_measure(
            study,
            masks,
            out,
            phase=phase,
            all_phases=is_all,
            haematocrit=haematocrit,
            beside=beside,
            **request,
        )
        options.tell_plan(planned, as_json=as_json)
        return
    beside["overwrite"] = overwrite
    if is_all:
        measured = measure_phases(study, masks, haematocrit=haematocrit, **request)
        with watcher.stage("write"):
            written = write_phases(measured, out, masks=masks, **beside)
        measurements: Sequence[Measurement] = measured.phases
        table_written = measured.table
    else:
        measurement = measure_study(study, masks, phase=phase, **request)
        with watcher.stage("write"):
            written = write_measurement(measurement, out, masks=masks, **beside)
        measurements, table_written = [measurement], measurement.table
    warn(dict.fromkeys(line for measurement in measurements for line in measurement.warnings))
    warn(ids_to_read_as_text(table_written, out))
    notes: list[list[Caution]] = [[] for _ in measurements]
    if dicom:
        from gsigpu.pipeline.measure.dicom_results import dicom_notes

        notes = [dicom_notes(measurement) for measurement in measurements]
        warn(dict.fromkeys(line for lines in notes for line in lines))
    records = [
        as_record(measurement, written, lines)
        for measurement, lines in zip(measurements, notes, strict=True)
    ]
    if as_json:
        record = {"files": [str(path) for path in written], "n_rows": len(table_written), "phases": records}  # fmt: skip
        typer.echo(json.dumps(record if is_all else records[0], indent=2))
    else:
        typer.echo("\n\n".join(summary(measurement, written) for measurement in measurements))
    fail_if_any([failure for measurement in measurements for failure in measurement.failures])


def named_regions(texts: Sequence[str] | None) -> tuple[tuple[str, Path], ...]:
    """The pairs of --region.

    Raises SettingsError for one that is none.
    """
    pairs = []
    for text in texts or ():
        name, sign, file = text.partition("=")
        if not (sign and name.strip() and file.strip()):
            raise SettingsError(
                f"--region {text!r} names no region and file", remedy="write --region spleen=FILE"
            )
        pairs.append((name.strip(), Path(file.strip())))
    return tuple(pairs)


def ids_to_read_as_text(table: pd.DataFrame, out: Path) -> list[str]:
    """A warning where a CSV does not say by itself that its ids are text."""
    from gsigpu.tables.measurement_table import ids_that_change_in_csv

    changed = ids_that_change_in_csv(table) if out.suffix.lower() == ".csv" else []
    if not changed:
        return []
    what = "this id" if len(changed) == 1 else "these ids"
    line = (
        f"{out}: {', '.join(changed)}: programs that guess types read {what} as numbers or missing values;"
        " read the column as text, or write -o OUT.parquet"
    )
    return [line]


def fail_if_any(failures: Sequence[Failure]) -> None:
    """Ends with an error for each lesion that could not be measured, if there are any."""
    if failures:
        fail(failure.error for failure in failures)


def as_record(
    measurement: Measurement, written: list[Path], notes: Sequence[Caution] = ()
) -> dict[str, object]:
    """Plain data for `--json`; `notes` are warnings of what was written."""
    return {
        "files": [str(path) for path in written],
        "phase": measurement.stack.phase,
        "n_rows": len(measurement.rows),
        "lesions": [layout.lesion.lesion_id for layout in measurement.layout.lesions],
        "automatic_masks": [
            {**mask.as_dict, "folder": None if mask.folder is None else str(mask.folder)}
            for mask in measurement.masks.automatic
        ],
        "roles": [asdict(region_role) for region_role in measurement.masks.roles],
        "n_slices_read": len(measurement.slices),
        "backend": measurement.backend,
        "failures": [
            {"lesion_id": failure.lesion_id, "reason": str(failure.error)}
            for failure in measurement.failures
        ],
        "warnings": [*measurement.warnings, *notes],
        "vendor_iodine": [asdict(vendor) for vendor in measurement.vendor_iodine],
        "seconds": measurement.seconds,
    }


def summary(measurement: Measurement, written: list[Path]) -> str:
    """What was measured, for a person."""
    stack = measurement.stack
    lines = [
        entry(
            "read",
            f"{len(measurement.slices)} of {stack.geometry.shape[0]} slices, {len(measurement.measurand.series)} series"
            + (f", phase {stack.phase}" if stack.phase else ""),
        ),
        entry("regions", _roles(measurement)),
        *_drawn_by_program(measurement),
        *([entry("backend", "GPU")] if measurement.backend == "gpu" else []),
        *(
            entry(
                "vendor",
                f"{vendor.parameter} = {vendor.factor:.3f} x computed {vendor.offset_mg_per_ml:+.3f} mg/mL,"
                f" correlation {vendor.correlation:.3f}",
            )
            for vendor in measurement.vendor_iodine
        ),
        entry("wrote", written),
        "",
        lesion_table(measurement.rows),
    ]
    return "\n".join(lines)


def _roles(measurement: Measurement) -> str:
    masks = measurement.masks.masks
    others = [
        role for role in ("liver", "vessels", "aorta", "normal") if getattr(masks, role) is not None
    ]
    n = len(masks.lesions)
    return ", ".join([f"{n} lesion{'s' if n != 1 else ''}", *others])


def _drawn_by_program(measurement: Measurement) -> list[str]:
    """A line per folder of masks that a program drew, and one of those that came by a file, unchanged."""
    of: dict[str, list[str]] = {}
    for mask in measurement.masks.automatic:
        seen = "" if mask.energy_kev is None else f" on {mask.energy_kev:g} keV"
        where = "given" if mask.folder is None else str(mask.folder)
        of.setdefault(f"{mask.program} {mask.version} {mask.task}{seen}, unedited: {where}", []).append(mask.region)  # fmt: skip
    return [entry("drawn by", f"{told} ({', '.join(regions)})") for told, regions in of.items()]


def lesion_table(rows: Sequence[MeasurementRow]) -> str:
    """Size, λHU and iodine per lesion, in text, and all flags of its regions."""
    from gsigpu.tables.measurement_table import flags_of_lesions

    value = {
        (row.lesion_id, row.region, row.parameter): row.value
        for row in rows
        if row.statistic in ("mean", "value")
    }

    def shown(lesion: str, region: str, parameter: str, digits: int) -> str:
        number = value.get((lesion, region, parameter), math.nan)
        return "-" if math.isnan(number) else f"{number:.{digits}f}"

    flags_of_study = {
        row.region: row.flags.split(";")
        for row in rows
        if not row.lesion_id and row.parameter == "lambda_hu" and row.flags
    }
    body = [
        [
            lesion,
            shown(lesion, "lesion", "longest_axial_diameter", 1),
            shown(lesion, "lesion", "volume", 2),
            *(shown(lesion, region, "lambda_hu", 3) for region in ("core", "rim")),
            *(shown(lesion, region, "iodine", 2) for region in ("core", "rim")),
            "; ".join(of_lesion),
        ]
        for lesion, of_lesion in flags_of_lesions(rows).items()
    ]
    body += [
        [
            region,
            "",
            shown("", region, "volume", 2),
            shown("", region, "lambda_hu", 3),
            "",
            shown("", region, "iodine", 2),
            "",
            "; ".join(flags_of_study.get(region, ())),
        ]
        for region in dict.fromkeys(row.region for row in rows if not row.lesion_id)
        if ("", region, "lambda_hu") in value
    ]
    header = ["lesion", "diameter mm", "mL", "λHU core", "rim", "iodine core", "rim", "flags"]
    return table(header, body)
