"""RT Structure Sets: planar contours, filled on the slices they were drawn on.

A voxel belongs to a region if its centre lies inside an odd number of the slice's contours: a contour
within another is a hole, as in keyhole and CLOSEDPLANAR_XOR contours. Contours that do not lie on the
study's slices make a volume of their own slices, which is resampled like any other mask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import MaskError
from gsigpu.masks.layers import LARGEST_LABEL, Layer, Owner, require_owner
from gsigpu.masks.placement import LabelVolume
from gsigpu.volume import VolumeGeometry

# Tolerances, in slices of the study.
#   _ON_PLANE   contours within a hundredth of a slice distance are on one plane: points are rounded to 0.01 mm
#   _TILT       points of a contour on a slice stay within half a slice of each other
#   _EVEN       distances between planes are even when multiples of the smallest fit to a twentieth
_ON_PLANE = 0.01
_TILT = 0.5
_EVEN = 0.05
_FILLED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
Contour = NDArray[np.float64]  # (n, 3) index (x, y, z) on the study's grid


@dataclass(frozen=True, slots=True)
class _Structure:
    name: str
    frame_uid: str
    contours: list[Contour]
    n_left_out: int


def read_structures(
    path: Path, header: Any, geometry: VolumeGeometry, owner: Owner
) -> tuple[list[Layer], list[str]]:
    """One layer per structure, and warnings about what could not be filled.

    header : the RT Structure Set
    Raises MaskError for contours that are not parallel to the slices, and what `require_owner` raises.
    """
    to_index = geometry.inverse_affine_lps
    try:
        structures = _structures(header, to_index)
    except (AttributeError, TypeError, ValueError) as error:  # what pydicom and NumPy make of it
        raise MaskError(
            f"cannot be read as RT Structure Set ({error})",
            where=path,
            remedy="export the structures again",
        ) from error
    frames = {structure.frame_uid for structure in structures.values()} - {""}
    require_owner(header, _series_referred(header), frames, geometry, owner)
    known = geometry.frame_of_reference_uid
    layers, warnings = [], []
    for label, structure in structures.items():
        name = structure.name or f"label {label}"
        if known and structure.frame_uid not in ("", known):
            refused = "has another frame of reference than the study"
            layers.append(Layer(_nothing(geometry), {label: name}, refused))
            continue
        if structure.n_left_out:
            warnings.append(
                f"{path}: {name}: {structure.n_left_out} contours that enclose nothing are left out"
            )
        volume = (
            _filled(structure.contours, label, geometry, f"{path}: {name}")
            if structure.contours
            else _nothing(geometry)
        )
        layers.append(Layer(volume, {label: name}))
    return layers, warnings


def _structures(header: Any, to_index: NDArray[np.float64]) -> dict[int, _Structure]:
    """Label -> structure; one that is named and has no contours too."""
    rois = {int(item.ROINumber): item for item in header.get("StructureSetROISequence", None) or []}
    drawn: dict[int, list[Any]] = {number: [] for number in rois}
    for item in header.get("ROIContourSequence", None) or []:
        number = int(item.ReferencedROINumber)
        drawn.setdefault(number, []).extend(item.get("ContourSequence", None) or [])
    labels = _labels(drawn)
    structures = {}
    for number, items in drawn.items():
        roi = rois.get(number, {})
        contours = _contours(items, to_index)
        structures[labels[number]] = _Structure(
            str(roi.get("ROIName", "")),
            str(roi.get("ReferencedFrameOfReferenceUID", "")),
            contours,
            len(items) - len(contours),
        )
    return structures


def _labels(numbers: Collection[int]) -> dict[int, int]:
    """The label of each structure: its number, or a free one where that is no label, as 0 is not."""
    usable = {number for number in numbers if 0 < number <= LARGEST_LABEL}
    free = (number for number in range(1, 2 * LARGEST_LABEL) if number not in usable)
    return {number: number if number in usable else next(free) for number in numbers}


def _series_referred(header: Any) -> set[str]:
    uids = set()
    for frame in header.get("ReferencedFrameOfReferenceSequence", None) or []:
        for study in frame.get("RTReferencedStudySequence", None) or []:
            for series in study.get("RTReferencedSeriesSequence", None) or []:
                uids.add(str(series.get("SeriesInstanceUID", "")))
    return uids - {""}


def _contours(items: Iterable[Any], to_index: NDArray[np.float64]) -> list[Contour]:
    """The closed contours among a structure's, on the study's index axes."""
    contours = []
    for item in items:
        points = np.asarray(item.ContourData, dtype=np.float64).reshape(-1, 3)
        if item.get("ContourGeometricType", "CLOSED_PLANAR") in _FILLED and len(points) >= 3:
            contours.append(points @ to_index[:3, :3].T + to_index[:3, 3])
    return contours


def _filled(
    contours: Sequence[Contour], number: int, geometry: VolumeGeometry, where: str
) -> LabelVolume:
    """The region on slices of its own: the study's rows and columns, the contours' planes."""
    from skimage.draw import polygon2mask

    thickness = max(float(np.ptp(contour[:, 2])) for contour in contours)
    if thickness > _TILT:
        raise MaskError(
            "has contours that are not parallel to the slices",
            where=where,
            remedy="export the structure on the slices of this study",
        )
    planes = _planes(contours)
    heights = np.array(sorted(planes))
    step, first = _spacing(heights, where)
    lows = np.floor(np.min([contour.min(axis=0) for contour in contours], axis=0)).astype(int) - 1
    highs = np.ceil(np.max([contour.max(axis=0) for contour in contours], axis=0)).astype(int) + 2
    n_slices = round((heights[-1] - first) / step) + 1
    labels = np.zeros((n_slices, highs[1] - lows[1], highs[0] - lows[0]), np.int32)
    for height, members in planes.items():
        z = round((height - first) / step)
        inside = np.zeros(labels.shape[1:], bool)
        for contour in members:
            inside ^= polygon2mask(inside.shape, contour[:, [1, 0]] - lows[[1, 0]])  # type: ignore[no-untyped-call]  # skimage has few types
        labels[z][inside] = number
    # Index on those slices -> index on the study's grid -> LPS.
    to_study = np.diag([1.0, 1.0, step, 1.0])
    to_study[:3, 3] = (lows[0], lows[1], first)
    return LabelVolume(
        labels, VolumeGeometry.from_affine(geometry.affine_lps @ to_study, labels.shape)
    )


def _planes(contours: Sequence[Contour]) -> dict[float, list[Contour]]:
    """Contours by the slice index they lie at; whole indices where they are as good as whole."""
    planes: dict[float, list[Contour]] = defaultdict(list)
    for contour in contours:
        height = float(contour[:, 2].mean())
        if abs(height - round(height)) <= _ON_PLANE:
            height = float(round(height))
        known = [other for other in planes if abs(other - height) <= _ON_PLANE]
        planes[known[0] if known else height].append(contour)
    return planes


def _spacing(heights: NDArray[np.float64], where: str) -> tuple[float, float]:
    """Distance between the contours' planes and the first plane, in slices of the study."""
    on_slices = bool(np.all(heights == np.rint(heights)))
    gaps = np.diff(heights)
    if heights.size == 1:
        return 1.0, float(heights[0])
    step = float(gaps.min())
    if on_slices and step == 1.0:
        return 1.0, float(heights[0])
    whole = gaps / step
    if np.abs(whole - np.rint(whole)).max() > _EVEN:
        raise MaskError(
            "has contours at uneven distances that are not on the study's slices",
            where=where,
            remedy="export the structure on the slices of this study",
        )
    return step, float(heights[0])


def _nothing(geometry: VolumeGeometry) -> LabelVolume:
    return LabelVolume(np.zeros((1, 1, 1), np.int32), replace(geometry, shape=(1, 1, 1)))
