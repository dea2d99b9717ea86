"""Images of SimpleITK on parts of our grids."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from gsigpu.image_volume import placed_sitk
from gsigpu.volume import Vector, VolumeGeometry

sitk: Any = SimpleITK  # it publishes no types


def image_of(values: NDArray[Any], grid: VolumeGeometry, low: Vector) -> Any:
    """Values (z, y, x) as an image whose first voxel is that of index `low` (z, y, x) in a grid."""
    return placed_sitk(sitk.GetImageFromArray(np.ascontiguousarray(values)), grid, low)


def empty_image(box: tuple[slice, slice, slice], grid: VolumeGeometry) -> Any:
    """A box of a grid as an image without content, uint8."""
    z, y, x = (float(side.start) for side in box)
    size = [side.stop - side.start for side in reversed(box)]
    return placed_sitk(sitk.Image(size, sitk.sitkUInt8), grid, (z, y, x))


def displacement(transform: Any, image: Any) -> Any:
    """The way of each voxel of an image under a transform: an image of float64 vectors, mm."""
    return sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, image.GetSize(), image.GetOrigin(), image.GetSpacing(),
        image.GetDirection(),
    )  # fmt: skip
