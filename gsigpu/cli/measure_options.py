"""What `gsigpu measure` and `gsigpu cohort run` both ask: which parameters, of which regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from gsigpu.choices import DEFAULT_SLOPE, REGIONS
from gsigpu.cli.options import list_option
from gsigpu.errors import SettingsError

if TYPE_CHECKING:
    from gsigpu.pipeline.measure.measurement import MeasureSettings

Slopes = Annotated[
    list[str],
    list_option(
        "--slope",
        text="Definitions of lambda_hu, the first is the plain one: paper, A-B, A-B/D, fit:A-B",
        default=DEFAULT_SLOPE,
    ),
]
Rim = Annotated[
    str, typer.Option("--rim", help="auto (3 mm, at most half the depth), 2mm, or 30%.")
]
RimDimensions = Annotated[
    str,
    typer.Option(
        "--rim-dimensions",
        help="Depth in space (3d) or within slices (2d); auto takes 2d for a mask too flat to be a whole lesion.",
    ),
]
Regions = Annotated[
    list[str], list_option("--regions", text="Which regions", default=",".join(REGIONS))
]
Perilesional = Annotated[
    str, typer.Option("--perilesional", metavar="MM-MM", help="Shell outside the boundary.")
]
CtValue = Annotated[
    str, typer.Option("--ct-value", help="keV of the image for ct_value, or conventional.")
]
Curve = Annotated[
    bool, typer.Option("--curve/--no-curve", help="Measure every monoenergetic series.")
]
StandardErrors = Annotated[
    bool,
    typer.Option(
        "--se/--no-se", help="Standard errors of the means, for noise that is correlated."
    ),
]
Statistics = Annotated[
    list[str],
    list_option(
        "--statistics", text="Further statistics of the regions, which installed packages add"
    ),
]
VendorIodineUnit = Annotated[
    str,
    typer.Option("--vendor-iodine-unit", help="Of the scanner's iodine series: mg/mL or 100ug/mL."),
]
MAPS_BESIDE = "Maps beside lambda-hu; names as of gsigpu map"


def measure_settings(
    *,
    slopes: Sequence[str],
    maps: Sequence[str],
    ct_value: str,
    curve: bool,
    vendor_iodine_unit: str,
    regions: Sequence[str],
    rim: str,
    rim_dimensions: str,
    perilesional: str,
    se: bool,
    statistics: Sequence[str],
) -> MeasureSettings:
    """The settings that the options describe.

    Raises SettingsError.
    """
    from gsigpu.pipeline.measure.measurement import MeasureSettings
    from gsigpu.pipeline.measure.parameters import ParameterSettings
    from gsigpu.regions.region_layout import RegionSettings
    from gsigpu.regions.shells import parse_rim

    return MeasureSettings(
        ParameterSettings(
            slopes=tuple(slopes),
            maps=tuple(maps),
            ct_value=ct_value,
            curve=curve,
            vendor_iodine_unit=vendor_iodine_unit,
        ),
        RegionSettings(
            regions=tuple(regions),
            rim=parse_rim(rim),
            rim_dimensions=rim_dimensions,
            perilesional_mm=parse_range(perilesional),
        ),
        with_se=se,
        statistics=tuple(statistics),
    )


def parse_range(text: str) -> tuple[float, float]:
    """A shell, MM-MM.

    Raises SettingsError.
    """
    low, _, high = text.removesuffix("mm").partition("-")
    try:
        return float(low), float(high)
    except ValueError as error:
        raise SettingsError(
            f"--perilesional {text!r} is no range", remedy="write --perilesional 0-5"
        ) from error
