"""From mask files to the lesions, liver and vessels of one study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gsigpu.dicom.model import SpectralStack, Study
from gsigpu.errors import (
    GeometryError,
    GsigpuError,
    InputError,
    MaskError,
    SettingsError,
    UnmappedLabel,
)
from gsigpu.masks import MaskSet, file_stem, masks_in, read_masks
from gsigpu.masks.layers import Owner
from gsigpu.masks.read_masks import MaskProblem
from gsigpu.masks.roles import Role, RoleMap, role_by_name
from gsigpu.regions.region_layout import Lesion, StudyMasks
from gsigpu.regions.region_mask import RegionMask, parts, union
from gsigpu.regions.size import longest_axial_diameter_mm

# No lesion of the source study is beyond 30 mm; what is wider than this is rather the liver itself.
_TOO_WIDE_MM = 150.0


@dataclass(frozen=True, slots=True)
class MaskFiles:
    """Mask files of one study.

    lesions : files whose regions are lesions, unless their names or `roles` say otherwise; also folders of
        such files, whose regions go by the file's name where they have none
    liver, vessels, aorta, normal : files whose regions, all together, are that
    roles : what the user said of labels and names in the lesion files
    split : every separate part of a lesion's mask is a lesion of its own
    any_phase : accept masks that were drawn on another phase
    """

    lesions: tuple[Path, ...]
    liver: Path | None = None
    vessels: Path | None = None
    aorta: Path | None = None
    normal: Path | None = None
    roles: RoleMap = field(default_factory=RoleMap)
    split: bool = False
    any_phase: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A lesion, or a file of lesions, that could not be measured, or not in all its regions.

    lesion_id : the file's name where no lesion of it could be read; the region's where it is of no lesion
    region : the first that could not be measured
    """

    lesion_id: str
    n_voxels: int
    error: GsigpuError
    region: str = "lesion"


@dataclass(frozen=True, slots=True)
class RegionRole:
    """What a region of a lesion file was taken for."""

    file: str
    name: str
    label: int
    role: Role


