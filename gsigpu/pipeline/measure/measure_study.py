"""`gsigpu measure`: a study and masks in, the measurement table out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import BackendName
from gsigpu.caution import Caution
from gsigpu.dicom.model import Plane, SpectralStack, Study
from gsigpu.dicom.reading import card_frames
from gsigpu.fewer_collections import fewer_collections
from gsigpu.pipeline.choose_stack import ChosenStack, choose_stack
from gsigpu.pipeline.measure.air import lesions_in_air, without_air
from gsigpu.pipeline.measure.gather import Gathered, Gatherer, gather
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measurement import Measurement, MeasureSettings, VendorIodine
from gsigpu.pipeline.measure.measurement_rows import CaseLabels, measurement_rows
from gsigpu.pipeline.measure.parameters import Measurand, iodine_pairs
from gsigpu.pipeline.measure.position_check import named_for_another_phase
from gsigpu.pipeline.measure.processor import Processor, signed_distances
from gsigpu.pipeline.measure.region_numbers import Numbers, around_maps, region_numbers
from gsigpu.pipeline.measure.shared_regions import SharedRegions
from gsigpu.pipeline.measure.shown_slices import ShownSlices
from gsigpu.pipeline.progress import SILENT, Watcher
from gsigpu.pipeline.stack_source import PlaneStore
from gsigpu.pipeline.workers import default_workers
from gsigpu.regions.added_statistics import added_statistics
from gsigpu.regions.region_layout import Layout

# A vendor's iodine that is so many times the computed one, or more, is in another unit than it says.
_DOUBTFUL_FACTOR = 3.0


@fewer_collections()
def measure_study(
    study: Path | str | Study,
    masks: MaskFiles,
    *,
    settings: MeasureSettings | None = None,
    labels: CaseLabels | None = None,
    phase: str | None = None,
    series: Sequence[str] = (),
    energies_kev: Sequence[float] = (),
    energy_overrides: Mapping[str, float] | None = None,
    phase_overrides: Mapping[str, str] | None = None,
    kind_overrides: Mapping[str, str] | None = None,
    backend: BackendName = "auto",
    n_workers: int | None = None,
    keep: ShownSlices | None = None,
    watcher: Watcher = SILENT,
) -> Measurement:
    """Measures lesions, their rims and surroundings in a study. Writes nothing.

    study : a folder, or what `read_study` gave
    masks : files of masks, and what their regions are
    labels : of the case; the patient's ID is the study's where none is given
    phase, series, energies_kev : which stack, and which of its energies
    backend : where distances, values and statistics are computed; files are read on the CPU
    keep : of which slices the planes are kept for pictures
    Only the slices that the regions touch are read.

    Raises InputError and its kinds, SettingsError, BackendError. A lesion that cannot be measured is among `failures`
    and in the table; the first failure is raised where nothing is left to measure.
    """
    n_workers = n_workers or default_workers()
    job = measure_job(
        study,
        masks,
        settings=settings,
        labels=labels,
        phase=phase,
        series=series,
        energies_kev=energies_kev,
        overrides=(energy_overrides, phase_overrides, kind_overrides),
        backend=backend,
        n_workers=n_workers,
        keep=keep,
        watcher=watcher,
    )
    return measured(job, n_workers=n_workers, watcher=watcher)


def measure_job(
    study: Path | str | Study,
    masks: MaskFiles,
    *,
    settings: MeasureSettings | None = None,
    labels: CaseLabels | None = None,
    phase: str | None = None,
    series: Sequence[str] = (),
    energies_kev: Sequence[float] = (),
    overrides: tuple[
        Mapping[str, float] | None, Mapping[str, str] | None, Mapping[str, str] | None
    ] = (None, None, None),
    backend: BackendName = "auto",
    n_workers: int | None = None,
    keep: ShownSlices | None = None,
    watcher: Watcher = SILENT,
) -> MeasureJob:
    """What `measure_study` does before it reads the slices, for it and for `--dry-run`.

    overrides : of energies, phases and kinds, by series
    Raises what `measure_study` raises before it reads the slices.
    """
    settings = settings or MeasureSettings()
    processor = Processor(backend)
    energy, phase_of, kind = overrides
    chosen = choose_stack(
        study,
        phase=phase,
        series=series,
        energies_kev=energies_kev,
        energy_overrides=energy,
        phase_overrides=phase_of,
        kind_overrides=kind,
        watcher=watcher,
    )
    shared = SharedRegions(masks, settings.regions, n_workers=n_workers or default_workers())
    store = PlaneStore()
    with watcher.stage("masks"):
        job = MeasureJob(
            chosen,
            masks,
            settings=settings,
            labels=labels,
            processor=processor,
            store=store,
            shared=shared,
            keep=keep,
        )
    store.keep_only(job.planes)
    return job


def measured(job: MeasureJob, *, n_workers: int, watcher: Watcher) -> Measurement:
    """Reads the slices of a job, and finishes it."""
    read_from = perf_counter()
    with watcher.stage("measure") as progress:
        gather(job.gatherer, n_workers=n_workers, progress=progress)
        return job.finish(seconds_of_reading=perf_counter() - read_from)


class MeasureJob:
    """A measurement of a stack: ready to take slices, which `gather` or the pass of `map` brings, then to be finished.

    gatherer : takes the voxels of slices
    collected : the masks
    layout : the regions as they were made; what the voxels say of air is not in it yet
    """

    def __init__(
        self,
        chosen: ChosenStack,
        masks: MaskFiles,
        *,
        settings: MeasureSettings,
        labels: CaseLabels | None,
        processor: Processor,
        store: PlaneStore | None = None,
        shared: SharedRegions | None = None,
        keep: ShownSlices | None = None,
    ) -> None:
        """Decides what to read, and makes the regions; for the arguments see `measure_study`.

        store : of the planes, where others read them too
        shared : masks and regions of the study's phases, where several are measured with these masks and settings
        """
        begun = perf_counter()
        self._chosen, self._settings, self._processor = chosen, settings, processor
        self._more = added_statistics(settings.statistics)
        stack, store = chosen.stack, store or PlaneStore()
        labels = labels or CaseLabels()
        self._labels = replace(
            labels,
            patient_id=labels.patient_id or stack.series[0].evidence.patient_id,
            phase=labels.phase or stack.phase,
        )
        self.measurand = Measurand(chosen.study, stack, settings.parameters, store)
        shared = shared or SharedRegions(masks, settings.regions)
        self.collected, self.layout = shared.of(
            chosen.study, stack, signed=signed_distances(processor), store=store
        )
        self.gatherer = Gatherer(
            self.measurand.series,
            [region.mask for region in self.layout.regions],
            store=store,
            more_planes=around_maps(self.measurand, processor),
            n_more=self.measurand.n_more,
            processor=processor,
            n_rows=self.measurand.n_rows,
            keep=() if keep is None else keep(self.layout),
        )
        self._mask_seconds = perf_counter() - begun

    @property
    def stack(self) -> SpectralStack:
        """Of the phase that is measured."""
        return self._chosen.stack

    @property
    def planes(self) -> list[Plane]:
        """What is read: the slices that the regions touch."""
        return [series.planes[z] for series in self.measurand.series for z in self.gatherer.slices]

    @property
    def warnings(self) -> list[Caution]:
        """What is to be known before a slice is read, beside the warnings of the study."""
        return [*self.measurand.warnings, *self.collected.warnings, *self.layout.warnings]

    def finish(self, *, seconds_of_reading: float) -> Measurement:
        """The measurement, once all slices that the regions touch were taken."""
        try:
            return self._finish(seconds_of_reading)
        finally:
            self.gatherer.close()

    def _finish(self, seconds_of_reading: float) -> Measurement:
        begun = perf_counter()
        chosen, stack, settings = self._chosen, self._chosen.stack, self._settings
        measurand, collected = self.measurand, self.collected
        layout, gathered = without_air(self.layout, self.gatherer.result(), measurand.energies_kev)
        numbers = region_numbers(layout, gathered, measurand, self._processor)
        table = measurement_rows(
            layout,
            gathered,
            numbers,
            measurand,
            stack.geometry.spacing_mm,
            self._labels,
            collected.failures,
            carried=collected.carried,
            with_se=settings.with_se,
            more=self._more,
        )
        vendor, doubts = _vendor_iodine(layout, gathered, measurand, numbers)
        measured_lesions = {
            row.lesion_id for row in table.rows if row.statistic == "mean" and row.n_valid
        } - {""}
        if layout.lesions and not measured_lesions and table.failures:
            raise table.failures[-1].error
        return Measurement(
            labels=self._labels,
            settings=settings,
            study=chosen.study,
            stack=stack,
            masks=collected,
            layout=layout,
            slices=gathered.slices,
            measurand=measurand,
            rows=tuple(table.rows),
            failures=tuple(table.failures),
            warnings=(
                *chosen.study.warnings,
                *measurand.warnings,
                *collected.warnings,
                *layout.warnings,
                *named_for_another_phase(
                    collected, chosen.study, collected.drawn_on or stack.phase
                ),
                *lesions_in_air(layout, gathered, measurand.energies_kev),
                *doubts,
                *self._processor.notes,
                *card_frames.notes(),
            ),
            vendor_iodine=tuple(vendor),
            backend=self._processor.name,
            kept_planes=gathered.kept,
            seconds={
                "scan": chosen.scan_seconds,
                "masks": self._mask_seconds,
                "read": seconds_of_reading,
                "statistics": perf_counter() - begun,
            },
        )


def _vendor_iodine(
    layout: Layout, gathered: Gathered, measurand: Measurand, numbers: Numbers
) -> tuple[list[VendorIodine], list[Caution]]:
    """Regression of the vendor's iodine on the computed one, over lesions and reference regions."""
    if not measurand.has_vendor_iodine:
        return [], []
    pairs: dict[str, tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]] = {}
    for i, region in enumerate(layout.regions):
        if region.region in ("lesion", "parenchyma", "aorta") and gathered.errors[i] is None:
            for name, computed, vendor in iodine_pairs(numbers.measured(i, "iodine")):
                pair = pairs.setdefault(name, ([], []))
                pair[0].append(computed)
                pair[1].append(vendor)
    regressions: list[VendorIodine] = []
    doubts: list[Caution] = []
    for name, (all_computed, all_vendor) in pairs.items():
        x = np.concatenate(all_computed).astype(np.float64)
        y = np.concatenate(all_vendor).astype(np.float64)
        valid = ~(np.isnan(x) | np.isnan(y))
        x, y = x[valid], y[valid]
        if x.size < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
            continue
        # Both carry noise, the same to a good part: the ratio of their spreads, not least squares of one.
        correlation = float(np.corrcoef(x, y)[0, 1])
        factor = float(np.sign(correlation) * y.std() / x.std())
        offset = float(y.mean() - factor * x.mean())
        regressions.append(
            VendorIodine(
                parameter=name,
                factor=factor,
                offset_mg_per_ml=offset,
                correlation=correlation,
                n_voxels=int(x.size),
            )
        )
        if not 1.0 / _DOUBTFUL_FACTOR < factor < _DOUBTFUL_FACTOR:
            doubts.append(Caution("vendor-unit", _doubt(name, factor, correlation)))
    return regressions, doubts


def _doubt(name: str, factor: float, correlation: float) -> str:
    """That a vendor's iodine has not the unit that it is read in; the unit that it has, where that can be told."""
    text = f"{name} is {factor:.3g} times the computed iodine (correlation {correlation:.2f})"
    for unit, times in (("100ug/mL", 10.0), ("mg/mL", 0.1)):
        if times / _DOUBTFUL_FACTOR < factor < times * _DOUBTFUL_FACTOR:
            return f"{text}, as in another unit; if the scanner's is {unit}, add --vendor-iodine-unit {unit}"
    return f"{text}: it is not the iodine that is computed here, or has an unknown unit"
