"""What a call of `gsigpu cohort run` will read and write, file by file and how much, for `--dry-run`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gsigpu.archives.open_archives import split_at_archive
from gsigpu.dicom.reading.headers import files_below
from gsigpu.errors import GsigpuError, InputError
from gsigpu.pipeline.cohort_run.child_process import call_isolated
from gsigpu.pipeline.cohort_run.cohort_plan import CohortPlan
from gsigpu.pipeline.cohort_run.cohort_tables import LISTS, RESULTS_FILE
from gsigpu.pipeline.cohort_run.measurement_blocks import MEASUREMENTS, MEASUREMENTS_CSV
from gsigpu.pipeline.cohort_run.row_files import named_files
from gsigpu.pipeline.cohort_run.row_footers import FOOTERS_FILE
from gsigpu.pipeline.cohort_run.run_record import RECORD_FILES
from gsigpu.pipeline.cohort_run.run_state import LOG_FILE, status_file
from gsigpu.pipeline.cohort_run.run_token import token_file

_CASES = "cases"
# Studies whose files are counted, spread over the manifest: a mount is slow, and a guess is not worth a longer wait.
_COUNTED_STUDIES = 3
_COUNTING_S = 60.0


def planned_files(plan: CohortPlan) -> list[Path]:
    """The files and folders that a call leaves in OUT; a row's own are in OUT/cases/ROW."""
    out, part = plan.out, plan.part
    names = [_CASES, *RECORD_FILES, LOG_FILE]
    paths = [*(out / name for name in names), status_file(out, part), token_file(out, part)]
    if not plan.options.is_part:
        tables = [MEASUREMENTS_CSV, MEASUREMENTS, *LISTS, RESULTS_FILE, FOOTERS_FILE]
        paths += [out / name for name in tables]
        paths += [out / "review"] if plan.settings.review else []
    return paths


def masks_read(plan: CohortPlan) -> list[Path]:
    """Files of masks and roles that the rows name, each once."""
    rows = [row for members in plan.tasks for row in members]
    return list(dict.fromkeys(path for row in rows for path, _ in named_files(row)))


def about_read(plan: CohortPlan) -> int | None:
    """At most about how many bytes the studies hold; None where none of those looked at can be listed in time."""
    studies = [members[0].study for members in plan.tasks]
    if not studies:
        return 0
    step = max(1, len(studies) // _COUNTED_STUDIES)
    try:
        sizes: list[int] = call_isolated(
            _sizes, studies[::step][:_COUNTED_STUDIES], timeout_s=_COUNTING_S
        )
    except InputError:
        return None
    return round(sum(sizes) / len(sizes) * len(studies)) if sizes else None


def _sizes(studies: Sequence[Path]) -> list[int]:  # called in a child
    sizes = []
    for study in studies:
        with suppress(GsigpuError, OSError):
            place = split_at_archive(study)
            names = [os.fspath(place[0])] if place else files_below(study)
            sizes.append(sum(Path(name).stat().st_size for name in names))
    return sizes
