"""`gsigpu cohort run`: a manifest in, the tables of the cohort out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsigpu.cli import mask_options, measure_options, options
from gsigpu.cli.cohort_run_view import live_view
from gsigpu.cli.cohort_run_words import summary, tell_plan, what_is_wrong
from gsigpu.cli.messages import fail, warn
from gsigpu.cli.options import given_options
from gsigpu.errors import SettingsError

if TYPE_CHECKING:
    from gsigpu.pipeline.cohort_run.cohort_result import CohortResult

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


# Options that are fields of the run's settings by the same name.
_BY_THEIR_NAME = (
    "split_lesions", "any_mask_phase", "fill_between", "threshold", "mask_position", "mask_phase", "register",
    "segment", "allow_overlap", "maps", "map_format", "pictures", "review", "study_pages",
)  # fmt: skip
# Option -> the field of the run's settings or rules that it sets.
_FIELDS = {
    "slope": "measure.parameters.slopes",
    "parameters": "measure.parameters.maps",
    "ct_value": "measure.parameters.ct_value",
    "curve": "measure.parameters.curve",
    "vendor_iodine_unit": "measure.parameters.vendor_iodine_unit",
    "rim": "measure.regions.rim",
    "regions": "measure.regions.regions",
    "perilesional": "measure.regions.perilesional_mm",
    "se": "measure.with_se",
    "statistics": "measure.statistics",
    **{name: name for name in _BY_THEIR_NAME},
    "exclusions": "rules.decisions",
    "patterns": "patterns",
    "confirmed_only": "rules.confirmed_only",
    "max_diameter": "rules.max_diameter_mm",
    "min_group_size": "rules.min_group_size",
}


def cohort_run(
    context: typer.Context,
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST",
            help="CSV, Excel or Parquet: case_id, patient_id, group, phase, study, mask, and more.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="OUT", help="Folder for the results; a run there is taken up."
        ),
    ],
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes; by cores, memory and GPUs if not given."),
    ] = None,
    scheduler: Annotated[
        str,
        typer.Option("--scheduler", metavar="tcp://…", help="Use a running Dask cluster instead."),
    ] = "",
    shard: Annotated[
        str,
        typer.Option("--shard", metavar="I/N", help="Do the I-th of N parts, and no tables."),
    ] = "",
    case: Annotated[
        str,
        typer.Option("--case", metavar="CASE_ID", help="Do the rows of one case, and no tables."),
    ] = "",
    join: Annotated[
        bool, typer.Option("--join", help="Measure nothing; make the tables of what parts left.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", min=0.1, metavar="SECONDS", help="For a row of the manifest."),
    ] = None,
    memory_limit: Annotated[
        str,
        typer.Option("--memory-limit", metavar="4GB", help="A worker that takes more is stopped."),
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=0, metavar="N", help="Begin at most N new rows.")
    ] = 0,
    allow_failures: Annotated[
        bool,
        typer.Option(
            "--allow-failures", help="A row that fails, with its reason on record, is no error."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, tell what would be done, stop.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Take up the rows that failed, and no others.")
    ] = False,
    skip_missing: Annotated[
        bool,
        typer.Option(
            "--skip-missing", help="A study or mask that is not there fails its row, not the run."
        ),
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Remove the results of rows that left the manifest."),
    ] = False,
    change_settings: Annotated[
        bool,
        typer.Option(
            "--change-settings",
            help="Take other rules and settings than the run was begun with; those not named stay.",
        ),
    ] = False,
    confirmed_only: Annotated[
        bool,
        typer.Option(
            "--confirmed-only/--no-confirmed-only", help="Only rows whose `confirmed` is yes."
        ),
    ] = False,
    max_diameter: Annotated[
        float | None,
        typer.Option(
            "--max-diameter",
            metavar="MM",
            help="Only lesions up to this longest axial diameter; 30 in the source study, inf for all.",
        ),
    ] = None,
    min_group_size: Annotated[
        int, typer.Option("--min-group-size", min=0, help="Only groups of so many patients.")
    ] = 0,
    slope: measure_options.Slopes,
    rim: measure_options.Rim = "auto",
    rim_dimensions: measure_options.RimDimensions = "auto",
    regions: measure_options.Regions,
    perilesional: measure_options.Perilesional = "0-5",
    parameters: Annotated[
        list[str],
        options.list_option("--parameters", text=measure_options.MAPS_BESIDE, default="iodine"),
    ],
    ct_value: measure_options.CtValue = "70",
    curve: measure_options.Curve = True,
    se: measure_options.StandardErrors = False,
    statistics: measure_options.Statistics,
    vendor_iodine_unit: measure_options.VendorIodineUnit = "",
    split_lesions: mask_options.SplitLesions = False,
    any_mask_phase: mask_options.AnyMaskPhase = False,
    fill_between: mask_options.FillBetween = False,
    threshold: mask_options.Threshold = None,
    mask_position: mask_options.MaskPosition = "",
    mask_phase: mask_options.MaskPhase = "",
    register: mask_options.Register = False,
    segment: mask_options.Segment = "",
    allow_overlap: Annotated[
        bool,
        typer.Option(
            "--allow-overlap/--no-allow-overlap",
            help="Measure lesions that lie almost wholly in another.",
        ),
    ] = False,
    maps: Annotated[
        list[str], options.list_option("--maps", text="Also write these maps of every row")
    ],
    map_format: Annotated[
        options.Format,
        typer.Option(
            "--map-format",
            help="ct, pm and rgb carry the patient's identity, as a PACS needs it.",
        ),
    ] = options.Format.nifti,
    backend: Annotated[
        options.Backend,
        typer.Option(
            "--backend",
            help="For maps and measurement; auto takes the GPU with --maps, where one is usable.",
        ),
    ] = options.Backend.auto,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures", help="Also a picture of every row's largest lesion."
        ),
    ] = False,
    review: Annotated[
        bool,
        typer.Option(
            "--review/--no-review",
            help="Also OUT/review/index.html, a gallery with a card of every lesion, to look at and decide on.",
        ),
    ] = False,
    study_pages: Annotated[
        bool,
        typer.Option(
            "--study-pages/--no-study-pages",
            help="Also the study page of every row, which its cards open; with it comes --review. About 0.4 MB per slice of 512 x 512.",
        ),
    ] = False,
    exclusions: Annotated[
        Path | None,
        typer.Option(
            "--exclusions",
            metavar="FILE",
            help="Lesions that were rejected or are to be redrawn, as the gallery saves them.",
        ),
    ] = None,
    pseudonymise: Annotated[
        Path | None,
        typer.Option(
            "--pseudonymise",
            metavar="KEYFILE",
            help="Call patients, cases and readers by hashes under the key in this file.",
        ),
    ] = None,
    content: Annotated[
        bool,
        typer.Option(
            "--by-content",
            help="Know studies by what is in their files, not by size and time; reads every byte.",
        ),
    ] = False,
    patterns: options.PatternFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure every study of a manifest; go on where an earlier run ended.

    Rules and settings belong to the run: a later call goes on with those of the first.

    Example: gsigpu cohort run manifest.csv -o cohort --confirmed-only --max-diameter 30
    """
    _begin_children(context, 1 if scheduler or join or dry_run else workers or 1)
    from gsigpu.pipeline.cohort_run.checks import CohortOptions
    from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
    from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
    from gsigpu.tables.manifest import ManifestProblems
    from gsigpu.tables.review_decisions import read_decisions

    settings = CohortSettings(
        measure=measure_options.measure_settings(
            slopes=slope,
            maps=parameters,
            ct_value=ct_value,
            curve=curve,
            vendor_iodine_unit=vendor_iodine_unit,
            regions=regions,
            rim=rim,
            rim_dimensions=rim_dimensions,
            perilesional=perilesional,
            se=se,
            statistics=statistics,
        ),
        maps=tuple(maps),
        map_format=map_format.value,
        pictures=pictures,
        review=review,
        study_pages=study_pages,
        split_lesions=split_lesions,
        any_mask_phase=any_mask_phase,
        fill_between=fill_between,
        threshold=threshold,
        mask_position=mask_options.position_choice(mask_position),
        mask_phase=mask_phase,
        register=register,
        segment=segment,
        allow_overlap=allow_overlap,
        patterns=patterns,
    )
    rules = InclusionRules(
        confirmed_only=confirmed_only,
        max_diameter_mm=max_diameter,
        min_group_size=min_group_size,
        decisions=() if exclusions is None else read_decisions(exclusions),
    )
    how = CohortOptions(
        workers=workers,
        scheduler=scheduler,
        timeout_s=timeout,
        memory_limit=_bytes(memory_limit),
        retry_failed=retry_failed,
        by_content=content,
        backend=backend.value,
        skip_missing=skip_missing,
        change_settings=change_settings,
        prune=prune,
        shard=_shard(shard),
        case=case,
        join=join,
        limit=limit,
    )
    request: dict[str, Any] = {
        "settings": settings,
        "rules": rules,
        "options": how,
        "pseudonymise": pseudonymise,
        "named": {_FIELDS[name] for name in given_options(context) if name in _FIELDS},
    }
    try:
        if dry_run:
            tell_plan(manifest, out, request, as_json=as_json)
            return
        result = _run(manifest, out, request)
    except ManifestProblems as error:
        fail(error.each())
        return
    warn([*result.warnings, *(f"{out}: {told}" for told in result.damaged)])
    typer.echo(json.dumps(result.as_dict(), indent=2) if as_json else summary(result, out))
    if result.is_complete:
        return
    if allow_failures and not result.n_left:
        warn(map(str, what_is_wrong(result, out)))
    else:
        fail(what_is_wrong(result, out))


