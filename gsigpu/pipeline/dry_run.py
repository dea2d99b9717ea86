"""What `map` and `measure` would read and write, without doing it: `--dry-run`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gsigpu.dicom.model import Series, SpectralStack, Study
from gsigpu.dicom.study.stack import select_stack
from gsigpu.dicom.writing.formats import VOLUME_SUFFIXES, FormatName, output_bytes, planes_for
from gsigpu.map_files import map_names
from gsigpu.maps.registry import define_all
from gsigpu.output.staging import require_free_bytes, require_place
from gsigpu.pipeline.choose_stack import only_energies, phase_word, phases_of
from gsigpu.pipeline.map.prepare_maps import plan_for
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measurement import MeasureSettings
from gsigpu.pipeline.measure.parameters import Measurand
from gsigpu.pipeline.measure.shared_regions import SharedRegions
from gsigpu.pipeline.stack_source import PlaneStore


@dataclass(frozen=True, slots=True)
class WouldDo:
    """What a call would do with one phase.

    phase : "" where the study has one without a name
    energies_kev : of the series that would be read
    n_planes, read_bytes : of them; as they lie uncompressed in memory
    written : what would be there afterwards
    written_bytes : about so much, 0 where it is little
    """

    phase: str
    energies_kev: tuple[float, ...]
    n_planes: int
    read_bytes: int
    written: tuple[Path, ...]
    written_bytes: int = 0

    def as_dict(self) -> dict[str, object]:
        """Plain data for `--json`."""
        return {
            "phase": self.phase,
            "energies_kev": list(self.energies_kev),
            "n_planes": self.n_planes,
            "read_bytes": self.read_bytes,
            "written": [str(path) for path in self.written],
            "written_bytes": self.written_bytes,
        }

    def __str__(self) -> str:
        """For a person, in three lines."""
        kev = ", ".join(f"{kev:g}" for kev in self.energies_kev)
        size = f", about {self.written_bytes / 2**20:.1f} MiB" if self.written_bytes else ""
        return "\n".join(
            [
                f"phase  {self.phase or '(none)'}: {kev} keV",
                f"read   {self.n_planes} planes, {self.read_bytes / 2**20:.1f} MiB",
                f"write  {', '.join(str(path) for path in self.written)}{size}",
            ]
        )


def dry_map(
    study: Study,
    out: Path,
    *,
    maps: Sequence[str],
    slope: str,
    phase: str | None,
    all_phases: bool,
    series: Sequence[str],
    energies_kev: Sequence[float],
    output_format: FormatName,
    overwrite: bool,
    with_table: bool,
) -> list[WouldDo]:
    """What `map` would do, phase by phase; the arguments are those of `map_study`.

    with_table : regions are measured along
    Raises what `map_study` raises before it reads an image: an unknown map, a missing energy, a place that is taken, a
    disk that is too full.
    """
    definitions = define_all(maps, slope=slope)
    require_place(out, command="map", overwrite=overwrite, protected=[study.root])
    planned = []
    for stack in _stacks(study, phase, series, energies_kev, all_phases=all_phases):
        planes = planes_for(output_format, definitions)
        _, read, _ = plan_for(planes, stack)
        folder = out / phase_word(stack.phase) if all_phases else out
        names = map_names(definitions, suffix=VOLUME_SUFFIXES.get(output_format, ""))
        written = [folder / name for name in names.values()]
        written += [folder / "measurements.csv"] if with_table else []
        planned.append(
            _would_do(
                stack.phase,
                read.series,
                range(stack.geometry.shape[0]),
                written,
                written_bytes=output_bytes(read, len(definitions), output_format),
            )
        )
    n_bytes = sum(phase.written_bytes for phase in planned)
    require_free_bytes(out, n_bytes)
    return planned


def dry_measure(
    study: Study,
    masks: MaskFiles,
    written: Sequence[Path],
    *,
    settings: MeasureSettings,
    phase: str | None,
    all_phases: bool,
    series: Sequence[str],
    energies_kev: Sequence[float],
) -> list[WouldDo]:
    """What `measure` would do, phase by phase; masks are read, and carried over where asked, images are not.

    written : the files of the measurement
    Raises what `measure_study` raises before it reads the slices.
    """
    shared = SharedRegions(masks, settings.regions)
    planned = []
    for stack in _stacks(study, phase, series, energies_kev, all_phases=all_phases):
        measurand = Measurand(study, stack, settings.parameters, PlaneStore())
        _, layout = shared.of(study, stack)
        slices = {z for region in layout.regions for z in range(region.mask.box[0].start, region.mask.box[0].stop)}  # fmt: skip
        planned.append(_would_do(stack.phase, measurand.series, slices, written))
    return planned


def _stacks(
    study: Study,
    phase: str | None,
    series: Sequence[str],
    energies_kev: Sequence[float],
    *,
    all_phases: bool,
) -> list[SpectralStack]:
    phases = phases_of(study) if all_phases else [phase]
    return [
        only_energies(select_stack(study, phase=name, series=series), energies_kev)
        for name in phases
    ]


def _would_do(
    phase: str,
    series: Sequence[Series],
    slices: Iterable[int],
    written: Sequence[Path],
    *,
    written_bytes: int = 0,
) -> WouldDo:
    planes = [member.planes[z] for z in slices for member in series]
    return WouldDo(
        phase=phase,
        energies_kev=tuple(member.energy_kev for member in series if member.energy_kev is not None),
        n_planes=len(planes),
        read_bytes=sum(2 * plane.format.rows * plane.format.columns for plane in planes),
        written=tuple(written),
        written_bytes=written_bytes,
    )
