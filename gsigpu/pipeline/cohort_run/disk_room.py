"""How much a run will write, before it starts, and whether the disk takes it."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import GsigpuError, OutputError
from gsigpu.pipeline.cohort_run.cohort_task import CohortSettings
from gsigpu.pipeline.cohort_run.failure_kinds import is_disk_full
from gsigpu.tables.manifest import ManifestRow

# Of one row with six lesions, measured (bench/results/cohort-cpu.md): its table and provenance, its part of the
# Parquet and of the CSV of the cohort. Twelve lesions in a row, or regions in several readings, are half as much again.
_ROW_BYTES = 30_000 + 62_000 + 8_000 + 110_000
_MARGIN = 1.5
_PICTURE_BYTES = 600_000
_CARDS_BYTES = (
    12 * 16_000
)  # twelve lesions at the budget of a card, see gsigpu.pipeline.review.lesion_cards
_BYTES_PER_VOXEL = {"ct": 2, "rgb": 3}
SPARE_BYTES = 256 * 2**20  # left on the disk while a run goes on, for everything else on it
_TRIED_STUDIES = 3  # whose headers are read for the size of a map


def predicted_bytes(rows: Sequence[ManifestRow], settings: CohortSettings) -> int:
    """What so many rows will write: tables twice (by row and together), CSV, provenance, pictures, maps, pages.

    The size of maps and pages is that of the first study whose headers can be read.
    """
    per_row = round(_MARGIN * _ROW_BYTES)
    if settings.pictures:
        per_row += _PICTURE_BYTES
    if settings.review:
        per_row += _CARDS_BYTES
    if (settings.maps or settings.study_pages) and rows:
        from gsigpu.pipeline.review.page_volumes import predicted_bytes as page_bytes

        n_voxels = _voxels(rows)
        per_row += len(settings.maps) * _BYTES_PER_VOXEL.get(settings.map_format, 4) * n_voxels
        per_row += page_bytes(n_voxels) if settings.study_pages else 0
    return per_row * len(rows)


def _voxels(rows: Sequence[ManifestRow]) -> int:
    studies = list(dict.fromkeys(row.study for row in rows))
    for folder in studies[:_TRIED_STUDIES]:
        try:
            study = read_study(folder)
        except GsigpuError:
            continue
        sizes = [
            math.prod(series.geometry.shape)
            for series in study.series
            if series.geometry is not None
        ]
        if sizes:
            return max(sizes)
    return 0


def require_room(out: Path, n_bytes: int) -> None:
    """Raises OutputError if the disk has not so much room and some to spare."""
    free = free_bytes(out)
    if n_bytes + SPARE_BYTES > free:
        raise OutputError(
            f"the run will write about {n_bytes / 2**30:.1f} GiB, the disk has {free / 2**30:.1f} GiB left",
            where=out,
            remedy="free space, write elsewhere, or leave out --maps and --study-pages",
        )


def free_bytes(folder: Path) -> int:
    """Of the disk on which a folder lies, or will lie."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def written_bytes(folders: Iterable[Path]) -> int:
    """Of all files in some folders; what another part of the run takes away meanwhile does not count."""
    n_bytes = 0
    for folder in folders:
        for above, _, names in os.walk(folder):
            for name in names:
                with suppress(FileNotFoundError):
                    n_bytes += (Path(above) / name).stat().st_size
    return n_bytes


@contextmanager
def clear_when_full(out: Path) -> Iterator[None]:
    """A full disk, whoever meets it, as an error that says how to go on."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise disk_is_full(out) from error
        raise


@contextmanager
def ignored_when_full() -> Iterator[None]:
    """What could not be written because the disk is full is let go."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise


def disk_is_full(out: Path) -> OutputError:
    """The error of a full disk."""
    return OutputError("the disk is full", where=out, remedy="free space, and run again to go on")
