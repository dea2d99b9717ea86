"""The grid that a set of planes makes, ordered by where they lie, never by name or number.

All tolerances stand in one table below, each with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gsigpu.dicom.model import Plane
from gsigpu.errors import (
    DuplicateSlices,
    GantryTilt,
    GeometryError,
    GridMismatch,
    MissingSlices,
    MixedOrientations,
    NonUniformSpacing,
)
from gsigpu.volume import VolumeGeometry

# ---- Tolerances. ----
# A slice may stand off its place in the best regular grid by so much, along the normal and across
# it: scanners print 1e-3 mm or better, but some round positions to 0.1 mm whatever the spacing.
POSITION_TOLERANCE_MM = 0.1
# ... and by no more than this part of the slice spacing, where that is less.
POSITION_TOLERANCE_RATIO = 0.2
# Off by less, positions are as printed and need no word; off by more, they are taken and told.
PRINTED_PRECISION_MM = 0.011
# Two slices nearer than this lie at the same place: the least spacing of any scanner is 0.1 mm.
SAME_PLACE_MM = 0.01
# Of a direction cosine, of the length of the normal and of the drift per mm of height (0.06 degrees):
# cosines are printed with 1e-6, and a tilt that anyone sets is half a degree or more.
DIRECTION_TOLERANCE = 1e-3
# Pixel Spacing within a series: it is one number of the reconstruction, rounded alike in all files.
PIXEL_SPACING_TOLERANCE_MM = 1e-4
# Steps shorter than so many of the smallest are one spacing; longer ones are gaps of missing slices.
SINGLE_STEP_RATIO = 1.5


def grid_of(planes: Sequence[Plane]) -> tuple[VolumeGeometry, tuple[Plane, ...]]:
    """The grid of planes that belong together, and the planes in its order.

    The slice direction is the normal, row x column direction; z index 0 lies furthest against it.

    Raises MissingSlices, DuplicateSlices, NonUniformSpacing, MixedOrientations, GantryTilt,
    GridMismatch (sizes or pixel spacings differ) or GeometryError (attributes are absent).
    """
    first = planes[0]
    _require_attributes(planes)
    _require_equal(planes)
    assert first.orientation is not None
    assert first.pixel_spacing_mm is not None
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    normal = np.cross(row, column)
    length = float(np.linalg.norm(normal))
    if abs(length - 1.0) > DIRECTION_TOLERANCE or abs(float(row @ column)) > DIRECTION_TOLERANCE:
        raise MixedOrientations(
            "row and column directions are not at right angles",
            where=first.path,
            remedy="the header is damaged: export the series again",
        )
    normal = normal / length
    positions = np.array([plane.position_mm for plane in planes])
    along_mm = positions @ normal
    order = np.argsort(along_mm, kind="stable")
    ordered = tuple(planes[i] for i in order)
    along_mm, positions = along_mm[order], positions[order]
    first_mm = along_mm[0]
    if len(planes) > 1:
        _require_distinct(ordered, along_mm)
        first_mm, spacing_z = _regular(ordered, along_mm)
        _require_no_shear(ordered, positions, along_mm, normal)
    elif first.slice_thickness_mm is not None:
        spacing_z = first.slice_thickness_mm
    else:
        raise GeometryError(
            "a single slice without Slice Thickness has no extent",
            where=first.path,
            remedy="export the whole series",
        )
    spacing_y, spacing_x = first.pixel_spacing_mm
    return VolumeGeometry(
        shape=(len(planes), first.format.rows, first.format.columns),
        spacing_mm=(spacing_z, spacing_y, spacing_x),
        origin_mm=_vector(positions[0] + (first_mm - along_mm[0]) * normal),
        row_direction=_vector(row),
        column_direction=_vector(column),
        slice_direction=_vector(normal),
        frame_of_reference_uid=first.evidence.frame_of_reference_uid,
    ), ordered


def _vector(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return (float(values[0]), float(values[1]), float(values[2]))


def _require_attributes(planes: Sequence[Plane]) -> None:
    for plane in planes:
        if None not in (plane.position_mm, plane.orientation, plane.pixel_spacing_mm):
            continue
        missing = [
            name
            for name, value in (
                ("Image Position (Patient)", plane.position_mm),
                ("Image Orientation (Patient)", plane.orientation),
                ("Pixel Spacing", plane.pixel_spacing_mm),
            )
            if value is None
        ]
        raise GeometryError(
            f"has no {' and no '.join(missing)}",
            where=plane.path,
            remedy="export the series again",
        )


def _require_equal(planes: Sequence[Plane]) -> None:
    first = planes[0]
    # Nearly always one, which all planes share: arrays of all are then not worth making.
    if len({plane.orientation for plane in planes}) > 1:
        orientations = np.array([plane.orientation for plane in planes])
        off = np.abs(orientations - orientations[0]).max(axis=1)
    else:
        off = np.zeros(1)
    if off.max() > DIRECTION_TOLERANCE:
        other = planes[int(off.argmax())]
        raise MixedOrientations(
            f"slices of one series are not parallel, for example {first.path.name} and {other.path.name}",
            where=_series(first),
            remedy="export the axial series alone",
        )
    for plane in planes:
        if plane.format is not first.format and (
            (plane.format.rows, plane.format.columns) != (first.format.rows, first.format.columns)
        ):
            raise GridMismatch(
                f"{first.path.name} has {first.format.rows} x {first.format.columns} pixels,"
                f" {plane.path.name} has {plane.format.rows} x {plane.format.columns}",
                where=_series(first),
                remedy="export the series again",
            )
    spacings = np.array(list(dict.fromkeys(plane.pixel_spacing_mm for plane in planes)))
    if np.abs(spacings - spacings[0]).max() > PIXEL_SPACING_TOLERANCE_MM:
        raise GridMismatch(
            "pixel spacings differ within the series",
            where=_series(first),
            remedy="export it again",
        )
    frames = {plane.evidence.frame_of_reference_uid for plane in planes}
    if len(frames) > 1:
        raise GridMismatch(
            "frames of reference differ within the series",
            where=_series(first),
            remedy="export it again",
        )


def _require_distinct(planes: Sequence[Plane], along_mm: NDArray[np.float64]) -> None:
    same = np.flatnonzero(np.diff(along_mm) < SAME_PLACE_MM)
    if same.size:
        first, second = planes[int(same[0])], planes[int(same[0]) + 1]
        copied = _is_copy(first, second)
        raise DuplicateSlices(
            f"{same.size} {'slices lie' if same.size > 1 else 'slice lies'} where another is,"
            f" {_name(first)} and {_name(second)}"
            + (
                " claim to be one image, but their files differ"
                if copied
                else f" at {along_mm[int(same[0])]:.2f} mm"
            ),
            where=_series(first),
            remedy="compare the two files and remove the wrong one"
            if copied
            else "keep one reconstruction or acquisition in the folder",
        )


def position_error_mm(geometry: VolumeGeometry, planes: Sequence[Plane]) -> float:
    """How far the slice that is furthest off stands from its place in the grid, mm.

    planes : in the order of the grid
    """
    normal = np.asarray(geometry.slice_direction)
    positions = np.array([plane.position_mm for plane in planes])
    regular_mm = np.arange(len(planes)) * geometry.spacing_mm[0]
    off = positions - np.asarray(geometry.origin_mm) - regular_mm[:, None] * normal
    return float(np.abs(off @ normal).max())


def _regular(planes: Sequence[Plane], along_mm: NDArray[np.float64]) -> tuple[float, float]:
    """Place of the first slice and spacing, mm, of the regular grid on which all slices lie.

    Each step is counted in whole spacings; the grid is the straight line of least squares through
    the places by their count.
    """
    steps = np.diff(along_mm)
    spacing = float(np.median(steps[steps < SINGLE_STEP_RATIO * steps.min()]))
    counted = np.concatenate([[0.0], np.cumsum(np.maximum(np.rint(steps / spacing), 1.0))])
    spacing, first_mm = (float(value) for value in np.polyfit(counted, along_mm, 1))
    off_mm = np.abs(along_mm - first_mm - spacing * counted)
    tolerance_mm = min(POSITION_TOLERANCE_MM, POSITION_TOLERANCE_RATIO * spacing)
    if off_mm.max() > tolerance_mm:
        worst = int(off_mm.argmax())
        raise NonUniformSpacing(
            f"slice distances vary from {steps.min():.3f} to {steps.max():.3f} mm; {_name(planes[worst])}"
            f" is {off_mm[worst]:.2f} mm off its place, {tolerance_mm:.2g} mm are allowed",
            where=_series(planes[0]),
            remedy="use a reconstruction with one slice interval",
        )
    n_missing = round(float(counted[-1])) - len(steps)
    if n_missing:
        gap = int(np.flatnonzero(np.diff(counted) > 1)[0])
        raise MissingSlices(
            f"{n_missing} {'slices are' if n_missing > 1 else 'slice is'} missing,"
            f" the first between {_name(planes[gap])} at {along_mm[gap]:.2f} mm"
            f" and {_name(planes[gap + 1])} at {along_mm[gap + 1]:.2f} mm",
            where=_series(planes[0]),
            remedy="export the series again, whole",
        )
    if off_mm.max() <= PRINTED_PRECISION_MM:
        # First and last as they are: the same numbers for all series of a study.
        return float(along_mm[0]), float((along_mm[-1] - along_mm[0]) / len(steps))
    return first_mm, spacing


def _require_no_shear(
    planes: Sequence[Plane],
    positions: NDArray[np.float64],
    along_mm: NDArray[np.float64],
    normal: NDArray[np.float64],
) -> None:
    rise_mm = along_mm - along_mm[0]
    drift = positions - positions[0] - rise_mm[:, None] * normal
    drift_mm = np.linalg.norm(drift, axis=1)
    if drift_mm.max() <= max(POSITION_TOLERANCE_MM, DIRECTION_TOLERANCE * float(rise_mm[-1])):
        return
    worst = int(drift_mm.argmax())
    angle_deg = float(np.degrees(np.arctan2(drift_mm[worst], rise_mm[worst])))
    tilt = planes[0].evidence.gantry_tilt_deg
    tag_says = f", Gantry/Detector Tilt says {tilt:g}°" if tilt else ""
    raise GantryTilt(
        f"slices are stacked at {angle_deg:.1f}° to their normal{tag_says}: the gantry was tilted",
        where=_series(planes[0]),
        remedy="reconstruct or resample the series without tilt",
    )


def _is_copy(first: Plane, second: Plane) -> bool:
    return first.sop_instance_uid == second.sop_instance_uid and first.frame == second.frame


def _name(plane: Plane) -> str:
    return (
        f"{plane.path.name} frame {plane.frame + 1}"
        if plane.evidence.n_frames > 1
        else plane.path.name
    )


def _series(plane: Plane) -> str:
    evidence = plane.evidence
    number = "" if evidence.series_number is None else f" {evidence.series_number}"
    return f"series{number} {evidence.series_description!r} ({evidence.series_uid})"
