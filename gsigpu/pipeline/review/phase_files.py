"""One phase of a study page: its volumes, its regions, and what the page knows of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gsigpu.dicom.model import SpectralStack
from gsigpu.maps.definitions import MapDefinition
from gsigpu.pipeline.map.prepare_maps import label_warnings
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.progress import Progress
from gsigpu.pipeline.review.page_data import phase_entry, write_regions
from gsigpu.pipeline.review.page_volumes import write_volumes
from gsigpu.pipeline.review.roi_template import reading_note, roi_template
from gsigpu.pipeline.review.static_pictures import static_slices, write_static
from gsigpu.pipeline.stack_source import StackSource


def write_phase(
    data: Path,
    key: str,
    stack: SpectralStack,
    measurement: Measurement | None,
    *,
    definitions: Sequence[MapDefinition],
    warnings: Sequence[str],
    redact: Callable[[str], str] = str,
    with_identity: bool = False,
    inside_body: bool = True,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes `data`/`key`, `data`/`key`r and `data`/`key`s; returns the phase as the page has it.

    measurement : of the stack, whose regions and values are shown; None for a phase without regions
    warnings : of the phase; those of the volumes and of the measurement are added
    redact : takes out of names, flags and warnings what leads to the patient
    Raises what the maps need and the stack lacks.
    """
    kept, left_out = write_volumes(
        stack,
        definitions,
        data,
        key,
        inside_body=inside_body,
        keep=static_slices(stack, measurement),
        n_workers=n_workers,
        progress=progress,
    )
    of_phase = [*warnings, *left_out]
    if measurement is not None:
        of_phase += measurement.warnings
    else:
        of_phase += label_warnings(stack, StackSource(stack))
    if with_identity:
        of_phase += reading_note(stack)
    entry = phase_entry(key, stack, measurement, of_phase, redact)
    entry["regionSlices"] = []
    if measurement is not None:
        liver = measurement.masks.masks.liver
        entry["regionSlices"] = write_regions(data, f"{key}r", measurement.layout, liver)
    entry["static"] = write_static(data, key, stack, measurement, kept, definitions, redact)
    entry["segmentation"] = roi_template(stack) if with_identity else None
    return entry
