"""All regions of one study that are measured: each lesion's, and those they are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from gsigpu.errors import SettingsError
from gsigpu.regions.region_mask import RegionMask, Spacing, trimmed, union
from gsigpu.regions.shells import (
    AUTO_RIM,
    FEW_VOXELS,
    LESION_CLEARANCE_MM,
    RimRule,
    lesion_regions,
    parenchyma,
    profile_shells,
)

LESION_REGIONS = ("lesion", "rim", "core", "perilesional")
REFERENCE_REGIONS = ("parenchyma", "aorta")
REGIONS = (*LESION_REGIONS, *REFERENCE_REGIONS, "profile")


@dataclass(frozen=True, slots=True)
class RegionSettings:
    """How regions are made from masks.

    regions : which of `REGIONS`
    rim : thickness of the rim
    perilesional_mm : (from, to) outside the boundary
    clearance_mm : how far parenchyma stays away from lesions
    profile_step_mm, profile_outer_mm : shells of signed distance to the boundary
    """

    regions: tuple[str, ...] = REGIONS
    rim: RimRule = AUTO_RIM
    perilesional_mm: tuple[float, float] = (0.0, 5.0)
    clearance_mm: float = LESION_CLEARANCE_MM
    profile_step_mm: float = 1.0
    profile_outer_mm: float = 10.0

    def __post_init__(self) -> None:
        """Raises SettingsError for what makes no region."""
        unknown = [name for name in self.regions if name not in REGIONS]
        if unknown or not self.regions:
            raise SettingsError(
                f"unknown region {unknown[0]!r}" if unknown else "no region asked for",
                remedy=f"use {', '.join(REGIONS)}",
            )
        low, high = self.perilesional_mm
        if not 0.0 <= low < high:
            raise SettingsError(
                f"perilesional range {low:g}-{high:g} mm is none",
                remedy="write the nearer distance first, as in 0-5",
            )


@dataclass(frozen=True, slots=True)
class Lesion:
    """A lesion as it is called in the tables, and its mask."""

    lesion_id: str
    mask: RegionMask


@dataclass(frozen=True, slots=True)
class StudyMasks:
    """Masks of one study by role; liver and the like are None where none is given."""

    lesions: tuple[Lesion, ...]
    liver: RegionMask | None = None
    vessels: RegionMask | None = None
    aorta: RegionMask | None = None
    normal: RegionMask | None = None


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class LesionLayout:
    """What was found of a lesion when its regions were made.

    rim_mm : thickness used
    flags : of the lesion as a whole
    """

    lesion: Lesion
    rim_mm: float
    largest_depth_mm: float
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """All regions of a study, lesion by lesion, then those of the study."""

    regions: tuple[MeasuredRegion, ...]
    lesions: tuple[LesionLayout, ...]
    warnings: tuple[str, ...]


def lay_out(
    masks: StudyMasks,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    settings: RegionSettings,
) -> Layout:
    """The regions of a study, in the order of the tables."""
    regions: list[MeasuredRegion] = []
    lesions: list[LesionLayout] = []
    for lesion in masks.lesions:
        others = [other.mask for other in masks.lesions if other is not lesion]
        surroundings = lesion_regions(
            lesion.mask,
            spacing_mm,
            grid_shape,
            rim=settings.rim,
            others=others,
            liver=masks.liver,
            perilesional_mm=settings.perilesional_mm,
        )
        of_lesion = tuple(flag for flag in surroundings.flags if not flag.startswith("few-voxels:"))
        lesions.append(
            LesionLayout(lesion, surroundings.rim_mm, surroundings.largest_depth_mm, of_lesion)
        )
        for name in LESION_REGIONS:
            if name in settings.regions and name in surroundings.regions:
                few = f"few-voxels:{name}" in surroundings.flags
                flags = (*of_lesion, *(("few-voxels",) if few else ()))
                regions.append(
                    MeasuredRegion(lesion.lesion_id, name, surroundings.regions[name], flags=flags)
                )
        if "profile" in settings.regions:
            shells = profile_shells(
                lesion.mask,
                spacing_mm,
                grid_shape,
                step_mm=settings.profile_step_mm,
                outer_mm=settings.profile_outer_mm,
                others=others,
            )
            regions += [
                MeasuredRegion(lesion.lesion_id, "profile", shell, distance_mm, _few(shell))
                for distance_mm, shell in shells
            ]
    reference, warnings = _reference_regions(masks, spacing_mm, grid_shape, settings)
    return Layout((*regions, *reference), tuple(lesions), tuple(warnings))


def _reference_regions(
    masks: StudyMasks,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    settings: RegionSettings,
) -> tuple[list[MeasuredRegion], list[str]]:
    """Parenchyma and aorta, of the study as a whole."""
    regions: list[MeasuredRegion] = []
    warnings: list[str] = []
    if "parenchyma" in settings.regions:
        liver = _parenchyma(masks, spacing_mm, grid_shape, settings)
        if liver is not None and liver.n_voxels == 0:
            warnings.append(
                "no parenchyma is left beside lesions and vessels: give a normal-liver mask"
            )
        elif liver is not None:
            regions.append(MeasuredRegion("", "parenchyma", trimmed(liver), flags=_few(liver)))
    if "aorta" in settings.regions and masks.aorta is not None:
        regions.append(MeasuredRegion("", "aorta", masks.aorta, flags=_few(masks.aorta)))
    return regions, warnings


def _parenchyma(
    masks: StudyMasks,
    spacing_mm: Spacing,
    grid_shape: tuple[int, int, int],
    settings: RegionSettings,
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
    )


def _few(mask: RegionMask) -> tuple[str, ...]:
    return ("few-voxels",) if mask.n_voxels < FEW_VOXELS else ()
