"""A volume in memory that knows where it lies, and its forms in other libraries."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import MissingDependency
from gsigpu.optional_packages import named_where_absent
from gsigpu.volume import Vector, VolumeGeometry


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ImageVolume:
    """Values on a grid.

    array : (z, y, x) float32; NaN where there is no value
    geometry : where its voxels lie
    name : of the map or image, `iodine`
    unit : as people write it, "" where there is none

    >>> grid = VolumeGeometry((2, 3, 4), (5.0, 1.0, 0.5), (10.0, 20.0, 30.0))
    >>> ImageVolume(np.zeros((2, 3, 4), np.float32), geometry=grid, name="iodine", unit="mg/mL")
    <ImageVolume: iodine, mg/mL; 2 x 3 x 4 voxels of 5 x 1 x 0.5 mm>
    """

    array: NDArray[np.float32]
    geometry: VolumeGeometry
    name: str
    unit: str = ""

    def __repr__(self) -> str:
        """What it is, without identity."""
        shape = " x ".join(map(str, self.geometry.shape))
        spacing = " x ".join(f"{mm:g}" for mm in self.spacing_mm)
        title = ", ".join(part for part in (self.name, self.unit) if part)
        return f"<ImageVolume: {title}; {shape} voxels of {spacing} mm>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The values, for NumPy."""
        return np.array(self.array, dtype=dtype, copy=copy)

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4) matrix from voxel index (x, y, z, 1) to RAS mm, as NIfTI and nibabel have it."""
        return self.geometry.affine_ras

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """(z, y, x) mm."""
        return self.geometry.spacing_mm

    def to_sitk(self) -> Any:
        """An image of SimpleITK.

        Raises MissingDependency.
        """
        sitk = _library("SimpleITK", "to_sitk()")
        return placed_sitk(sitk.GetImageFromArray(self.array), self.geometry)

    def to_nibabel(self) -> Any:
        """A NIfTI image of nibabel, axes (x, y, z), RAS mm; a view of the values.

        Raises MissingDependency.
        """
        nibabel = _library("nibabel", "to_nibabel()")
        image = nibabel.Nifti1Image(self.array.transpose(2, 1, 0), self.affine)
        image.header.set_xyzt_units("mm")
        return image

    def to_xarray(self) -> Any:
        """A DataArray of xarray with dimensions z, y, x; coordinates are mm along each axis from the first voxel.

        Raises MissingDependency.
        """
        xarray = _library("xarray", "to_xarray()")
        coordinates = {
            axis: np.arange(n) * mm
            for axis, n, mm in zip("zyx", self.geometry.shape, self.spacing_mm, strict=True)
        }
        return xarray.DataArray(
            self.array,
            dims=("z", "y", "x"),
            coords=coordinates,
            name=self.name,
            attrs={"units": self.unit, "affine_ras": self.affine},
        )


def placed_sitk(image: Any, grid: VolumeGeometry, low: Vector = (0.0, 0.0, 0.0)) -> Any:
    """An image of SimpleITK laid on a grid, with its first voxel at index `low` (z, y, x)."""
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(grid.position_mm(*low))
    axes = np.array([grid.row_direction, grid.column_direction, grid.slice_direction])
    image.SetDirection(axes.T.ravel().tolist())
    return image


def _library(name: str, what: str) -> Any:
    try:
        with named_where_absent(what):
            return import_module(name)
    except ImportError as error:
        raise MissingDependency(
            f"{what} needs {name}", remedy=f"install it: pip install {name}"
        ) from error
