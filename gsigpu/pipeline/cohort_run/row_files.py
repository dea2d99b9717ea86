"""Where a cohort run keeps what it knows, and how each file gets there whole.

    OUT/cases/NAME/KEY.parquet        the measurement table of one row of the manifest: where it is, all is
    OUT/cases/NAME/KEY.json           how it came about
    OUT/cases/NAME/KEY.png, KEY.maps/ if asked
    OUT/cases/NAME/KEY.failed.json    stage and reason of a row that failed, KEY.log what it has to say
    OUT/measurements/phase=PVP/part-0.parquet, measurements.csv, failures.csv, exclusions.csv, flow.svg,
    flow.png, results.json            made of the above at the end of a run
    OUT/run.json, run.log, status.json, .lock

KEY follows from the row's inputs and the settings: a row is done when its table is there under its key.
Every file is written beside its place and renamed, so that what is there is whole at any moment.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gsigpu.dicom.reading.headers import files_below
from gsigpu.errors import InputError
from gsigpu.output.leftovers import HOST, is_abandoned, is_unfinished_name
from gsigpu.tables.manifest import ManifestRow

_PARTIAL = re.compile(r"\.partial-[0-9a-f]{8}-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)\..*")
# Limits, each with its reason.
_LONGEST_NAME = 100  # bytes: file systems allow 255, and archives of them often 100
_READ_BYTES = 2**22  # per read call: larger blocks read no faster
_KEY_LENGTH = 16  # 64 bits: two of a million keys are equal with a probability of 3e-8
NO_KEY = "unread"
FAILURE_SUFFIXES = (".failed.json", ".log")


def named_files(row: ManifestRow) -> list[tuple[Path, str]]:
    """The mask and mapping files that a row names, and what they are."""
    files = [(path, f"mask-{i}") for i, path in enumerate(row.masks, start=1)]
    for name in ("liver_mask", "vessel_mask", "aorta_mask", "normal_mask", "roles"):
        path = getattr(row, name)
        if path is not None:
            files.append((path, name))
    return files


def row_name(row: ManifestRow) -> str:
    """A row's name as that of a file; no two rows share one.

    >>> row_name(ManifestRow(2, "c 1", "p", "lung", "PVP", Path(), (), reader="A"))
    'c%201~PVP~A'
    """
    parts = (row.case_id, row.phase, row.reader) if row.reader else (row.case_id, row.phase)
    name = "~".join(re.sub(r"[^\w.-]|^\.", _escaped, part) for part in parts)
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name.encode()[: _LONGEST_NAME - 13].decode('utf-8', 'ignore')}~{digest}"


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


def study_fingerprint(study: Path, *, by_content: bool = False) -> str:
    """Of all files of a study folder: names, sizes and times of last change, without opening any.

    The inode's time is among them, which no program can set back: a file that was changed and given its
    old date is seen. by_content : names and contents instead, for an archive that is copied about; this
    reads every byte.
    Raises InputError if the folder cannot be listed.
    """
    digest = hashlib.sha256()
    for name in files_below(study):
        digest.update(os.path.relpath(name, study).encode("utf-8", "surrogateescape"))
        if by_content:
            digest.update(file_digest(Path(name)).encode())
        else:
            stat = os.stat(name, follow_symlinks=os.path.exists(name))  # noqa: PTH110, PTH116  # of thousands
            digest.update(f"\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\n".encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, or of the names and contents in a folder; what cannot be read has a word."""
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            for name in files_below(path):
                relative = os.path.relpath(name, path)
                digest.update(
                    f"{relative}\0{file_digest(Path(name))}\n".encode("utf-8", "surrogateescape")
                )
            return digest.hexdigest()
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
    except (OSError, InputError):
        return "unreadable"
    return digest.hexdigest()


def row_key(row: ManifestRow, settings_key: str, study_digest: str, version: str) -> str:
    """16 hexadecimal digits that change when an input or a setting does.

    Where a file lies is no input, what it holds is.
    """
    labels = (row.case_id, row.patient_id, row.group, row.phase, row.reader, row.slope)
    files = [f"{called} {file_digest(path)}" for path, called in named_files(row)]
    text = json.dumps([version, settings_key, labels, files, study_digest])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_KEY_LENGTH]


@dataclass(frozen=True, slots=True)
class RowFiles:
    """The files of one row under one key; a failure whose inputs could not be read has the key NO_KEY."""

    folder: Path
    key: str

    def named(self, suffix: str) -> Path:
        """KEY with a suffix."""
        return self.folder / f"{self.key}{suffix}"

    @property
    def table(self) -> Path:
        """The measurements; there when the row is done."""
        return self.named(".parquet")

    @property
    def provenance(self) -> Path:
        """How they came about."""
        return self.named(".json")

    @property
    def failure(self) -> Path:
        """Stage and reason, where the row failed."""
        return self.named(".failed.json")

    @property
    def log(self) -> Path:
        """And what else there is to say."""
        return self.named(".log")

    @property
    def picture(self) -> Path:
        """Of the largest lesion."""
        return self.named(".png")

    @property
    def maps(self) -> Path:
        """A folder."""
        return self.named(".maps")

    def under_other_keys(self) -> list[Path]:
        """What is there of the row from other inputs or settings."""
        if not self.folder.is_dir():
            return []
        prefix = f"{self.key}."
        return [
            path
            for path in self.folder.iterdir()
            if not path.name.startswith((prefix, ".partial-", f".{prefix}"))
        ]

    def failures(self) -> list[Path]:
        """Records of failures, under whatever key."""
        return list(self.folder.glob("*.failed.json")) if self.folder.is_dir() else []


def row_files(root: Path, row: ManifestRow, key: str = NO_KEY) -> RowFiles:
    """Of a row in a run's folder."""
    return RowFiles(root / "cases" / row_name(row), key)


def remove(paths: Iterable[Path]) -> None:
    """Files and folders, as far as they are there."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Removes what a killed run left half-written in a folder."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if (match := _PARTIAL.fullmatch(path.name)) and is_abandoned(
            path, match["host"], int(match["pid"])
        ):
            path.unlink(missing_ok=True)
        elif is_unfinished_name(path.name) and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def put(path: Path, write: Callable[[Path], object]) -> None:
    """A file by `write(partial path)`, renamed into place when complete."""
    partial = path.with_name(f".partial-{secrets.token_hex(4)}-{HOST}-{os.getpid()}.{path.name}")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def put_text(path: Path, text: str) -> None:
    """A text file, whole or not there."""
    put(path, lambda partial: partial.write_text(text, "utf-8"))


def put_json(path: Path, content: object) -> None:
    """A JSON file, whole or not there."""
    put_text(path, json.dumps(content, indent=1) + "\n")
