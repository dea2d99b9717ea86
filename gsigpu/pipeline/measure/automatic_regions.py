"""Masks that a program draws where none are given, and marks on those that nobody changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gsigpu.automatic_masks import mask_cache, totalsegmentator
from gsigpu.automatic_masks.mask_cache import Source
from gsigpu.caution import Caution
from gsigpu.dicom.model import Series, SpectralStack
from gsigpu.errors import EmptyMask
from gsigpu.masks import read_masks
from gsigpu.masks.layers import Owner
from gsigpu.masks.positions import PositionChoice
from gsigpu.masks.roles import Role
from gsigpu.pipeline.measure.collected_masks import AutomaticMask, CollectedMasks
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.stack_source import PlaneStore, looked_at
from gsigpu.regions import flags
from gsigpu.regions.region_layout import Lesion, StudyMasks
from gsigpu.regions.region_mask import RegionMask, parts, union
from gsigpu.volume import VolumeGeometry

# The program was trained on images of usual tubes, whose contrast those at 70 keV have.
_KEV = 70.0
_ORGANS = {Role.LIVER: "liver", Role.VESSELS: "vessels", Role.AORTA: "aorta"}


def with_automatic(
    collected: CollectedMasks,
    files: MaskFiles,
    stack: SpectralStack,
    owner: Owner,
    store: PlaneStore,
) -> CollectedMasks:
    """The masks with what is missing of lesions, liver, vessels and aorta drawn by a program on the stack's images.

    The program sees the images nearest to 70 keV, which `store` keeps for what else reads them. Each separate part of its mask of lesions is a lesion, named for
    the phase: `auto-PVP-01`, the largest first. What it finds nothing of is absent, and told.
    Raises MissingDependency, ProgramFailed, GridMismatch, OutputError, PixelDataError.
    """
    roles = [
        *([] if files.lesions else [Role.LESION]),
        *(role for role, name in _ORGANS.items() if getattr(collected.masks, name) is None),
    ]
    tasks = totalsegmentator.tasks_for(roles)
    if not tasks:
        return collected
    program, series = totalsegmentator.installed(), _seen(stack)
    image = mask_cache.stored_image(looked_at(series, store), stack.geometry)
    drawn: dict[Role, list[RegionMask]] = {}
    sources: dict[Role, AutomaticMask] = {}
    read: list[tuple[Role, Path]] = []
    warnings: list[Caution] = []
    for task in tasks:
        folder = mask_cache.masks_of_task(
            program, task, image, name=totalsegmentator.PROGRAM, grid=stack.geometry
        )
        for name, role in task.classes:
            if role not in roles:
                continue
            path = folder / f"{name}.nii.gz"
            read.append((role, path))
            mask = _read(path, name, stack.geometry, owner)
            if mask is None:
                text = f"{totalsegmentator.PROGRAM} {program.version} found no {name} in {_images(stack, series)}"
                warnings.append(Caution("absent-structure", text))
                continue
            drawn.setdefault(role, []).append(mask)
            sources[role] = AutomaticMask(
                region=role.value,
                program=totalsegmentator.PROGRAM,
                version=program.version,
                task=task.name,
                folder=folder,
                energy_kev=series.energy_kev,
            )
    _remember(drawn, sources, stack.geometry)
    lesions = _lesions(drawn.pop(Role.LESION, []), stack.phase)

    def organ(role: Role) -> RegionMask | None:
        given: RegionMask | None = getattr(collected.masks, _ORGANS[role])
        return union(role.value, drawn[role]) if role in drawn else given

    automatic = [
        *(replace(sources[Role.LESION], region=lesion.lesion_id) for lesion in lesions),
        *(sources[role] for role in drawn),
    ]
    return replace(
        collected,
        masks=replace(
            collected.masks,
            lesions=(*collected.masks.lesions, *lesions),
            liver=organ(Role.LIVER),
            vessels=organ(Role.VESSELS),
            aorta=organ(Role.AORTA),
        ),
        warnings=tuple(dict.fromkeys([*collected.warnings, *warnings])),
        files=(*collected.files, *read),
        parts=(*collected.parts, *(path for _, path in read)),
        automatic=tuple(automatic),
    )


def _seen(stack: SpectralStack) -> Series:
    """The images that the program is given."""
    kev = min(stack.energies_kev, key=lambda energy: abs(energy - _KEV))
    return stack.series[stack.energies_kev.index(kev)]


def _images(stack: SpectralStack, series: Series) -> str:
    phase = f"{stack.phase} at " if stack.phase else ""
    return f"the images of {phase}{series.energy_kev:g} keV"


def _read(path: Path, name: str, grid: VolumeGeometry, owner: Owner) -> RegionMask | None:
    """A mask of the program; None for one without a voxel."""
    try:
        # That it lies on the images' grid was proved when it was made, so that its origin may well be 0.
        read = read_masks(path, grid, owner=owner, position=PositionChoice.FILE)
    except EmptyMask:
        return None
    return union(name, read.masks) if read.masks else None


def _lesions(masks: list[RegionMask], phase: str) -> list[Lesion]:
    separate = [part for mask in masks for part in parts(mask)]
    width = max(2, len(str(len(separate))))
    name = f"auto-{phase}" if phase else "auto"
    return [
        Lesion(f"{name}-{number:0{width}d}", part) for number, part in enumerate(separate, start=1)
    ]


def _remember(
    drawn: Mapping[Role, list[RegionMask]],
    sources: Mapping[Role, AutomaticMask],
    grid: VolumeGeometry,
) -> None:
    """Lets `marked` know these regions, in whatever file they come back: each alone, all of a role, each part of lesions."""
    for role, masks in drawn.items():
        source = sources[role]
        whole = [*masks, union(role.value, masks)]
        if role is Role.LESION:
            whole += [part for mask in masks for part in parts(mask)]
        for mask in whole:
            mask_cache.remember_region(
                mask, grid, Source(source.program, source.version, source.task)
            )


def marked(collected: CollectedMasks, grid: VolumeGeometry) -> CollectedMasks:
    """The masks with the flag `automatic:...` on each that is, voxel for voxel, as a program drew it.

    Also on one that comes from a file: whoever changed a voxel has looked at it. Masks are compared with what the cache has,
    see gsigpu.automatic_masks.mask_cache.
    """
    known = {mask.region: mask for mask in collected.automatic}

    def made_by(region: str, mask: RegionMask | None) -> tuple[str, ...]:
        if mask is None:
            return ()
        if region not in known:
            source = mask_cache.source_of_region(mask, grid)
            if source is None:
                return ()
            known[region] = AutomaticMask(
                region=region, program=source.program, version=source.version, task=source.task
            )
        return (flags.automatic(known[region].program, known[region].version),)

    masks = collected.masks
    organs = {
        name: made_by(name, getattr(masks, name))
        for name in ("liver", "vessels", "aorta", "normal")
    }
    lesions = tuple(
        replace(lesion, flags=made_by(lesion.lesion_id, lesion.mask)) for lesion in masks.lesions
    )
    laid: StudyMasks = replace(
        masks, lesions=lesions, organ_flags={name: told for name, told in organs.items() if told}
    )
    return replace(collected, masks=laid, automatic=tuple(known.values()))
