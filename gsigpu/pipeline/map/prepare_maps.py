"""What `map` does before the first slice: the stack, the plan, and what a person should know of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gsigpu.backends import BackendName
from gsigpu.caution import Caution
from gsigpu.dicom.model import Series, SpectralStack, Study
from gsigpu.dicom.reading import card_frames
from gsigpu.maps.definitions import MapDefinition
from gsigpu.maps.label_check import check_block_labels
from gsigpu.maps.plan import MapPlan, plan_maps
from gsigpu.maps.registry import define_all
from gsigpu.pipeline.calibrate import calibrated
from gsigpu.pipeline.choose_stack import ChosenStack, choose_stack
from gsigpu.pipeline.map.companion import Companion, SharedSource
from gsigpu.pipeline.map.program import compile_program
from gsigpu.pipeline.map.run_program import run_program
from gsigpu.pipeline.map.stream import Sink, Source, StreamReport
from gsigpu.pipeline.progress import Progress, Watcher
from gsigpu.pipeline.stack_source import PlaneStore, StackSource

# Slices looked at by the label check, spread over the stack.
_CHECKED_SLICES = 3


@dataclass(frozen=True, slots=True)
class SeriesOverrides:
    """What a user said of series, by key: energy in keV, phase, kind."""

    energy: Mapping[str, float] | None = None
    phase: Mapping[str, str] | None = None
    kind: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedMaps:
    """A run of maps, ready to begin.

    chosen : the study and the stack that was chosen of it
    definitions : of the maps that were asked for, for this stack
    planes : definitions of all planes that are computed; the maps come first
    plan : of the planes
    stack : just the series that the plan reads
    source : of their stored values
    warnings : for a person to read, but for those of `label_warnings`
    """

    chosen: ChosenStack
    definitions: tuple[MapDefinition, ...]
    planes: tuple[MapDefinition, ...]
    plan: MapPlan
    stack: SpectralStack
    source: StackSource
    warnings: tuple[Caution, ...]

    def label_warnings(self) -> list[Caution]:
        """What the energies' labels give reason to doubt; a look at a few slices."""
        return label_warnings(self.stack, self.source)

    def label_sample(self) -> NDArray[np.float64]:
        """What the look needs of its slices; before the pass, which then has them from it."""
        return label_sample(self.stack, self.source)

    def doubts(self, sample: NDArray[np.float64]) -> list[Caution]:
        """The rest of the look, which reads nothing."""
        return label_doubts(self.stack, sample)


def prepare_maps(
    study: Path | str | Study,
    *,
    maps: Sequence[str],
    slope: str,
    phase: str | None,
    series: Sequence[str],
    energies_kev: Sequence[float],
    planes_of: Callable[[Sequence[MapDefinition]], Sequence[MapDefinition]],
    overrides: SeriesOverrides,
    watcher: Watcher,
    store: PlaneStore | None = None,
) -> PreparedMaps:
    """Chooses the stack and plans the maps.

    planes_of : maps -> all planes to compute for them
    store : of the planes, where others read them too
    The other arguments are those of `map_study`.
    Raises InputError and its kinds, SettingsError.
    """
    definitions = define_all(maps, slope=slope)
    planes = tuple(planes_of(definitions))
    chosen = choose_stack(
        study,
        phase=phase,
        series=series,
        energies_kev=energies_kev,
        energy_overrides=overrides.energy,
        phase_overrides=overrides.phase,
        kind_overrides=overrides.kind,
        watcher=watcher,
    )
    plan, stack, left_out = plan_for(planes, chosen.stack)
    source = StackSource(stack, store)
    planes, cautions = calibrated(
        planes, plan.energies_kev, stack.geometry.shape[0], source.read_hu
    )
    return PreparedMaps(
        chosen=chosen,
        definitions=planes[: len(definitions)],
        planes=planes,
        plan=plan_maps(planes, plan.energies_kev),
        stack=stack,
        source=source,
        warnings=(
            *chosen.study.warnings,
            *chosen.left_aside,
            *left_out,
            *cautions,
        ),
    )


