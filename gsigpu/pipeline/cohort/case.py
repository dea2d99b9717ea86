"""One study of a cohort: its rows measured, one after the other, each done or failed by itself."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import gsigpu
from gsigpu.dicom.identity import identity_of
from gsigpu.dicom.model import SeriesKind, Study
from gsigpu.dicom.study import read_study
from gsigpu.errors import GsigpuError
from gsigpu.masks.roles import RoleMap, read_role_file
from gsigpu.pipeline.cohort.files import (
    CohortFolder,
    Redactor,
    put,
    put_json,
    put_text,
    row_files,
    row_key,
    safe_name,
    study_fingerprint,
)
from gsigpu.pipeline.map_study import map_study
from gsigpu.pipeline.measure import Measurement, MeasureSettings, measure_study, provenance
from gsigpu.pipeline.measure_rows import CaseLabels
from gsigpu.pipeline.study_masks import MaskFiles
from gsigpu.tables.manifest import ManifestRow
from gsigpu.tables.measurement import write_table

# (row, stage, stem): told before each stage, so that who watches knows where a worker died.
Tell = Callable[[ManifestRow, str, str], None]
_OUT_OF_MEMORY = "out of memory; give the run fewer --workers"


@dataclass(frozen=True, slots=True)
class CohortSettings:
    """What is done with every row; part of the key of its result.

    maps : names of maps to write, none if empty
    """

    measure: MeasureSettings = field(default_factory=MeasureSettings)
    maps: tuple[str, ...] = ()
    map_format: str = "ct"
    pictures: bool = False
    split_lesions: bool = False
    any_mask_phase: bool = False


@dataclass(frozen=True, slots=True)
class StudyTask:
    """The rows of one study folder.

    retry : take up rows that failed before
    backend : for maps
    """

    out: Path
    rows: tuple[ManifestRow, ...]
    settings: CohortSettings
    retry: bool = False
    backend: str = "auto"


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What came of a row.

    status : `done` now, `skipped` because it was done before, or `failed`
    stem : of its files; "" where not even its key is known
    stage, reason : of a failure
    lesion_failures : (lesion, reason) of a row that is done otherwise
    seconds : by stage
    """

    row: ManifestRow
    status: str
    stem: str
    stage: str = ""
    reason: str = ""
    lesion_failures: tuple[tuple[str, str], ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


def run_study(task: StudyTask, tell: Tell) -> list[RowOutcome]:
    """Measures all rows of a study; never raises for what is wrong with one of them."""
    folder = CohortFolder(task.out)
    study: Study | None = None
    redactor: Redactor | None = None
    outcomes = []
    for row in task.rows:
        clock = _Clock(row, tell)
        try:
            clock.stage("inputs")
            digest = study_fingerprint(row.study)
            key = row_key(row, task.settings, digest, gsigpu.__version__)
            clock.stem = f"{safe_name(row)}-{key}"
            if (known := _known(folder, row, clock.stem, retry=task.retry)) is not None:
                outcomes.append(known)
                continue
            redactor = redactor or redactor_of(row)
            if study is None:
                clock.stage("scan")
                study = read_study(row.study)
            outcomes.append(_run_row(task, row, study, clock, folder, redactor))
        except Exception as error:  # noqa: BLE001  # a broken case fails alone, whatever breaks it
            redactor = redactor or redactor_of(row)
            outcomes.append(_failed(folder, row, clock, error, redactor))
    return outcomes


class _Clock:
    """Tells stages, and times them."""

    def __init__(self, row: ManifestRow, tell: Tell) -> None:
        self._row, self._tell = row, tell
        self.stem = ""
        self.name = "inputs"
        self.seconds: dict[str, float] = {}
        self._begun = perf_counter()

    def stage(self, name: str) -> None:
        self.stop()
        self.name = name
        self._tell(self._row, name, self.stem)

    def stop(self) -> None:
        now = perf_counter()
        self.seconds[self.name] = self.seconds.get(self.name, 0.0) + now - self._begun
        self._begun = now


def redactor_of(row: ManifestRow) -> Redactor:
    """Keeps the identity in a row's study out of what is written about it."""
    paths = {str(row.study): "study", str(row.study.resolve()): "study"}
    for path in row_files(row):
        paths |= {str(path): "mask", str(path.resolve()): "mask"}
    try:
        return Redactor(identity_of(row.study), paths)
    except OSError:
        return Redactor([], paths)


def _known(folder: CohortFolder, row: ManifestRow, stem: str, *, retry: bool) -> RowOutcome | None:
    """What is on disk of a row under its key."""
    if folder.table(stem).exists():
        record = json.loads(folder.provenance(stem).read_text("utf-8"))
        failures = tuple((one["lesion_id"], one["reason"]) for one in record["failures"])
        return RowOutcome(row, "skipped", stem, lesion_failures=failures)
    if folder.failure(stem).exists() and not retry:
        record = json.loads(folder.failure(stem).read_text("utf-8"))
        return RowOutcome(row, "failed", stem, record["stage"], record["reason"])
    return None


def _run_row(
    task: StudyTask,
    row: ManifestRow,
    study: Study,
    clock: _Clock,
    folder: CohortFolder,
    redact: Redactor,
) -> RowOutcome:
    settings = task.settings
    clock.stage("measure")
    masks = MaskFiles(
        row.masks,
        liver=row.liver_mask,
        vessels=row.vessel_mask,
        aorta=row.aorta_mask,
        normal=row.normal_mask,
        roles=RoleMap() if row.roles is None else read_role_file(row.roles),
        split=settings.split_lesions,
        any_phase=settings.any_mask_phase,
    )
    found = measure_study(
        study,
        masks,
        settings=_with_slope(settings.measure, row.slope),
        labels=CaseLabels(row.case_id, row.patient_id, row.group, row.reader, row.phase),
        phase=phase_in(study, row.phase),
        n_workers=1,
    )
    if settings.maps:
        clock.stage("maps")
        (folder.root / "maps").mkdir(exist_ok=True)
        map_study(
            study,
            folder.root / "maps" / safe_name(row),
            maps=settings.maps,
            slope=row.slope or settings.measure.parameters.slopes[0],
            phase=phase_in(study, row.phase),
            output_format=settings.map_format,  # type: ignore[arg-type]  # checked by map_study
            backend=task.backend,  # type: ignore[arg-type]  # checked by map_study
            n_workers=1,
            overwrite=True,
        )
    if settings.pictures:
        from gsigpu.pipeline.cohort.picture import save_picture

        clock.stage("picture")
        (folder.root / "pictures").mkdir(exist_ok=True)
        put(
            folder.root / "pictures" / f"{safe_name(row)}.png",
            lambda partial: save_picture(partial, found),
        )
    clock.stage("write")
    failures = tuple((one.lesion_id, redact(str(one.error))) for one in found.failures)
    _write(folder, clock.stem, found, masks, redact)
    folder.failure(clock.stem).unlink(missing_ok=True)
    folder.log(row).unlink(missing_ok=True)
    clock.stop()
    return RowOutcome(
        row, "done", clock.stem, lesion_failures=failures, seconds=dict(clock.seconds)
    )


def _write(
    folder: CohortFolder, stem: str, found: Measurement, masks: MaskFiles, redact: Redactor
) -> None:
    """Provenance, then the table: where the table is, all is."""
    record = _redacted(provenance(found, masks), redact)
    record["lesions"] = [
        {"lesion_id": row.lesion_id, "longest_axial_diameter_mm": row.value}
        for row in found.rows
        if row.parameter == "longest_axial_diameter"
    ]
    table = found.table
    table["definition"] = table["definition"].map(redact)
    put_json(folder.provenance(stem), record)
    put(folder.table(stem), lambda partial: write_table(table, partial))


def _redacted(content: Any, redact: Redactor) -> Any:
    """The same structure; labels that the manifest gave, and UIDs, stay."""
    if isinstance(content, dict):
        kept = ("case", "sop_instance_uids", "uid", "study_uid", "frame_of_reference_uid")
        return {
            name: one if name in kept else _redacted(one, redact) for name, one in content.items()
        }
    if isinstance(content, list | tuple):
        return [_redacted(one, redact) for one in content]
    return redact(content) if isinstance(content, str) else content


def _with_slope(settings: MeasureSettings, slope: str) -> MeasureSettings:
    """A row may say what plain λHU means for it."""
    if not slope:
        return settings
    others = tuple(one for one in settings.parameters.slopes[1:] if one != slope)
    return replace(settings, parameters=replace(settings.parameters, slopes=(slope, *others)))


def phase_in(study: Study, phase: str) -> str | None:
    """The manifest's phase, or None where the study holds one stack whose phase nothing says."""
    phases = {one.phase for one in study.series if one.kind is SeriesKind.VMI}
    return None if phases == {""} else phase


def _failed(
    folder: CohortFolder, row: ManifestRow, clock: _Clock, error: Exception, redact: Redactor
) -> RowOutcome:
    if isinstance(error, MemoryError):
        reason = _OUT_OF_MEMORY
    elif isinstance(error, GsigpuError):
        reason = str(error)
    else:
        reason = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
    clock.stop()
    details = "" if isinstance(error, GsigpuError) else "".join(traceback.format_exception(error))
    return record_failure(
        folder, row, clock.stem, clock.name, redact(reason), redact(details), clock.seconds
    )


def record_failure(
    folder: CohortFolder,
    row: ManifestRow,
    stem: str,
    stage: str,
    reason: str,
    details: str,
    seconds: dict[str, float],
) -> RowOutcome:
    """Keeps a failure and its log. A failure without a key is not kept: the row is tried again."""
    put_text(
        folder.log(row),
        f"case {row.case_id}, phase {row.phase}, reader {row.reader or '(none)'}\n"
        f"failed in {stage}: {reason}\n{details}",
    )
    if stem:
        put_json(folder.failure(stem), {"case_id": row.case_id, "stage": stage, "reason": reason})
    return RowOutcome(row, "failed", stem, stage, reason, seconds=dict(seconds))


def by_study(rows: Sequence[ManifestRow]) -> list[tuple[ManifestRow, ...]]:
    """Rows of one study folder together, in the order of the manifest."""
    found: dict[Path, list[ManifestRow]] = {}
    for row in rows:
        found.setdefault(row.study, []).append(row)
    return [tuple(members) for members in found.values()]
