"""`gsigpu.review`: masks as files, paths, or images that are in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gsigpu.dicom.model import Study
from gsigpu.pipeline.measure.mask_images import mask_files
from gsigpu.pipeline.review.review_study import ReviewResult, review_study


def review_masks(
    study: Path | str | Study, out: Path | str, *, masks: Any = None, **options: Any
) -> ReviewResult:
    """Writes a folder with a page that shows maps, regions and values of a study.

    study : a folder, or what `gsigpu.scan` gave
    out : a folder that is not there yet, or is empty
    masks : as of `gsigpu.measure`; None for a page without regions
    options : those of `gsigpu.pipeline.review.review_study.review_study`: phases, maps, slope, settings, pictures, …
    Raises InputError and its kinds, SettingsError, OutputError.
    """
    if masks is None:
        return review_study(study, out, **options)
    with mask_files(masks) as files:
        return review_study(study, out, masks=files, **options)