def run_maps(
    prepared: PreparedMaps,
    sink: Sink,
    *,
    dtype: np.dtype[np.int16 | np.float32],
    backend: BackendName,
    processor: Literal["cpu", "gpu"],
    n_workers: int | None,
    progress: Progress | None,
    companion: Companion | None = None,
) -> tuple[StreamReport, list[Caution]]:
    """Runs the plan over all slices; see `run_program`.

    dtype : of the planes that the sink takes
    companion : sees every slice that is read
    """
    source: Source = prepared.source
    if companion is not None:
        source = SharedSource(source, prepared.stack.series, companion)
    program = compile_program(
        prepared.plan, prepared.stack.geometry.shape[1:], dtype, **prepared.source.rescale()
    )
    report, notes = run_program(
        program,
        source,
        sink,
        backend=backend,
        processor=processor,
        n_workers=n_workers,
        progress=progress,
    )
    return report, [*notes, *card_frames.notes()]


def plan_for(
    definitions: Sequence[MapDefinition], stack: SpectralStack
) -> tuple[MapPlan, SpectralStack, list[Caution]]:
    """The plan, the stack of just the series it reads, and warnings about series left out.

    Raises the problem of a series that the plan needs, and TooFewEnergies.
    """
    plan = plan_maps(definitions, stack.energies_kev)
    needed = tuple(stack.series[stack.energies_kev.index(kev)] for kev in plan.energies_kev)
    for series in needed:
        if series.problem is not None:
            raise series.problem
    left_out = [
        Caution("left-out-series", f"not read, and not needed: {series.problem}")
        for series in stack.series
        if series.problem is not None and series not in needed
    ]
    return plan, replace(stack, series=needed), left_out


def label_warnings(stack: SpectralStack, source: StackSource) -> list[Caution]:
    """One line per series whose keV label does not fit the data (SPEC §3)."""
    return label_doubts(stack, label_sample(stack, source))


def label_sample(stack: SpectralStack, source: StackSource) -> NDArray[np.float64]:
    """(E, n, rows / 4, columns / 4) block means in HU of the slices that the label check looks at."""
    n_slices = stack.geometry.shape[0]
    chosen = np.unique(np.linspace(0, n_slices - 1, _CHECKED_SLICES + 2)[1:-1].round().astype(int))
    return np.stack([source.read_blocks_hu(int(z)) for z in chosen], axis=1)


def label_doubts(stack: SpectralStack, sample: NDArray[np.float64]) -> list[Caution]:
    """`label_warnings` of slices that were read."""
    doubts = check_block_labels(stack.energies_kev, sample)
    named = [doubt for doubt in doubts if doubt.fitted_kev is not None]
    if doubts and not named:
        labels = ", ".join(f"{doubt.label_kev:g}" for doubt in doubts)
        line = (
            f"the labels {labels} keV do not fit together, and the images do not tell which is wrong:"
            " compare a region of known iodine, or export the series again"
        )
        return [Caution("label-check", line)]
    return [
        Caution(
            "label-check",
            f"series labelled {doubt.label_kev:g} keV looks like {doubt.fitted_kev:.0f} keV: compare"
            f" {_series_at(stack, doubt.label_kev)} on the scanner, and give its energy with"
            f" --energy {_series_key(stack, doubt.label_kev)}=KEV only if its label is wrong there",
        )
        for doubt in named
    ]


def _series_at(stack: SpectralStack, kev: float) -> str:
    series: Series = stack.series[stack.energies_kev.index(kev)]
    return f"series {series.evidence.series_number} {series.evidence.series_description!r}"


def _series_key(stack: SpectralStack, kev: float) -> str:
    return stack.series[stack.energies_kev.index(kev)].key
