"""A DICOMDIR in the place of a folder: the files that it names (DICOM PS3.3 F, PS3.10 8)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

from gsigpu.archives.archive_rules import archive_stem
from gsigpu.dicom.reading.bounded_file import read_header
from gsigpu.errors import InputError

_REMEDY = "name the folder that it lies in"


def is_dicomdir(path: Path) -> bool:
    """Whether a file is called DICOMDIR, as every index of a file set is; some systems write it small.

    >>> is_dicomdir(Path("disc/DICOMDIR")), is_dicomdir(Path("disc/dicom"))
    (True, False)
    """
    return path.name.upper() == "DICOMDIR"


def study_name(path: Path) -> str:
    """What a study is called by where it lies: its folder, or its archive without the suffix.

    >>> study_name(Path("/in/P1")), study_name(Path("/in/P1.zip")), study_name(Path("/in/P1/DICOMDIR"))
    ('P1', 'P1', 'P1')
    """
    return archive_stem(path.parent if is_dicomdir(path) else path)


def files_named(dicomdir: Path, files: Iterable[str]) -> list[str]:
    """The DICOMDIR itself, and every file that it names, whether it is there or not.

    files : those below its folder; a disc may give names in other case, or with a version (";1")
    Raises InputError if it cannot be read, names no file, or one outside of its folder.
    """
    folder = os.fspath(dicomdir.parent)
    there = {_key(os.path.relpath(name, folder)): name for name in files}
    names = {os.fspath(dicomdir): None}
    for parts in _referenced(dicomdir):
        if any(part in ("", ".", "..") or "/" in part or "\\" in part for part in parts):
            raise InputError("names files outside of its folder", where=dicomdir, remedy=_REMEDY)
        relative = "/".join(parts)
        names[there.get(_key(relative), f"{folder}/{relative}")] = None
    if len(names) == 1:
        raise InputError("names no file", where=dicomdir, remedy=_REMEDY)
    return sorted(names)


def _key(relative: str) -> str:
    return relative.replace(os.sep, "/").split(";")[0].casefold()


def _referenced(dicomdir: Path) -> list[tuple[str, ...]]:
    """Parts of the Referenced File ID of every record."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            records = read_header(dicomdir).DirectoryRecordSequence
            file_ids = [record.get("ReferencedFileID") for record in records]
    except Exception as error:  # pydicom raises anything on a broken file
        raise InputError(
            f"is no DICOMDIR that can be read ({type(error).__name__})",
            where=dicomdir,
            remedy=_REMEDY,
        ) from error
    return [
        (str(file_id),) if isinstance(file_id, str) else tuple(map(str, file_id))
        for file_id in file_ids
        if file_id
    ]
