"""`gsigpu review`: look at the maps, regions and values of a study in a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gsigpu.choices import DEFAULT_SLOPE
from gsigpu.cli import measure_options, options
from gsigpu.cli.console import TerminalWatcher, split_numbers
from gsigpu.cli.messages import fail, warn
from gsigpu.errors import SettingsError

if TYPE_CHECKING:
    from gsigpu.pipeline.review.review_study import ReviewResult


def review_command(
    folder: options.StudyFolder,
    *,
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            "--mask",
            metavar="FILE",
            help="Lesions, as for gsigpu measure; repeatable. Without a mask the page has no regions.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="OUT", help="Folder to write; open index.html in it."),
    ] = None,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Show the page at an address of this machine until Ctrl-C; without -o it is kept nowhere.",
        ),
    ] = False,
    phase: Annotated[
        list[str], options.list_option("--phase", text="Phases to show; all that the study has.")
    ],
    maps: Annotated[
        list[str],
        options.list_option("--maps", text="Maps beside water and iodine", default="lambda-hu"),
    ],
    slope: Annotated[
        str, typer.Option("--slope", help="Definition of lambda-hu, as for gsigpu map.")
    ] = DEFAULT_SLOPE,
    liver_mask: measure_options.LiverMask = None,
    vessel_mask: measure_options.VesselMask = None,
    aorta_mask: measure_options.AortaMask = None,
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
    case: Annotated[
        str, typer.Option("--case", help="The case's name on the page; the folder's if not given.")
    ] = "",
    with_identity: Annotated[
        bool,
        typer.Option(
            "--with-identity",
            help="Also the patient ID and date, and regions of interest can be saved as DICOM SEG.",
        ),
    ] = False,
    outside: Annotated[
        options.Outside, typer.Option("--outside", help="What lies around the patient.")
    ] = options.Outside.blank,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures",
            help="Also pictures of each lesion for a paper, PNG and PDF, in the folder pictures.",
        ),
    ] = False,
    series: options.SeriesChoice,
    energies: options.Energies,
    workers: options.Threads = None,
    energy: options.Energy,
    phase_of: options.PhaseOf,
    kind: options.KindOf,
    patterns: options.PatternFile = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a page that is there.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a page that shows maps, regions and values of a study; it opens without a server.

    Example: gsigpu review /data/study-0042 --mask lesions.nii.gz --liver-mask liver.nii.gz -o review-0042
    """
    from gsigpu.dicom.reading.directory_records import study_name
    from gsigpu.pipeline.review.review_study import review_study
    from gsigpu.pipeline.review.serve import page_folder, serve_page

    if out is None and not serve:
        raise SettingsError("nothing says where the page goes", remedy="add -o OUT, or --serve")
    has_masks = any((mask, liver_mask, vessel_mask, aorta_mask, segment))
    masks = measure_options.mask_files(
        lesions=mask,
        liver=liver_mask,
        vessels=vessel_mask,
        aorta=aorta_mask,
        normal=None,
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
        segment=segment,
    )
    watcher = TerminalWatcher(
        {
            "scan": "reading headers",
            "measure": "measuring",
            "volumes": "computing maps",
            "pictures": "drawing pictures",
        }
    )
    study = options.read_folder(
        folder, watcher, energy=energy, phase_of=phase_of, kind=kind, patterns=patterns
    )
    with page_folder(out) as place:
        result = review_study(
            study,
            place,
            masks=masks if has_masks else None,
            phases=phase,
            maps=maps,
            slope=slope,
            case_id=case or study_name(folder.resolve()),
            series=series,
            energies_kev=split_numbers(energies, "--energies"),
            with_identity=with_identity,
            inside_body=outside is options.Outside.blank,
            pictures=pictures,
            n_workers=workers,
            overwrite=overwrite,
            watcher=watcher,
        )
        warn(result.warnings)
        typer.echo(json.dumps(_as_dict(result), indent=2) if as_json else summary(result))
        if serve:
            serve_page(result.page.parent, tell=typer.echo)
    if result.failures:
        fail(result.failures)


def _as_dict(result: ReviewResult) -> dict[str, object]:
    return {
        "page": str(result.page),
        "pictures": None if result.pictures is None else str(result.pictures),
        "phases": list(result.phases),
        "n_lesions": result.n_lesions,
        "n_bytes": result.n_bytes,
        "seconds": result.seconds,
        "warnings": list(result.warnings),
        "failures": [str(error) for error in result.failures],
    }


def summary(result: ReviewResult) -> str:
    """What was written, for a person."""
    lines = [
        f"page     {result.page}",
        f"shows    {', '.join(result.phases)}; {result.n_lesions} lesion{'s' if result.n_lesions != 1 else ''}",
        f"size     {result.n_bytes / 2**20:.0f} MiB",
    ]
    if result.pictures is not None:
        lines.append(f"pictures {result.pictures}")
    return "\n".join(lines)
