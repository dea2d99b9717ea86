"""The gallery of a run, from the cards that its rows left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gsigpu.pipeline.cohort_run.cohort_task import DONE, SKIPPED, CohortSettings, RowOutcome
from gsigpu.pipeline.cohort_run.row_files import row_files


def write_gallery_of(out: Path, settings: CohortSettings, outcomes: Sequence[RowOutcome]) -> Path:
    """Writes OUT/review of the rows that are measured, in the order of the manifest; returns its page."""
    from gsigpu.pipeline.review.cohort_gallery import RowCards, write_cohort_gallery

    rows = []
    for outcome in outcomes:
        if outcome.status in (DONE, SKIPPED):
            row, files = outcome.row, row_files(out, outcome.row, outcome.key)
            rows.append(
                RowCards(
                    case_id=row.case_id,
                    group=row.group,
                    phase=row.phase,
                    reader=row.reader,
                    cards=files.cards,
                    page=files.page,
                )
            )
    return write_cohort_gallery(out, rows, run=settings.key[:12])
