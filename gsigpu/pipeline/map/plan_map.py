"""A run of `map`, checked and ready to begin: what it will read and write is decided here, for the run and for `--dry-run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gsigpu.backends import BackendName, choose
from gsigpu.caution import Caution
from gsigpu.choices import COMPRESSIONS, DEFAULT_MAPS, DEFAULT_SLOPE
from gsigpu.dicom.model import Plane, Study
from gsigpu.dicom.writing.formats import (
    FORMATS,
    FormatName,
    names_in,
    output_bytes,
    planes_for,
)
from gsigpu.errors import SettingsError
from gsigpu.maps.definitions import MapDefinition
from gsigpu.pipeline.choose_stack import require_dicom
from gsigpu.pipeline.map.blended_states import require_series, state_names
from gsigpu.pipeline.map.companion import Companion
from gsigpu.pipeline.map.outside_body import Outside, told_blank
from gsigpu.pipeline.map.prepare_maps import PreparedMaps, SeriesOverrides, prepare_maps
from gsigpu.pipeline.progress import SILENT, Watcher
from gsigpu.pipeline.stack_source import PlaneStore

PROVENANCE = "provenance.json"
# Written with the headers of the images that maps are made of.
_OF_DICOM = ("ct", "pm", "rgb")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMaps:
    """A run of maps before its first slice.

    is_blank : what lies outside the body is left out
    companion : shares the reading; it has begun
    masks : files that the companion has read
    names : map name -> its file or folder
    states : map name -> the file of its presentation state
    n_bytes : about how much the maps take, not compressed
    """

    prepared: PreparedMaps
    output_format: FormatName
    processor: Literal["cpu", "gpu"]
    compress: str | None
    is_blank: bool
    companion: Companion | None
    masks: tuple[Path, ...]
    names: Mapping[str, str]
    states: Mapping[str, str]
    n_bytes: int

    @property
    def is_compressed(self) -> bool:
        """Whether what is written is smaller than `n_bytes` says."""
        return self.compress is not None or self.output_format == "nii.gz"

    @property
    def protected(self) -> list[Path]:
        """What is read, and must not be taken away with the output."""
        prepared = self.prepared
        first_files = {series.planes[0].path for series in prepared.stack.series}
        return [prepared.chosen.study.root, *first_files, *self.masks]

    @property
    def warnings(self) -> list[Caution]:
        """What is to be known before the first slice."""
        of_companion = () if self.companion is None else self.companion.warnings
        return list(
            dict.fromkeys([*self.prepared.warnings, *self.prepared.label_warnings(), *of_companion])
        )

    @property
    def files(self) -> list[str]:
        """Names of the files and folders that the run leaves in its folder."""
        of_companion = () if self.companion is None else self.companion.written
        return [*self.names.values(), *self.states.values(), *of_companion, PROVENANCE]

    @property
    def planes(self) -> list[Plane]:
        """The planes that the run reads, each once."""
        planes = [plane for series in self.prepared.stack.series for plane in series.planes]
        planes += () if self.companion is None else self.companion.planes
        return list({plane.place: plane for plane in planes}.values())


def plan_map(
    study: Path | str | Study,
    *,
    maps: Sequence[str] = DEFAULT_MAPS,
    slope: str = DEFAULT_SLOPE,
    phase: str | None = None,
    series: Sequence[str] = (),
    energies_kev: Sequence[float] = (),
    output_format: FormatName = "ct",
    backend: BackendName = "auto",
    outside: Outside | None = None,
    with_dicom: bool = False,
    compress: str | None = None,
    overrides: SeriesOverrides | None = None,
    watcher: Watcher = SILENT,
    companion: Companion | None = None,
    store: PlaneStore | None = None,
) -> PlannedMaps:
    """Checks a call of `map_study`, which see, chooses the stack, looks at a few slices, and makes the regions.

    Nothing is written. Raises InputError and its kinds, SettingsError, BackendError.
    """
    if output_format not in FORMATS:
        raise SettingsError(f"unknown format {output_format!r}", remedy=f"use {', '.join(FORMATS)}")
    if with_dicom:
        require_series(output_format)
    if compress is not None:
        _require_compression(compress, output_format)
    is_blank = (outside or ("blank" if output_format == "rgb" else "keep")) == "blank"

    def planes_of(definitions: Sequence[MapDefinition]) -> Sequence[MapDefinition]:
        told = [told_blank(definition) for definition in definitions] if is_blank else definitions
        return planes_for(output_format, told, with_anatomy=is_blank)

    processor = choose(backend)
    prepared = prepare_maps(
        study,
        maps=maps,
        slope=slope,
        phase=phase,
        series=series,
        energies_kev=energies_kev,
        planes_of=planes_of,
        overrides=overrides or SeriesOverrides(),
        watcher=watcher,
        store=store,
    )
    stack, definitions = prepared.stack, prepared.definitions
    if output_format in _OF_DICOM:
        require_dicom(stack, f"--format {output_format}", "use --format nifti, or nrrd")
    masks: Sequence[Path] = ()
    if companion is not None:
        with watcher.stage("masks"):
            masks = companion.begin(prepared.chosen, prepared.source.store)
    planned = PlannedMaps(
        prepared=prepared,
        output_format=output_format,
        processor=processor,
        compress=compress,
        is_blank=is_blank,
        companion=companion,
        masks=tuple(masks),
        names=names_in(output_format, definitions),
        states=state_names(definitions, prepared.chosen.stack) if with_dicom else {},
        n_bytes=output_bytes(stack, len(definitions), output_format),
    )
    prepared.source.store.keep_only(planned.planes)
    return planned


def _require_compression(name: str, output_format: FormatName) -> None:
    if name not in COMPRESSIONS:
        raise SettingsError(
            f"unknown compression {name!r}", remedy=f"use {', '.join(COMPRESSIONS)}"
        )
    if output_format != "ct":
        raise SettingsError(
            f"--compress is for CT series, not for {output_format}",
            remedy="use --format ct, or leave --compress out",
        )
