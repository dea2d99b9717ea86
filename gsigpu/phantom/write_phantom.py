"""Writes a phantom as a PACS would export it, with masks and truth beside it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from gsigpu.output.staging import staged_folder
from gsigpu.phantom.dicom_files import phantom_uid
from gsigpu.phantom.export_layout import Export
from gsigpu.phantom.extras import write_extras
from gsigpu.phantom.lesions import Lesion
from gsigpu.phantom.mask_files import mask_writers
from gsigpu.phantom.phantom_settings import PhantomSettings
from gsigpu.phantom.slices import SliceWriter
from gsigpu.phantom.truth import TRUTH_FILE, PhantomTruth, plan_phantom

Progress = Callable[[int, int], None]


def write_phantom(
    out: Path | str,
    settings: PhantomSettings | None = None,
    *,
    lesions: tuple[Lesion, ...] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PhantomTruth:
    """Write a synthetic study and what is known about it.

    out : gets `dicom/` (the export), `masks/` (lesions, liver, vessels, aorta as NIfTI, and `masks/PHASE/lesions.nii.gz`
        for each phase that moved) and `truth.json`
    settings : default PhantomSettings()
    lesions : instead of random ones
    overwrite : replace a phantom that is there; anything else is never replaced
    progress : called with (slices done, slices in all)
    Returns the truth; `truth.composition()` gives every voxel before noise.
    Raises OutputError if `out` holds something, SettingsError if the lesions do not fit.
    """
    out = Path(out)
    planned = plan_phantom(settings or PhantomSettings(), lesions=lesions)
    with staged_folder(
        out, overwrite=overwrite, command="phantom", n_bytes=_size(planned)
    ) as folder:
        truth = replace(planned, folder=folder)
        study_uid = phantom_uid(truth.settings, truth.lesions, "study")
        export = Export(
            settings=truth.settings,
            geometry=truth.geometry,
            study_uid=study_uid,
            folder=truth.dicom_folder,
        )
        _write_slices(truth, SliceWriter(truth, list(export.images())), progress)
        for sink in export.sinks:
            sink.close()
        write_extras(truth, study_uid)
        truth.write_json(folder / TRUTH_FILE)
    return replace(planned, folder=out)


def _size(truth: PhantomTruth) -> int:
    """About how many bytes will be written, compression aside."""
    settings = truth.settings
    n_series = len(settings.energies_kev) + len(
        {"iodine", "water", "conventional"} & {*settings.extras}
    )
    return 2 * math.prod(settings.shape) * n_series * len(settings.phases)


def _write_slices(truth: PhantomTruth, writer: SliceWriter, progress: Progress | None) -> None:
    """Slices on all cores, masks in order."""
    n_z = truth.geometry.shape[0]
    n_threads = min(os.cpu_count() or 1, 8)
    paths = {
        "lesions": truth.lesion_mask,
        "liver": truth.liver_mask,
        "vessels": truth.vessel_mask,
        "aorta": truth.aorta_mask,
    }
    paths |= {
        f"{phase}/lesions": truth.lesion_mask_of(phase)
        for phase in truth.settings.phases
        if truth.settings.has_moved(phase)
    }
    for path in paths.values():
        path.parent.mkdir(exist_ok=True)
    with (
        mask_writers(paths, truth.geometry) as write_mask,
        threadpool_limits(limits=1, user_api="blas"),  # the slices' threads are enough
        ThreadPoolExecutor(n_threads) as pool,
    ):
        for n_done, masks in enumerate(pool.map(writer.write, range(n_z)), start=1):
            for name, plane in masks.items():
                write_mask[name](plane)
            if progress is not None:
                progress(n_done, n_z)
