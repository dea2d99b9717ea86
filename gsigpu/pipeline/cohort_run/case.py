"""One study of a cohort: its rows measured, one after the other, each done or failed by itself."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from gsigpu.caution import Caution
from gsigpu.dicom.model import Study
from gsigpu.dicom.study.patterns import load_patterns
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import GsigpuError, InputError, OutputError
from gsigpu.masks.read_files import unpacked_digest
from gsigpu.masks.roles import RoleMap, read_role_file
from gsigpu.pipeline.cohort_run.cohort_task import (
    DONE,
    LEFT,
    SKIPPED,
    STOPPED,
    RowOutcome,
    StudyTask,
)
from gsigpu.pipeline.cohort_run.doubled_lesions import without_doubled
from gsigpu.pipeline.cohort_run.failure_kinds import (
    PASSING,
    is_disk_full,
    is_passing_reason,
    kind_of,
)
from gsigpu.pipeline.cohort_run.mask_grids import grid_of_mask, grid_of_study
from gsigpu.pipeline.cohort_run.redaction import Redactor, redactor_for
from gsigpu.pipeline.cohort_run.row_failure import failure_told, record_failure
from gsigpu.pipeline.cohort_run.row_files import (
    RECORD_FORM,
    RowFiles,
    put,
    remove,
    row_files,
    sweep,
)
from gsigpu.pipeline.cohort_run.row_measurement import RowJob
from gsigpu.pipeline.cohort_run.row_results import write_row
from gsigpu.pipeline.cohort_run.row_state import (
    FileStates,
    RowLookup,
    StudyState,
    require_same_masks,
)
from gsigpu.pipeline.cohort_run.run_token import NotOwner, require_owner
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.kept_registrations import KeptRegistrations
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.tables.manifest import ManifestRow

# Waits before a row is tried again that failed by something that may pass: a switch or a server that restarts.
_WAITS_S = (1.0, 4.0)

# (row number, stage, inputs): told before each stage, so that who watches knows where a worker died; what is known
# of the inputs goes along once.
TellStage = Callable[[int, str, dict[str, Any] | None], None]
TellOutcome = Callable[[RowOutcome], None]


def run_study(task: StudyTask, tell_stage: TellStage, tell_outcome: TellOutcome) -> None:
    """Measures the rows of a study that are not done yet; never raises for what is wrong with one of them."""
    case = _Case(task, tell_stage)
    for number, row in enumerate(task.rows):
        tell_outcome(case.outcome(number, row))


@dataclass
class _Attempt:
    """Where the work at a row is, for the record of its failure."""

    clock: _Clock
    files: RowFiles
    inputs: dict[str, Any]
    mask_states: FileStates = field(default_factory=dict)
    redact: Redactor | None = None
    damaged: tuple[str, ...] = ()


@contextlib.contextmanager
def _masks_that_stay(row: ManifestRow, states: FileStates) -> Iterator[None]:
    """Raises FileChanged in the place of an error of masks that were changed meanwhile: a reader met half of two files."""
    try:
        yield
    except (GsigpuError, OSError, EOFError) as error:
        if not is_disk_full(error):
            require_same_masks(row, states)
        raise


class _Case:
    """The study of a task: its state on disk looked at once, its headers read once, for all its rows."""

    def __init__(self, task: StudyTask, tell_stage: TellStage) -> None:
        self._task, self._tell_stage = task, tell_stage
        self._state = StudyState(task.rows[0].study, by_content=task.by_content)
        self._lookup = RowLookup(task, self._state)
        self._reading = _Reading(task.settings.patterns)
        self._registrations = KeptRegistrations()

    def outcome(self, number: int, row: ManifestRow) -> RowOutcome:
        """What comes of a row."""
        attempt = _Attempt(_Clock(number, self._tell_stage), row_files(self._task.out, row), {})
        for wait_s in (*_WAITS_S, None):
            try:
                return self._tried(row, attempt, is_last=wait_s is None)
            except NotOwner:
                return RowOutcome(row=row, status=STOPPED, reason="a later run owns the results")
            except _TryAgain:
                pass
            except Exception as error:  # noqa: BLE001  # a broken case fails alone, whatever breaks it
                attempt.clock.stop()
                if is_disk_full(error):
                    return RowOutcome(row=row, status=STOPPED, reason="the disk is full")
                if wait_s is None or kind_of(error) != PASSING or isinstance(error, MemoryError):
                    return replace(self._failed(row, attempt, error), damaged=attempt.damaged)
            attempt.clock.stage("wait")
            time.sleep(wait_s or 0.0)
            self._reading = _Reading(self._task.settings.patterns)
            self._registrations = KeptRegistrations()  # which were of what was read before
        raise AssertionError  # the last attempt returns

    def _tried(self, row: ManifestRow, attempt: _Attempt, *, is_last: bool) -> RowOutcome:
        """One attempt. Raises _TryAgain if lesions could not be measured now."""
        clock = attempt.clock
        clock.stage("inputs")
        if row.missing:
            raise InputError(
                f"{' and '.join(row.missing)} not there",
                where=f"line {row.line} of the manifest",
                remedy="correct the manifest",
            )
        with _as_input_error():
            attempt.files, attempt.inputs, attempt.mask_states = self._lookup.files(row)
            known, damaged = self._lookup.known(attempt.files, row)
        attempt.damaged = damaged = (*attempt.damaged, *damaged)
        if known is not None:
            clock.stop()
            return replace(known, damaged=damaged)
        if self._task.survey_only:
            return RowOutcome(row=row, status=LEFT, key=attempt.files.key, damaged=damaged)
        record = {**self._state.as_dict(), "inputs": attempt.inputs}
        clock.tell_inputs({"key": attempt.files.key, "record": record})
        clock.stage("scan")
        study = self._reading.study(row)
        task_is_pseudonymous = self._task.settings.pseudonymous
        attempt.redact = redactor_for(row, study, pseudonymous=task_is_pseudonymous)
        told = " ".join([row.group, row.phase, *(name for name, _ in row.regions)])
        if task_is_pseudonymous and attempt.redact(told) != told:
            raise InputError(
                "group, phase or the name of a region holds words that the headers use for the patient",
                where=f"line {row.line} of the manifest",
                remedy="correct the manifest",
            )
        with _masks_that_stay(row, attempt.mask_states):
            self._measure(row, study, attempt, is_last=is_last)
        return RowOutcome(
            row=row,
            status=DONE,
            key=attempt.files.key,
            seconds=dict(clock.seconds),
            inputs=attempt.inputs,
            damaged=damaged,
        )

    def _measure(self, row: ManifestRow, study: Study, attempt: _Attempt, *, is_last: bool) -> None:
        task, settings, clock, files = self._task, self._task.settings, attempt.clock, attempt.files
        try:
            files.folder.mkdir(parents=True, exist_ok=True)
            sweep(files.folder)
        except OSError as error:
            if is_disk_full(error) or kind_of(error) == PASSING:
                raise
            raise OutputError(
                f"cannot be written ({error.strerror})",
                where=files.folder,
                remedy="correct its permissions, and run again with --retry-failed",
            ) from error
        clock.stage("measure")
        redact, told = attempt.redact, list[Caution]()
        assert redact is not None
        masks = replace(_mask_files(row, task, redact), registrations=self._registrations)

        def accepted(measurement: Measurement) -> Measurement:
            measurement, doubled = without_doubled(measurement, is_allowed=settings.allow_overlap)
            told.extend(doubled)
            if not is_last and any(kind_of(f.error) == PASSING for f in measurement.failures):
                raise _TryAgain
            return measurement

        job = RowJob(
            task=task,
            row=row,
            study=study,
            masks=masks,
            files=files,
            redact=redact,
            tell_stage=clock.stage,
            accept=accepted,
        )
        measurement, of_maps = job.run()
        clock.stop()
        # The stages of measure itself, instead of their sum; what maps share the reading with is told once.
        clock.seconds.pop("measure", None)
        for name, seconds in measurement.seconds.items():
            if not (name == "read" and settings.maps):
                clock.seconds[name] = clock.seconds.get(name, 0.0) + seconds
        clock.name = "masks"
        attempt.inputs |= {
            "grid": grid_of_study(measurement.stack.geometry),
            # Masks that were carried over lie on the grid of another phase.
            "mask_grids": []
            if measurement.masks.carried
            else [grid_of_mask(path) for path in row.masks],
            "contents": [unpacked_digest(path) for path in measurement.masks.lesion_files],
        }
        self._write(row, attempt, measurement, masks, [*told, *of_maps])

    def _write(
        self,
        row: ManifestRow,
        attempt: _Attempt,
        measurement: Measurement,
        masks: MaskFiles,
        warnings: list[Caution],
    ) -> None:
        task, settings, clock, files = self._task, self._task.settings, attempt.clock, attempt.files
        redact = attempt.redact
        assert redact is not None
        if settings.pictures:
            from gsigpu.pipeline.cohort_run.row_picture import save_picture

            clock.stage("picture")
            put(files.picture, lambda partial: save_picture(partial, measurement))
            if measurement.masks.carried:
                from gsigpu.pipeline.measure.registration_picture import save_registration

                put(
                    files.registration,
                    lambda partial: save_registration(partial, measurement, name_shown=redact),
                )
        if settings.review:
            from gsigpu.pipeline.review.cohort_gallery import write_cards

            clock.stage("cards")
            write_cards(files.cards, measurement, redact)
        if settings.study_pages:
            from gsigpu.pipeline.review.row_page import write_row_page

            clock.stage("page")
            write_row_page(files.page, measurement, redact)
        clock.stage("write")
        require_same_masks(row, attempt.mask_states)
        require_owner(task.out, task.token, task.shard)
        write_row(
            files,
            measurement,
            masks,
            redact,
            warnings=[*measurement.warnings, *warnings],
            study={**self._state.as_dict(), "inputs": attempt.inputs},
            pseudonymous=settings.pseudonymous,
        )
        remove([files.failure, files.log, *files.under_other_keys()])
        clock.stop()

    def _failed(self, row: ManifestRow, attempt: _Attempt, error: Exception) -> RowOutcome:
        files, seconds = attempt.files, attempt.clock.seconds
        if files.table.exists() and kind_of(error) == PASSING:
            # Some of its lesions are measured, the rest is tried again at the next run.
            return RowOutcome(row=row, status=SKIPPED, key=files.key, inputs=attempt.inputs)
        settings, study = self._task.settings, self._reading.known
        with contextlib.suppress(
            Exception
        ):  # of a study that cannot be looked at there is no state
            if study is not None:
                grids = {stack.geometry for stack in study.series if stack.geometry is not None}
                attempt.inputs |= {"grids": [grid_of_study(grid) for grid in grids]}
        redact = attempt.redact or redactor_for(row, study, pseudonymous=settings.pseudonymous)
        reason, details = failure_told(error, redact)
        try:
            state = self._state.as_dict()
        except (GsigpuError, OSError):
            state = {"form": RECORD_FORM, "stat": "", "content": ""}
        try:
            require_owner(self._task.out, self._task.token, self._task.shard)
        except NotOwner:
            return RowOutcome(row=row, status=STOPPED, reason="a later run owns the results")
        return record_failure(
            files,
            row,
            stage=attempt.clock.name,
            reason=reason,
            kind=kind_of(error),
            details=details,
            seconds=seconds,
            record={**state, "inputs": attempt.inputs},
        )


class _TryAgain(Exception):
    """Something failed that may pass."""


@contextlib.contextmanager
def _as_input_error() -> Any:
    """Errors of the system while inputs are looked at, as errors that name the file."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror or error})",
            where=error.filename,
            remedy="check the file, its permissions and its disk",
        ) from error


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
                study = read_study(row.study, patterns=load_patterns(self._patterns))
                _require_readable(study)
            except GsigpuError as error:
                self._error = error
                raise
            self.known = study
        return self.known


