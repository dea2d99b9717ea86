"""What a call of `gsigpu cohort run` did."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from gsigpu.pipeline.cohort_run.table_counts import CohortTables


@dataclass(frozen=True, slots=True)
class CohortResult:
    """What a run did.

    n_done : now; n_skipped : done before; n_failed : whose failures are in failures.csv; n_left : not tried
    tables : None for a shard, which makes none
    predicted_bytes, written_bytes : what it would add to the disk, and what it did
    changes : of the run's settings, by this call
    damaged : files that were set aside, and made anew
    pruned : folders of rows that are not in the manifest any more, removed
    warnings : of the run, not of its rows
    """

    out: Path
    n_rows: int
    n_done: int
    n_skipped: int
    n_failed: int
    n_left: int
    tables: CohortTables | None
    seconds: float
    rows_per_hour: float
    stage_seconds: dict[str, float] = field(default_factory=dict)
    predicted_bytes: int = 0
    written_bytes: int = 0
    changes: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    pruned: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether nothing failed and nothing is left."""
        n_lesions = 0 if self.tables is None else self.tables.n_failed_lesions
        return not (self.n_failed or self.n_left or n_lesions)

    def as_dict(self) -> dict[str, object]:
        """Plain data for `--json`."""
        return {**asdict(self), "out": str(self.out)}
