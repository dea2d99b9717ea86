"""One study of a cohort: its rows measured, one after the other, each done or failed by itself."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from gsigpu.dicom.model import SeriesKind, Study
from gsigpu.dicom.study.patterns import load_patterns
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import GsigpuError
from gsigpu.masks.roles import RoleMap, read_role_file
from gsigpu.pipeline.cohort_run.cohort_task import RowOutcome, StudyTask
from gsigpu.pipeline.cohort_run.redaction import Redactor, redactor_for
from gsigpu.pipeline.cohort_run.row_files import (
    FAILURE_SUFFIXES,
    RowFiles,
    put,
    put_json,
    put_text,
    remove,
    row_files,
    row_key,
    study_fingerprint,
    sweep,
)
from gsigpu.pipeline.cohort_run.row_results import without_uids, write_row
from gsigpu.pipeline.map.map_study import map_study
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.measurement_rows import CaseLabels
from gsigpu.pipeline.measure.study_masks import MaskFiles
from gsigpu.tables.manifest import ManifestRow
from gsigpu.version import __version__

_OUT_OF_MEMORY = "out of memory; give the run fewer --workers, or the machine more memory"


# (row number, stage): told before each stage, so that who watches knows where a worker died.
TellStage = Callable[[int, str], None]
TellOutcome = Callable[[RowOutcome], None]


def survey(task: StudyTask) -> tuple[list[RowOutcome], StudyTask]:
    """What is known of a study's rows without reading a header, and the task that is left of it."""
    outcomes: list[RowOutcome] = []
    rows, keys = [], []
    digest, problem = "", None
    try:
        digest = study_fingerprint(task.rows[0].study, by_content=task.by_content)
    except (GsigpuError, OSError) as error:
        problem = error
    settings_key = task.settings.key
    for row in task.rows:
        if problem is not None:
            outcomes.append(_failed(row_files(task.out, row), row, "inputs", problem, None, {}))
            continue
        key = row_key(row, settings_key, digest, __version__)
        known = _known(row_files(task.out, row, key), row, retry_only=task.retry_only)
        if known is None:
            rows.append(row)
            keys.append(key)
        else:
            outcomes.append(known)
    return outcomes, replace(task, rows=tuple(rows), keys=tuple(keys))


def _known(files: RowFiles, row: ManifestRow, *, retry_only: bool) -> RowOutcome | None:
    """What is on disk of a row under its key."""
    if files.table.exists():
        return RowOutcome(row, "skipped", files.key)
    if retry_only:
        return None if files.failures() else RowOutcome(row, "left", files.key)
    if files.failure.exists():
        record = json.loads(files.failure.read_text("utf-8"))
        return RowOutcome(
            row=row,
            status="failed",
            key=files.key,
            stage=record["stage"],
            reason=record["reason"],
            fresh=False,
        )
    return None


def run_study(task: StudyTask, tell_stage: TellStage, tell_outcome: TellOutcome) -> None:
    """Measures the rows of a study; never raises for what is wrong with one of them."""
    reading = _Reading(task.settings.patterns)
    for number, (row, key) in enumerate(zip(task.rows, task.keys, strict=True)):
        clock = _Clock(number, tell_stage)
        files = row_files(task.out, row, key)
        redactor: Redactor | None = None
        try:
            clock.stage("scan")
            study = reading.study(row)
            redactor = redactor_for(row, study)
            _run_row(task, row, study, clock, files, redactor)
        except Exception as error:  # noqa: BLE001  # a broken case fails alone, whatever breaks it
            clock.stop()
            tell_outcome(_failed(files, row, clock.name, error, reading.known, clock.seconds))
        else:
            tell_outcome(RowOutcome(row=row, status="done", key=key, seconds=dict(clock.seconds)))


class _Reading:
    """The headers of a study: read once, or failed once, for all its rows."""

    def __init__(self, patterns: Path | None) -> None:
        self._patterns = patterns
        self._error: GsigpuError | None = None
        self.known: Study | None = None

    def study(self, row: ManifestRow) -> Study:
        if self._error is not None:
            raise self._error
        if self.known is None:
            try:
                self.known = read_study(row.study, patterns=load_patterns(self._patterns))
            except GsigpuError as error:
                self._error = error
                raise
        return self.known


