"""Where a label volume lies, and whether its file proves it.

A NIfTI may have two positions that disagree, any format none at all, and a program that knew none leaves the
place that its library starts with: the origin at 0 and the axes of the patient. None of these is
taken without being asked for (`--mask-position`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import UnclearPosition
from gsigpu.masks.volume_headers import VolumeHeader
from gsigpu.volume import VolumeGeometry

# Tolerances.
#   _SAME_PLACE     voxels: corners of two grids that fall together; positions are rounded to some hundredths
#                   of a millimetre, and float32 in NIfTI
#   _SAME_SPACING   mm: spacings are rounded to a thousandth
#   _AXIS           direction cosines of the patient's axes, as float32 holds them
_SAME_PLACE = 0.1
_SAME_SPACING = 1e-3
_AXIS = 1e-6


class PositionChoice(StrEnum):
    """What to take a doubtful position from."""

    SFORM = "sform"
    QFORM = "qform"
    FILE = "file"
    INDEX = "index"


def corners_mm(grid: VolumeGeometry) -> NDArray[np.float64]:
    """(8, 3) LPS mm of the centres of the corner voxels."""
    ends = [(0, n - 1) for n in grid.shape]
    return np.array([grid.position_mm(z, y, x) for z, y, x in product(*ends)])


def same_voxels(first: VolumeGeometry, second: VolumeGeometry) -> bool:
    """Whether two grids have the same voxels, whichever way round their axes run."""
    if sorted(first.shape) != sorted(second.shape):
        return False
    distances = np.linalg.norm(corners_mm(first)[:, None] - corners_mm(second)[None], axis=2)
    return bool(distances.min(axis=1).max() <= _SAME_PLACE * min(first.spacing_mm))


def located(
    path: Path,
    header: VolumeHeader,
    grid: VolumeGeometry,
    study: VolumeGeometry,
    choice: PositionChoice | None,
) -> tuple[VolumeGeometry, str]:
    """Where the volume lies, and a note where that was chosen.

    grid : as SimpleITK reads it (`stored_volume.py`)
    Raises UnclearPosition where the file leaves it open and `choice` does not settle it.
    """
    reason, choices = doubt(header, grid, study)
    if not reason:
        return grid, ""
    if choice not in choices:
        raise UnclearPosition(reason, where=path, remedy=position_remedy(choices))
    if choice is PositionChoice.INDEX:
        return study, "lies on the series voxel by voxel, as --mask-position index says"
    if choice is PositionChoice.FILE:
        return grid, "lies where its file says, as --mask-position file says"
    return _of_form(
        header, choice.value, grid
    ), f"lies where its {choice.value} says, as --mask-position says"


def doubt(
    header: VolumeHeader, grid: VolumeGeometry, study: VolumeGeometry
) -> tuple[str, tuple[PositionChoice, ...]]:
    """Why a position is doubtful, "" where it is not, and which choices there are."""
    by_index = (PositionChoice.INDEX,) if _could_be_by_index(grid, study) else ()
    if not header.has_position:
        return "does not say where in the patient it lies", by_index
    shift_mm = _disagreement_mm(header, grid)
    if shift_mm > _SAME_PLACE * min(grid.spacing_mm):
        reason = f"has two positions, sform and qform, that are up to {shift_mm:.1f} mm apart"
        return reason, (PositionChoice.SFORM, PositionChoice.QFORM)
    if "sform" in header.affines_ras and not same_voxels(_of_form(header, "sform", grid), grid):
        sizes = " x ".join(f"{size:g}" for size in reversed(grid.spacing_mm))
        reason = f"says voxels of {sizes} mm (pixdim), and its sform says others: programs read it as two places"
        return reason, (PositionChoice.SFORM, PositionChoice.FILE)
    if _is_default(grid) and not same_voxels(grid, study):
        reason = (
            "lies at the origin along the patient's axes, where programs put a mask whose position"
            " they do not know"
        )
        return reason, (PositionChoice.FILE, *by_index)
    return "", ()


def position_remedy(choices: Sequence[PositionChoice]) -> str:
    """What to do about a doubtful position of which these choices are left."""
    if not choices:
        return "save it with the position of the series: a NIfTI's sform or qform, an NRRD's space, directions and origin"
    return "say which it is with " + " or ".join(f"--mask-position {choice}" for choice in choices)


def _could_be_by_index(grid: VolumeGeometry, study: VolumeGeometry) -> bool:
    """Whether a mask has the shape and the spacing of the series."""
    return grid.shape == study.shape and bool(
        np.allclose(grid.spacing_mm, study.spacing_mm, rtol=0.0, atol=_SAME_SPACING)
    )


def _is_default(grid: VolumeGeometry) -> bool:
    """Origin 0 and the patient's axes, to either side: what libraries start with in LPS and in RAS."""
    axes = np.abs([grid.row_direction, grid.column_direction, grid.slice_direction])
    return not any(grid.origin_mm) and bool(np.abs(axes - np.eye(3)).max() <= _AXIS)


def _disagreement_mm(header: VolumeHeader, grid: VolumeGeometry) -> float:
    """Between the two positions of a NIfTI, at the corner where they differ most; 0 where there is but one."""
    if len(header.affines_ras) < 2:
        return 0.0
    sform, qform = (header.affines_ras[form] for form in ("sform", "qform"))
    index = np.array(
        [[x, y, z, 1.0] for z, y, x in product(*((0, n - 1) for n in grid.shape))], dtype=np.float64
    )
    return float(np.linalg.norm((index @ (sform - qform).T)[:, :3], axis=1).max())


def _of_form(header: VolumeHeader, form: str, grid: VolumeGeometry) -> VolumeGeometry:
    affine_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ header.affines_ras[form]
    return VolumeGeometry.from_affine(affine_lps, grid.shape)
