"""What `map` and `measure` would read and write, without doing it: `--dry-run`.

Both begin the very run that they would do, and stop before the pass over its slices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsigpu.caution import Caution
from gsigpu.dicom.model import Plane, SpectralStack, Study
from gsigpu.output.staging import require_free_bytes, require_place
from gsigpu.phase_words import WITHOUT_NAME
from gsigpu.pipeline.choose_stack import phase_word, phases_of, require_dicom
from gsigpu.pipeline.map.companion import Companion
from gsigpu.pipeline.map.plan_map import plan_map
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_phases import phase_files, phase_jobs
from gsigpu.pipeline.measure.measure_study import measure_job
from gsigpu.pipeline.measure.write_measurement import files_of, require_no_mask
from gsigpu.tables.phase_pairs import require_extracellular


@dataclass(frozen=True, slots=True)
class WouldDo:
    """What a call would do with one phase.

    phase : "" where the study has one without a name
    energies_kev : of the series that would be read
    n_planes, read_bytes : of these and of other series; as they lie uncompressed in memory
    masks : files that are read beside
    written : what would be there afterwards
    written_bytes : about so much, 0 where it is little
    is_at_most : it is less, for it is compressed
    warnings : that the run would tell before its pass over the slices
    """

    phase: str
    energies_kev: tuple[float, ...]
    n_planes: int
    read_bytes: int
    masks: tuple[Path, ...]
    written: tuple[Path, ...]
    written_bytes: int = 0
    is_at_most: bool = False
    warnings: tuple[Caution, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data for `--json`."""
        return {
            "phase": self.phase,
            "energies_kev": list(self.energies_kev),
            "n_planes": self.n_planes,
            "read_bytes": self.read_bytes,
            "masks": [str(path) for path in self.masks],
            "written": [str(path) for path in self.written],
            "written_bytes": self.written_bytes,
            "is_at_most": self.is_at_most,
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        """For a person, a file a line."""
        kev = ", ".join(f"{kev:g}" for kev in self.energies_kev)
        lines = [
            f"phase  {self.phase or WITHOUT_NAME}: {kev} keV",
            f"read   {self.n_planes} planes, {self.read_bytes / 2**20:.1f} MiB",
            *(f"       {path}" for path in self.masks),
            *(f"{'' if i else 'write':<7}{path}" for i, path in enumerate(self.written)),
        ]
        if self.written_bytes:
            about = "at most" if self.is_at_most else "about"
            lines.append(f"size   {about} {self.written_bytes / 2**20:.1f} MiB")
        return "\n".join(lines)


def dry_map(
    study: Study,
    out: Path,
    *,
    phase: str | None,
    all_phases: bool,
    overwrite: bool,
    companion_of: Callable[[], Companion | None] = lambda: None,
    **options: Any,
) -> list[WouldDo]:
    """What `map` would do, phase by phase.

    companion_of : makes what shares the reading of a phase
    options : those of `plan_map`
    Raises what `map_study` raises before its pass over the slices.
    """
    require_place(out, command="map", overwrite=overwrite, protected=[study.root])
    told, protected, n_bytes = [], [study.root], 0
    for name in phases_of(study) if all_phases else [phase]:
        planned = plan_map(study, phase=name, companion=companion_of(), **options)
        stack = planned.prepared.stack
        folder = out / phase_word(stack.phase) if all_phases else out
        protected += planned.protected
        n_bytes += planned.n_bytes
        told.append(
            _would_do(
                stack,
                planned.planes,
                masks=planned.masks,
                written=[folder / file for file in planned.files],
                written_bytes=planned.n_bytes,
                is_at_most=planned.is_compressed,
                warnings=planned.warnings,
            )
        )
    require_place(out, command="map", overwrite=overwrite, protected=protected)
    require_free_bytes(out, n_bytes)
    return told


def dry_measure(
    study: Study,
    masks: MaskFiles,
    out: Path,
    *,
    phase: str | None,
    all_phases: bool,
    haematocrit: float | None,
    beside: dict[str, bool],
    **options: Any,
) -> list[WouldDo]:
    """What `measure` would do, phase by phase; masks are read, and carried over where asked.

    haematocrit : as of `measure_phases`
    beside : with_wide, with_dicom and with_plot, as of `write_measurement`
    options : those of `measure_study`
    Raises what `measure_study` raises before it reads the slices, and what keeps the files from being written.
    """
    jobs = (
        list(phase_jobs(study, masks, **options))
        if all_phases
        else [measure_job(study, masks, phase=phase, **options)]
    )
    written = (
        phase_files(
            out, {job.stack.phase: (job.measurand, job.collected) for job in jobs}, **beside
        )
        if all_phases
        else files_of(jobs[0].measurand, jobs[0].collected, out, **beside)
    )
    if haematocrit is not None:
        require_extracellular(
            job.stack.phase
            for job in jobs
            if any(region.region == "aorta" for region in job.layout.regions)
            and any(parameter.name == "iodine" for parameter in job.measurand.rows())
        )
    for job in jobs:
        job.gatherer.close()
        require_no_mask(written, job.collected)
        if beside["with_dicom"]:
            require_dicom(job.stack, "--dicom", "leave --dicom out")
    return [
        _would_do(
            job.stack,
            job.planes,
            masks=job.collected.paths,
            written=written,
            warnings=[*study.warnings, *job.warnings],
        )
        for job in jobs
    ]


def _would_do(
    stack: SpectralStack,
    planes: Iterable[Plane],
    *,
    masks: Sequence[Path],
    written: Sequence[Path],
    written_bytes: int = 0,
    is_at_most: bool = False,
    warnings: Sequence[Caution] = (),
) -> WouldDo:
    planes = list(planes)
    read = {plane.place for plane in planes}
    kev = [
        series.energy_kev
        for series in stack.series
        if series.energy_kev is not None and any(plane.place in read for plane in series.planes)
    ]
    return WouldDo(
        phase=stack.phase,
        energies_kev=tuple(kev),
        n_planes=len(planes),
        read_bytes=sum(2 * plane.format.rows * plane.format.columns for plane in planes),
        masks=tuple(masks),
        written=tuple(written),
        written_bytes=written_bytes,
        is_at_most=is_at_most,
        warnings=tuple(warnings),
    )
