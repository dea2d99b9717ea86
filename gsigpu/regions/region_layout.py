"""All regions of one study that are measured: each lesion's, and those they are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gsigpu.caution import Caution
from gsigpu.choices import LESION_REGIONS, REGIONS
from gsigpu.errors import SettingsError
from gsigpu.one_or_more import set_one_or_more
from gsigpu.regions import flags
from gsigpu.regions.boundary import (
    RIM_DIMENSIONS,
    Dimensions,
    SignedDistances,
    signed_distance_mm,
)
from gsigpu.regions.region_mask import RegionMask, Spacing, trimmed, union
from gsigpu.regions.shells import (
    AUTO_RIM,
    FEW_VOXELS,
    LESION_CLEARANCE_MM,
    RimRule,
    distance_field,
    lesion_regions,
    parenchyma,
    profile_shells,
    surroundings,
)

_FOR_PARENCHYMA = "give --liver-mask or --normal-mask (columns of a manifest)"
_NONE_LEFT = "no parenchyma is left beside lesions and vessels"


@dataclass(frozen=True, slots=True)
class RegionSettings:
    """How regions are made from masks.

    regions : which of `REGIONS`
    rim : thickness of the rim
    rim_dimensions : of the depth, `auto`, `2d` or `3d`, see gsigpu.regions.boundary.chosen_dimensions
    perilesional_mm : (from, to) outside the boundary
    clearance_mm : how far parenchyma stays away from lesions
    profile_step_mm, profile_outer_mm : shells of signed distance to the boundary
    """

    regions: tuple[str, ...] = REGIONS
    rim: RimRule = AUTO_RIM
    rim_dimensions: str = "auto"
    perilesional_mm: tuple[float, float] = (0.0, 5.0)
    clearance_mm: float = LESION_CLEARANCE_MM
    profile_step_mm: float = 1.0
    profile_outer_mm: float = 10.0

    def __post_init__(self) -> None:
        """One name is a list of one. Raises SettingsError for what makes no region."""
        set_one_or_more(self, "regions")
        unknown = [name for name in self.regions if name not in REGIONS]
        if unknown or not self.regions:
            raise SettingsError(
                f"unknown region {unknown[0]!r}" if unknown else "no region to measure",
                remedy=f"use {', '.join(REGIONS)}",
            )
        if self.rim_dimensions not in RIM_DIMENSIONS:
            raise SettingsError(
                f"unknown dimensions {self.rim_dimensions!r} of the rim",
                remedy=f"use --rim-dimensions {', '.join(RIM_DIMENSIONS)}",
            )
        low, high = self.perilesional_mm
        if not 0.0 <= low < high:
            raise SettingsError(
                f"perilesional range {low:g}-{high:g} mm is none",
                remedy="write the nearer distance first, as in 0-5",
            )


@dataclass(frozen=True, slots=True, repr=False)
class Lesion:
    """A lesion as it is called in the tables, and its mask.

    flags : of where the mask is from
    """

    lesion_id: str
    mask: RegionMask
    flags: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Without the lesion's id, which may name a person."""
        return f"Lesion({self.mask!r})"


@dataclass(frozen=True, slots=True)
class StudyMasks:
    """Masks of one study by role; liver and the like are None where none is given.

    named : (name, mask) of further regions of the study, measured as they are
    organ_flags : name of a field -> flags of where its mask is from
    """

    lesions: tuple[Lesion, ...]
    liver: RegionMask | None = None
    vessels: RegionMask | None = None
    aorta: RegionMask | None = None
    normal: RegionMask | None = None
    named: tuple[tuple[str, RegionMask], ...] = ()
    organ_flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def flags_of(self, *organs: str) -> tuple[str, ...]:
        """The flags of what some of the organs' masks make, each once."""
        present = [organ for organ in organs if getattr(self, organ) is not None]
        return tuple(dict.fromkeys(f for organ in present for f in self.organ_flags.get(organ, ())))


@dataclass(frozen=True, slots=True, repr=False)
class MeasuredRegion:
    """One region to measure.

    lesion_id : "" for regions of the study
    distance_mm : middle of a profile's shell, negative inside the lesion; None for other regions
    flags : of this region
    """

    lesion_id: str
    region: str
    mask: RegionMask
    distance_mm: float | None = None
    flags: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Without the lesion's id, which may name a person."""
        return f"MeasuredRegion({self.region}, {self.mask!r}, flags={self.flags})"


@dataclass(frozen=True, slots=True, repr=False)
class MissingRegion:
    """A region of a lesion that is in the settings and has no voxels.

    flags : why, and those of the lesion
    """

    lesion_id: str
    region: str
    flags: tuple[str, ...]

    def __repr__(self) -> str:
        """Without the lesion's id, which may name a person."""
        return f"MissingRegion({self.region}, flags={self.flags})"


