"""What each region of a mask file is: a lesion, the liver, vessels, the aorta, normal liver.

A mapping (`--role`, or a YAML file) comes first. What it does not name is what its whole name says
(`vocabulary.toml`), else what its code in a terminology says. The YAML file:

    lesion: [2, 3, "Met*"]      labels, or names with * and ?, upper or lower case
    liver: Liver
    vessels: ["*vein*", 7]
    aorta: 8
    normal: [9]
    ignore: [10, "met_S4.nii.gz:2"]     a label or name of one file alone
    names: {2: segment IVa}     what to call a lesion in the tables
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path

from gsigpu.errors import InputError, SettingsError
from gsigpu.masks.layers import Coded
from gsigpu.regions.region_mask import RegionMask


class Role(StrEnum):
    """What a region is measured as."""

    LESION = "lesion"
    LIVER = "liver"
    VESSELS = "vessels"
    AORTA = "aorta"
    NORMAL = "normal"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class RoleMap:
    """A mapping that a user gave; an empty one says nothing.

    roles : (label as text, or name pattern in lower case) and its role, the first that fits
    names : label as text, or name -> what to call it
    required : keys of `roles` and `names` that must match a region: those of options
    """

    roles: tuple[tuple[str, Role], ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()

    def key(self, mask: RegionMask, *, file: str = "", has_label: bool = True) -> str | None:
        """The key that names a region; None where none does.

        file : name of the file that the region is from
        has_label : whether the region may go by its bare label
        """
        return next((key for key, _ in self.roles if _fits(key, mask, file, has_label)), None)

    def role(self, mask: RegionMask, *, file: str = "", has_label: bool = True) -> Role | None:
        """The role that the mapping says; None where it does not name the region."""
        key = self.key(mask, file=file, has_label=has_label)
        return None if key is None else dict(reversed(self.roles))[key]

    def name_key(self, mask: RegionMask, *, file: str = "", has_label: bool = True) -> str | None:
        """The key of `names` that names a region; None where none does."""
        label = [str(mask.label)] if has_label else []
        qualified = [f"{file}:{mask.label}", f"{file}:{mask.name}"] if file else []
        return next((key for key in (*label, mask.name, *qualified) if self.names.get(key)), None)

    def called(self, mask: RegionMask, *, file: str = "", has_label: bool = True) -> str:
        """What to call a region in tables: as mapped, else its name, else its label.

        >>> RoleMap(names={"2": "S4a"}).called(RegionMask("label 2", 2, (0, 0, 0), None))
        'S4a'
        """
        key = self.name_key(mask, file=file, has_label=has_label)
        return mask.name.removeprefix("label ") if key is None else self.names[key]


def _fits(key: str, mask: RegionMask, file: str, has_label: bool) -> bool:
    """Whether a key is a region's label or name, or FILE:LABEL or FILE:NAME."""
    name, file = mask.name.lower(), file.lower()
    prefix, colon, rest = key.rpartition(":")
    if colon and file and prefix == file:
        return rest == str(mask.label) or fnmatchcase(name, rest)
    return (has_label and key == str(mask.label)) or fnmatchcase(name, key)


def parse_roles(pairs: Mapping[str, str], names: Mapping[str, str]) -> RoleMap:
    """A mapping from options, each of which must match a region.

    pairs : label or name pattern -> role
    Raises SettingsError for an unknown role.

    >>> parse_roles({"2": "lesion"}, {}).roles
    (('2', <Role.LESION: 'lesion'>),)
    """
    roles = tuple((key.lower(), _role(role)) for key, role in pairs.items())
    return RoleMap(roles, dict(names), frozenset([*(key for key, _ in roles), *names]))


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
    return RoleMap(
        tuple(pair for role_map in maps for pair in role_map.roles),
        names,
        frozenset().union(*(role_map.required for role_map in maps)),
    )


@lru_cache(
    maxsize=1024
)  # it is asked for the same regions again and again, of one study and of the next
def known_role(name: str) -> Role | None:
    """The role that the whole name of a region says, without words for phases, cases and files; None if none.

    >>> known_role("Liver_arterial"), known_role("Met 3"), known_role("liver_without_tumor")
    (<Role.LIVER: 'liver'>, <Role.LESION: 'lesion'>, <Role.LIVER: 'liver'>)
    >>> known_role("spleen"), known_role("case1_portal_1"), known_role("left something")
    (<Role.IGNORE: 'ignore'>, None, None)
    """
    shortened = list(_shortened(_plain(name)))
    # Then without a number that is written on to a word, as in `aorta2`.
    for text in (*shortened, *(re.sub(r"(?<=[^\W\d])\d+$", "", text) for text in shortened)):
        for names, patterns, role in _vocabulary().names:
            if text in names or any(pattern.fullmatch(text) for pattern in patterns):
                return role
    return None


def says_nothing(name: str) -> bool:
    """Whether a name holds nothing but numbers and words for phases, cases and files.

    >>> says_nothing("Segment_3"), says_nothing("case1_portal_1"), says_nothing("spleen")
    (True, True, False)
    """
    return known_role(name) is None and all(_is_cut(word) for word in _plain(name).split())


def is_name_of(name: str, region: str) -> bool:
    """Whether a name is that of a region, without words for phases, cases and files.

    >>> is_name_of("Spleen_arterial_1", "spleen"), is_name_of("left_kidney", "kidney")
    (True, False)
    """
    return _plain(region) in _shortened(_plain(name))


