"""The measurement that goes along with maps: `gsigpu map --mask`, and the maps of `gsigpu cohort run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import BackendName
from gsigpu.caution import Caution
from gsigpu.choices import MEASUREMENTS
from gsigpu.dicom.model import Plane
from gsigpu.dicom.writing.presentation import OutlinedRegion
from gsigpu.one_or_more import one_or_more
from gsigpu.pipeline.choose_stack import ChosenStack
from gsigpu.pipeline.measure.dicom_results import dicom_notes, outlined_regions
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import MeasureJob
from gsigpu.pipeline.measure.measurement import Measurement, MeasureSettings
from gsigpu.pipeline.measure.measurement_rows import CaseLabels
from gsigpu.pipeline.measure.processor import Processor
from gsigpu.pipeline.measure.shared_regions import SharedRegions
from gsigpu.pipeline.measure.shown_slices import ShownSlices
from gsigpu.pipeline.measure.write_measurement import files_of, write_measurement
from gsigpu.pipeline.stack_source import PlaneStore
from gsigpu.regions.region_layout import Layout

T = TypeVar("T")


class MeasureCompanion:
    """Measures regions in the slices that a run of maps reads; the result is that of `measure_study`.

    masks : that are measured
    measurement : once the run is over
    """

    def __init__(
        self,
        masks: MaskFiles,
        *,
        settings: MeasureSettings | None = None,
        labels: CaseLabels | None = None,
        backend: BackendName = "auto",
        table: str = MEASUREMENTS,
        with_dicom: bool = False,
        tell_stage: Callable[[str], None] = lambda _stage: None,
        accept: Callable[[Measurement], Measurement] = lambda measurement: measurement,
        shared: SharedRegions | None = None,
        keep: ShownSlices | None = None,
    ) -> None:
        """The arguments are those of `measure_study`.

        table : name of the table in the folder of the maps; "" for none
        with_dicom : SEG, SR and presentation state beside the table
        tell_stage : told `maps` when the pass begins, and `measure` when it is over
        accept : gives the measurement that counts; what it raises ends the run, without output
        shared : masks and regions of the study's phases, where several are measured with these masks and settings
        Raises GpuUnavailable and SettingsError.
        """
        self.masks, self._labels, self._table = masks, labels, table
        self._with_dicom = with_dicom
        self._settings = settings or MeasureSettings()
        self._tell_stage, self._accept = tell_stage, accept
        self._processor = Processor(backend)
        self._shared, self._keep = shared, keep
        self._job: MeasureJob | None = None
        self._begun = perf_counter()
        self.measurement: Measurement | None = None

    @property
    def layout(self) -> Layout:
        """The regions, once it has begun."""
        assert self._job is not None
        return self._job.layout

    @property
    def planes(self) -> list[Plane]:
        """Of the slices that the regions touch, once it has begun."""
        assert self._job is not None
        return self._job.planes

    @property
    def warnings(self) -> list[Caution]:
        """Of masks and regions, once it has begun."""
        assert self._job is not None
        return self._job.warnings

    @property
    def written(self) -> list[str]:
        """Names of the files in the folder of the maps, the table first; once it has begun."""
        assert self._job is not None
        if not self._table:
            return []
        files = files_of(
            self._job.measurand,
            self._job.collected,
            Path(self._table),
            with_dicom=self._with_dicom,
        )
        return [path.name for path in (files[-1], *files[:-1])]

    def begin(self, chosen: ChosenStack, store: PlaneStore) -> Sequence[Path]:
        """Makes the regions; what is wrong with the masks is raised before anything is written."""
        self._job = MeasureJob(
            chosen,
            self.masks,
            settings=self._settings,
            labels=self._labels,
            processor=self._processor,
            store=store,
            shared=self._shared,
            keep=self._keep,
        )
        self._channel_of = {
            id(series): channel for channel, series in enumerate(self._job.measurand.series)
        }
        self._begun = perf_counter()
        self._tell_stage("maps")
        return self._job.collected.paths

    def take(
        self, z: int, planes: Mapping[int, NDArray[np.int16]], *, goes_up: bool = False
    ) -> None:
        """The regions' voxels of a slice; series that no map reads are read here."""
        assert self._job is not None
        self._job.gatherer.take(z, self._by_channel(planes), goes_up=goes_up)

    def take_uploaded(
        self, first: int, planes: Mapping[int, tuple[NDArray[np.int16], Any]], stream: Any
    ) -> None:
        """The regions' voxels of slices that the maps have brought to the card."""
        assert self._job is not None
        self._job.gatherer.take_uploaded(first, self._by_channel(planes), stream)

    def _by_channel(self, planes: Mapping[int, T]) -> dict[int, T]:
        return {
            self._channel_of[key]: of_series
            for key, of_series in planes.items()
            if key in self._channel_of
        }

    def finish(self, folder: Path) -> Sequence[Caution]:
        """Computes the numbers, and writes the table, if there is one."""
        assert self._job is not None
        self._tell_stage("measure")
        measurement = self._job.finish(seconds_of_reading=perf_counter() - self._begun)
        self.measurement = self._accept(measurement)
        if not self._table:
            return self.measurement.warnings
        write_measurement(
            self.measurement, folder / self._table, masks=self.masks, with_dicom=self._with_dicom
        )
        notes = dicom_notes(self.measurement) if self._with_dicom else []
        return (*self.measurement.warnings, *notes)

    def outlined(self) -> Sequence[OutlinedRegion]:
        """Lesions and their cores."""
        assert self.measurement is not None
        return outlined_regions(self.measurement)


def settings_of_maps(
    settings: MeasureSettings, *, maps: Sequence[str], slope: str
) -> MeasureSettings:
    """Settings that measure what `map --maps --slope` computes: λHU, in every definition there, and the other maps.

    >>> of_maps = settings_of_maps(MeasureSettings(), maps=("lambda-hu[40-100]", "water"), slope="paper")
    >>> of_maps.parameters.slopes, of_maps.parameters.maps
    (('paper', '40-100'), ('water',))
    """
    maps = one_or_more(maps)
    slopes = [name[len("lambda-hu") :].strip("[]") for name in maps if _is_slope(name)]
    others = tuple(name for name in maps if not _is_slope(name))
    all_slopes = tuple(dict.fromkeys([slope, *(name for name in slopes if name)]))
    return replace(
        settings, parameters=replace(settings.parameters, slopes=all_slopes, maps=others)
    )


def _is_slope(name: str) -> bool:
    return name == "lambda-hu" or name.startswith("lambda-hu[")
