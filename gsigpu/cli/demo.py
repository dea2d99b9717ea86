"""`gsigpu demo`: the whole flow on synthetic data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsigpu.cli import options
from gsigpu.cli.cohort_run_words import summary as ran
from gsigpu.cli.cohort_stats import as_record as statistics_record
from gsigpu.cli.cohort_stats import summary as compared
from gsigpu.cli.console import TerminalWatcher, entry, table
from gsigpu.cli.map_command import summary
from gsigpu.cli.measure_words import as_record
from gsigpu.cli.measure_words import summary as measured
from gsigpu.cli.messages import warn
from gsigpu.optional_packages import require_extra

if TYPE_CHECKING:
    from gsigpu.pipeline.demo.demo_cohort import CohortDemo
    from gsigpu.pipeline.demo.demo_study import DemoResult
    from gsigpu.pipeline.demo.demo_truth import TruthComparison


def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")] = Path(
        "gsigpu-demo"
    ),
    *,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier demo.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Run the whole flow on synthetic data: a study scanned, mapped and measured, then a cohort to its report.

    Example: gsigpu demo /tmp/gsigpu-demo
    """
    require_extra("gsigpu demo", "report")
    from gsigpu.pipeline.demo.demo_study import run_demo  # brings matplotlib and SciPy along

    watcher = TerminalWatcher(
        {
            "phantom": "making a study",
            "scan": "reading headers",
            "map": "computing maps",
            "measure": "measuring",
            "studies": "making a cohort",
            "cohort": "measuring the cohort",
            "read": "reading the table",
            "test": "testing",
            "report": "writing the report",
        }
    )
    result = run_demo(out, overwrite=overwrite, watcher=watcher)
    warn([*result.maps.warnings, *result.cohort.statistics.warnings])
    if as_json:
        typer.echo(json.dumps(_as_dict(result, out), indent=2))
        return
    for line in result.lines:
        label, _, text = line.partition(" ")
        typer.echo(entry(label, text.strip()))
    typer.echo("")
    typer.echo(summary(result.maps))
    typer.echo("")
    typer.echo(_beside_truth("region", "voxels", result.regions))
    typer.echo(f"\npicture  {result.picture}\n")
    typer.echo(measured(result.measurement, [result.table]))
    _tell_cohort(result.cohort, out)


def _as_dict(result: DemoResult, out: Path) -> dict[str, Any]:
    return {
        "out": str(out),
        "study": {
            "maps": result.maps.as_dict(),
            "beside_truth": [asdict(comparison) for comparison in result.regions],
            "picture": str(result.picture),
            "measurement": as_record(result.measurement, [result.table]),
        },
        "cohort": {
            "run": {**result.cohort.run.as_dict(), "out": str(out / "run")},
            "beside_truth": [asdict(comparison) for comparison in result.cohort.groups],
            "statistics": statistics_record(result.cohort.statistics),
        },
    }


def _beside_truth(name: str, counted: str, comparisons: Sequence[TruthComparison]) -> str:
    """What was measured beside what is true, in text."""
    return table(
        [name, counted, "iodine mg/mL", "true", "λHU HU/keV", "true"],
        [
            [
                comparison.name,
                comparison.n,
                f"{comparison.iodine_mg_per_ml:.2f}",
                f"{comparison.true_iodine_mg_per_ml:.2f}",
                f"{comparison.lambda_hu:.3f}",
                f"{comparison.true_lambda_hu:.3f}",
            ]
            for comparison in comparisons
        ],
    )


def _tell_cohort(result: CohortDemo, out: Path) -> None:
    typer.echo(f"\n{result.made}")
    typer.echo(ran(result.run, out / "run"))
    typer.echo("")
    typer.echo(_beside_truth("rim in PVP", "lesions", result.groups))
    typer.echo("")
    typer.echo(compared(result.statistics))
