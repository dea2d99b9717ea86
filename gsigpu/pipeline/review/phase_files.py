"""One phase of a study page beside its volumes: its regions, its pictures, and what the page knows of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import SpectralStack
from gsigpu.dicom.reading import card_frames
from gsigpu.maps.definitions import MapDefinition
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.reading_series import other_energy
from gsigpu.pipeline.review.page_data import phase_entry, write_regions
from gsigpu.pipeline.review.roi_template import roi_template
from gsigpu.pipeline.review.static_pictures import write_static


def write_phase(
    data: Path,
    key: str,
    stack: SpectralStack,
    measurement: Measurement | None,
    *,
    definitions: Sequence[MapDefinition],
    kept: Mapping[int, Sequence[NDArray[np.float32]]],
    warnings: Sequence[str],
    redact: Callable[[str], str] = str,
    with_identity: bool = False,
) -> tuple[dict[str, Any], list[str]]:
    """Writes `data`/`key`r and `data`/`key`s beside the volumes.

    measurement : of the stack, whose regions and values are shown; None for a phase without regions
    kept : planes of the slices of `static_slices`, from the volumes
    warnings : of the phase, of its volumes, and of its labels; those of the measurement are added
    redact : takes out of names, flags and warnings what leads to the patient
    Returns the phase as the page has it, and all its warnings, with nothing taken out.
    """
    of_phase = [*warnings]
    if measurement is not None:
        of_phase += measurement.warnings
    of_phase += card_frames.notes()  # those of the measurement are among its warnings
    if with_identity:
        of_phase += other_energy(stack, "saved regions of interest")
    entry = phase_entry(key, stack, measurement, of_phase, redact)
    entry["regionSlices"] = []
    if measurement is not None:
        liver = measurement.masks.masks.liver
        entry["regionSlices"] = write_regions(data, f"{key}r", measurement.layout, liver)
    entry["static"] = write_static(data, key, stack, measurement, kept, definitions, redact)
    entry["segmentation"] = roi_template(stack) if with_identity else None
    return entry, of_phase
