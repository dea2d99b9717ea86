"""What each region of the lesion files is taken for, seen beside the others that came with it.

1. The mapping, where it names the region.
2. What the region's whole name says; a region without a name goes by its file's, where it is alone in it.
3. What its code in a terminology says.
4. A name that says nothing, in one file: a lesion. So draws who draws lesions alone.
5. Any other name: ignored and told where the set holds known ones, as the output of a program that segments
   organs does; else a lesion, which is told.

A mapping that says what lesions are says it of all: what would be a lesion and is not named is a failure.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gsigpu.caution import Caution
from gsigpu.errors import MaskError, SettingsError, UnmappedLabel
from gsigpu.masks.layers import Coded
from gsigpu.masks.roles import Role, RoleMap, coded_role, known_role, says_nothing
from gsigpu.regions.region_mask import RegionMask, Spacing, parts
from gsigpu.regions.size import longest_axial_diameter_mm, volume_ml

# What is as large as a liver is not measured as a lesion unless the mapping says so.
#   LIVER_SIZED_MM   no lesion of the source study is beyond 30 mm; livers are wider than this
#   LIVER_SIZED_ML   an adult's liver has 1,000-2,000 mL, that of a child of five 500; a ball of 98 mm
LIVER_SIZED_MM = 150.0
LIVER_SIZED_ML = 500.0
_LISTED = 12  # regions that an error names


@dataclass(frozen=True, slots=True)
class FileRegion:
    """A region of a lesion file.

    mask : without voxels where the region cannot be used
    argument : number of the file or folder that the user named
    n_files : mask files in it
    is_named_by_file : its name is but its file's, so that it does not go by its label
    telling_name : what may say its role; "" where nothing does
    error : why it cannot be used
    failure_id : what to call it then
    """

    path: Path
    mask: RegionMask
    argument: int
    n_files: int
    is_named_by_file: bool
    telling_name: str
    code: Coded = field(default_factory=Coded)
    error: MaskError | None = None
    failure_id: str = ""

    @property
    def shown(self) -> str:
        """Name and label, for messages."""
        label = f"label {self.mask.label}"
        return label if self.mask.name == label else f"{self.mask.name!r}"


@dataclass(frozen=True, slots=True)
class Assigned:
    """What a region is taken for.

    role : None where it fails
    by : mapping, name, code, LiTS, no-name or unknown: what said so
    notes : what a user should know
    error : why it fails
    """

    region: FileRegion
    role: Role | None
    by: str
    notes: tuple[Caution, ...] = ()
    error: MaskError | None = None


class RoleKeys:
    """How a mapping names regions, and how a message may tell a user to."""

    def __init__(
        self,
        role_map: RoleMap,
        regions: Sequence[FileRegion],
        *,
        in_file: bool = False,
        gate: Callable[[str], str] = str,
    ) -> None:
        """How regions are named.

        in_file : the user maps by a file alone, as in a cohort
        gate : what to call a region whose name may be that of a person; a name that it changes is not quoted
        """
        self._map = role_map
        self._regions = regions
        self._in_file = in_file
        self._gate = gate
        for region in regions:  # messages show these too
            gate(region.mask.name)
        # What the mapping says of one region makes no other one's name known.
        self.with_known = {
            region.argument for region in regions if said_role(region)[0] is not None
        }

    @property
    def names_lesions(self) -> bool:
        """Whether the mapping says of any region that it is a lesion."""
        return any(role is Role.LESION for _, role in self._map.roles)

    def role(self, region: FileRegion) -> Role | None:
        """What the mapping says."""
        return _role_in(self._map, region)

    def called(self, region: FileRegion) -> str:
        """The region's name in tables."""
        named = self._map.called(
            region.mask, file=region.path.name, has_label=not region.is_named_by_file
        )
        if region.code.program.startswith("gsigpu") and named == region.mask.name:
            return named.removeprefix("lesion ")
        return self._gate(named)

    def remedy(self, region: FileRegion, role: Role) -> str:
        """Options, or lines of the mapping's file, that give a region this role and change no other.

        A mapping that names a lesion names all those whose names do not say it: they are listed too.
        """
        choices = [(region, role)]
        if role is Role.LESION:
            choices += [
                (other, role)
                for other in self._regions
                if other is not region and self.is_lesion_by_default(other)
            ]
        if self._in_file:
            members = ", ".join(_yaml(self.key(choice)) for choice, _ in choices)
            return f"write `{role}: [{members}]` in the file of the manifest's column roles"
        options = [f"--role {shlex.quote(f'{self.key(choice)}={role}')}" for choice, _ in choices]
        return f"add {' '.join(options)}"

    def is_lesion_by_default(self, region: FileRegion) -> bool:
        """Whether a region is a lesion because nothing says that it is something else."""
        if self.role(region) is not None or said_role(region)[0] is not None:
            return False
        is_one_file = is_unnamed(region) and region.n_files == 1
        return is_one_file or region.argument not in self.with_known

    def key(self, region: FileRegion) -> str:
        """What names this region and no other: its label or name, else with its file's name before it."""
        file, label, name = region.path.name, str(region.mask.label), region.mask.name
        candidates = [f"{file}:{label}", f"{file}:{name}"]
        if not region.is_named_by_file:
            candidates.insert(0, label)
        if name != f"label {label}" and self._gate(name) == name:
            candidates.insert(0, name)
        for key in candidates:
            one_key = RoleMap(((key.lower(), Role.IGNORE),))
            hit = [other for other in self._regions if _role_in(one_key, other) is not None]
            if hit == [region] and not set(key) & set("*?[]="):
                return key
        return f"{file}:{label}"

    def require_matches(self) -> None:
        """Raises SettingsError for an option that names no region, or regions of several files as one organ."""
        regions = self._regions
        used: set[str] = set()
        for region in regions:
            file, has_label = region.path.name, not region.is_named_by_file
            for key in (
                self._map.key(region.mask, file=file, has_label=has_label),
                self._map.name_key(region.mask, file=file, has_label=has_label),
            ):
                used |= set() if key is None else {key}
        roles = dict(reversed(self._map.roles))
        for key in sorted(self._map.required - used):
            shadowed = key in roles and any(
                _role_in(RoleMap(((key, Role.IGNORE),)), region) is not None for region in regions
            )
            if not shadowed:
                option = "--role" if key in roles else "--name"
                known = ", ".join(self.key(region) for region in regions[:_LISTED])
                more = ", ..." if len(regions) > _LISTED else ""
                raise SettingsError(
                    f"{option} {key!r} matches no region", remedy=f"the regions are {known}{more}"
                )
        for key, role in self._map.roles:
            hit = [
                region
                for region in regions
                if key == str(region.mask.label) and _role_in(self._map, region) is role
            ]
            paths = {region.path for region in hit}
            if key in self._map.required and len(paths) > 1 and not _may_be_several(role):
                raise SettingsError(
                    f"--role {key}={role} names regions of {len(paths)} files",
                    remedy=f"name the one with --role {shlex.quote(f'{hit[0].path.name}:{key}={role}')}",
                )


