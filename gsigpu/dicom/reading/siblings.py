"""Files that say nothing, but lie among images and are called like them.

A slice whose file is empty of content (zeros, cut off before its header says anything) cannot be told
from a stray file by what it holds. At the end of a series it would not be missed: one slice fewer, and
no gap. What it is called and how large it is tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from gsigpu.dicom.model import Plane, Skipped
from gsigpu.errors import InputError
from gsigpu.file_state import FileState

NOT_DICOM = "not DICOM"
# Names that are hashes or GUIDs have no digits in common; these are compared by their length alone.
_HASH = re.compile(r"[0-9a-f]{8,}(-[0-9a-f]{4,})*", re.IGNORECASE)
# As small files may have any size by chance, only the size of an image is evidence.
_SMALLEST_BYTES = 4096


def mark_damaged_siblings(planes: Iterable[Plane], skipped: Sequence[Skipped]) -> list[Skipped]:
    """The skipped files, those that are images by name or size told as damaged."""
    if not any(_says_nothing(file) for file in skipped):
        return list(skipped)
    names, sizes = set[str](), set[tuple[Path, int]]()
    for plane in planes:
        path = plane.path
        names.add(name_pattern(path.name))
        if plane.state is not None and plane.state.size >= _SMALLEST_BYTES:
            sizes.add((path.parent, plane.state.size))
    return [_judged(file, names, sizes) if _says_nothing(file) else file for file in skipped]


def _says_nothing(file: Skipped) -> bool:
    return file.reason == NOT_DICOM and not file.damaged


def _judged(file: Skipped, names: set[str], sizes: set[tuple[Path, int]]) -> Skipped:
    if name_pattern(file.path.name) in names:
        evidence = "is called like the images"
    elif (file.path.parent, _size(file.path)) in sizes:
        evidence = "has the size of the images beside it"
    else:
        return file
    return Skipped(path=file.path, reason=f"holds no DICOM header but {evidence}", damaged=True)


def name_pattern(name: str) -> str:
    """What names of a series' files have in common.

    >>> name_pattern("IM-0001-0042.dcm"), name_pattern("1.2.840.17.dcm"), name_pattern("8FA2C0D1")
    ('im-#-#.dcm', '#.#.#.#.dcm', 'hash of 8')
    """
    stem, dot, suffix = name.lower().rpartition(".")
    stem, suffix = (stem, dot + suffix) if dot and not suffix.isdigit() else (name.lower(), "")
    if _HASH.fullmatch(stem):
        return f"hash of {len(stem)}{suffix}"
    return re.sub(r"\d+", "#", stem) + suffix


def _size(path: Path) -> int:
    try:
        return FileState.of(path).size
    except (OSError, InputError):
        return -1
