"""`gsigpu cohort run`: a manifest in, the tables of the cohort out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from gsigpu.cli import measure_options, options
from gsigpu.cli.console import fail, table
from gsigpu.errors import SettingsError

if TYPE_CHECKING:
    from gsigpu.pipeline.cohort_run.cohort_result import CohortResult
    from gsigpu.pipeline.cohort_run.run_state import RunState

_SHOWN_RUNNING = 8
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def cohort_run(
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST",
            help="CSV or Parquet: case_id, patient_id, group, phase, study, mask, and more.",
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
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", min=0.1, metavar="SECONDS", help="For a row of the manifest."),
    ] = None,
    memory_limit: Annotated[
        str,
        typer.Option("--memory-limit", metavar="4GB", help="A worker that takes more is stopped."),
    ] = "",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Take up the rows that failed, and no others.")
    ] = False,
    confirmed_only: Annotated[
        bool, typer.Option("--confirmed-only", help="Only rows whose `confirmed` is yes.")
    ] = False,
    max_diameter: Annotated[
        float | None,
        typer.Option(
            "--max-diameter",
            metavar="MM",
            help="Only lesions up to this longest axial diameter; 30 in the source study.",
        ),
    ] = None,
    min_group_size: Annotated[
        int, typer.Option("--min-group-size", min=0, help="Only groups of so many patients.")
    ] = 0,
    slope: measure_options.Slopes,
    rim: measure_options.Rim = "auto",
    regions: measure_options.Regions,
    perilesional: measure_options.Perilesional = "0-5",
    parameters: Annotated[
        list[str],
        options.list_option("--parameters", text=measure_options.MAPS_BESIDE, default="iodine"),
    ],
    ct_value: measure_options.CtValue = "70",
    curve: measure_options.Curve = True,
    se: measure_options.StandardErrors = False,
    vendor_iodine_unit: measure_options.VendorIodineUnit = "",
    split_lesions: measure_options.SplitLesions = False,
    any_mask_phase: measure_options.AnyMaskPhase = False,
    maps: Annotated[
        list[str], options.list_option("--maps", text="Also write these maps of every row")
    ],
    map_format: Annotated[
        str,
        typer.Option(
            "--map-format",
            help="nifti, nrrd; or ct, pm, rgb, which carry the patient's identity as a PACS needs it.",
        ),
    ] = "nifti",
    backend: Annotated[str, typer.Option("--backend", help="For maps: auto, cpu or gpu.")] = "auto",
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Also a picture of every row's largest lesion.")
    ] = False,
    pseudonymise: Annotated[
        Path | None,
        typer.Option(
            "--pseudonymise",
            metavar="KEYFILE",
            help="Call patients by hashes under the key in this file.",
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

    Example: gsigpu cohort run manifest.csv -o cohort --confirmed-only --max-diameter 30
    """
    from gsigpu.pipeline.cohort_run.checks import CohortOptions
    from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
    from gsigpu.pipeline.cohort_run.inclusion_rules import InclusionRules
    from gsigpu.pipeline.cohort_run.run_cohort import run_cohort
    from gsigpu.tables.manifest import ManifestProblems

    settings = CohortSettings(
        measure=measure_options.measure_settings(
            slopes=slope,
            maps=parameters,
            ct_value=ct_value,
            curve=curve,
            vendor_iodine_unit=vendor_iodine_unit,
            regions=regions,
            rim=rim,
            perilesional=perilesional,
            se=se,
        ),
        maps=tuple(maps),
        map_format=map_format,
        pictures=pictures,
        split_lesions=split_lesions,
        any_mask_phase=any_mask_phase,
        patterns=patterns,
    )
    try:
        with _view() as watch:
            result = run_cohort(
                manifest,
                out,
                settings=settings,
                rules=InclusionRules(
                    confirmed_only=confirmed_only,
                    max_diameter_mm=max_diameter,
                    min_group_size=min_group_size,
                ),
                options=CohortOptions(
                    workers=workers,
                    scheduler=scheduler,
                    timeout_s=timeout,
                    memory_limit=_bytes(memory_limit),
                    retry_failed=retry_failed,
                    by_content=content,
                    backend=backend,  # type: ignore[arg-type]  # checked by choose
                ),
                pseudonymise=pseudonymise,
                watch=watch,
            )
    except ManifestProblems as error:
        fail([f"{error.where}: {problem}" for problem in error.problems])
        return
    typer.echo(json.dumps(result.as_dict(), indent=2) if as_json else summary(result, out))
    if not result.is_complete:
        fail(_what_is_wrong(result, out))


def summary(result: CohortResult, out: Path) -> str:
    """What a run did, for a person."""
    from gsigpu.pipeline.cohort_run.run_state import clock

    tables = result.tables
    lines = [
        f"rows     {result.n_rows}: {result.n_done} measured in {clock(result.seconds)},"
        f" {result.n_skipped} before, {result.n_failed} failed"
        + (f", {result.n_left} not tried" if result.n_left else ""),
    ]
    if tables.exclusions:
        told = ", ".join(f"{n} by {rule}" for rule, n in tables.exclusions.items())
        lines.append(f"excluded {told}; {out}/exclusions.csv, {out}/flow.svg")
    lines += [
        f"wrote    {out}/measurements.csv and {out}/measurements/: {tables.n_values} values of {tables.n_rows} rows",
        "",
        table(
            ["group", "patients", "cases", "lesions"],
            [
                (group.group, group.n_patients, group.n_cases, group.n_lesions)
                for group in tables.groups
            ],
        ),
    ]
    return "\n".join(lines)


def _what_is_wrong(result: CohortResult, out: Path) -> list[str]:
    lines = []
    if result.n_failed:
        lines.append(
            f"{result.n_failed} of {result.n_rows} rows failed: {out}/failures.csv says why;"
            " mend them and run again, or add --retry-failed"
        )
    if result.tables.n_failed_lesions:
        lines.append(
            f"{result.tables.n_failed_lesions} lesions of other rows could not be measured: {out}/failures.csv says why"
        )
    if result.n_left:
        lines.append(f"{result.n_left} rows were not tried yet: run again without --retry-failed")
    return lines


@contextmanager
def _view() -> Iterator[Callable[[RunState], None]]:
    """A live view on stderr where that is a terminal, silence elsewhere."""
    from gsigpu.pipeline.cohort_run.run_state import clock, progress_line

    if not sys.stderr.isatty():
        yield lambda _state: None
        return
    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn())
    bars = Progress(*columns)
    bar = bars.add_task("rows", total=None)
    with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:

        def show(state: RunState) -> None:
            bars.update(bar, completed=state.n_settled, total=state.n_rows)
            status = state.as_dict("running")
            running = [
                Text(f"  {entry['row']}  {entry['stage']}  {clock(entry['seconds'])}", style="dim")
                for entry in status["running"][:_SHOWN_RUNNING]
            ]
            live.update(Group(bars, Text(progress_line(status)), *running), refresh=True)

        yield show


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