def _require_readable(study: Study) -> None:
    """Raises InputError if the disk would not give some of the files: without them slices would be missing."""
    reasons = [skipped.reason for skipped in study.skipped if is_passing_reason(skipped.reason)]
    if reasons:
        raise InputError(
            f"{len(reasons)} files {reasons[0]}", where=study.root, remedy="check the disk"
        ) from OSError(errno.EIO, reasons[0])


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
        self._tell(self._number, name, None)

    def tell_inputs(self, inputs: dict[str, Any]) -> None:
        self._tell(self._number, self.name, inputs)

    def stop(self) -> None:
        now = perf_counter()
        if self.name:
            self.seconds[self.name] = self.seconds.get(self.name, 0.0) + now - self._begun
        self._begun = now


def _mask_files(row: ManifestRow, task: StudyTask, redact: Redactor) -> MaskFiles:
    drawn_on = row.mask_phase or task.settings.mask_phase
    return MaskFiles(
        row.masks,
        liver=row.liver_mask,
        vessels=row.vessel_mask,
        aorta=row.aorta_mask,
        normal=row.normal_mask,
        regions=row.regions,
        roles=RoleMap() if row.roles is None else read_role_file(row.roles),
        split=task.settings.split_lesions,
        any_phase=task.settings.any_mask_phase,
        fill_between=task.settings.fill_between,
        threshold=task.settings.threshold,
        position=task.settings.mask_position,
        drawn_on=drawn_on,
        register=task.settings.register and bool(drawn_on),
        segment=task.settings.segment,
        pictured=task.settings.pictures,
        maps_in_file=True,
        called=redact.region,
    )
