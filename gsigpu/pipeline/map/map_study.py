"""`gsigpu map`: a study in, maps out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from gsigpu.backends import BackendName, choose
from gsigpu.choices import DEFAULT_MAPS, DEFAULT_SLOPE
from gsigpu.dicom.model import Series, SpectralStack, Study
from gsigpu.dicom.writing.formats import FORMATS, FormatName, open_sink, planes_for
from gsigpu.errors import SettingsError
from gsigpu.maps.definitions import MapDefinition
from gsigpu.maps.label_check import check_labels
from gsigpu.maps.plan import MapPlan, plan_maps
from gsigpu.maps.registry import define_all
from gsigpu.output.staging import staged_folder
from gsigpu.pipeline.calibrate import calibrated
from gsigpu.pipeline.choose_stack import choose_stack
from gsigpu.pipeline.map.program import compile_program
from gsigpu.pipeline.map.run_program import run_program
from gsigpu.pipeline.map.stream import StreamReport
from gsigpu.pipeline.progress import SILENT, Watcher
from gsigpu.pipeline.stack_source import StackSource
from gsigpu.version import __version__

# Slices looked at by the label check, spread over the stack.
_CHECKED_SLICES = 3


_PROVENANCE = "provenance.json"


@dataclass(frozen=True, slots=True, repr=False)
class MapResult:
    """What a run of `map` did.

    out : the folder written
    folders : map name -> its folder or file
    stack : the series that were read
    report : of the stream
    warnings : for a person to read
    """

    out: Path
    folders: dict[str, Path]
    definitions: tuple[MapDefinition, ...]
    stack: SpectralStack
    report: StreamReport
    scan_seconds: float
    warnings: tuple[str, ...]

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
    energy_overrides: Mapping[str, float] | None = None,
    phase_overrides: Mapping[str, str] | None = None,
    kind_overrides: Mapping[str, str] | None = None,
    watcher: Watcher = SILENT,
) -> MapResult:
    """Computes maps of a spectral study and writes them.

    study : a folder, or what `read_study` gave
    out : a folder that is not there yet, or is empty; complete or absent afterwards
    maps, slope : see gsigpu.maps.registry
    phase, series : which stack, where the study holds several
    energies_kev : use only these of the stack's energies; all if empty
    output_format : ct, pm, nifti, nrrd or rgb

    Raises InputError and its kinds, SettingsError, OutputError, BackendError.
    """
    out = Path(out)
    if output_format not in FORMATS:
        raise SettingsError(f"unknown format {output_format!r}", remedy=f"use {', '.join(FORMATS)}")
    definitions = define_all(maps, slope=slope)
    planes = planes_for(output_format, definitions)
    processor = choose(backend)
    chosen = choose_stack(
        study,
        phase=phase,
        series=series,
        energies_kev=energies_kev,
        energy_overrides=energy_overrides,
        phase_overrides=phase_overrides,
        kind_overrides=kind_overrides,
        watcher=watcher,
    )
    plan, stack, left_out = plan_for(planes, chosen.stack)
    source = StackSource(stack)
    planes, cautions = calibrated(
        planes, plan.energies_kev, stack.geometry.shape[0], source.read_hu
    )
    definitions = planes[: len(definitions)]
    plan = plan_maps(planes, plan.energies_kev)
    warnings = [
        *chosen.study.warnings,
        *chosen.left_aside,
        *left_out,
        *label_warnings(stack, source),
        *cautions,
    ]
    n_bytes = _output_bytes(stack, len(planes), output_format)
    with staged_folder(
        out, command="map", overwrite=overwrite, n_bytes=n_bytes, protected=[chosen.study.root]
    ) as folder:
        with open_sink(output_format, folder, planes, stack) as sink:
            program = compile_program(
                plan, stack.geometry.shape[1:], sink.dtype, **source.rescale()
            )
            with watcher.stage("map") as progress:
                report, notes = run_program(
                    program,
                    source,
                    sink,
                    backend=backend,
                    processor=processor,
                    n_workers=n_workers,
                    progress=progress,
                )
            names = sink.names
        report.n_clipped = report.n_clipped[: len(definitions)]
        warnings += [*notes, *_clip_warnings(definitions, report)]
        result = MapResult(
            out=out,
            folders={map_name: out / name for map_name, name in names.items()},
            definitions=definitions,
            stack=stack,
            report=report,
            scan_seconds=chosen.scan_seconds,
            warnings=tuple(warnings),
        )
        _write_provenance(folder / _PROVENANCE, result, plan, output_format)
    return result


def plan_for(
    definitions: Sequence[MapDefinition], stack: SpectralStack
) -> tuple[MapPlan, SpectralStack, list[str]]:
    """The plan, the stack of just the series it reads, and warnings about series left out.

    Raises the problem of a series that the plan needs, and TooFewEnergies.
    """
    plan = plan_maps(definitions, stack.energies_kev)
    needed = tuple(stack.series[stack.energies_kev.index(kev)] for kev in plan.energies_kev)
    for series in needed:
        if series.problem is not None:
            raise series.problem
    left_out = [
        f"not read, and not needed: {series.problem}"
        for series in stack.series
        if series.problem is not None and series not in needed
    ]
    return plan, replace(stack, series=needed), left_out


def label_warnings(stack: SpectralStack, source: StackSource) -> list[str]:
    """One line per series whose keV label does not fit the data (SPEC §3)."""
    n_slices = stack.geometry.shape[0]
    chosen = np.unique(np.linspace(0, n_slices - 1, _CHECKED_SLICES + 2)[1:-1].round().astype(int))
    sample = np.stack([source.read_hu(int(z)) for z in chosen], axis=1)
    doubts = check_labels(stack.energies_kev, sample)
    named = [doubt for doubt in doubts if doubt.fitted_kev is not None]
    if doubts and not named:
        labels = ", ".join(f"{doubt.label_kev:g}" for doubt in doubts)
        line = (
            f"the labels {labels} keV do not fit together, and the images do not tell which is wrong:"
            " compare a region of known iodine, or export the series again"
        )
        return [line]
    return [
        f"series labelled {doubt.label_kev:g} keV looks like {doubt.fitted_kev:.0f} keV: compare"
        f" {_series_at(stack, doubt.label_kev)} on the scanner, and give its energy with"
        f" --energy {_series_key(stack, doubt.label_kev)}=KEV only if its label is wrong there"
        for doubt in named
    ]


def _series_at(stack: SpectralStack, kev: float) -> str:
    series: Series = stack.series[stack.energies_kev.index(kev)]
    return f"series {series.evidence.series_number} {series.evidence.series_description!r}"


def _series_key(stack: SpectralStack, kev: float) -> str:
    return stack.series[stack.energies_kev.index(kev)].key


def _clip_warnings(definitions: Sequence[MapDefinition], report: StreamReport) -> list[str]:
    return [
        f"{definition.name}: {int(n)} voxels beyond ±{32767 * definition.step:g} {definition.unit.display} were clipped".replace(
            "  ", " "
        )
        for definition, n in zip(definitions, report.n_clipped, strict=True)
        if n
    ]


def _output_bytes(stack: SpectralStack, n_maps: int, output_format: FormatName) -> int:
    per_voxel = {"ct": 2, "rgb": 3}.get(output_format, 4)
    n_slices, rows, columns = stack.geometry.shape
    return n_maps * n_slices * (rows * columns * per_voxel + 8192)


def _write_provenance(
    path: Path, result: MapResult, plan: MapPlan, output_format: FormatName
) -> None:
    stack = result.stack
    text = json.dumps(
        {
            "software": f"gsigpu {__version__}",
            "format": output_format,
            "maps": [
                {
                    "name": definition.name,
                    "formula": definition.formula,
                    "unit": definition.unit.ucum,
                    "step": definition.step if output_format == "ct" else None,
                }
                for definition in result.definitions
            ],
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
