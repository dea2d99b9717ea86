"""A row of a cohort measured: alone, or along with its maps in one reading of the study."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, cast

from gsigpu.backends import BackendName
from gsigpu.caution import Caution
from gsigpu.dicom.model import SeriesKind, Study
from gsigpu.pipeline.cohort_run.cohort_task import StudyTask
from gsigpu.pipeline.cohort_run.redaction import Redactor
from gsigpu.pipeline.cohort_run.row_files import RowFiles, put_json
from gsigpu.pipeline.cohort_run.row_results import without_uids
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import Measurement, MeasureSettings
from gsigpu.pipeline.measure.measurement_rows import CaseLabels
from gsigpu.pipeline.measure.shown_slices import ShownSlices, shown_slices
from gsigpu.tables.manifest import ManifestRow

if TYPE_CHECKING:  # what writes maps takes as long to import as all else of a worker
    from gsigpu.pipeline.map.map_study import MapResult

# Looks at a measurement before any of its files is in place, and may raise.
Accept = Callable[[Measurement], Measurement]


@dataclass(frozen=True, slots=True)
class RowJob:
    """What measures a row.

    redact : for the free text of the maps' provenance
    tell_stage : told `measure` and `maps` as they begin
    accept : the measurement that counts; where it raises, no maps are left
    """

    task: StudyTask
    row: ManifestRow
    study: Study
    masks: MaskFiles
    files: RowFiles
    redact: Redactor
    tell_stage: Callable[[str], None]
    accept: Accept

    def run(self) -> tuple[Measurement, list[Caution]]:
        """The measurement, and warnings of its maps, which lie in their place then."""
        return self._with_maps() if self.task.settings.maps else (self._alone(), [])

    @property
    def _settings(self) -> MeasureSettings:
        return _with_slope(self.task.settings.measure, self.row.slope)

    @property
    def _shown(self) -> ShownSlices:
        """The slices of the row's picture and cards, which need not be read again."""
        settings = self.task.settings
        return partial(shown_slices, picture=settings.pictures, cards=settings.review)

    @property
    def _labels(self) -> CaseLabels:
        row = self.row
        return CaseLabels(
            case_id=row.case_id,
            patient_id=row.patient_id,
            group=row.group,
            reader=row.reader,
            phase=row.phase,
        )

    def _alone(self) -> Measurement:
        row, study = self.row, self.study
        self.tell_stage("measure")
        return self.accept(
            measure_study(
                study,
                self.masks,
                settings=self._settings,
                labels=self._labels,
                phase=_phase_in(study, row.phase),
                series=row.series,
                energies_kev=row.energies,
                backend=cast("BackendName", self.task.backend),
                n_workers=1,
                keep=self._shown,
            )
        )

    def _with_maps(self) -> tuple[Measurement, list[Caution]]:
        from gsigpu.pipeline.map.map_study import map_study
        from gsigpu.pipeline.measure.map_companion import MeasureCompanion

        row, study, settings = self.row, self.study, self.task.settings
        self.tell_stage("measure")
        companion = MeasureCompanion(
            self.masks,
            settings=self._settings,
            labels=self._labels,
            backend=cast("BackendName", self.task.backend),
            table="",
            tell_stage=self.tell_stage,
            accept=self.accept,
            keep=self._shown,
        )
        result = map_study(
            study,
            self.files.maps,
            maps=settings.maps,
            slope=row.slope or settings.measure.parameters.slopes[0],
            phase=_phase_in(study, row.phase),
            series=row.series,
            energies_kev=row.energies,
            output_format=settings.map_format,  # type: ignore[arg-type]  # checked by map_study
            backend=cast("BackendName", self.task.backend),
            n_workers=1,
            overwrite=True,
            companion=companion,
        )
        measurement = companion.measurement
        assert measurement is not None
        self._redact_provenance(result)
        return measurement, [line for line in result.warnings if line not in measurement.warnings]

    def _redact_provenance(self, result: MapResult) -> None:
        path = result.out / "provenance.json"
        record = self.redact.record(json.loads(path.read_text("utf-8")))
        put_json(path, without_uids(record) if self.task.settings.pseudonymous else record)


def _with_slope(settings: MeasureSettings, slope: str) -> MeasureSettings:
    """A row may say what plain λHU means for it."""
    if not slope:
        return settings
    others = tuple(other for other in settings.parameters.slopes[1:] if other != slope)
    return replace(settings, parameters=replace(settings.parameters, slopes=(slope, *others)))


def _phase_in(study: Study, phase: str) -> str | None:
    """The manifest's phase, or None where the study holds one stack whose phase nothing says."""
    phases = {series.phase for series in study.series if series.kind is SeriesKind.VMI}
    return None if phases == {""} else phase