@dataclass(frozen=True, slots=True)
class LesionLayout:
    """How the regions of a lesion were made.

    rim_mm : thickness used
    dimensions : of the depth, `2d` or `3d`
    flags : of the lesion as a whole
    """

    lesion: Lesion
    rim_mm: float
    largest_depth_mm: float
    dimensions: Dimensions
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Layout:
    """All regions of a study, lesion by lesion, then those of the study.

    missing : regions of lesions that are in the settings and have no voxels
    to_get_parenchyma : what to do for a parenchyma, "" where there is one
    """

    regions: tuple[MeasuredRegion, ...]
    missing: tuple[MissingRegion, ...]
    lesions: tuple[LesionLayout, ...]
    warnings: tuple[Caution, ...]
    to_get_parenchyma: str = ""

    def __repr__(self) -> str:
        """How much there is."""
        return f"Layout({len(self.lesions)} lesions, {len(self.regions)} regions, {len(self.missing)} missing)"


def lay_out(
    masks: StudyMasks,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    settings: RegionSettings,
    *,
    signed: SignedDistances = signed_distance_mm,
) -> Layout:
    """The regions of a study, in the order of the tables.

    signed : computes distances to boundaries, box by box
    Every lesion has each region of `settings.regions` that lesions have, among `regions` or `missing`.
    Raises SettingsError where no region at all can be made.
    """
    regions: list[MeasuredRegion] = []
    missing: list[MissingRegion] = []
    lesions: list[LesionLayout] = []
    around: list[RegionMask | None] = []
    if any(name in settings.regions for name in (*LESION_REGIONS, "profile")):
        for lesion in masks.lesions:
            layout, made, absent, near = _of_lesion(
                lesion, masks, spacing_mm, grid_shape, settings, signed
            )
            lesions.append(layout)
            around.append(near)
            regions += made
            missing += absent
    reference, why_absent = _reference_regions(
        masks, spacing_mm, grid_shape, settings, around, signed
    )
    reference += [MeasuredRegion("", name, mask, flags=_few(mask)) for name, mask in masks.named]
    if not (regions or missing or reference):
        ways = ", or ".join(
            way for name, (_, way) in why_absent.items() if name in settings.regions
        )
        raise SettingsError(
            f"none of the regions {', '.join(settings.regions)} can be made from these masks",
            remedy=f"{ways}, or add lesion to --regions",
        )
    to_get_parenchyma = why_absent["parenchyma"][1] if "parenchyma" in why_absent else ""
    if to_get_parenchyma and "parenchyma" not in settings.regions:
        has_liver = masks.liver is not None or masks.normal is not None
        adding = "add parenchyma to --regions"
        to_get_parenchyma = adding if has_liver else f"{adding} and {to_get_parenchyma}"
    return Layout(
        regions=(*regions, *reference),
        missing=tuple(missing),
        lesions=tuple(lesions),
        warnings=_warnings(why_absent, settings.regions),
        to_get_parenchyma=to_get_parenchyma,
    )