def _begin_children(context: typer.Context, n_children: int) -> None:
    """As many as will be needed for certain, before this process imports what it needs itself: that takes as long."""
    from gsigpu.pipeline.cohort_run.child_process import begin_ahead, release_idle
    from gsigpu.pipeline.workers import default_workers

    context.call_on_close(release_idle)
    begin_ahead(min(n_children, default_workers()))


def _run(manifest: Path, out: Path, request: dict[str, Any]) -> CohortResult:
    from gsigpu.pipeline.cohort_run.run_cohort import run_cohort

    with live_view() as watch:
        return run_cohort(manifest, out, watch=watch, **request)


def _shard(text: str) -> tuple[int, int] | None:
    """A part of a whole, I/N.

    >>> _shard("2/8")
    (2, 8)
    """
    if not text:
        return None
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    if match is None:
        raise SettingsError(f"--shard {text!r} is none", remedy="write --shard 1/8 to --shard 8/8")
    return int(match[1]), int(match[2])


def _bytes(text: str) -> int:
    """A size as people write it.

    >>> _bytes("1.5GB")
    1610612736
    """
    if not text:
        return 0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if match is None or not float(match[1]) > 0:
        raise SettingsError(
            f"--memory-limit {text!r} is no size", remedy="write --memory-limit 4GB"
        )
    return int(float(match[1]) * _UNITS[match[2].upper()])
