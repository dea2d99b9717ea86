"""What a worker is given and what it answers: settings of a run, tasks, outcomes of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gsigpu.maps.registry import is_added
from gsigpu.masks.positions import PositionChoice
from gsigpu.pipeline.cohort_run.row_files import NO_KEY, file_digest
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.plug_ins import MAPS, STATISTICS, plug_in_record
from gsigpu.tables.manifest import ManifestRow
from gsigpu.version import __version__

# What a row came to: measured now; measured before; failed; not tried, where only failed rows or only some are;
# stopped, because the disk is full or a later run owns the results.
DONE, SKIPPED, FAILED, LEFT, STOPPED = "done", "skipped", "failed", "left", "stopped"


@dataclass(frozen=True, slots=True)
class CohortSettings:
    """What is done with every row; all of it is part of the key of a result.

    maps : names of maps to write, none if empty
    map_format : as of `gsigpu map`; those of DICOM carry the patient's identity, as a PACS needs it
    pictures : of each row
    review : a card of every lesion, and the gallery of all
    study_pages : the study page of every row, which its cards lead to; there is no page without cards
    segment : the program that draws what a row has no mask of; a row's cell of `mask` may then be empty
    segment_version : of that program; it follows from what is installed, and masks of two versions are not mixed
    split_lesions, any_mask_phase, fill_between, threshold, mask_position, mask_phase, register : as of `gsigpu measure`; a row may
        name the phase of its masks itself, and where none is named nothing is carried
    allow_overlap : measure lesions that lie almost wholly in another, which are refused otherwise
    patterns : a file of patterns for series descriptions
    pseudonymous : leave out everything that leads to a patient
    """

    measure: MeasureSettings = field(default_factory=MeasureSettings)
    maps: tuple[str, ...] = ()
    map_format: str = "nifti"
    pictures: bool = False
    review: bool = False
    study_pages: bool = False
    split_lesions: bool = False
    any_mask_phase: bool = False
    fill_between: bool = False
    threshold: float | None = None
    mask_position: PositionChoice | None = None
    mask_phase: str = ""
    register: bool = False
    segment: str = ""
    segment_version: str = ""
    allow_overlap: bool = False
    patterns: Path | None = None
    pseudonymous: bool = False

    def __post_init__(self) -> None:
        """Study pages bring cards; a string becomes a path."""
        if self.patterns is not None:
            object.__setattr__(self, "patterns", Path(self.patterns))
        if self.study_pages:
            object.__setattr__(self, "review", True)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of what a measured row leaves beside its table and the state of its study, see `row_files`."""
        wished = {
            ".png": self.pictures,
            ".maps": bool(self.maps),
            ".cards": self.review,
            ".page": self.study_pages,
        }
        return (".json", *(suffix for suffix, is_wished in wished.items() if is_wished))

    @property
    def key(self) -> str:
        """Changes when a setting does."""
        patterns = None if self.patterns is None else file_digest(self.patterns)
        what = (replace(self, patterns=None), patterns, *self._versions())
        return hashlib.sha256(repr(what).encode()).hexdigest()

    def _versions(self) -> list[dict[str, str]]:
        """Of packages that add what is measured or mapped: another version may give other numbers."""
        maps = (*self.measure.parameters.maps, *self.maps)
        added = [name for name in maps if is_added(name)]
        return plug_in_record(MAPS, added) + plug_in_record(STATISTICS, self.measure.statistics)


@dataclass(frozen=True, slots=True)
class StudyTask:
    """The rows of one study folder.

    out : the run's folder
    retry_only : take up rows that failed before, and no others
    survey_only : measure nothing, tell what is on disk
    by_content : see study_fingerprint
    backend : for maps and measurement
    memory_limit : bytes that a worker may use; 0 for as much as there is
    token, shard : of the run that owns the results, see gsigpu.pipeline.cohort_run.run_token
    version : of the program that made the task
    """

    out: Path
    rows: tuple[ManifestRow, ...]
    settings: CohortSettings
    retry_only: bool = False
    survey_only: bool = False
    by_content: bool = False
    backend: str = "auto"
    timeout_s: float | None = None
    memory_limit: int = 0
    token: str = ""
    shard: str = ""
    version: str = __version__

    def __repr__(self) -> str:
        """Without anybody's identity: Dask writes it into its logs."""
        return f"StudyTask({len(self.rows)} rows)"


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What came of a row.

    status : DONE, SKIPPED, FAILED, LEFT or STOPPED
    key : of its files
    stage, reason, kind : of a failure, see gsigpu.pipeline.cohort_run.failure_kinds
    fresh : whether a failure is of this run
    seconds : by stage
    inputs : of the row, to be compared with those of others: digests and grids of its masks, grid of its study
    damaged : what to tell of files that could not be read back
    """

    row: ManifestRow
    status: str
    key: str = NO_KEY
    stage: str = ""
    reason: str = ""
    kind: str = ""
    fresh: bool = True
    seconds: dict[str, float] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Without anybody's identity."""
        return f"RowOutcome(line {self.row.line}, {self.status})"


def by_study(rows: Sequence[ManifestRow]) -> list[tuple[ManifestRow, ...]]:
    """Rows of one study folder together, in the order of the manifest."""
    members_of: dict[Path, list[ManifestRow]] = {}
    for row in rows:
        members_of.setdefault(row.study, []).append(row)
    return [tuple(members) for members in members_of.values()]
