"""What a worker is given and what it answers: settings of a run, tasks, outcomes of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gsigpu.pipeline.cohort_run.row_files import (
    NO_KEY,
    file_digest,
)
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.tables.manifest import ManifestRow


@dataclass(frozen=True, slots=True)
class CohortSettings:
    """What is done with every row; all of it is part of the key of a result.

    maps : names of maps to write, none if empty
    map_format : as of `gsigpu map`; those of DICOM carry the patient's identity, as a PACS needs it
    pictures : of each row
    split_lesions, any_mask_phase : as of `gsigpu measure`
    patterns : a file of patterns for series descriptions
    pseudonymous : leave the UIDs of DICOM objects out of provenance
    """

    measure: MeasureSettings = field(default_factory=MeasureSettings)
    maps: tuple[str, ...] = ()
    map_format: str = "nifti"
    pictures: bool = False
    split_lesions: bool = False
    any_mask_phase: bool = False
    patterns: Path | None = None
    pseudonymous: bool = False

    @property
    def key(self) -> str:
        """Changes when a setting does."""
        patterns = None if self.patterns is None else file_digest(self.patterns)
        return hashlib.sha256(repr((replace(self, patterns=None), patterns)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class StudyTask:
    """The rows of one study folder.

    out : the run's folder
    keys : of the rows, where they are known
    retry_only : take up rows that failed before, and no others
    by_content : see study_fingerprint
    backend : for maps
    memory_limit : bytes that a worker may use; 0 for as much as there is
    """

    out: Path
    rows: tuple[ManifestRow, ...]
    settings: CohortSettings
    keys: tuple[str, ...] = ()
    retry_only: bool = False
    by_content: bool = False
    backend: str = "auto"
    timeout_s: float | None = None
    memory_limit: int = 0


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What came of a row.

    status : `done` now; `skipped` because it was done before; `failed`; `left`, where only failed rows are
        taken up and this one was never tried
    key : of its files
    stage, reason : of a failure
    fresh : whether a failure is of this run
    seconds : by stage
    """

    row: ManifestRow
    status: str
    key: str = NO_KEY
    stage: str = ""
    reason: str = ""
    fresh: bool = True
    seconds: dict[str, float] = field(default_factory=dict)


def by_study(rows: Sequence[ManifestRow]) -> list[tuple[ManifestRow, ...]]:
    """Rows of one study folder together, in the order of the manifest."""
    members_of: dict[Path, list[ManifestRow]] = {}
    for row in rows:
        members_of.setdefault(row.study, []).append(row)
    return [tuple(members) for members in members_of.values()]
