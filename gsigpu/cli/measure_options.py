"""What `gsigpu measure` and `gsigpu cohort run` both ask: which parameters, of which regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gsigpu.cli.console import split_list
from gsigpu.errors import SettingsError
from gsigpu.regions.region_layout import REGIONS

if TYPE_CHECKING:
    from gsigpu.pipeline.measure.measurement import MeasureSettings

Slope = Annotated[
    str,
    typer.Option(
        "--slope",
        help="Definitions of lambda_hu by comma, the first is the plain one: paper, A-B, A-B/D, fit:A-B.",
    ),
]
Rim = Annotated[
    str, typer.Option("--rim", help="auto (3 mm, at most half the depth), 2mm, or 30%.")
]
ALL_REGIONS = ",".join(REGIONS)
Regions = Annotated[str, typer.Option("--regions", help="Which regions, by comma.")]
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
    typer.Option("--se", help="Standard errors of the means, for noise that is correlated."),
]
VendorIodineUnit = Annotated[
    str,
    typer.Option("--vendor-iodine-unit", help="Of the scanner's iodine series: mg/mL or 100ug/mL."),
]
SplitLesions = Annotated[
    bool, typer.Option("--split-lesions", help="Every separate part of a label is a lesion.")
]
AnyMaskPhase = Annotated[
    bool, typer.Option("--any-mask-phase", help="Accept masks drawn on another phase.")
]


def measure_settings(
    *,
    slope: str,
    maps: str,
    ct_value: str,
    curve: bool,
    vendor_iodine_unit: str,
    regions: str,
    rim: str,
    perilesional: str,
    se: bool,
) -> MeasureSettings:
    """The options, understood.

    Raises SettingsError.
    """
    from gsigpu.pipeline.measure.measurement import MeasureSettings
    from gsigpu.pipeline.measure.parameters import ParameterSettings
    from gsigpu.regions.region_layout import RegionSettings
    from gsigpu.regions.shells import parse_rim

    return MeasureSettings(
        ParameterSettings(
            slopes=tuple(split_list(slope)),
            maps=tuple(split_list(maps)),
            ct_value=ct_value,
            curve=curve,
            vendor_iodine_unit=vendor_iodine_unit,
        ),
        RegionSettings(
            regions=tuple(split_list(regions)),
            rim=parse_rim(rim),
            perilesional_mm=parse_range(perilesional),
        ),
        with_se=se,
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
