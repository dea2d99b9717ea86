"""`gsigpu measure`: statistics of lesions, rims and surroundings from masks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsigpu.choices import MEASUREMENTS
from gsigpu.cli import measure_options, options, several_studies, volume_options
from gsigpu.cli.console import split_numbers
from gsigpu.cli.mask_options import MaskOptions
from gsigpu.cli.measure_calls import MeasureCall, into_one_table
from gsigpu.cli.spread import spread
from gsigpu.errors import SettingsError


@spread("masks", MaskOptions)
def measure_command(
    folders: several_studies.MeasuredOrVolumes = None,
    *,
    nifti: volume_options.Volumes = None,
    masks: MaskOptions,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT.csv",
            help="Table to write, .csv or .parquet; OUT.json goes with it. Of several studies also a folder.",
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

    Several studies make one table, -o OUT.csv, or a folder, -o OUT, with OUT/NAME/measurements.csv of each; - reads their
    names from standard input. In a path of a mask {study} stands for the study's path and {name} for its name.

    Example: gsigpu measure /data/study-0042 --mask lesions.nii.gz --liver-mask liver.nii.gz -o study-0042.csv
    """
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
    if haematocrit is not None and phase != options.ALL_PHASES:
        raise SettingsError(
            "--haematocrit is for a table of all phases", remedy="add --phase all, or leave it out"
        )
    if not masks.name_any_region:
        raise SettingsError("no mask of lesions", remedy="name one with --mask")
    studies = several_studies.given_studies(folders)
    several_studies.require_one(studies, {"--nifti": nifti, "--case": case, "--patient": patient})
    if len(studies.paths) > 1:
        masks.require_of_each_study()
    call = MeasureCall(
        settings=settings,
        masks=masks,
        phase=phase,
        haematocrit=haematocrit,
        labels={"case_id": case, "patient_id": patient, "group": group, "reader": reader},
        reading={
            "energy": energy,
            "phase_of": phase_of,
            "kind": kind,
            "patterns": patterns,
        },
        volumes=nifti,
        request={
            "series": series,
            "energies_kev": split_numbers(energies, "--energies"),
            "backend": backend.value,
            "n_workers": workers,
        },
        beside={"with_wide": wide, "with_dicom": dicom, "with_plot": plot},
        overwrite=overwrite,
        dry_run=dry_run,
    )
    if not studies.are_several:
        several_studies.tell(call.into_file(studies.only, out), as_json=as_json)
    elif out.suffix and not out.is_dir():
        into_one_table(call, studies.paths, out, as_json=as_json)
    else:
        several_studies.run_studies(
            studies,
            out,
            lambda study, folder: call.into_file(study, folder / MEASUREMENTS),
            as_json=as_json,
        )
