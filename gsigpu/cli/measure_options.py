"""What `gsigpu measure` and `gsigpu cohort run` both ask: which parameters, of which regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gsigpu.choices import DEFAULT_SLOPE, REGIONS
from gsigpu.cli.options import list_option
from gsigpu.errors import SettingsError

if TYPE_CHECKING:
    from gsigpu.masks.positions import PositionChoice
    from gsigpu.masks.roles import RoleMap
    from gsigpu.pipeline.measure.given_masks import MaskFiles
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
SplitLesions = Annotated[
    bool,
    typer.Option(
        "--split-lesions/--no-split-lesions", help="Every separate part of a label is a lesion."
    ),
]
LiverMask = Annotated[Path | None, typer.Option("--liver-mask", metavar="FILE", help="The liver.")]
VesselMask = Annotated[
    Path | None, typer.Option("--vessel-mask", metavar="FILE", help="Vessels of the liver.")
]
AortaMask = Annotated[
    Path | None, typer.Option("--aorta-mask", metavar="FILE", help="Aorta, for NIC.")
]
NormalMask = Annotated[
    Path | None,
    typer.Option(
        "--normal-mask", metavar="FILE", help="Normal liver, instead of what the liver mask leaves."
    ),
]
MAPS_BESIDE = "Maps beside lambda-hu; names as of gsigpu map"
AnyMaskPhase = Annotated[
    bool,
    typer.Option(
        "--any-mask-phase/--no-any-mask-phase", help="Accept masks drawn on another phase."
    ),
]

RoleOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        metavar="LABEL=ROLE",
        help="What a label or name (with *), or FILE:LABEL, is: lesion, liver, vessels, aorta, normal, ignore; repeatable.",
    ),
]
RoleFile = Annotated[
    Path | None, typer.Option("--roles", metavar="FILE", help="The same as a YAML file.")
]
NameOptions = Annotated[
    list[str] | None,
    typer.Option("--name", metavar="LABEL=NAME", help="What to call a lesion; repeatable."),
]
NamedRegions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="NAME=FILE",
        help="A further region of the study, measured as it is: spleen=spleen.nii.gz; repeatable. No lesion is needed.",
    ),
]
MaskPhase = Annotated[
    str,
    typer.Option("--mask-phase", metavar="PHASE", help="The phase that the masks were drawn on."),
]
Register = Annotated[
    bool,
    typer.Option(
        "--register",
        help="Carry the masks from --mask-phase to the phase that is measured, by registration.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        metavar="P",
        help="From which value on a voxel of a mask of probabilities is inside, e.g. 0.5.",
    ),
]
FillBetween = Annotated[
    bool,
    typer.Option(
        "--fill-between",
        help="Fill what lies between the drawn slices of a mask, by interpolation.",
    ),
]
MaskPosition = Annotated[
    str,
    typer.Option(
        "--mask-position",
        metavar="sform|qform|file|index",
        help="Where a mask lies whose file leaves it open: as its sform or qform says, as the file says all the same,"
        " or voxel by voxel on the series (index; shape and spacing must be equal).",
    ),
]


Segment = Annotated[
    str,
    typer.Option(
        "--segment",
        metavar="totalsegmentator",
        help="The program, installed on its own, that draws what no mask is given of: lesions, liver, vessels, aorta.",
    ),
]
LesionMasks = Annotated[
    list[Path] | None,
    typer.Option(
        "--mask",
        metavar="FILE",
        help="Lesions: SEG, RTSTRUCT, NIfTI, NRRD or MetaImage, or a folder of them; repeatable. Regions named liver, aorta, vein, ... are taken as such.",
    ),
]


def mask_files(
    *,
    lesions: Sequence[Path] | None,
    liver: Path | None,
    vessels: Path | None,
    aorta: Path | None,
    normal: Path | None,
    role: Sequence[str] | None,
    role_file: Path | None,
    name: Sequence[str] | None,
    split: bool,
    any_phase: bool,
    fill_between: bool,
    threshold: float | None,
    position: str,
    drawn_on: str,
    register: bool,
    regions: Sequence[tuple[str, Path]] = (),
    segment: str = "",
) -> MaskFiles:
    """The masks that the options name.

    Raises SettingsError and InputError.
    """
    from gsigpu.pipeline.measure.given_masks import MaskFiles

    return MaskFiles(
        tuple(lesions or ()),
        liver=liver,
        vessels=vessels,
        aorta=aorta,
        normal=normal,
        roles=role_map(role, role_file, name),
        split=split,
        any_phase=any_phase,
        fill_between=fill_between,
        threshold=threshold,
        position=position_choice(position),
        drawn_on=drawn_on,
        register=register,
        regions=tuple(regions),
        segment=segment,
    )


def require_drawn(segment: str) -> None:
    """Raises SettingsError for a dry run whose masks are yet to be drawn."""
    if segment:
        raise SettingsError(
            "--dry-run has no masks drawn, and cannot tell which slices they will touch",
            remedy="leave --segment out, or --dry-run",
        )


def role_map(
    role: Sequence[str] | None, role_file: Path | None, name: Sequence[str] | None
) -> RoleMap:
    """The mapping of --role, --roles and --name; an option goes before the file.

    Raises SettingsError and InputError.
    """
    from gsigpu.masks.roles import merged, parse_roles, read_role_file

    maps = [parse_roles(_pairs(role, "--role"), _pairs(name, "--name"))]
    return merged(maps if role_file is None else [*maps, read_role_file(role_file)])


def _pairs(texts: Sequence[str] | None, option: str) -> dict[str, str]:
    """LABEL=VALUE options."""
    pairs = {}
    for text in texts or []:
        key, equals, value = text.rpartition("=")
        if not (key and equals and value):
            example = "1=lesion" if option == "--role" else "1=S4"
            raise SettingsError(
                f"{option} {text!r} is not LABEL=VALUE", remedy=f"write {option} {example}"
            )
        pairs[key] = value
    return pairs


def position_choice(text: str) -> PositionChoice | None:
    """The choice that --mask-position names; None where it is not given.

    Raises SettingsError.
    """
    from gsigpu.masks.positions import PositionChoice

    try:
        return PositionChoice(text) if text else None
    except ValueError as error:
        raise SettingsError(
            f"--mask-position {text!r} is unknown", remedy=f"use {', '.join(PositionChoice)}"
        ) from error


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
