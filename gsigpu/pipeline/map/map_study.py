"""`gsigpu map`: a study in, maps out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsigpu.backends import BackendName
from gsigpu.caution import Caution
from gsigpu.choices import DEFAULT_MAPS, DEFAULT_SLOPE
from gsigpu.dicom.model import SpectralStack, Study
from gsigpu.dicom.writing.formats import FormatName, open_sink, planes_for
from gsigpu.fewer_collections import fewer_collections
from gsigpu.map_files import MapFiles
from gsigpu.maps.definitions import MapDefinition
from gsigpu.maps.plan import MapPlan
from gsigpu.maps.registry import is_added
from gsigpu.output.staging import staged_folder
from gsigpu.pipeline.map.blended_states import write_states
from gsigpu.pipeline.map.companion import Companion
from gsigpu.pipeline.map.outside_body import BlankOutside, Outside
from gsigpu.pipeline.map.plan_map import PROVENANCE, PlannedMaps, plan_map
from gsigpu.pipeline.map.prepare_maps import SeriesOverrides, run_maps
from gsigpu.pipeline.map.stream import StreamReport
from gsigpu.pipeline.progress import SILENT, Watcher
from gsigpu.pipeline.stack_source import PlaneStore
from gsigpu.pipeline.workers import beside
from gsigpu.plug_ins import MAPS, plug_in_record
from gsigpu.version import __version__

if TYPE_CHECKING:
    from gsigpu.pipeline.measure.measurement import Measurement


@dataclass(frozen=True, slots=True, repr=False)
class MapResult:
    """What a run of `map` did.

    out : the folder written
    folders : map name -> its folder or file
    stack : the series that were read
    report : of the stream
    warnings : for a person to read
    states : map name -> its presentation state
    measurement : of regions, where `gsigpu.map` was given masks
    """

    out: Path
    folders: dict[str, Path]
    definitions: tuple[MapDefinition, ...]
    stack: SpectralStack
    report: StreamReport
    scan_seconds: float
    warnings: tuple[Caution, ...]
    states: dict[str, Path] = field(default_factory=dict)
    measurement: Measurement | None = None

    def __repr__(self) -> str:
        """What was computed, in a line; no path, and nobody's identity."""
        return f"MapResult({', '.join(self.folders)}; {self._of()})"

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        rows = "".join(
            f"<tr><td>{escape(definition.name)}</td><td>{escape(definition.unit.display or '1')}</td>"
            f"<td>{escape(definition.formula)}</td></tr>"
            for definition in self.definitions
        )
        return (
            "<table><thead><tr><th>map</th><th>unit</th><th>definition</th></tr></thead>"
            f"<tbody>{rows}</tbody><caption>{escape(self._of())}</caption></table>"
        )

    def _of(self) -> str:
        shape = " x ".join(map(str, self.stack.geometry.shape))
        phase = f", phase {self.stack.phase}" if self.stack.phase else ""
        cautions = f", {len(self.warnings)} warnings" if self.warnings else ""
        return f"{len(self.stack.series)} energies{phase}, {shape} voxels{cautions}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`, without patient identity."""
        return {
            "out": str(self.out),
            "maps": {name: str(path) for name, path in self.folders.items()},
            "states": {name: str(path) for name, path in self.states.items()},
            "phase": self.stack.phase,
            "energies_kev": list(self.stack.energies_kev),
            "shape": list(self.stack.geometry.shape),
            "spacing_mm": list(self.stack.geometry.spacing_mm),
            "backend": self.report.backend,
            "n_workers": self.report.n_workers,
            "n_clipped": {
                definition.name: int(n)
                for definition, n in zip(self.definitions, self.report.n_clipped, strict=True)
            },
            "seconds": {"scan": self.scan_seconds, **self.report.seconds},
            "warnings": list(self.warnings),
        }