def is_of_vocabulary(name: str) -> bool:
    """Whether a name holds nothing but words that programs and readers give to regions, and short numbers.

    Of such a name it is sure that it names no person.

    >>> is_of_vocabulary("Met 1"), is_of_vocabulary("Leber_arterial"), is_of_vocabulary("label 12")
    (True, True, True)
    >>> is_of_vocabulary("Met of Anna"), is_of_vocabulary("GTV Anna"), is_of_vocabulary("lesion 4711")
    (False, False, False)
    """
    return all(_is_known_word(word) for word in _plain(name).split())


# Labels, single letters, and segments of the liver: "2", "b", "S4a", "IVb".
_PLACE = re.compile(r"[a-z]?\d{1,3}[a-z]?|[a-z]|[ivx]{1,4}[ab]?")


@cache
def _is_known_word(word: str) -> bool:
    entries = _vocabulary()
    if _PLACE.fullmatch(word) or word in _known_words():
        return True
    return any(
        pattern.fullmatch(word)
        for _, patterns, _ in entries.names
        for pattern in patterns
        if not _ANYTHING.search(pattern.pattern)
    )


# Of a pattern that lets any word pass, which may be a name.
_ANYTHING = re.compile(r"\.[*+]|\\w")


@cache
def _known_words() -> frozenset[str]:
    entries = _vocabulary()
    words = {str(role) for role in Role} | entries.cut[0]
    for names, patterns, _ in entries.names:
        words |= {word for name in names for word in name.split()}
        words |= {
            word for pattern in patterns for word in re.findall(r"[^\W\d_]{4,}", pattern.pattern)
        }
    return frozenset(words)


def coded_role(code: Coded) -> Role | None:
    """The role that a region's code says; None where it says none.

    >>> coded_role(Coded("SCT:49755003", "SCT:52988006")), coded_role(Coded("SCT:85756007"))
    (<Role.LESION: 'lesion'>, None)
    """
    for kinds, categories, anatomies, role in _vocabulary().codes:
        fits = code.kind in kinds if kinds else code.category in categories
        if fits and (not anatomies or code.anatomy in anatomies):
            return role
    return None


def role_by_name(name: str) -> tuple[Role, bool]:
    """The role that a name alone speaks for, and whether that is sure.

    >>> role_by_name("Liver metastasis 2"), role_by_name("Segment_3"), role_by_name("something")
    ((<Role.LESION: 'lesion'>, True), (<Role.LESION: 'lesion'>, True), (<Role.LESION: 'lesion'>, False))
    """
    role = known_role(name)
    return (Role.LESION, says_nothing(name)) if role is None else (role, True)


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """The table of `vocabulary.toml`, in its order.

    names : whole names, patterns for whole names, and their role
    codes : kinds, categories, anatomies, and their role
    cut : words that are taken off the ends of names, and patterns for such words
    """

    names: tuple[tuple[frozenset[str], tuple[re.Pattern[str], ...], Role], ...]
    codes: tuple[tuple[frozenset[str], frozenset[str], frozenset[str], Role], ...]
    cut: tuple[frozenset[str], tuple[re.Pattern[str], ...]]


@cache
def _vocabulary() -> _Vocabulary:
    content = tomllib.loads((files("gsigpu.masks") / "vocabulary.toml").read_text("utf-8"))
    return _Vocabulary(
        names=tuple(
            (
                frozenset(_plain(name) for name in entry.get("names", [])),
                tuple(re.compile(pattern) for pattern in entry.get("patterns", [])),
                Role(entry["role"]),
            )
            for entry in content["name"]
        ),
        codes=tuple(
            (
                frozenset(entry.get("kinds", [])),
                frozenset(entry.get("categories", [])),
                frozenset(entry.get("anatomies", [])),
                Role(entry["role"]),
            )
            for entry in content["code"]
        ),
        cut=(
            frozenset(content["cut"]["words"]),
            tuple(re.compile(pattern) for pattern in content["cut"]["patterns"]),
        ),
    )


def _plain(name: str) -> str:
    """Lower case, one space between words.

    >>> _plain("Portal-Vein_(left)"), _plain("liverTumor")
    ('portal vein left', 'livertumor')
    """
    return " ".join(re.sub(r"[\s_\-.,;:/()\[\]+]+", " ", name).lower().split())


def _is_cut(word: str) -> bool:
    words, patterns = _vocabulary().cut
    return word in words or any(pattern.fullmatch(word) for pattern in patterns)


def _shortened(name: str) -> Iterator[str]:
    """A name, and what is left of it when words are cut off its ends; the longest first."""
    words = name.split()
    n_first = next((i for i, word in enumerate(words) if not _is_cut(word)), len(words))
    n_last = next((i for i, word in enumerate(reversed(words)) if not _is_cut(word)), len(words))
    spans = [
        (first, last)
        for first in range(n_first + 1)
        for last in range(max(len(words) - n_last, first + 1), len(words) + 1)
    ]
    for first, last in sorted(spans, key=lambda span: (span[0] - span[1], span)):
        yield " ".join(words[first:last])


def _role(text: str) -> Role:
    try:
        return Role(text.strip().lower())
    except ValueError as error:
        raise SettingsError(f"unknown role {text!r}", remedy=f"use {', '.join(Role)}") from error
