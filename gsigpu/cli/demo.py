"""`gsigpu demo`: the whole flow on a synthetic study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsigpu.cli.console import TerminalWatcher, table, warn
from gsigpu.cli.map_command import summary
from gsigpu.cli.measure_command import summary as measured


def demo(
    out: Annotated[Path, typer.Argument(metavar="[OUT]", help="Folder to write.")] = Path(
        "gsigpu-demo"
    ),
    *,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier demo.")
    ] = False,
) -> None:
    """Make a synthetic study, scan it, map λHU and iodine, save a picture, and measure its lesions.

    Example: gsigpu demo /tmp/gsigpu-demo
    """
    from gsigpu.pipeline.demo import run_demo  # brings matplotlib and SciPy along

    watcher = TerminalWatcher(
        {
            "phantom": "making a study",
            "scan": "reading headers",
            "map": "computing maps",
            "measure": "measuring",
        }
    )
    result = run_demo(out, overwrite=overwrite, watcher=watcher)
    warn(result.maps.warnings)
    for line in result.lines:
        typer.echo(line)
    typer.echo("")
    typer.echo(summary(result.maps))
    typer.echo("")
    typer.echo(
        table(
            ["region", "voxels", "iodine mg/mL", "true", "λHU HU/keV", "true"],
            [
                [
                    one.region,
                    one.n_voxels,
                    f"{one.iodine_mg_per_ml:.2f}",
                    f"{one.true_iodine_mg_per_ml:.2f}",
                    f"{one.lambda_hu:.3f}",
                    f"{one.true_lambda_hu:.3f}",
                ]
                for one in result.regions
            ],
        )
    )
    typer.echo(f"\npicture  {result.picture}\n")
    typer.echo(measured(result.measurement, [result.table]))
