"""Where a volume lies in the patient.

Definitions. Arrays are (z, y, x). Patient coordinates are DICOM's LPS in mm: +x to the patient's
left, +y to the back, +z to the head. `row_direction` points along increasing x index,
`column_direction` along increasing y index, `slice_direction` along increasing z index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import GeometryError

Vector = tuple[float, float, float]

# Direction cosines come from decimal strings of up to 16 characters, and from float32 in NIfTI.
UNIT_TOLERANCE = 1e-3
# Volume of the cell that three unit vectors span; a gantry tilt of 30 degrees leaves 0.87.
FLAT_TOLERANCE = 1e-2
# Positions and spacings are written to DICOM as decimal strings; scanners round them to 1e-3 mm
# or better, so a grid is the same grid when no corner voxel moves more than this.
SAME_GRID_TOLERANCE_MM = 0.01


@dataclass(frozen=True, slots=True)
class VolumeGeometry:
    """A regular grid in patient space.

    shape : (n_z, n_y, n_x)
    spacing_mm : (z, y, x) mm
    origin_mm : LPS mm of the centre of voxel (0, 0, 0)
    row_direction, column_direction, slice_direction : unit vectors, LPS
    frame_of_reference_uid : two grids with different ones cannot be compared

    >>> grid = VolumeGeometry((2, 3, 4), (5.0, 1.0, 0.5), (10.0, 20.0, 30.0))
    >>> grid.position_mm(1, 2, 3)
    (11.5, 22.0, 35.0)

    Raises GeometryError if shape, spacings, origin or directions make no grid.
    """

    shape: tuple[int, int, int]
    spacing_mm: Vector
    origin_mm: Vector
    row_direction: Vector = (1.0, 0.0, 0.0)
    column_direction: Vector = (0.0, 1.0, 0.0)
    slice_direction: Vector = (0.0, 0.0, 1.0)
    frame_of_reference_uid: str = field(
        default="", repr=False
    )  # a UID tells whose images these are

    def __post_init__(self) -> None:
        """Raises GeometryError where this is no grid of voxels."""
        if min(self.shape) < 1:
            raise GeometryError(f"a grid of {self.shape} voxels is empty")
        if not (np.isfinite(self.spacing_mm).all() and min(self.spacing_mm) > 0.0):
            raise GeometryError(f"spacings {self.spacing_mm} mm are not all positive")
        if not np.isfinite(self.origin_mm).all():
            raise GeometryError(f"origin {self.origin_mm} mm is not a place")
        axes = np.array([self.row_direction, self.column_direction, self.slice_direction])
        lengths = np.linalg.norm(axes, axis=1)
        if not (np.abs(lengths - 1.0) <= UNIT_TOLERANCE).all():
            raise GeometryError(f"directions {axes.tolist()} are not unit vectors")
        if abs(np.linalg.det(axes)) < FLAT_TOLERANCE:
            raise GeometryError(f"directions {axes.tolist()} lie in one plane")

    @classmethod
    def from_affine(
        cls,
        affine_lps: NDArray[np.float64],
        shape: tuple[int, int, int],
        *,
        frame_of_reference_uid: str = "",
    ) -> VolumeGeometry:
        """The grid of a (4, 4) matrix from voxel index (x, y, z, 1) to LPS mm.

        Raises GeometryError if the matrix makes no grid.

        >>> grid = VolumeGeometry((2, 3, 4), (5.0, 1.0, 0.5), (10.0, 20.0, 30.0))
        >>> VolumeGeometry.from_affine(grid.affine_lps, grid.shape) == grid
        True
        """
        columns = np.asarray(affine_lps, dtype=np.float64)[:3, :3]
        sizes_mm = np.linalg.norm(columns, axis=0)
        if not (np.isfinite(affine_lps).all() and sizes_mm.min() > 0.0):
            raise GeometryError(f"affine {np.asarray(affine_lps).tolist()} makes no grid")
        x_axis, y_axis, z_axis = (columns / sizes_mm).T.tolist()
        x_mm, y_mm, z_mm = sizes_mm.tolist()
        origin_x, origin_y, origin_z = np.asarray(affine_lps, dtype=np.float64)[:3, 3].tolist()
        return cls(
            shape,
            (z_mm, y_mm, x_mm),
            (origin_x, origin_y, origin_z),
            row_direction=(x_axis[0], x_axis[1], x_axis[2]),
            column_direction=(y_axis[0], y_axis[1], y_axis[2]),
            slice_direction=(z_axis[0], z_axis[1], z_axis[2]),
            frame_of_reference_uid=frame_of_reference_uid,
        )

    @property
    def affine_lps(self) -> NDArray[np.float64]:
        """(4, 4) matrix from voxel index (x, y, z, 1) to LPS mm."""
        affine = np.eye(4)
        z_mm, y_mm, x_mm = self.spacing_mm
        affine[:3, 0] = np.asarray(self.row_direction) * x_mm
        affine[:3, 1] = np.asarray(self.column_direction) * y_mm
        affine[:3, 2] = np.asarray(self.slice_direction) * z_mm
        affine[:3, 3] = self.origin_mm
        return affine

    @property
    def inverse_affine_lps(self) -> NDArray[np.float64]:
        """(4, 4) matrix from (LPS mm, 1) to voxel index (x, y, z, 1)."""
        return np.asarray(np.linalg.inv(self.affine_lps), dtype=np.float64)

    @property
    def affine_ras(self) -> NDArray[np.float64]:
        """(4, 4) matrix from voxel index (x, y, z, 1) to RAS mm, as NIfTI wants it."""
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.affine_lps

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel, mL; also where the axes are not at right angles."""
        axes = np.array([self.row_direction, self.column_direction, self.slice_direction])
        # Exactly 1 where the axes are at right angles, whatever the last digits of their cosines.
        skew = round(float(abs(np.linalg.det(axes))), 6)
        return float(np.prod(self.spacing_mm)) * skew / 1000.0

    def position_mm(self, z: float, y: float, x: float) -> Vector:
        """LPS mm of the centre of voxel (z, y, x)."""
        point = self.affine_lps @ np.array([x, y, z, 1.0])
        return (float(point[0]), float(point[1]), float(point[2]))

    def same_grid(self, other: VolumeGeometry) -> bool:
        """Whether every voxel of both grids lies at the same place.

        Raises nothing: grids of different frames of reference are simply not the same.
        """
        if self.shape != other.shape or self.frame_of_reference_uid != other.frame_of_reference_uid:
            return False
        if self == other:  # as the series of one acquisition are
            return True
        corners = np.array(
            [
                [x, y, z, 1.0]
                for z in (0, self.shape[0] - 1)
                for y in (0, self.shape[1] - 1)
                for x in (0, self.shape[2] - 1)
            ]
        )
        shift = corners @ (self.affine_lps - other.affine_lps).T
        return bool(np.abs(shift).max() <= SAME_GRID_TOLERANCE_MM)


def patient_letters(direction: Sequence[float]) -> str:
    """Where a direction points, largest component first, as Patient Orientation has it.

    direction : unit vector, LPS

    >>> patient_letters([1.0, 0.0, 0.0]), patient_letters([0.0, 0.6, -0.8])
    ('L', 'FP')
    """
    letters = ("RL", "AP", "FH")
    ordered = sorted(range(3), key=lambda axis: -abs(direction[axis]))
    return "".join(
        letters[axis][int(direction[axis] > 0)] for axis in ordered if abs(direction[axis]) > 1e-3
    )
