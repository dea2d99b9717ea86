"""A call of `gsigpu measure`: what it does with a study, and with several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsigpu.cli import measure_words, options, several_studies, volume_options
from gsigpu.cli.console import TerminalWatcher, entry
from gsigpu.cli.failures import FailureOf
from gsigpu.cli.mask_options import MaskOptions, require_drawn
from gsigpu.cli.messages import warn
from gsigpu.cli.study_places import StudyPlace
from gsigpu.errors import SettingsError

if TYPE_CHECKING:
    from gsigpu.dicom.model import Study
    from gsigpu.pipeline.measure.given_masks import MaskFiles
    from gsigpu.pipeline.measure.measure_phases import PhaseMeasurements
    from gsigpu.pipeline.measure.measurement import Measurement, MeasureSettings


@dataclass(frozen=True, slots=True)
class MeasureCall:
    """What was asked for, but for the study and the place of the table.

    phase : `all` for every one
    labels : of the case, as of `CaseLabels`; the study's name is the case where none is given
    reading : what was told of series, as for `volume_options.read_images`
    volumes : images in the place of a study
    request : arguments of `measure_study`
    beside : what goes with the table, as of `write_measurement`
    """

    settings: MeasureSettings
    masks: MaskOptions
    phase: str | None
    haematocrit: float | None
    labels: Mapping[str, str]
    reading: Mapping[str, Any]
    volumes: list[str] | None
    request: Mapping[str, Any]
    beside: Mapping[str, bool]
    overwrite: bool
    dry_run: bool

    @property
    def is_all(self) -> bool:
        """Whether every phase is measured."""
        return self.phase == options.ALL_PHASES

    def into_file(self, folder: Path | None, out: Path) -> several_studies.Outcome:
        """Measures a study into a table of its own.

        folder : None where images are given instead
        Raises SettingsError, OutputError, InputError and what reading a study raises.
        """
        from gsigpu.pipeline.measure.measure_phases import PhaseMeasurements, write_phases
        from gsigpu.pipeline.measure.write_measurement import write_measurement

        masks = self._begun(folder, out)
        watcher = _watcher()
        study = self._read(folder, watcher)
        if self.dry_run:
            return self._planned(study, folder, masks, out, watcher)
        measured = self._measured(study, folder, masks, watcher)
        writing: dict[str, Any] = {"masks": masks, **self.beside, "overwrite": self.overwrite}
        with watcher.stage("write"):
            written = (
                write_phases(measured, out, **writing)
                if isinstance(measured, PhaseMeasurements)
                else write_measurement(measured, out, **writing)
            )
        return self._told(measured, out, written)

    def into_rows(
        self, folder: Path, out: Path
    ) -> tuple[several_studies.Outcome, PhaseMeasurements | Measurement | None, MaskFiles]:
        """Measures a study for a table of several; writes nothing.

        Returns what to tell, the measurement, None of a dry run, and the masks. Raises what `into_file` raises.
        """
        masks = self.masks.files(StudyPlace.of(folder))
        watcher = _watcher()
        study = self._read(folder, watcher)
        if self.dry_run:
            return self._planned(study, folder, masks, out, watcher), None, masks
        measured = self._measured(study, folder, masks, watcher)
        return self._told(measured, out, []), measured, masks

    def _begun(self, folder: Path | None, out: Path) -> MaskFiles:
        """The masks of a study; what is wrong with them and with the place of the table is told before a header is read."""
        from gsigpu.output.staging import require_free
        from gsigpu.pipeline.measure.write_measurement import files_beside, was_measured

        require_free(
            files_beside(out, **self.beside),
            overwrite=self.overwrite,
            is_replaceable=lambda path: was_measured(path, out),
        )
        files = self.masks.files(None if folder is None else StudyPlace.of(folder))
        return replace(files, pictured=self.beside["with_plot"])

    def _read(self, folder: Path | None, watcher: TerminalWatcher) -> Study:
        return volume_options.read_images(
            folder, self.volumes, watcher, phase=self.phase, **self.reading
        )

    def _arguments(self, folder: Path | None, watcher: TerminalWatcher) -> dict[str, Any]:
        """Of `measure_study` and `measure_phases`."""
        from gsigpu.pipeline.measure.measurement_rows import CaseLabels

        name = "" if folder is None else StudyPlace.of(folder).name
        labels = {**self.labels, "case_id": self.labels["case_id"] or name}
        return {
            "settings": self.settings,
            "labels": CaseLabels(**labels),
            "watcher": watcher,
            **self.request,
        }

    def _measured(
        self, study: Study, folder: Path | None, masks: MaskFiles, watcher: TerminalWatcher
    ) -> PhaseMeasurements | Measurement:
        from gsigpu.pipeline.measure.measure_phases import measure_phases
        from gsigpu.pipeline.measure.measure_study import measure_study

        arguments = self._arguments(folder, watcher)
        if self.is_all:
            return measure_phases(study, masks, haematocrit=self.haematocrit, **arguments)
        return measure_study(study, masks, phase=self.phase, **arguments)

    def _planned(
        self,
        study: Study,
        folder: Path | None,
        masks: MaskFiles,
        out: Path,
        watcher: TerminalWatcher,
    ) -> several_studies.Outcome:
        """What a call with --dry-run would do."""
        require_drawn(masks.segment)
        from gsigpu.pipeline.dry_run import dry_measure

        planned = dry_measure(
            study,
            masks,
            out,
            phase=self.phase,
            all_phases=self.is_all,
            haematocrit=self.haematocrit,
            beside=dict(self.beside),
            **self._arguments(folder, watcher),
        )
        return several_studies.Outcome(*options.told_plan(planned))

    def _told(
        self, measured: PhaseMeasurements | Measurement, out: Path, written: Sequence[Path]
    ) -> several_studies.Outcome:
        """What came of a study; its warnings are printed."""
        measurements = phases_measured(measured)
        warn(dict.fromkeys(line for measurement in measurements for line in measurement.warnings))
        if written:
            warn(measure_words.ids_to_read_as_text(measured.table, out))
        notes: list[list[Any]] = [[] for _ in measurements]
        if self.beside["with_dicom"]:
            from gsigpu.pipeline.measure.dicom_results import dicom_notes

            notes = [dicom_notes(measurement) for measurement in measurements]
            warn(dict.fromkeys(line for lines in notes for line in lines))
        files = list(written)
        records = [
            measure_words.as_record(measurement, files, lines)
            for measurement, lines in zip(measurements, notes, strict=True)
        ]
        of_all = {
            "files": [str(path) for path in files],
            "n_rows": len(measured.table),
            "phases": records,
        }
        return several_studies.Outcome(
            record=of_all if self.is_all else records[0],
            text="\n\n".join(
                measure_words.summary(measurement, files) for measurement in measurements
            ),
            failures=[
                failure.error for measurement in measurements for failure in measurement.failures
            ],
        )


def into_one_table(call: MeasureCall, studies: Sequence[Path], out: Path, *, as_json: bool) -> None:
    """Measures several studies into one table, whose column case_id holds their names.

    Raises SettingsError where two studies have one name, or files of each study are asked for, and OutputError.
    """
    from gsigpu.pipeline.measure.several_measurements import SeveralMeasurements

    per_study = [option for option in ("dicom", "plot") if call.beside[f"with_{option}"]]
    if per_study:
        raise SettingsError(
            f"--{per_study[0]} makes files of each study, and {out} is one table",
            remedy="name a folder, -o OUT, for OUT/NAME of each study",
        )
    together = SeveralMeasurements(
        out, with_wide=call.beside["with_wide"], overwrite=call.overwrite
    )
    names = several_studies.distinct_names(studies, out)

    def run(study: Path) -> several_studies.Outcome:
        outcome, measured, masks = call.into_rows(study, out)
        if measured is not None:
            together.add(names[study], measured.table, phases_measured(measured), masks)
        return outcome

    def finish(failures: Iterable[FailureOf]) -> several_studies.Outcome | None:
        if not together.names:
            return None
        written = together.write(
            failures=[
                {"study": failure.study, "reason": str(failure.error)} for failure in failures
            ],
            haematocrit=call.haematocrit,
        )
        warn(measure_words.ids_to_read_as_text(together.table, out))
        return several_studies.Outcome(
            record={"files": [str(path) for path in written], "n_rows": len(together.table)},
            text=entry("wrote", written),
        )

    several_studies.each_study(names, run, {"out": str(out)}, as_json=as_json, finish=finish)


def phases_measured(measured: PhaseMeasurements | Measurement) -> tuple[Measurement, ...]:
    """The measurement of each phase."""
    from gsigpu.pipeline.measure.measure_phases import PhaseMeasurements

    return measured.phases if isinstance(measured, PhaseMeasurements) else (measured,)


def _watcher() -> TerminalWatcher:
    return TerminalWatcher({"scan": "reading headers", "measure": "measuring"})