def _may_be_several(role: Role) -> bool:
    return role in (Role.LESION, Role.IGNORE)


def _yaml(key: str) -> str:
    return key if key.isalnum() else f'"{key}"'


def _role_in(role_map: RoleMap, region: FileRegion) -> Role | None:
    return role_map.role(region.mask, file=region.path.name, has_label=not region.is_named_by_file)


def assign_roles(
    regions: Sequence[FileRegion], keys: RoleKeys, spacing_mm: Spacing
) -> list[Assigned]:
    """What each region is, in their order.

    keys : of these regions
    spacing_mm : of the study
    Raises SettingsError for an option that names no region.
    """
    keys.require_matches()
    lits = _lits_files(regions, keys, spacing_mm)
    names_lesions = keys.names_lesions
    return [_assigned(region, keys, lits, names_lesions=names_lesions) for region in regions]


def is_unnamed(region: FileRegion) -> bool:
    """Whether no name says what a region is, or one that says nothing."""
    return not region.telling_name or says_nothing(region.telling_name)


def said_role(region: FileRegion) -> tuple[Role | None, str]:
    """The role that a region's name says, else its code, and which of them."""
    named = known_role(region.telling_name) if region.telling_name else None
    return (coded_role(region.code), "code") if named is None else (named, "name")


def way_to_a_lesion(regions: Sequence[FileRegion], keys: RoleKeys) -> str:
    """What to do where no region of the files is a lesion.

    A region that is known to be an organ beside others is no lesion; the only one may be called so for where it lies.
    """
    usable = [region for region in regions if region.error is None]
    unknown = [region for region in usable if said_role(region)[0] is None]
    likely = unknown or (usable if len(usable) == 1 else [])
    if not likely:
        return "name a file of lesions with --mask"
    if keys.role(likely[0]) is not None:
        return "map one of its regions to lesion"
    return f"{keys.remedy(likely[0], Role.LESION)} if that is one, or name another file of lesions"