class _Clock:
    """Tells stages, and times them."""

    def __init__(self, number: int, tell: TellStage) -> None:
        self._number, self._tell = number, tell
        self.name = ""
        self.seconds: dict[str, float] = {}
        self._begun = perf_counter()

    def stage(self, name: str) -> None:
        self.stop()
        self.name = name
        self._tell(self._number, name)

    def stop(self) -> None:
        now = perf_counter()
        if self.name:
            self.seconds[self.name] = self.seconds.get(self.name, 0.0) + now - self._begun
        self._begun = now


def _run_row(
    task: StudyTask,
    row: ManifestRow,
    study: Study,
    clock: _Clock,
    files: RowFiles,
    redact: Redactor,
) -> None:
    settings = task.settings
    files.folder.mkdir(parents=True, exist_ok=True)
    sweep(files.folder)
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
    measurement = measure_study(
        study,
        masks,
        settings=_with_slope(settings.measure, row.slope),
        labels=CaseLabels(row.case_id, row.patient_id, row.group, row.reader, row.phase),
        phase=phase_in(study, row.phase),
        n_workers=1,
    )
    clock.stop()
    # The stages of measure itself, instead of their sum.
    clock.seconds.pop("measure", None)
    for name, seconds in measurement.seconds.items():
        clock.seconds[name] = clock.seconds.get(name, 0.0) + seconds
    clock.name = ""
    if settings.maps:
        clock.stage("maps")
        _write_maps(task, row, study, files, redact)
    if settings.pictures:
        from gsigpu.pipeline.cohort_run.row_picture import save_picture

        clock.stage("picture")
        put(files.picture, lambda partial: save_picture(partial, measurement))
    clock.stage("write")
    write_row(files, measurement, masks, redact, pseudonymous=settings.pseudonymous)
    remove([files.failure, files.log, *files.under_other_keys()])
    clock.stop()


def _write_maps(
    task: StudyTask, row: ManifestRow, study: Study, files: RowFiles, redact: Redactor
) -> None:
    """Maps of the row's phase; free text in their provenance redacted."""
    settings = task.settings
    map_study(
        study,
        files.maps,
        maps=settings.maps,
        slope=row.slope or settings.measure.parameters.slopes[0],
        phase=phase_in(study, row.phase),
        output_format=settings.map_format,  # type: ignore[arg-type]  # checked by map_study
        backend=task.backend,  # type: ignore[arg-type]  # checked by map_study
        n_workers=1,
        overwrite=True,
    )
    path = files.maps / "provenance.json"
    record = redact.record(json.loads(path.read_text("utf-8")))
    put_json(path, without_uids(record) if settings.pseudonymous else record)


def _with_slope(settings: MeasureSettings, slope: str) -> MeasureSettings:
    """A row may say what plain λHU means for it."""
    if not slope:
        return settings
    others = tuple(other for other in settings.parameters.slopes[1:] if other != slope)
    return replace(settings, parameters=replace(settings.parameters, slopes=(slope, *others)))


def phase_in(study: Study, phase: str) -> str | None:
    """The manifest's phase, or None where the study holds one stack whose phase nothing says."""
    phases = {series.phase for series in study.series if series.kind is SeriesKind.VMI}
    return None if phases == {""} else phase


def _failed(
    files: RowFiles,
    row: ManifestRow,
    stage: str,
    error: Exception,
    study: Study | None,
    seconds: dict[str, float],
) -> RowOutcome:
    if isinstance(error, MemoryError):
        reason = _OUT_OF_MEMORY
    elif isinstance(error, GsigpuError):
        reason = str(error)
    else:
        reason = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
    details = "" if isinstance(error, GsigpuError) else "".join(traceback.format_exception(error))
    redact = redactor_for(row, study)
    return record_failure(files, row, stage, redact(reason), redact(details), seconds)


def record_failure(
    files: RowFiles,
    row: ManifestRow,
    stage: str,
    reason: str,
    details: str,
    seconds: dict[str, float],
) -> RowOutcome:
    """Keeps a failure and its log, instead of earlier ones; a result of other inputs stays until there is a new one."""
    files.folder.mkdir(parents=True, exist_ok=True)
    remove(path for path in files.under_other_keys() if path.name.endswith(FAILURE_SUFFIXES))
    put_text(
        files.log,
        f"case {row.case_id}, phase {row.phase}, reader {row.reader or '(none)'}\n"
        f"failed in {stage}: {reason}\n{details}",
    )
    put_json(files.failure, {"case_id": row.case_id, "stage": stage, "reason": reason})
    return RowOutcome(
        row=row,
        status="failed",
        key=files.key,
        stage=stage,
        reason=reason,
        seconds=dict(seconds),
    )
