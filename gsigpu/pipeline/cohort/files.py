"""Where a cohort run keeps what it knows, and how each file gets there whole.

    OUT/cases/NAME-KEY.parquet        the measurement table of one manifest row
    OUT/provenance/NAME-KEY.json      and how it came about; written before the table
    OUT/failed/NAME-KEY.json          stage and reason of a row that failed
    OUT/logs/NAME.log                 what a failed row has to say; run.log of the run
    OUT/maps/NAME, OUT/pictures/NAME.png   if asked
    OUT/measurements/PHASE/part-N.parquet, measurements.csv, failures.csv, exclusions.csv, flow.svg,
    OUT/status.json                   made of the above at the end of every run

KEY follows from the row's inputs and the settings: a row is done when its table is there under its key.
Every file is written beside its place and renamed, so that what is there is whole at any moment.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gsigpu.tables.manifest import ManifestRow

_PARTIAL = re.compile(r"\.partial-[0-9a-f]{8}-(?P<pid>\d+)\.")


def row_files(row: ManifestRow) -> list[Path]:
    """The mask and mapping files that a row names."""
    own = (row.liver_mask, row.vessel_mask, row.aorta_mask, row.normal_mask, row.roles)
    return [*row.masks, *(one for one in own if one is not None)]


def safe_name(row: ManifestRow) -> str:
    """The row's name as a file's."""
    return re.sub(r"[^\w.-]+", "_", row.name)[:80]


def study_fingerprint(study: Path) -> str:
    """Names, sizes and times of all files of a study folder; no file is opened."""
    digest = hashlib.sha256()
    for name, size, time_ns in sorted(_files(study, "")):
        digest.update(f"{name}\0{size}\0{time_ns}\n".encode())
    return digest.hexdigest()


def _files(folder: Path, prefix: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                stat = entry.stat()
                yield f"{prefix}{entry.name}", stat.st_size, stat.st_mtime_ns


def row_key(row: ManifestRow, settings: object, study_digest: str, version: str) -> str:
    """16 hexadecimal digits that change when an input or a setting does."""
    masks = [hashlib.sha256(path.read_bytes()).hexdigest() for path in row_files(row)]
    roles = [
        name
        for name in ("liver_mask", "vessel_mask", "aorta_mask", "normal_mask", "roles")
        if getattr(row, name) is not None
    ]
    parts = (
        version,
        repr(settings),
        row.case_id,
        row.patient_id,
        row.group,
        row.phase,
        row.reader,
        row.slope,
        str(len(row.masks)),
        *roles,
        *masks,
        study_digest,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


class CohortFolder:
    """The files of one cohort run."""

    def __init__(self, root: Path) -> None:
        """Nothing is made yet."""
        self.root = root

    def make(self) -> None:
        """The folders, and no partial file of a run that was killed."""
        for name in ("cases", "provenance", "failed", "logs"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for name in ("cases", "provenance", "failed", "logs", "pictures", "."):
            folder = self.root / name
            for path in folder.iterdir() if folder.is_dir() else ():
                if _PARTIAL.match(path.name):
                    path.unlink(missing_ok=True)

    def table(self, stem: str) -> Path:
        """Table of a finished row."""
        return self.root / "cases" / f"{stem}.parquet"

    def provenance(self, stem: str) -> Path:
        """Provenance record of a finished row."""
        return self.root / "provenance" / f"{stem}.json"

    def failure(self, stem: str) -> Path:
        """Record of a failed row."""
        return self.root / "failed" / f"{stem}.json"

    def log(self, row: ManifestRow) -> Path:
        """Log of a failed row."""
        return self.root / "logs" / f"{safe_name(row)}.log"

    def n_done(self) -> int:
        """Tables that are there, under whatever key."""
        folder = self.root / "cases"
        return sum(path.suffix == ".parquet" for path in folder.iterdir()) if folder.is_dir() else 0


def put(path: Path, write: Any) -> None:
    """A file by `write(partial path)`, renamed into place when complete."""
    partial = path.with_name(f".partial-{secrets.token_hex(4)}-{os.getpid()}.{path.name}")
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


class Redactor:
    """Takes identity out of text: what the headers call the patient, and the paths that lead there."""

    def __init__(self, identity: Sequence[str], paths: dict[str, str]) -> None:
        """Words of `identity` of three letters or more, and `paths` with what to call them."""
        words = {part for text in identity for part in re.split(r"[\^\s,=]+", text)} | set(identity)
        longest = sorted((one for one in words if len(one) >= 3), key=len, reverse=True)
        self._words = (
            re.compile("|".join(map(re.escape, longest)), re.IGNORECASE) if longest else None
        )
        self._paths = sorted(paths.items(), key=lambda pair: -len(pair[0]))

    def __call__(self, text: str) -> str:
        """The text without them."""
        for path, name in self._paths:
            text = text.replace(path, name)
        return self._words.sub("[removed]", text) if self._words else text
