"""Slices of labels, at whatever distances, as volumes of evenly spaced slices.

A slice that was drawn on is as thick as the images it was drawn on are apart. What lies between two drawn
slices that are further apart than that was not drawn, and is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.masks.placement import LabelVolume
from gsigpu.volume import VolumeGeometry

# Distances between slices, as parts of their own spacing.
#   _NEXT   the next slice is within a twentieth of where it should be: positions are rounded to 0.01 mm, and
#           1 mm is the least spacing that labels are drawn on
_NEXT = 0.05


@dataclass(frozen=True, slots=True)
class DrawnSlice:
    """Labels of one slice.

    labels : (y, x) integers, a box of the slice that holds all its labels
    first : (y, x) index of the box's first pixel
    position_mm : LPS mm of pixel (0, 0) of the whole slice
    """

    labels: NDArray[np.integer]
    first: tuple[int, int]
    position_mm: NDArray[np.float64]


def boxed(
    pixels: NDArray[np.generic], position_mm: NDArray[np.float64], *, label: int = 0
) -> DrawnSlice | None:
    """The box of a slice that holds its labels; None where it has none.

    pixels : (y, x) labels, or bool where `label` is to be theirs
    """
    rows = np.flatnonzero(pixels.any(axis=1))
    if not rows.size:
        return None
    inside = pixels[rows[0] : rows[-1] + 1]
    columns = np.flatnonzero(inside.any(axis=0))
    box = inside[:, columns[0] : columns[-1] + 1]
    # A box of the whole frame would keep it in memory; the smallest integers save most of the time and of the room.
    labels: NDArray[Any] = box.astype(np.min_scalar_type(label)) if label else box.copy()
    if label > 1:
        labels *= label
    return DrawnSlice(
        labels=labels,
        first=(int(rows[0]), int(columns[0])),
        position_mm=position_mm,
    )


def slice_volumes(
    slices: Sequence[DrawnSlice], plane: VolumeGeometry, thickness_mm: float
) -> tuple[LabelVolume, ...]:
    """Volumes that hold the slices, each slice `thickness_mm` thick; neighbours share one.

    slices : in any order
    plane : rows, columns and their normal, of all of them
    """
    normal = np.asarray(plane.slice_direction)
    by_height = sorted(slices, key=lambda drawn: float(drawn.position_mm @ normal))
    runs: list[list[DrawnSlice]] = []
    for drawn in by_height:
        step = (
            float((drawn.position_mm - runs[-1][-1].position_mm) @ normal) / thickness_mm
            if runs
            else 0.0
        )
        if runs and abs(step) <= _NEXT:  # drawn twice at one place
            runs[-1][-1] = _joined(runs[-1][-1], drawn)
        elif runs and abs(step - 1.0) <= _NEXT:
            runs[-1].append(drawn)
        else:
            runs.append([drawn])
    return tuple(_volume(run, plane, thickness_mm) for run in runs)


def _volume(run: Sequence[DrawnSlice], plane: VolumeGeometry, thickness_mm: float) -> LabelVolume:
    if len(run) > 1:
        step_mm = (run[-1].position_mm - run[0].position_mm) / (len(run) - 1)
    else:
        step_mm = np.asarray(plane.slice_direction) * thickness_mm
    lows, highs = _extent(run)
    labels = np.zeros((len(run), *(highs - lows)), _type_of(run))
    for z, drawn in enumerate(run):
        y, x = (int(first - low) for first, low in zip(drawn.first, lows, strict=True))
        height, width = drawn.labels.shape
        labels[z, y : y + height, x : x + width] = drawn.labels
    affine = plane.affine_lps
    affine[:3, 2] = step_mm
    affine[:3, 3] = run[0].position_mm + affine[:3, :2] @ lows[::-1]
    return LabelVolume(labels, VolumeGeometry.from_affine(affine, labels.shape))


def _joined(first: DrawnSlice, second: DrawnSlice) -> DrawnSlice:
    lows, highs = _extent([first, second])
    labels = np.zeros(tuple(highs - lows), _type_of((first, second)))
    for drawn in (first, second):
        _paint(labels, drawn, lows)
    return DrawnSlice(labels, (int(lows[0]), int(lows[1])), first.position_mm)


def _type_of(run: Sequence[DrawnSlice]) -> np.dtype[Any]:
    """The integers that hold the labels of all slices."""
    return np.result_type(*{drawn.labels.dtype for drawn in run})


def _extent(run: Sequence[DrawnSlice]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(y, x) from and to, of all boxes."""
    firsts = np.array([drawn.first for drawn in run], dtype=np.int64)
    ends = firsts + np.array([drawn.labels.shape for drawn in run], dtype=np.int64)
    return firsts.min(axis=0), ends.max(axis=0)


def _paint(target: NDArray[np.integer], drawn: DrawnSlice, lows: NDArray[np.int64]) -> None:
    y, x = (int(first - low) for first, low in zip(drawn.first, lows, strict=True))
    height, width = drawn.labels.shape
    inside = target[y : y + height, x : x + width]
    np.copyto(inside, drawn.labels, where=drawn.labels != 0)