def _assigned(
    region: FileRegion, keys: RoleKeys, lits: set[Path], *, names_lesions: bool
) -> Assigned:
    role = keys.role(region)
    if role is not None:
        return Assigned(region, role, "mapping", error=region.error)
    if region.path in lits:
        role = Role.LIVER if region.mask.label == 1 else Role.LESION
        note = (
            f"{region.path}: labels 1 and 2 are taken for the liver and its lesions, as in LiTS;"
            f" if both are lesions, {keys.remedy(region, Role.LESION)}"
        )
        return Assigned(
            region=region,
            role=role,
            by="LiTS",
            notes=(Caution("uncertain-role", note),) if role is Role.LIVER else (),
        )
    role, by = said_role(region)
    if role is not None:
        return Assigned(
            region=region,
            role=role,
            by=by,
            notes=_conflict(region, role, by, keys),
            error=region.error,
        )
    if not keys.is_lesion_by_default(region):
        note = (
            f"{region.path}: {region.shown} is ignored: its name is unknown beside others that are known;"
            f" if it is a lesion, {keys.remedy(region, Role.LESION)}"
        )
        return Assigned(
            region=region,
            role=Role.IGNORE,
            by="unknown",
            notes=(Caution("ignored-region", note),),
            error=region.error,
        )
    if names_lesions:
        error = region.error or UnmappedLabel(
            f"{region.shown} has no role in the mapping",
            where=region.path,
            remedy=f"{keys.remedy(region, Role.LESION)} if it is a lesion,"
            f" or {keys.remedy(region, Role.IGNORE).removeprefix('add ')}",
        )
        return Assigned(region, None, "unknown", error=error)
    if is_unnamed(region):
        return Assigned(region, Role.LESION, "no-name", error=region.error)
    note = (
        f"{region.path}: {region.shown} is taken for a lesion, which its name does not say;"
        f" if it is none, {keys.remedy(region, Role.IGNORE)}"
    )
    return Assigned(
        region=region,
        role=Role.LESION,
        by="unknown",
        notes=(Caution("uncertain-role", note),),
        error=region.error,
    )


def _conflict(region: FileRegion, role: Role, by: str, keys: RoleKeys) -> tuple[Caution, ...]:
    """A note where a region's name and its code disagree."""
    coded = coded_role(region.code)
    if by != "name" or coded in (None, role) or region.code.program.startswith("gsigpu"):
        return ()
    note = (
        f"{region.path}: {region.shown} is taken for {role} by its name, and is coded as {coded};"
        f" if the code is right, {keys.remedy(region, coded or Role.IGNORE)}"
    )
    return (Caution("uncertain-role", note),)


def _lits_files(regions: Sequence[FileRegion], keys: RoleKeys, spacing_mm: Spacing) -> set[Path]:
    """Files of just two unnamed labels, 1 as large as a liver and 2 within the box around it."""
    paths = set()
    by_path: dict[Path, list[FileRegion]] = {}
    for region in regions:
        by_path.setdefault(region.path, []).append(region)
    for path, members in by_path.items():
        is_plain = all(
            is_unnamed(region)
            and said_role(region)[0] is None
            and region.error is None
            and keys.role(region) is None
            for region in members
        )
        if is_plain and sorted(region.mask.label for region in members) == [1, 2]:
            first, second = sorted((region.mask for region in members), key=lambda mask: mask.label)
            inside = all(
                outer.start - 1 <= inner.start and inner.stop <= outer.stop + 1
                for outer, inner in zip(first.box, second.box, strict=True)
            )
            if inside and liver_sized(first, spacing_mm):
                paths.add(path)
    return paths


def liver_sized(mask: RegionMask, spacing_mm: Spacing) -> str:
    """What is as large as a liver about a region's largest part; "" where nothing is.

    >>> import numpy as np
    >>> ball = RegionMask("a", 1, (0, 0, 0), np.ones((4, 90, 90), bool))
    >>> liver_sized(ball, (2.0, 2.0, 2.0)), liver_sized(ball, (2.0, 0.5, 0.5))
    ('is 252 mm wide and has 259 mL', '')
    """
    largest = parts(mask)[0]
    size_ml = volume_ml(largest, spacing_mm)
    _, rows, columns = largest.voxels.shape
    diagonal_mm = math.hypot(rows * spacing_mm[1], columns * spacing_mm[2])
    if diagonal_mm < LIVER_SIZED_MM and size_ml <= LIVER_SIZED_ML:
        return ""  # no line is longer than its box's diagonal
    width_mm = longest_axial_diameter_mm(largest, spacing_mm)
    if width_mm > LIVER_SIZED_MM or size_ml > LIVER_SIZED_ML:
        return f"is {width_mm:.0f} mm wide and has {size_ml:.0f} mL"
    return ""
