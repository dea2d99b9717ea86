"""Copies of files in an export: the same image twice is told and left out; another is an error."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from gsigpu.dicom.model import Plane


def without_copies(planes: Sequence[Plane]) -> tuple[list[Plane], int]:
    """The planes without those whose file is, byte for byte, that of an earlier one; and how many files went.

    Planes of one SOP Instance UID whose files differ stay, for the grid to refuse.
    """
    images = [(plane.sop_instance_uid, plane.frame) for plane in planes if plane.sop_instance_uid]
    if len(set(images)) == len(images):
        return list(planes), 0
    by_image: dict[tuple[str, int], list[int]] = defaultdict(list)
    for index, plane in enumerate(planes):
        if plane.sop_instance_uid:
            by_image[plane.sop_instance_uid, plane.frame].append(index)
    same_bytes = lru_cache(maxsize=None)(_same_bytes)
    dropped: set[int] = set()
    files: set[Path] = set()
    for members in by_image.values():
        kept = members[:1]
        for index in members[1:]:
            path = planes[index].path
            if any(same_bytes(planes[i].path, path) for i in kept):
                dropped.add(index)
                files.add(path)
            else:
                kept.append(index)
    return [plane for i, plane in enumerate(planes) if i not in dropped], len(files)


def _same_bytes(first: Path, second: Path) -> bool:
    """False also where one cannot be read: then nothing is known."""
    try:
        return first != second and filecmp.cmp(first, second, shallow=False)
    except OSError:
        return False
