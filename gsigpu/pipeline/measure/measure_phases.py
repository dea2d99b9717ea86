"""`gsigpu measure --phase all`: every phase of a study in one table, with what two phases say together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd

from gsigpu.backends import BackendName
from gsigpu.caution import Caution
from gsigpu.dicom.model import Study
from gsigpu.dicom.study.stack import left_aside, select_stack
from gsigpu.output.staging import staged_files
from gsigpu.pipeline.choose_stack import ChosenStack, only_energies, phase_word, phases_of
from gsigpu.pipeline.measure.collected_masks import CollectedMasks
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import MeasureJob, measured
from gsigpu.pipeline.measure.measurement import Measurement, MeasureSettings
from gsigpu.pipeline.measure.measurement_rows import CaseLabels
from gsigpu.pipeline.measure.parameters import Measurand
from gsigpu.pipeline.measure.processor import Processor
from gsigpu.pipeline.measure.shared_regions import SharedRegions
from gsigpu.pipeline.measure.write_measurement import (
    COMMAND,
    files_beside,
    files_of,
    provenance,
    replaced,
    require_no_mask,
    was_measured,
    write_beside,
)
from gsigpu.pipeline.progress import SILENT, Watcher
from gsigpu.pipeline.scanned_study import scan
from gsigpu.pipeline.stack_source import PlaneStore
from gsigpu.pipeline.workers import default_workers
from gsigpu.tables.measurement_table import wide, write_table
from gsigpu.tables.phase_pairs import between_phases
from gsigpu.version import __version__


@dataclass(frozen=True, slots=True, repr=False)
class PhaseMeasurements:
    """The measurements of all phases of a study.

    phases : in the order of the study
    haematocrit : share of the blood's volume, where it was given
    """

    phases: tuple[Measurement, ...]
    haematocrit: float | None = None

    def __repr__(self) -> str:
        """What was measured, without whose it is."""
        return f"PhaseMeasurements({'; '.join(map(repr, self.phases))})"

    @property
    def table(self) -> pd.DataFrame:
        """The rows of all phases, then those that need two of them; see `between_phases`."""
        rows = pd.concat([measurement.table for measurement in self.phases], ignore_index=True)
        pairs = between_phases(rows, haematocrit=self.haematocrit)
        return pd.concat([rows, pairs], ignore_index=True) if len(pairs) else rows

    @property
    def warnings(self) -> tuple[Caution, ...]:
        """Of all phases, each once."""
        lines = (line for measurement in self.phases for line in measurement.warnings)
        return tuple(dict.fromkeys(lines))


def measure_phases(
    study: Path | str | Study,
    masks: MaskFiles,
    *,
    settings: MeasureSettings | None = None,
    labels: CaseLabels | None = None,
    haematocrit: float | None = None,
    series: Sequence[str] = (),
    energies_kev: Sequence[float] = (),
    backend: BackendName = "auto",
    n_workers: int | None = None,
    watcher: Watcher = SILENT,
) -> PhaseMeasurements:
    """Measures every phase of a study with the same masks. Writes nothing.

    The arguments are those of `measure_study`; haematocrit is for the extracellular volume, see `between_phases`.
    Masks are read, and regions are made, once for all phases of one grid.
    Raises what `measure_study` raises, of the first phase that cannot be measured.
    """
    n_workers = n_workers or default_workers()
    jobs = phase_jobs(
        study,
        masks,
        settings=settings,
        labels=labels,
        series=series,
        energies_kev=energies_kev,
        backend=backend,
        n_workers=n_workers,
        watcher=watcher,
    )
    measurements = [measured(job, n_workers=n_workers, watcher=watcher) for job in jobs]
    made = PhaseMeasurements(tuple(measurements), haematocrit)
    _ = made.table  # a haematocrit without a delayed phase is told before anything is written
    return made


def phase_jobs(
    study: Path | str | Study,
    masks: MaskFiles,
    *,
    settings: MeasureSettings | None = None,
    labels: CaseLabels | None = None,
    series: Sequence[str] = (),
    energies_kev: Sequence[float] = (),
    backend: BackendName = "auto",
    n_workers: int | None = None,
    watcher: Watcher = SILENT,
) -> Iterator[MeasureJob]:
    """What `measure_phases` does of each phase before it reads the slices, for it and for `--dry-run`; see there."""
    settings, processor = settings or MeasureSettings(), Processor(backend)
    begun = perf_counter()
    if not isinstance(study, Study):
        with watcher.stage("scan"):
            study = scan(study)
    scan_seconds = perf_counter() - begun
    shared = SharedRegions(masks, settings.regions, n_workers=n_workers or default_workers())
    store = PlaneStore(of_phases=True)
    for phase in phases_of(study):
        stack = only_energies(select_stack(study, phase=phase, series=series), energies_kev)
        aside = () if energies_kev else tuple(left_aside(study, stack))
        with watcher.stage("masks"):
            job = MeasureJob(
                ChosenStack(study=study, stack=stack, left_aside=aside, scan_seconds=scan_seconds),
                masks,
                settings=settings,
                labels=replace(labels or CaseLabels(), phase=stack.phase),
                processor=processor,
                store=store,
                shared=shared,
            )
        store.keep_only(job.planes)
        yield job


def write_phases(
    measured: PhaseMeasurements,
    out: Path | str,
    *,
    masks: Any,
    with_wide: bool = False,
    with_dicom: bool = False,
    with_plot: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Writes one table of all phases and what goes with it; all of it or nothing.

    out : .csv or .parquet; beside it OUT.json with the provenance of each phase and, if asked, OUT.wide.csv, and of
        each phase OUT.PHASE.seg.dcm, .sr.dcm, .pr.dcm, .profile.png and .registration.png
    masks : that were measured, as they were given
    Returns the files written, the table first. Raises SettingsError and OutputError.
    """
    out, masks = Path(out), masks if isinstance(masks, MaskFiles) else MaskFiles(masks)
    of_phase = [
        (measurement, _name_of_phase(out, measurement.stack.phase))
        for measurement in measured.phases
    ]
    finals = phase_files(
        out,
        {
            measurement.stack.phase: (measurement.measurand, measurement.masks)
            for measurement in measured.phases
        },
        with_wide=with_wide,
        with_dicom=with_dicom,
        with_plot=with_plot,
    )
    read = {
        path
        for measurement in measured.phases
        for path in require_no_mask(finals, measurement.masks)
    }
    with (
        replaced(out, keep=read, overwrite=overwrite) as written,
        staged_files(
            finals, overwrite=overwrite, is_replaceable=lambda path: was_measured(path, out)
        ) as folder,
    ):
        table = measured.table
        write_table(table, folder / out.name)
        if with_wide:
            write_table(wide(table), folder / out.with_suffix(".wide.csv").name)
        notes: dict[str, Sequence[Caution]] = {}
        for measurement, path in of_phase:
            notes[measurement.stack.phase] = write_beside(
                measurement, folder / path.name, with_dicom=with_dicom, with_plot=with_plot
            )
        record: dict[str, Any] = {
            "software": f"gsigpu {__version__}",
            "command": COMMAND,
            "files": [path.name for path in finals],
            "haematocrit": measured.haematocrit,
            "phases": [
                provenance(measurement, masks, notes=notes[measurement.stack.phase])
                for measurement in measured.phases
            ],
        }
        text = json.dumps(record, indent=2)
        (folder / out.with_suffix(".json").name).write_text(text + "\n", "utf-8")
        written.extend(finals)
    return [out, *finals[:-1]]


def phase_files(
    out: Path,
    phases: Mapping[str, tuple[Measurand, CollectedMasks]],
    *,
    with_wide: bool = False,
    with_dicom: bool = False,
    with_plot: bool = False,
) -> list[Path]:
    """The files of a table of several phases, the table last.

    phases : phase -> what is measured in it, and in which masks
    Raises SettingsError if `out` is no .csv or .parquet.
    """
    *shared, table = files_beside(out, with_wide=with_wide)
    for phase, (measurand, masks) in phases.items():
        path = _name_of_phase(out, phase)
        shared += files_of(measurand, masks, path, with_dicom=with_dicom, with_plot=with_plot)[1:-1]
    return [*shared, table]


def _name_of_phase(out: Path, phase: str) -> Path:
    """The name from which those of a phase's files beside the table are made."""
    return out.with_suffix(f".{phase_word(phase)}{out.suffix}")