@dataclass(frozen=True, slots=True)
class CollectedMasks:
    """The masks of a study by role, and what could not be used.

    files : all that were read, each with the role that named it
    """

    masks: StudyMasks
    roles: tuple[RegionRole, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    files: tuple[tuple[Role, Path], ...]


def owner_of(study: Study, stack: SpectralStack, *, any_phase: bool) -> Owner:
    """Whom DICOM masks must belong to, to be laid over a stack."""
    first = stack.series[0].evidence
    return Owner(
        patient_id=first.patient_id,
        study_uid=first.study_uid,
        phase=stack.phase,
        phase_of_series={series.evidence.series_uid: series.phase for series in study.series},
        any_phase=any_phase,
    )


def collect_masks(files: MaskFiles, study: Study, stack: SpectralStack) -> CollectedMasks:
    """Reads all mask files onto the grid of a stack.

    Raises SettingsError if no mask is given, the error of a liver, vessel, aorta or normal mask, and that
    of the lesion masks where no lesion is left to measure.
    """
    if not files.lesions:
        raise SettingsError("no mask of lesions", remedy="name one with --mask")
    organ_files = {
        Role.LIVER: files.liver,
        Role.VESSELS: files.vessels,
        Role.AORTA: files.aorta,
        Role.NORMAL: files.normal,
    }
    named = [
        *((Role.LESION, path) for path in dict.fromkeys(files.lesions)),
        *((role, path) for role, path in organ_files.items() if path is not None),
    ]
    for role, path in named:
        if not (path.is_file() or (path.is_dir() and role is Role.LESION)):
            raise InputError("no such mask file", where=path, remedy="check the path")
    collector = _Collector(files, stack, owner_of(study, stack, any_phase=files.any_phase))
    for role, path in named:
        if path.is_dir():
            for mask_path in masks_in(path):
                collector.read_lesions(mask_path, is_named_by_file=True)
        elif role is Role.LESION:
            collector.read_lesions(path)
        else:
            collector.read_whole(path, role)
    return collector.result()


class _Collector:
    """Gathers regions by role, file by file."""

    def __init__(self, files: MaskFiles, stack: SpectralStack, owner: Owner) -> None:
        self._files = files
        self._geometry = stack.geometry
        self._owner = owner
        self._lesions: list[Lesion] = []
        self._others: dict[Role, list[RegionMask]] = {}
        self._roles: list[RegionRole] = []
        self._failures: list[Failure] = []
        self._warnings: list[str] = []
        self._read: list[tuple[Role, Path]] = []

    def read_lesions(self, path: Path, *, is_named_by_file: bool = False) -> None:
        """A file of lesions, and perhaps of organs too.

        is_named_by_file : a region without a name of its own gets the file's
        """
        self._read.append((Role.LESION, path))
        try:
            mask_set = read_masks(path, self._geometry, owner=self._owner)
        except (MaskError, GeometryError, InputError) as error:
            self._failures.append(Failure(path.name, 0, error))
            return
        if is_named_by_file:
            mask_set = _named_by_file(mask_set, path)
        self._warnings += mask_set.warnings
        self._note_problems(mask_set)
        for mask in mask_set.masks:
            self._assign(path, mask)

    def read_whole(self, path: Path, role: Role) -> None:
        """A file all of whose regions have one role."""
        self._read.append((role, path))
        mask_set = read_masks(path, self._geometry, owner=self._owner)
        if not mask_set.masks:
            raise mask_set.problems[0].error
        self._warnings += [
            *mask_set.warnings,
            *(str(problem.error) for problem in mask_set.problems),
        ]
        self._others.setdefault(role, []).extend(mask_set.masks)

    def _note_problems(self, mask_set: MaskSet) -> None:
        for problem in mask_set.problems:
            region = RegionMask(problem.name, problem.label, (0, 0, 0), None)
            role_map = self._files.roles
            # With a mapping, what it does not name has failed, whether or not it is empty.
            unmapped = Role.LESION if role_map.roles else role_by_name(problem.name)[0]
            role = role_map.role(region) or unmapped
            if role is Role.LESION:
                self._failures.append(Failure(self._files.roles.called(region), 0, problem.error))
            elif role is not Role.IGNORE:
                raise problem.error

    def _assign(self, path: Path, mask: RegionMask) -> None:
        role_map = self._files.roles
        role = role_map.role(mask)
        if role is None and role_map.roles:
            label = f"label {mask.label}"
            name = label if mask.name == label else f"{mask.name} ({label})"
            error = UnmappedLabel(
                f"{name} has no role in the mapping",
                where=path,
                remedy=f"add --role {mask.label}=lesion, or ignore",
            )
            self._failures.append(Failure(role_map.called(mask), mask.n_voxels, error))
            return
        if role is None:
            role, is_sure = role_by_name(mask.name)
            if not is_sure:
                self._warnings.append(
                    f"{path}: {mask.name!r} is taken for a lesion, which its name does not say;"
                    f" if it is none, add --role {mask.label}=ignore, liver, vessels, aorta or normal"
                )
        self._roles.append(RegionRole(path.name, mask.name, mask.label, role))
        if role is Role.LESION:
            self._add_lesions(path, mask)
        elif role is not Role.IGNORE:
            self._others.setdefault(role, []).append(mask)

    def _add_lesions(self, path: Path, mask: RegionMask) -> None:
        name = self._files.roles.called(mask)
        separate = parts(mask)
        if self._files.split and len(separate) > 1:
            for number, part in enumerate(separate, start=1):
                self._add(path, f"{name}.{number}", part)
            return
        if len(separate) > 1:
            self._warnings.append(
                f"{path}: {mask.name} has {len(separate)} separate parts and is measured as one lesion;"
                " if each part is a lesion, add --split-lesions"
            )
        self._add(path, name, mask)

    def _add(self, path: Path, name: str, mask: RegionMask) -> None:
        taken = {lesion.lesion_id for lesion in self._lesions}
        lesion_id, n = name, 1
        while lesion_id in taken:
            n += 1
            lesion_id = f"{name} ({n})"
        if n > 1:
            self._warnings.append(f"{path}: a second lesion {name!r} is called {lesion_id!r}")
        width_mm = longest_axial_diameter_mm(mask, self._geometry.spacing_mm)
        if width_mm > _TOO_WIDE_MM:
            self._warnings.append(
                f"{path}: lesion {lesion_id} is {width_mm:.0f} mm wide; if it is the liver, add --role {mask.label}=liver"
            )
        self._lesions.append(Lesion(lesion_id, mask))

    def result(self) -> CollectedMasks:
        """Everything that was read.

        Raises the first failure if there is no lesion.
        """
        if not self._lesions:
            if self._failures:
                raise self._failures[0].error
            raise InputError(
                "holds no lesion",
                where=", ".join(map(str, self._files.lesions)),
                remedy="say which label is one with --role LABEL=lesion",
            )
        masks = StudyMasks(
            tuple(self._lesions),
            liver=self._joined(Role.LIVER),
            vessels=self._joined(Role.VESSELS),
            aorta=self._joined(Role.AORTA),
            normal=self._joined(Role.NORMAL),
        )
        return CollectedMasks(
            masks,
            tuple(self._roles),
            tuple(self._failures),
            tuple(self._warnings),
            tuple(self._read),
        )

    def _joined(self, role: Role) -> RegionMask | None:
        members: Sequence[RegionMask] = self._others.get(role, [])
        return union(role.value, members) if members else None


def _named_by_file(mask_set: MaskSet, path: Path) -> MaskSet:
    """Regions that are but numbers called by their file, as one file per lesion wants it."""
    n_regions = len(mask_set.masks) + len(mask_set.problems)

    def name(region: RegionMask | MaskProblem) -> str:
        if region.name != f"label {region.label}":
            return region.name
        return file_stem(path) if n_regions == 1 else f"{file_stem(path)} {region.label}"

    return replace(
        mask_set,
        masks=tuple(replace(mask, name=name(mask)) for mask in mask_set.masks),
        problems=tuple(replace(problem, name=name(problem)) for problem in mask_set.problems),
    )
