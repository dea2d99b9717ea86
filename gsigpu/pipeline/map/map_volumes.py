"""`gsigpu.map`: maps written to a folder, or in memory where none is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import choose
from gsigpu.caution import Caution
from gsigpu.choices import DEFAULT_MAPS, DEFAULT_SLOPE, MEASUREMENTS
from gsigpu.dicom.model import Study
from gsigpu.errors import SettingsError
from gsigpu.image_volume import ImageVolume
from gsigpu.pipeline.map.companion import Companion
from gsigpu.pipeline.map.map_study import MapResult, map_study
from gsigpu.pipeline.map.prepare_maps import SeriesOverrides, prepare_maps, run_maps
from gsigpu.pipeline.map.stream import StreamReport
from gsigpu.pipeline.measure.map_companion import MeasureCompanion, settings_of_maps
from gsigpu.pipeline.measure.mask_images import mask_files
from gsigpu.pipeline.measure.measurement import Measurement, MeasureSettings
from gsigpu.pipeline.measure.measurement_rows import CaseLabels
from gsigpu.pipeline.progress import SILENT

_OF_A_FOLDER = ("output_format", "overwrite")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class MapVolumes(Mapping[str, ImageVolume]):
    """Maps in memory: a mapping from their names.

    volumes : in the order of the request
    report : of the run
    warnings : for a person to read
    measurement : of regions, where masks were given
    """

    volumes: dict[str, ImageVolume]
    report: StreamReport
    warnings: tuple[Caution, ...]
    measurement: Measurement | None = None

    def __getitem__(self, name: str) -> ImageVolume:
        """A map."""
        return self.volumes[name]

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self.volumes)

    def __len__(self) -> int:
        """How many maps."""
        return len(self.volumes)

    def __repr__(self) -> str:
        """What was computed, in a line."""
        cautions = f"; {len(self.warnings)} warnings" if self.warnings else ""
        return f"<MapVolumes: {', '.join(self.volumes)}{cautions}>"


@overload
def map_or_volumes(study: Path | str | Study, out: None = None, **options: Any) -> MapVolumes: ...
@overload
def map_or_volumes(study: Path | str | Study, out: Path | str, **options: Any) -> MapResult: ...
def map_or_volumes(
    study: Path | str | Study,
    out: Path | str | None = None,
    *,
    masks: Any = None,
    settings: MeasureSettings | None = None,
    labels: CaseLabels | None = None,
    **options: Any,
) -> MapResult | MapVolumes:
    """Maps of a spectral study, and the measurement of regions in the same reading where masks are given.

    study : a folder, or what `gsigpu.scan` gave
    out : a folder to write; None for maps in memory, float32 and unclipped
    masks : as for `gsigpu.measure`; the result's `measurement` is what it gives, and with a folder its table is there
    settings, labels : of the measurement; by default it measures the slope and the maps that are computed
    options : those of `map_study`: maps, slope, phase, series, energies_kev, backend, n_workers, …;
        `output_format` and `overwrite` only with a folder
    Returns MapResult, or MapVolumes: name -> ImageVolume.
    Raises InputError and its kinds, SettingsError, OutputError, BackendError.
    """
    if masks is None:
        if settings is not None or labels is not None:
            raise SettingsError("settings and labels are of a measurement", remedy="give masks")
        return _maps(study, out, options, None)
    with mask_files(masks) as files:
        of_maps = settings_of_maps(
            MeasureSettings(),
            maps=options.get("maps", DEFAULT_MAPS),
            slope=options.get("slope", DEFAULT_SLOPE),
        )
        companion = MeasureCompanion(
            files,
            settings=settings or of_maps,
            labels=labels,
            backend=options.get("backend", "auto"),
            table="" if out is None else MEASUREMENTS,
        )
        result = _maps(study, out, options, companion)
        return replace(result, measurement=companion.measurement)


def _maps(
    study: Path | str | Study,
    out: Path | str | None,
    options: Mapping[str, Any],
    companion: MeasureCompanion | None,
) -> MapResult | MapVolumes:
    if out is not None:
        return map_study(study, out, companion=companion, **options)
    for name in _OF_A_FOLDER:
        if name in options:
            raise SettingsError(f"{name} is for maps that are written", remedy="name a folder")
    return map_volumes(study, companion=companion, **options)


def map_volumes(
    study: Path | str | Study,
    *,
    maps: Sequence[str] = DEFAULT_MAPS,
    slope: str = DEFAULT_SLOPE,
    phase: str | None = None,
    series: Sequence[str] = (),
    energies_kev: Sequence[float] = (),
    backend: Literal["auto", "cpu", "gpu"] = "auto",
    n_workers: int | None = None,
    overrides: SeriesOverrides | None = None,
    companion: Companion | None = None,
) -> MapVolumes:
    """Maps of a study in memory; the arguments are those of `map_study`.

    The values are those that `map_study` writes to NIfTI (tested).
    """
    processor = choose(backend)
    prepared = prepare_maps(
        study,
        maps=maps,
        slope=slope,
        phase=phase,
        series=series,
        energies_kev=energies_kev,
        planes_of=tuple,
        overrides=overrides or SeriesOverrides(),
        watcher=SILENT,
    )
    if companion is not None:
        companion.begin(prepared.chosen, prepared.source.store)
    of_labels = prepared.label_warnings()
    geometry = prepared.stack.geometry
    memory = _Memory(len(prepared.definitions), geometry.shape)
    report, notes = run_maps(
        prepared,
        memory,
        dtype=np.dtype(np.float32),
        backend=backend,
        processor=processor,
        n_workers=n_workers,
        progress=None,
        companion=companion,
    )
    volumes = {
        definition.name: ImageVolume(
            array, geometry=geometry, name=definition.name, unit=definition.unit.display
        )
        for definition, array in zip(prepared.definitions, memory.arrays, strict=True)
    }
    warnings = [*prepared.warnings, *of_labels, *notes]
    if companion is not None:
        warnings += [line for line in companion.finish(Path()) if line not in warnings]
    return MapVolumes(volumes, report, tuple(warnings))


class _Memory:
    """Takes the planes of a run."""

    def __init__(self, n_maps: int, shape: tuple[int, int, int]) -> None:
        self.arrays = [np.empty(shape, np.float32) for _ in range(n_maps)]

    def write(self, z: int, planes: Sequence[NDArray[Any]]) -> None:
        """Planes of slice z, copied."""
        for array, plane in zip(self.arrays, planes, strict=True):
            array[z] = plane
