"""Label volumes: NIfTI, NRRD (also 3D Slicer's .seg.nrrd) and MetaImage, read by SimpleITK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import MaskError
from gsigpu.masks.layers import LARGEST_LABEL, Layer
from gsigpu.masks.placement import cropped
from gsigpu.volume import VolumeGeometry

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")


def read_volume_masks(path: Path) -> list[Layer]:
    """The layers of a label volume; 3D Slicer's overlapping segments are channels of one.

    Raises MaskError if it cannot be read, or does not hold labels.
    """
    import SimpleITK

    try:
        image: Any = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise MaskError(
            f"cannot be read ({reason})", where=path, remedy="save the mask again"
        ) from error
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3:
        raise MaskError(
            f"has {image.GetDimension()} dimensions", where=path, remedy="save a volume of labels"
        )
    keys = set(image.GetMetaDataKeys())
    _require_position(image, keys, path)
    names = _slicer_names(image, keys)
    if image.GetNumberOfComponentsPerPixel() > 1 and not names:
        raise MaskError(
            f"has {image.GetNumberOfComponentsPerPixel()} values per voxel",
            where=path,
            remedy="save a volume of labels",
        )
    values = SimpleITK.GetArrayFromImage(image)  # a copy: views of images die with them
    channels = values[..., None] if values.ndim == 3 else values
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    geometry = VolumeGeometry.from_affine(affine, channels.shape[:3])
    return [
        Layer(cropped(_labels(channels[..., layer], path), geometry), names.get(layer, {}))
        for layer in range(channels.shape[-1])
    ]


def _require_position(image: Any, keys: set[str], path: Path) -> None:
    """Refuses a NIfTI without sform and qform and an NRRD without a space: SimpleITK puts them at 0."""
    is_nowhere = (
        all(image.GetMetaData(f"{form}_code") == "0" for form in ("qform", "sform"))
        if {"qform_code", "sform_code"} <= keys
        else path.name.lower().endswith(".nrrd") and "NRRD_space" not in keys
    )
    if is_nowhere:
        raise MaskError(
            "does not say where in the patient it lies",
            where=path,
            remedy="save it with its position: a NIfTI's sform or qform, an NRRD's space and directions",
        )


def _slicer_names(image: Any, keys: set[str]) -> dict[int, dict[int, str]]:
    """Layer -> label -> name, of a 3D Slicer segmentation; empty for any other file."""
    names: dict[int, dict[int, str]] = {}
    number = 0
    while f"Segment{number}_Name" in keys:

        def value(what: str, prefix: str = f"Segment{number}_") -> str:
            return str(image.GetMetaData(prefix + what)) if prefix + what in keys else ""

        layer, label = int(value("Layer") or 0), int(value("LabelValue") or number + 1)
        names.setdefault(layer, {})[label] = value("Name")
        number += 1
    return names


def _labels(values: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    """The values, which are whole numbers of 0 and more, whatever type they are stored as."""
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise MaskError(
            "holds values that are no labels",
            where=path,
            remedy="save a label map, not an image",
        )
    if values.size and (values.min() < 0 or values.max() > LARGEST_LABEL):
        raise MaskError(
            f"holds labels outside 0-{LARGEST_LABEL}",
            where=path,
            remedy="number the regions from 1",
        )
    return values
