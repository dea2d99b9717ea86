"""`gsigpu.measure`: masks as files, paths, or images that are in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel
import numpy as np

from gsigpu.dicom.model import Study
from gsigpu.errors import GridMismatch, MaskError
from gsigpu.image_volume import ImageVolume
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measure_phases import PhaseMeasurements, measure_phases
from gsigpu.pipeline.measure.measure_study import measure_study
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.volume import VolumeGeometry

# The name says nothing of a role: an image is of lesions unless its labels are mapped.
_NAME = "mask.nii"
_SAME_PLACE_MM = 1e-2  # of corners of one box: matrices are kept in float32
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


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


def measure_phases_masks(
    study: Path | str | Study, masks: Any, *, haematocrit: float | None = None, **options: Any
) -> PhaseMeasurements:
    """Measures every phase of a study with the same masks. Writes nothing.

    study, masks : as of `gsigpu.measure`
    haematocrit : for the extracellular volume, see `between_phases`
    options : settings, labels, series, energies_kev, backend, n_workers, as of `gsigpu.measure`
    Raises what `gsigpu.measure` raises, of the first phase that cannot be measured.
    """
    with mask_files(masks) as files:
        return measure_phases(study, files, haematocrit=haematocrit, **options)


@contextmanager
def mask_files(masks: Any) -> Iterator[MaskFiles]:
    """Masks as files, for the time of the block.

    Raises MaskError for what is no mask, GridMismatch for an array that has not three axes.
    """
    given = masks if isinstance(masks, MaskFiles) else MaskFiles(masks)
    if given.are_files:
        yield given
        return
    with TemporaryDirectory(prefix="gsigpu-mask-") as folder:
        places = (Path(folder) / str(number) / _NAME for number in count(1))

        def filed(mask: Any) -> Any:
            if mask is None or isinstance(mask, Path):
                return mask
            place = next(places)
            place.parent.mkdir()
            _write(mask, place)
            return place

        members: list[Any] = [mask for mask, _ in given.named]
        arrays = [mask for mask in members if isinstance(mask, tuple)]
        yield replace(
            given,
            lesions=tuple(filed(mask) for mask in given.lesions),
            liver=filed(given.liver),
            vessels=filed(given.vessels),
            aorta=filed(given.aorta),
            normal=filed(given.normal),
            regions=tuple((name, filed(mask)) for name, mask in given.regions),
            require_axes=partial(_require_axes, arrays),
        )


def _require_axes(arrays: Sequence[Any], geometry: VolumeGeometry) -> None:
    """Raises MaskError for an array with axes x, y, z, as nibabel has them, on the very grid of the study."""
    for array, affine in arrays:
        shape = tuple(np.shape(array))
        is_turned = shape[::-1] == geometry.shape and shape != geometry.shape
        if is_turned and _corners_agree(affine, _TO_RAS @ geometry.affine_lps, shape):
            raise MaskError(
                f"the axes of an array of shape {shape} are x, y, z: it lies on the study's grid with them turned round",
                remedy="give (array.T, affine), whose axes are z, y, x, or the nibabel image itself",
            )


def _corners_agree(first: Any, second: Any, shape_xyz: tuple[int, ...]) -> bool:
    """Whether two matrices put a grid into one box, whichever way its axes run."""
    last = [(0, n - 1) for n in shape_xyz]
    indices = np.array([(x, y, z, 1) for x in last[0] for y in last[1] for z in last[2]], float)
    corners, others = ((indices @ np.asarray(matrix, float).T)[:, :3] for matrix in (first, second))
    distances_mm = np.linalg.norm(corners[:, None] - others[None], axis=2)
    return bool((distances_mm.min(axis=1) < _SAME_PLACE_MM).all())


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
