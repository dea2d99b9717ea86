"""The volumes of a study page: maps of one phase, slice by slice, as the page reads them.

The page carries the water image, iodine and λHU, and draws every energy from water and iodine: three
volumes and not eleven. They are rounded to steps that are small against their noise, so that they
compress; what is measured never comes from them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.caution import Caution
from gsigpu.dicom.model import SpectralStack
from gsigpu.maps.definitions import MapDefinition
from gsigpu.maps.registry import define, define_all
from gsigpu.pipeline.map.companion import Companion, SharedSource
from gsigpu.pipeline.map.outside_body import NO_VALUE, body_in_plane
from gsigpu.pipeline.map.prepare_maps import plan_for
from gsigpu.pipeline.map.program import compile_program
from gsigpu.pipeline.map.stream import run_on_cpu
from gsigpu.pipeline.progress import Progress
from gsigpu.pipeline.stack_source import PlaneStore, StackSource
from gsigpu.regions.body import box_of
from gsigpu.viewer.plane_scripts import write_slice

# Steps of the page's volumes. Noise of a 1.25 mm liver CT is about 15 HU, 0.3 mg/mL and 0.1 HU/keV, six
# steps or more of each: rounding adds a hundredth of it to a voxel and nothing to the mean of a region.
PAGE_STEPS = {"HU": 1.0, "mg/mL": 0.05, "HU/keV": 0.01, "": 0.001}
# Water and iodine make every energy; λHU is what the page is about.
BASIS = ("vnc", "iodine")
PAGE_MAPS = ("lambda-hu",)
# A page needs about so many bytes per voxel and map (measured 0.46 for a whole abdomen inside the body; this is
# for one that is full of noise).
_BYTES_PER_VOXEL_AND_MAP = 0.75


def predicted_bytes(n_voxels: int, n_maps: int = len(BASIS) + len(PAGE_MAPS)) -> int:
    """What the volumes of a page will take on the disk, at most."""
    return int(n_voxels * n_maps * _BYTES_PER_VOXEL_AND_MAP)


def page_definitions(maps: Sequence[str], *, slope: str) -> tuple[MapDefinition, ...]:
    """The maps of the page: the basis first, then those asked for, each once, in steps of the page.

    Raises SettingsError for a map that does not exist.
    """
    chosen = [define(name, slope=slope) for name in BASIS]
    chosen += [
        definition for definition in define_all(maps, slope=slope) if definition.name not in BASIS
    ]
    return tuple(
        replace(definition, step=PAGE_STEPS.get(definition.unit.display, definition.step))
        for definition in chosen
    )


class PageSlices:
    """Takes the planes of a slice and writes them as one script; called from several threads.

    folder : of the phase, there already
    inside_body : leave out what lies around the patient
    keep : slices whose planes stay in `kept` as float32, NaN where the page has no value
    """

    def __init__(
        self,
        folder: Path,
        key: str,
        definitions: Sequence[MapDefinition],
        *,
        inside_body: bool,
        keep: Collection[int] = (),
    ) -> None:
        self.kept: dict[int, list[NDArray[np.float32]]] = {}
        self._keep = frozenset(keep)
        self._steps = [definition.step for definition in definitions]
        self._folder = folder
        self._key = key
        self._inside_body = inside_body

    def write(self, z: int, planes: Sequence[NDArray[Any]]) -> None:
        """Planes of slice z, in the order of the definitions."""
        vnc = planes[0]
        shown = vnc != NO_VALUE
        if self._inside_body:
            shown &= body_in_plane(vnc, self._steps[0])
        if z in self._keep:
            self.kept[z] = [
                np.where(shown & (plane != NO_VALUE), plane * np.float32(step), np.float32(np.nan))
                for plane, step in zip(planes, self._steps, strict=True)
            ]
        box = box_of(shown)
        if box is None:
            write_slice(self._folder, f"{self._key}/{z}", [])
            return
        inside = shown[box]
        cropped = [np.where(inside, plane[box], np.int16(NO_VALUE)) for plane in planes]
        write_slice(
            self._folder, f"{self._key}/{z}", cropped, (int(box[0].start), int(box[1].start))
        )


def write_volumes(
    stack: SpectralStack,
    definitions: Sequence[MapDefinition],
    folder: Path,
    key: str,
    *,
    inside_body: bool = True,
    keep: Collection[int] = (),
    n_workers: int | None = None,
    progress: Progress | None = None,
    store: PlaneStore | None = None,
    companion: Companion | None = None,
) -> tuple[dict[int, list[NDArray[np.float32]]], list[Caution]]:
    """Computes the maps of a stack and writes `folder`/`key`/Z.js for each of its slices.

    companion : sees every slice that is read; it has begun, and its planes come from `store` too
    Returns the planes of the slices in `keep`, as `PageSlices` has them, and warnings about series left out.
    Raises what the maps need and the stack lacks.
    """
    (folder / key).mkdir(parents=True)
    plan, needed, left_out = plan_for(definitions, stack)
    source = StackSource(needed, store)
    taken = [plane for series in needed.series for plane in series.planes]
    source.store.keep_only([*taken, *(() if companion is None else companion.planes)])
    shared = source if companion is None else SharedSource(source, needed.series, companion)
    sink = PageSlices(folder, key, definitions, inside_body=inside_body, keep=keep)
    program = compile_program(
        plan, needed.geometry.shape[1:], np.dtype(np.int16), **source.rescale()
    )
    run_on_cpu(program, shared, sink, n_workers=n_workers, progress=progress)
    return sink.kept, left_out
