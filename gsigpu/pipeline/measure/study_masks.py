"""From mask files to the lesions, liver and vessels of one study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gsigpu.caution import Caution, Kind
from gsigpu.dicom.model import SpectralStack, Study
from gsigpu.errors import (
    EmptyMask,
    GeometryError,
    InputError,
    MaskError,
    SettingsError,
    UnclearPosition,
    UnclearRole,
    WrongPhase,
)
from gsigpu.masks import MaskSet, file_stem, masks_in, no_mask_file
from gsigpu.masks.layers import Coded, Owner
from gsigpu.masks.roles import Role, known_role
from gsigpu.pipeline.measure.assign_roles import (
    Assigned,
    FileRegion,
    RoleKeys,
    assign_roles,
    liver_sized,
    way_to_a_lesion,
)
from gsigpu.pipeline.measure.automatic_regions import marked, with_automatic
from gsigpu.pipeline.measure.collected_masks import CollectedMasks, Failure, RegionRole
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.mask_reader import MaskReader
from gsigpu.pipeline.measure.position_check import with_overlaps
from gsigpu.pipeline.measure.study_owner import owner_of
from gsigpu.pipeline.stack_source import PlaneStore
from gsigpu.regions.region_layout import Lesion, StudyMasks
from gsigpu.regions.region_mask import RegionMask, parts, union
from gsigpu.tables.text_ids import free_id, text_id


def collect_masks(
    files: MaskFiles,
    study: Study,
    stack: SpectralStack,
    *,
    n_workers: int = 1,
    store: PlaneStore | None = None,
) -> CollectedMasks:
    """Reads all mask files onto the grid of a stack, so many at once, and has drawn what a program is to draw.

    store : of the planes, where others read them too

    Raises SettingsError if no mask is given or an option matches nothing, the error of a liver, vessel, aorta
    or normal mask, and that of the lesion masks where no lesion is left to measure.
    """
    if not (files.lesions or files.regions or files.segment):
        raise SettingsError("no mask of lesions", remedy="name one with --mask")
    if files.require_axes is not None:
        files.require_axes(stack.geometry)
    organ_files = {
        Role.LIVER: files.liver,
        Role.VESSELS: files.vessels,
        Role.AORTA: files.aorta,
        Role.NORMAL: files.normal,
    }
    lesion_files = tuple(dict.fromkeys(files.lesions))
    named = [(role, path) for role, path in organ_files.items() if path is not None]
    for path in (*lesion_files, *(at for _, at in named), *(at for _, at in files.regions)):
        if not (path.is_file() or (path in lesion_files and path.is_dir())):
            raise no_mask_file(path)
    owner = owner_of(study, stack, any_phase=files.any_phase)
    store = store or PlaneStore()
    with MaskReader(
        stack.geometry,
        owner,
        fill_between=files.fill_between,
        position=files.position,
        threshold=files.threshold,
        n_workers=n_workers,
    ) as reader:
        reader.read_ahead(
            path for path in (*lesion_files, *(at for _, at in named)) if path.is_file()
        )
        collector = _Collector(files, stack, owner, reader, store)
        for argument, path in enumerate(lesion_files):
            collector.read_lesions(path, argument)
        for role, path in named:
            collector.read_whole(path, role)
        for name, path in files.regions:
            collector.read_named(path, name)
    collected = collector.result()
    if files.segment:
        collected = with_automatic(collected, files, stack, owner, store)
    return marked(collected, stack.geometry)


class _Collector:
    """Gathers regions by role, file by file."""

    def __init__(
        self,
        files: MaskFiles,
        stack: SpectralStack,
        owner: Owner,
        reader: MaskReader,
        store: PlaneStore,
    ) -> None:
        self._store = store
        self._reader = reader
        self._files = files
        self._stack = stack
        self._geometry = stack.geometry
        self._owner = owner
        self._regions: list[FileRegion] = []
        self._notes: dict[int, list[Caution]] = {}  # of regions by their place in `_regions`
        self._lesions: list[Lesion] = []
        self._named: list[tuple[str, RegionMask]] = []
        self._named_files: list[tuple[str, Path]] = []
        self._others: dict[Role, list[RegionMask]] = {}
        self._roles: list[RegionRole] = []
        self._failures: list[Failure] = []
        self._empty_files: list[tuple[Path, Failure]] = []  # that may be of lesions
        self._warnings: list[Caution] = []
        self._read: list[tuple[Role, Path]] = []
        self._parts: list[Path] = []
        self._digests: dict[Path, str] = {}
        self._phases: list[frozenset[str]] = []
        self._is_position_used = self._is_threshold_used = False

    def read_lesions(self, path: Path, argument: int) -> None:
        """A file of lesions, and perhaps of organs too, or a folder of such files."""
        is_folder = path.is_dir()
        paths = masks_in(path) if is_folder else [path]
        for mask_path in paths:
            if is_folder and len(paths) > 1 and self._is_known_to_be_ignored(mask_path):
                name = file_stem(mask_path)
                self._roles.append(
                    RegionRole(file=mask_path.name, name=name, label=0, role=Role.IGNORE, by="name")
                )
                continue
            self._read.append((Role.LESION, mask_path))
            try:
                mask_set = self._masks(mask_path)
            except EmptyMask as error:
                empty = RegionMask(
                    name=file_stem(mask_path), label=0, origin=(0, 0, 0), voxels=None
                )
                self._regions.append(
                    FileRegion(
                        path=mask_path,
                        mask=empty,
                        argument=argument,
                        n_files=len(paths),
                        is_named_by_file=True,
                        telling_name=empty.name if is_folder else "",
                        error=error,
                        failure_id=mask_path.name,
                    )
                )
            except (MaskError, GeometryError, InputError) as error:
                self._failures.append(Failure(mask_path.name, 0, error))
            else:
                self._take(mask_set, mask_path, argument, len(paths), is_folder=is_folder)

    def _is_known_to_be_ignored(self, path: Path) -> bool:
        """Whether a file of a folder is another organ's by its name, and the mapping does not name it."""
        stem = RegionMask(name=file_stem(path), label=0, origin=(0, 0, 0), voxels=None)
        role_map = self._files.roles
        is_named = role_map.role(stem, file=path.name, has_label=False) is not None or any(
            key.startswith(f"{path.name.lower()}:") for key, _ in role_map.roles
        )
        return not is_named and known_role(stem.name) is Role.IGNORE

    def _take(
        self, mask_set: MaskSet, path: Path, argument: int, n_files: int, *, is_folder: bool
    ) -> None:
        """The regions of a file, with what may say their role."""
        members: list[tuple[RegionMask, MaskError | None]] = [
            *((mask, None) for mask in mask_set.masks),
            *(
                (
                    RegionMask(
                        name=problem.name, label=problem.label, origin=(0, 0, 0), voxels=None
                    ),
                    problem.error,
                )
                for problem in mask_set.problems
            ),
        ]
        is_alone, stem = len(members) == 1, file_stem(path)
        self._warnings += [note.text for note in mask_set.notes if not note.name]
        for mask, error in members:
            is_unnamed = mask.name == f"label {mask.label}"
            telling_name = "" if is_unnamed else mask.name
            if is_unnamed and (is_alone or known_role(stem) in (Role.LESION, Role.IGNORE)):
                telling_name = stem
            # A file that was named as one of lesions is one unless its name says something else.
            if is_unnamed and not is_folder and known_role(stem) is None:
                telling_name = ""
            name = mask.name
            if is_unnamed and is_folder:
                name = stem if is_alone else f"{stem} {mask.label}"
            self._notes[len(self._regions)] = [
                note.text
                for note in mask_set.notes
                if note.name and (note.name, note.label) == (mask.name, mask.label)
            ]
            self._regions.append(
                FileRegion(
                    path=path,
                    mask=RegionMask(
                        name=name, label=mask.label, origin=mask.origin, voxels=mask.voxels
                    ),
                    argument=argument,
                    n_files=n_files,
                    is_named_by_file=is_unnamed and is_folder and is_alone and n_files > 1,
                    telling_name=telling_name,
                    code=mask_set.codes.get((mask.label, mask.name), Coded()),
                    error=error,
                )
            )

    def read_named(self, path: Path, name: str) -> None:
        """A file all of whose regions, together, are one that the user named."""
        mask_set = self._masks(path)
        if not mask_set.masks:
            raise mask_set.problems[0].error
        self._warnings += mask_set.warnings
        for problem in mask_set.problems:
            self._warn("unusable-region", str(problem.error))
        self._named.append((name, union(name, mask_set.masks)))
        self._named_files.append((name, path))

    def read_whole(self, path: Path, role: Role) -> None:
        """A file all of whose regions have one role."""
        self._read.append((role, path))
        mask_set = self._masks(path)
        if not mask_set.masks:
            raise mask_set.problems[0].error
        self._warnings += mask_set.warnings
        for problem in mask_set.problems:
            self._warn("unusable-region", str(problem.error))
        self._others.setdefault(role, []).extend(mask_set.masks)

    def _masks(self, path: Path) -> MaskSet:
        try:
            mask_set = self._reader.read(path)
        except WrongPhase as error:
            if not self._files.maps_in_file:
                raise
            # Of a row of a cohort the phase stands in the manifest.
            remedy = error.remedy.replace("use --phase", "write in the manifest's column phase")
            raise WrongPhase(error.what, where=error.where, remedy=remedy) from error
        except UnclearPosition as error:
            raise with_overlaps(
                error, path, self._stack, self._owner, self._files, self._store
            ) from error
        self._parts += mask_set.files
        self._digests[path] = mask_set.digest
        self._phases += [mask_set.phases] if mask_set.phases else []
        self._is_position_used |= mask_set.is_positioned_by_choice
        self._is_threshold_used |= mask_set.is_of_probabilities
        return mask_set

    def _keys(self) -> RoleKeys:
        files = self._files
        return RoleKeys(files.roles, self._regions, in_file=files.maps_in_file, gate=files.called)

    def _assign(self) -> None:
        """Every region to its role."""
        keys = self._keys()
        assigned = assign_roles(self._regions, keys, self._geometry.spacing_mm)
        for index, decision in enumerate(assigned):
            region, role = decision.region, decision.role
            if region.failure_id and decision.by == "unknown":
                self._note_problem(replace(decision, role=None), keys)
                continue
            notes = [*decision.notes]
            if role is not Role.IGNORE:
                notes += self._notes.get(index, [])
            at = len(self._warnings)
            if role is not None and region.error is None:
                mask = region.mask
                name = RegionRole(
                    file=region.path.name,
                    name=mask.name,
                    label=mask.label,
                    role=role,
                    by=decision.by,
                )
                self._roles.append(name)
            if decision.error is not None:
                self._note_problem(decision, keys)
            elif role is Role.LESION:
                lesion_ids = self._add_lesions(decision, keys)
                if len(lesion_ids) == 1:
                    notes = [note.of_lesion(lesion_ids[0]) for note in notes]
            elif role is not None and role is not Role.IGNORE:
                self._others.setdefault(role, []).append(region.mask)
            self._warnings[at:at] = notes

    def _note_problem(self, decision: Assigned, keys: RoleKeys) -> None:
        """A region that cannot be used: a failure where it may be a lesion, absent where an organ is empty.

        An empty file of a lesion is absent too where other files hold lesions: programs write a file for everything
        that they look for. An empty segment is a failure, because somebody meant to draw it.
        """
        region, role, error = decision.region, decision.role, decision.error
        assert error is not None
        if role in (None, Role.LESION):
            n_voxels = 0 if region.mask.voxels is None else region.mask.n_voxels
            failure = Failure(region.failure_id or keys.called(region), n_voxels, error)
            if region.failure_id and isinstance(error, EmptyMask):
                self._empty_files.append((region.path, failure))
            else:
                self._failures.append(failure)
        elif role is not Role.IGNORE:
            if not isinstance(error, EmptyMask):
                raise error
            text = f"{region.path}: {region.mask.name} is empty and taken as absent"
            self._warn("absent-structure", text)

    def _add_lesions(self, decision: Assigned, keys: RoleKeys) -> list[str]:
        """The lesions of a region; returns what they are called."""
        region = decision.region
        path, mask = region.path, region.mask
        name = keys.called(region)
        size = "" if decision.by == "mapping" else liver_sized(mask, self._geometry.spacing_mm)
        if size:
            error = UnclearRole(
                f"{region.shown} {size}, as a liver, and is given as a lesion",
                where=path,
                remedy=f"{keys.remedy(region, Role.LIVER)} if it is the liver,"
                f" or {keys.remedy(region, Role.LESION).removeprefix('add ')} if it is a lesion",
            )
            self._failures.append(Failure(name, mask.n_voxels, error))
            return []
        separate = parts(mask)
        if self._files.split and len(separate) > 1:
            width = max(2, len(str(len(separate))))
            return [
                self._add(path, f"{name}-{number:0{width}d}", part)
                for number, part in enumerate(separate, start=1)
            ]
        lesion_id = self._add(path, name, mask)
        if len(separate) > 1:
            text = f"{path}: {mask.name} has {len(separate)} separate parts and is measured as one lesion;"
            text += " if each part is a lesion, add --split-lesions"
            self._warn("separate-parts", text, lesion_id)
        return [lesion_id]

    def _add(self, path: Path, name: str, mask: RegionMask) -> str:
        """A lesion; returns what it is called."""
        plain = text_id(name)
        lesion_id = free_id(plain, {lesion.lesion_id for lesion in self._lesions})
        if plain != name:
            text = f"{path}: lesion {name!r} is called {plain!r}, which programs read as text"
            self._warn("renamed", text, lesion_id)
        if lesion_id != plain:
            text = f"{path}: a second lesion {plain!r} is called {lesion_id!r}"
            self._warn("doubled-name", text, lesion_id)
        self._lesions.append(Lesion(lesion_id, mask))
        return lesion_id

    def _warn(self, kind: Kind, text: str, lesion_id: str = "") -> None:
        self._warnings.append(Caution(kind, text, lesion_id))

    def result(self) -> CollectedMasks:
        """Everything that was read.

        Raises SettingsError if an option matched nothing, and the first failure if there is no lesion.
        """
        if self._regions:
            self._assign()
        if self._lesions:
            for path, _ in self._empty_files:
                self._warn("absent-structure", f"{path}: holds no region and is taken as absent")
        else:
            self._failures += [failure for _, failure in self._empty_files]
        if not self._failures:
            self._files.require_used(
                threshold=self._is_threshold_used, position=self._is_position_used
            )
        if not self._lesions and self._files.lesions:
            if self._failures:
                raise self._failures[0].error
            raise EmptyMask(
                "holds no lesion",
                where=", ".join(map(str, self._files.lesions)),
                remedy=way_to_a_lesion(self._regions, self._keys()),
            )
        masks = StudyMasks(
            lesions=tuple(self._lesions),
            liver=self._joined(Role.LIVER),
            vessels=self._joined(Role.VESSELS),
            aorta=self._joined(Role.AORTA),
            normal=self._joined(Role.NORMAL),
            named=tuple(self._named),
        )
        return CollectedMasks(
            masks=masks,
            roles=tuple(self._roles),
            failures=tuple(self._failures),
            warnings=tuple(dict.fromkeys(self._warnings)),
            files=tuple(self._read),
            named_files=tuple(self._named_files),
            parts=tuple(dict.fromkeys(self._parts)),
            digests=self._digests,
            phases=tuple(self._phases),
        )

    def _joined(self, role: Role) -> RegionMask | None:
        members = self._others.get(role, [])
        return union(role.value, members) if members else None