def _of_lesion(
    lesion: Lesion,
    masks: StudyMasks,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    settings: RegionSettings,
    signed: SignedDistances,
) -> tuple[LesionLayout, list[MeasuredRegion], list[MissingRegion], RegionMask | None]:
    """Regions of one lesion, and its `surroundings`; all distances to its boundary are computed once."""
    others = [other.mask for other in masks.lesions if other is not lesion]
    has_profile = "profile" in settings.regions
    margin_mm = max(settings.perilesional_mm[1], settings.profile_outer_mm if has_profile else 0.0)
    field = distance_field(
        lesion.mask,
        spacing_mm,
        grid_shape,
        margin_mm=margin_mm,
        dimensions=settings.rim_dimensions,
        signed=signed,
    )
    parts = lesion_regions(
        lesion.mask,
        spacing_mm,
        grid_shape,
        rim=settings.rim,
        others=others,
        liver=masks.liver,
        perilesional_mm=settings.perilesional_mm,
        field=field,
    )
    of_lesion = (
        *lesion.flags,
        *(
            flag
            for flag in parts.flags
            if not flag.startswith(f"{flags.FEW_VOXELS}:") and flag != flags.THICK_SLICES
        ),
    )
    no_liver = masks.flags_of("liver") if masks.liver is not None else (flags.NO_LIVER_MASK,)
    made: list[MeasuredRegion] = []
    missing: list[MissingRegion] = []
    for name in LESION_REGIONS:
        if name not in settings.regions:
            continue
        if name not in parts.regions:
            missing.append(MissingRegion(lesion.lesion_id, name, of_lesion))
            continue
        few = (flags.FEW_VOXELS,) if f"{flags.FEW_VOXELS}:{name}" in parts.flags else ()
        outward = no_liver if name == "perilesional" else ()
        is_shared = name in ("rim", "core") and flags.THICK_SLICES in parts.flags
        thick = (flags.THICK_SLICES,) if is_shared else ()
        made.append(
            MeasuredRegion(
                lesion_id=lesion.lesion_id,
                region=name,
                mask=parts.regions[name],
                flags=_once(*of_lesion, *few, *thick, *outward),
            )
        )
    if has_profile:
        shells = profile_shells(
            lesion.mask,
            spacing_mm,
            grid_shape,
            step_mm=settings.profile_step_mm,
            outer_mm=settings.profile_outer_mm,
            others=others,
            liver=masks.liver,
            field=field,
        )
        in_plane = (flags.IN_PLANE,) if parts.dimensions == "2d" else ()
        made += [
            MeasuredRegion(
                lesion_id=lesion.lesion_id,
                region="profile",
                mask=shell,
                distance_mm=distance_mm,
                flags=_once(
                    *lesion.flags, *in_plane, *_few(shell), *(no_liver if distance_mm > 0 else ())
                ),
            )
            for distance_mm, shell in shells
        ]
        if not shells:
            missing.append(
                MissingRegion(lesion.lesion_id, "profile", (*of_lesion, flags.empty("profile")))
            )
    layout = LesionLayout(
        lesion=lesion,
        rim_mm=parts.rim_mm,
        largest_depth_mm=parts.largest_depth_mm,
        dimensions=parts.dimensions,
        flags=of_lesion,
    )
    near = surroundings(field, settings.clearance_mm, margin_mm=margin_mm)
    return layout, made, missing, near


def _reference_regions(
    masks: StudyMasks,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    settings: RegionSettings,
    around: Sequence[RegionMask | None],
    signed: SignedDistances,
) -> tuple[list[MeasuredRegion], dict[str, tuple[str, str]]]:
    """Parenchyma and aorta, of the study as a whole; why one is absent, and what to do for it."""
    regions: list[MeasuredRegion] = []
    absent: dict[str, tuple[str, str]] = {}
    is_measured = "parenchyma" in settings.regions
    liver = (
        _parenchyma(masks, spacing_mm, grid_shape, settings, around, signed)
        if is_measured
        else None
    )
    if liver is None:
        absent["parenchyma"] = ("no parenchyma is measured", _FOR_PARENCHYMA)
    elif liver.n_voxels == 0:
        absent["parenchyma"] = (_NONE_LEFT, "give --normal-mask (a column of a manifest)")
    else:
        organs = ("liver", "vessels", "aorta") if masks.normal is None else ("normal",)
        marks = (*_few(liver), *masks.flags_of(*organs))
        regions.append(MeasuredRegion("", "parenchyma", trimmed(liver), flags=marks))
    if masks.aorta is None:
        absent["aorta"] = ("no aorta is measured", "give --aorta-mask (a column of a manifest)")
    elif "aorta" in settings.regions:
        marks = (*_few(masks.aorta), *masks.flags_of("aorta"))
        regions.append(MeasuredRegion("", "aorta", masks.aorta, flags=marks))
    return regions, absent


def _warnings(absent: dict[str, tuple[str, str]], chosen: tuple[str, ...]) -> tuple[Caution, ...]:
    """Of what was chosen and is absent; nobody misses a mask that the default would only use."""
    return tuple(
        Caution("absent-structure", f"{why}: {way}")
        for name, (why, way) in absent.items()
        if name in chosen and (chosen != REGIONS or why == _NONE_LEFT)
    )


def _parenchyma(
    masks: StudyMasks,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    settings: RegionSettings,
    around: Sequence[RegionMask | None],
    signed: SignedDistances,
) -> RegionMask | None:
    """The normal-liver ROI where one is given, else the liver clear of lesions and vessels."""
    if masks.normal is not None:
        return masks.normal
    if masks.liver is None:
        return None
    vessels = [mask for mask in (masks.vessels, masks.aorta) if mask is not None]
    return parenchyma(
        masks.liver,
        [lesion.mask for lesion in masks.lesions],
        spacing_mm,
        grid_shape,
        vessels=[union("vessels", vessels)] if vessels else [],
        clearance_mm=settings.clearance_mm,
        around=around,
        signed=signed,
    )


def _few(mask: RegionMask) -> tuple[str, ...]:
    return (flags.FEW_VOXELS,) if mask.n_voxels < FEW_VOXELS else ()


def _once(*words: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))
