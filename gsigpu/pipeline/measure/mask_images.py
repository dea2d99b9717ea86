"""`gsigpu.measure`: masks as files, paths, or images that are in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel
import numpy as np

from gsigpu.dicom.model import Study
from gsigpu.errors import GridMismatch, MaskError
from gsigpu.image_volume import ImageVolume
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import Measurement

# The name says nothing of a role: an image is of lesions unless its labels are mapped.
_NAME = "mask.nii"


def measure_masks(study: Path | str | Study, masks: Any, **options: Any) -> Measurement:
    """Measures lesions, their rims and surroundings in a study. Writes nothing.

    study : a folder, or what `gsigpu.scan` gave
    masks : MaskFiles; or the lesions alone: a path or several; an image of SimpleITK or nibabel, an ImageVolume, or
        (array, affine) with array (z, y, x) of labels and affine from voxel index (x, y, z, 1) to RAS mm. An image goes
        the way of a NIfTI file: its position counts, and is resampled where its grid is another.
    options : those of `measure_study`: settings, labels, phase, series, energies_kev, n_workers, …
    Raises InputError and its kinds, SettingsError.
    """
    with mask_files(masks) as files:
        return measure_study(study, files, **options)


@contextmanager
def mask_files(masks: Any) -> Iterator[MaskFiles]:
    """Masks as files, for the time of the block.

    Raises MaskError for what is no mask, GridMismatch for an array that has not three axes.
    """
    if isinstance(masks, MaskFiles):
        yield masks
    elif isinstance(masks, str | Path):
        yield MaskFiles((Path(masks),))
    elif isinstance(masks, Sequence) and all(isinstance(mask, str | Path) for mask in masks):
        yield MaskFiles(tuple(Path(mask) for mask in masks))
    else:
        with TemporaryDirectory(prefix="gsigpu-mask-") as folder:
            path = Path(folder) / _NAME
            _write(masks, path)
            yield MaskFiles((path,))


def _write(mask: Any, path: Path) -> None:
    """An image as a NIfTI file."""
    library: Any = sys.modules.get("SimpleITK")  # there where the caller has an image of it
    if library is not None and isinstance(mask, library.Image):
        library.WriteImage(mask, str(path))
    elif isinstance(mask, nibabel.spatialimages.SpatialImage):
        labels, affine = np.asanyarray(mask.dataobj), mask.affine
        _save(labels, affine, path)
    else:
        array, affine = _array_and_affine(mask)
        _save(array.transpose(2, 1, 0), affine, path)


def _save(labels: Any, affine: Any, path: Path) -> None:
    """Labels (x, y, z) with a matrix to RAS mm."""
    image: Any = nibabel.Nifti1Image
    nibabel.save(image(_labels(labels), affine), path)


def _array_and_affine(mask: Any) -> tuple[Any, Any]:
    if isinstance(mask, ImageVolume):
        return mask.array, mask.affine
    if not (isinstance(mask, tuple) and len(mask) == 2):
        raise MaskError(
            f"{type(mask).__name__} is no mask",
            remedy="give MaskFiles, a path, an image of SimpleITK or nibabel, or (array, affine)",
        )
    array, affine = np.asarray(mask[0]), np.asarray(mask[1], dtype=np.float64)
    if array.ndim != 3 or affine.shape != (4, 4):
        raise GridMismatch(
            f"a mask of shape {array.shape} with an affine of shape {affine.shape} is no volume",
            remedy="give (z, y, x) labels and a (4, 4) affine",
        )
    return array, affine


def _labels(array: Any) -> Any:
    """Labels in a type that NIfTI has; what is no whole number is left to the reader, which refuses it."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        return array.astype(np.int32)
    return array