@fewer_collections()
def map_study(
    study: Path | str | Study,
    out: Path | str,
    *,
    maps: Sequence[str] = DEFAULT_MAPS,
    slope: str = DEFAULT_SLOPE,
    phase: str | None = None,
    series: Sequence[str] = (),
    energies_kev: Sequence[float] = (),
    output_format: FormatName = "ct",
    backend: BackendName = "auto",
    n_workers: int | None = None,
    overwrite: bool = False,
    outside: Outside | None = None,
    with_dicom: bool = False,
    compress: str | None = None,
    energy_overrides: Mapping[str, float] | None = None,
    phase_overrides: Mapping[str, str] | None = None,
    kind_overrides: Mapping[str, str] | None = None,
    watcher: Watcher = SILENT,
    companion: Companion | None = None,
    store: PlaneStore | None = None,
) -> MapResult:
    """Computes maps of a spectral study and writes them.

    study : a folder, or what `read_study` gave
    out : a folder that is not there yet, or is empty; complete or absent afterwards
    maps, slope : see gsigpu.maps.registry
    phase, series : which stack, where the study holds several
    energies_kev : use only these of the stack's energies; all if empty
    output_format : ct, pm, nifti, nrrd or rgb
    outside : `blank` leaves out what lies outside the body, `keep` does not; by default blank for rgb alone
    with_dicom : beside CT series also a presentation state per map, which lays it in colour over the image at 70 keV
    compress : CT series without loss: htj2k, jpeg-ls or rle; not compressed if None
    companion : shares the reading, and writes into `out` too; see gsigpu.pipeline.measure.map_companion
    store : of the planes, where several phases are read one after the other

    Raises InputError and its kinds, SettingsError, OutputError, BackendError.
    """
    out = Path(out)
    planned = plan_map(
        study,
        maps=maps,
        slope=slope,
        phase=phase,
        series=series,
        energies_kev=energies_kev,
        output_format=output_format,
        backend=backend,
        outside=outside,
        with_dicom=with_dicom,
        compress=compress,
        overrides=SeriesOverrides(energy_overrides, phase_overrides, kind_overrides),
        watcher=watcher,
        companion=companion,
        store=store,
    )
    prepared = planned.prepared
    with staged_folder(
        out,
        command="map",
        overwrite=overwrite,
        n_bytes=planned.n_bytes,
        protected=planned.protected,
    ) as folder:
        sink, report, notes = _write_planes(
            planned, folder, backend=backend, n_workers=n_workers, watcher=watcher
        )
        report.n_clipped = report.n_clipped[: len(prepared.definitions)]
        notes += _clip_warnings(prepared.definitions, report)
        result = MapResult(
            out=out,
            folders={map_name: out / name for map_name, name in planned.names.items()},
            definitions=prepared.definitions,
            stack=prepared.stack,
            report=report,
            scan_seconds=prepared.chosen.scan_seconds,
            warnings=(*prepared.warnings, *notes),
        )
        _write_provenance(
            folder / PROVENANCE, result, prepared.plan, output_format, compress=compress
        )
        if companion is not None:
            # Warnings of the study, and of maps that are calibrated, are told already.
            more = [line for line in companion.finish(folder) if line not in result.warnings]
            result = replace(result, warnings=(*result.warnings, *more))
        if with_dicom:
            regions = () if companion is None else companion.outlined()
            more = write_states(
                folder, sink, planned.states, prepared.definitions, prepared.chosen.stack, regions
            )
            result = replace(
                result,
                warnings=(*result.warnings, *more),
                states={map_name: out / name for map_name, name in planned.states.items()},
            )
    return result


def _write_planes(
    planned: PlannedMaps,
    folder: Path,
    *,
    backend: BackendName,
    n_workers: int | None,
    watcher: Watcher,
) -> tuple[MapFiles, StreamReport, list[Caution]]:
    """Computes the maps into `folder`: what was written, the report of the stream, and what to know."""
    prepared, output_format = planned.prepared, planned.output_format
    planes, definitions, stack = prepared.planes, prepared.definitions, prepared.stack
    with_anatomy = len(planes_for(output_format, definitions)) > len(definitions)
    written = planes if with_anatomy else definitions
    # Headers are Python's work; a look at the labels takes longer than they do, and nobody waits for what it finds.
    with (
        beside(prepared.label_sample) as label_sample,
        ExitStack() as until_written,
    ):
        sink = until_written.enter_context(
            open_sink(output_format, folder, written, stack, compress=planned.compress)
        )
        into = (
            BlankOutside(sink, anatomy_step=planes[-1].step, with_anatomy=with_anatomy)
            if planned.is_blank
            else sink
        )
        looks = partial(prepared.doubts, label_sample())
        with beside(looks) as doubts, watcher.stage("map") as progress:
            report, notes = run_maps(
                prepared,
                into,
                dtype=sink.dtype,
                backend=backend,
                processor=planned.processor,
                n_workers=n_workers,
                progress=progress,
                companion=planned.companion,
            )
        of_labels = doubts()
        with watcher.stage("write"):  # a compressed volume is packed when its last slice is there
            until_written.close()
    return sink, report, [*of_labels, *notes]


def _clip_warnings(definitions: Sequence[MapDefinition], report: StreamReport) -> list[Caution]:
    return [
        Caution(
            "clipped",
            f"{definition.name}: {int(n)} voxels beyond ±{32767 * definition.step:g} {definition.unit.display} were clipped".replace(
                "  ", " "
            ),
        )
        for definition, n in zip(definitions, report.n_clipped, strict=True)
        if n
    ]


def _write_provenance(
    path: Path,
    result: MapResult,
    plan: MapPlan,
    output_format: FormatName,
    *,
    compress: str | None,
) -> None:
    stack = result.stack
    text = json.dumps(
        {
            "software": f"gsigpu {__version__}",
            "format": output_format,
            "compression": compress,
            "maps": [
                {
                    "name": definition.name,
                    "formula": definition.formula,
                    "unit": definition.unit.ucum,
                    "step": definition.step if output_format == "ct" else None,
                }
                for definition in result.definitions
            ],
            "plug_ins": plug_in_record(
                MAPS, [d.name for d in result.definitions if is_added(d.name)]
            ),
            "phase": stack.phase,
            "study_uid": stack.series[0].evidence.study_uid,
            "frame_of_reference_uid": stack.geometry.frame_of_reference_uid,
            "energies_kev": list(plan.energies_kev),
            "series": [
                {
                    "uid": series.evidence.series_uid,
                    "energy_kev": series.energy_kev,
                    "why": list(series.evidence_used),
                }
                for series in stack.series
            ],
            "weights": {
                definition.name: dict(
                    zip(map(str, plan.energies_kev), map(float, row), strict=True)
                )
                for definition, row in zip(
                    plan.linear_definitions, plan.linear.weights, strict=True
                )
            },
            "backend": result.report.backend,
            "n_clipped": {
                definition.name: int(n)
                for definition, n in zip(result.definitions, result.report.n_clipped, strict=True)
            },
            "warnings": list(result.warnings),
        },
        indent=2,
    )
    path.write_text(text + "\n", "utf-8")
