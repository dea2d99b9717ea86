"""The options that say which masks there are and what is in them: of `map`, `measure`, `review` and, in part, `cohort run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gsigpu.cli.study_places import StudyPlace
from gsigpu.errors import SettingsError

if TYPE_CHECKING:
    from gsigpu.masks.positions import PositionChoice
    from gsigpu.masks.roles import RoleMap
    from gsigpu.pipeline.measure.given_masks import MaskFiles

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


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """The options of a command that takes masks, by the names of its parameters; see `spread`.

    Paths may hold the words of a `StudyPlace`, which say where the masks of each study are.
    """

    mask: LesionMasks = None
    region: NamedRegions = None
    liver_mask: LiverMask = None
    vessel_mask: VesselMask = None
    aorta_mask: AortaMask = None
    normal_mask: NormalMask = None
    role: RoleOptions = None
    roles: RoleFile = None
    name: NameOptions = None
    split_lesions: SplitLesions = False
    any_mask_phase: AnyMaskPhase = False
    fill_between: FillBetween = False
    threshold: Threshold = None
    mask_phase: MaskPhase = ""
    register: Register = False
    mask_position: MaskPosition = ""
    segment: Segment = ""

    @property
    def name_any_region(self) -> bool:
        """Whether there is something to measure: lesions, regions with a name, or a program that draws."""
        return bool(self.mask or self.region or self.segment)

    @property
    def say_anything(self) -> bool:
        """Whether any of them was given."""
        return self != MaskOptions()

    def files(self, place: StudyPlace | None) -> MaskFiles:
        """The masks of a study.

        place : of the study; None where there is none
        Raises SettingsError and InputError.
        """
        from gsigpu.pipeline.measure.given_masks import MaskFiles

        def of_study(path: Path) -> Path:
            return path if place is None else place.filled(path)

        def of_organ(path: Path | None) -> Path | None:
            return None if path is None else of_study(path)

        return MaskFiles(
            tuple(of_study(path) for path in self.mask or ()),
            liver=of_organ(self.liver_mask),
            vessels=of_organ(self.vessel_mask),
            aorta=of_organ(self.aorta_mask),
            normal=of_organ(self.normal_mask),
            roles=role_map(self.role, of_organ(self.roles), self.name),
            split=self.split_lesions,
            any_phase=self.any_mask_phase,
            fill_between=self.fill_between,
            threshold=self.threshold,
            position=position_choice(self.mask_position),
            drawn_on=self.mask_phase,
            register=self.register,
            regions=tuple((name, of_study(path)) for name, path in named_regions(self.region)),
            segment=self.segment,
        )

    def require_of_each_study(self) -> None:
        """Raises SettingsError for a mask that would be that of several studies."""
        for option, path in self._files():
            if not StudyPlace.is_named_in(path):
                raise SettingsError(
                    f"{option}{path} is one file, and several studies are given",
                    remedy="write {study}, a study's path, or {name}, its name, where the paths differ,"
                    f" as in {option}'{{study}}/{path.name}'",
                )

    def _files(self) -> Iterator[tuple[str, Path]]:
        """Option, with what stands before a path, and path; but for a mapping of roles, which several studies may share."""
        yield from (("--mask ", path) for path in self.mask or ())
        yield from ((f"--region {name}=", path) for name, path in named_regions(self.region))
        organs = {
            "--liver-mask": self.liver_mask,
            "--vessel-mask": self.vessel_mask,
            "--aorta-mask": self.aorta_mask,
            "--normal-mask": self.normal_mask,
        }
        yield from ((f"{option} ", path) for option, path in organs.items() if path is not None)


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
