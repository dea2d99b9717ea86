"""What each region of a mask file is: a lesion, the liver, vessels, the aorta, normal liver.

Without a mapping, a name that holds a word of the table below says it, and whatever else there is is a
lesion, which is told where the name speaks against it. With a mapping (`--role`, or a YAML file), the
mapping alone says it, and a region that it does not name is an error. The file:

    lesion: [2, 3, "Met*"]      labels, or names with * and ?, upper or lower case
    liver: Liver
    vessels: ["*vein*", 7]
    aorta: 8
    normal: [9]
    ignore: [10]
    names: {2: segment IVa}     what to call a lesion in the tables
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

from gsigpu.errors import InputError, SettingsError
from gsigpu.regions.region_mask import RegionMask


class Role(StrEnum):
    """What a region is measured as."""

    LESION = "lesion"
    LIVER = "liver"
    VESSELS = "vessels"
    AORTA = "aorta"
    NORMAL = "normal"
    IGNORE = "ignore"


# The first that fits says the role: "liver metastasis" is a lesion, "hepatic vein" a vessel.
_WORDS = (
    (Role.LESION, r"lesion|metasta|\bmet\d*\b|tumou?r|\bmass\b|nodule|\bhcc\b|\bcyst"),
    (Role.AORTA, r"aorta"),
    (Role.VESSELS, r"vessel|\bveins?\b|arter|\bportal\b|vena|\bivc\b"),
    (Role.NORMAL, r"\bnormal|parenchyma|reference"),
    (Role.LIVER, r"\bliver\b|hepar|\bfoie\b|\bleber\b"),
)
# Names that say nothing, as programs give them.
_NO_NAME = re.compile(r"(label|segment|region|roi|structure)?[\s_-]*\d*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RoleMap:
    """A mapping that a user gave; an empty one says nothing.

    roles : (label as text, or name pattern in lower case) and its role, the first that fits
    names : label as text, or name -> what to call it
    """

    roles: tuple[tuple[str, Role], ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def role(self, mask: RegionMask) -> Role | None:
        """The role that the mapping says; None where it does not name the region."""
        for key, role in self.roles:
            if key == str(mask.label) or fnmatchcase(mask.name.lower(), key):
                return role
        return None

    def called(self, mask: RegionMask) -> str:
        """What to call a region in tables: as mapped, else its name, else its label.

        >>> RoleMap(names={"2": "S4a"}).called(RegionMask("label 2", 2, (0, 0, 0), None))
        'S4a'
        """
        name = self.names.get(str(mask.label)) or self.names.get(mask.name)
        return name or mask.name.removeprefix("label ")


def parse_roles(pairs: Mapping[str, str], names: Mapping[str, str]) -> RoleMap:
    """A mapping from options.

    pairs : label or name pattern -> role
    Raises SettingsError for an unknown role.

    >>> parse_roles({"2": "lesion"}, {}).roles
    (('2', <Role.LESION: 'lesion'>),)
    """
    return RoleMap(tuple((key.lower(), _role(role)) for key, role in pairs.items()), dict(names))


def read_role_file(path: Path) -> RoleMap:
    """A mapping from a YAML file, see the module.

    Raises InputError if it cannot be read or is of another form.
    """
    import yaml

    remedy = "write lines such as `lesion: [2, 3]` and `liver: Liver`"
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"cannot be read ({' '.join(str(error).split())})", where=path, remedy=remedy
        ) from error
    if not isinstance(content, dict):
        raise InputError("is no mapping of roles", where=path, remedy=remedy)
    names = content.pop("names", {})
    if not isinstance(names, dict):
        raise InputError(
            "names is no mapping", where=path, remedy="write `names: {2: segment IVa}`"
        )
    roles: list[tuple[str, Role]] = []
    for role, members in content.items():
        for member in members if isinstance(members, list) else [members]:
            if not isinstance(member, str | int) or isinstance(member, bool):
                raise InputError(
                    f"{role}: {member!r} is no label or name", where=path, remedy=remedy
                )
            try:
                roles.append((str(member).lower(), _role(str(role))))
            except SettingsError as error:
                raise InputError(error.what, where=path, remedy=error.remedy) from error
    return RoleMap(tuple(roles), {str(key): str(value) for key, value in names.items()})


def merged(maps: Sequence[RoleMap]) -> RoleMap:
    """Several mappings as one; the first that names a region says its role."""
    names: dict[str, str] = {}
    for role_map in reversed(maps):
        names |= role_map.names
    return RoleMap(tuple(pair for role_map in maps for pair in role_map.roles), names)


def role_by_name(name: str) -> tuple[Role, bool]:
    """The role that a name speaks for, and whether that is sure.

    >>> role_by_name("Liver metastasis 2"), role_by_name("Segment_3"), role_by_name("spleen")
    ((<Role.LESION: 'lesion'>, True), (<Role.LESION: 'lesion'>, True), (<Role.LESION: 'lesion'>, False))
    """
    for role, words in _WORDS:
        if re.search(words, name.replace("_", " "), re.IGNORECASE):
            return role, True
    return Role.LESION, _NO_NAME.fullmatch(name) is not None


def _role(text: str) -> Role:
    try:
        return Role(text.strip().lower())
    except ValueError as error:
        raise SettingsError(f"unknown role {text!r}", remedy=f"use {', '.join(Role)}") from error
