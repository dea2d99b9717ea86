"""RT Structure Sets: planar contours, each filled on the slice that it was drawn on.

How thick that slice is, the images say that the contours refer to, where the study holds them. Else a
contour on a slice of the study fills this slice. Contours between the study's slices that are closer together
than they are were drawn on a finer series. Whatever else is left open is an error, not a guess.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsigpu.caution import Caution
from gsigpu.errors import DamagedMask, MaskError, OutsideStudy
from gsigpu.masks.contours import filled
from gsigpu.masks.layers import LARGEST_LABEL, Layer, Owner, ReadLayers, require_owner
from gsigpu.masks.placement import LabelVolume
from gsigpu.masks.slice_runs import DrawnSlice, boxed, slice_volumes
from gsigpu.volume import VolumeGeometry

# Tolerances, in slices of the study.
#   _ON_PLANE   contours within a hundredth of a slice distance are on one plane: points are rounded to 0.01 mm
#   _TILT       points of a contour on a slice stay within half a slice of each other
#   _EVEN       distances between planes are even when multiples of the smallest fit to a twentieth
_ON_PLANE = 0.01
# Pixels of the study along a side: metres; wider is a damaged number, and would be filled pixel by pixel.
_MOST_PIXELS = 8192
_TILT = 0.5
_EVEN = 0.05
_FILLED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


@dataclass(frozen=True, slots=True)
class _Contour:
    """A closed contour.

    points : (n, 3) index (x, y, z) on the study's grid
    """

    points: NDArray[np.float64]
    is_xor: bool

    @property
    def height(self) -> float:
        """Index of the slice; a whole number where it is as good as one."""
        height = float(self.points[:, 2].mean())
        return float(round(height)) if abs(height - round(height)) <= _ON_PLANE else height


@dataclass(frozen=True, slots=True)
class _Structure:
    """A structure as the file has it.

    items : of its contours
    """

    name: str
    frame_uid: str
    items: tuple[Any, ...]


def read_structures(
    path: Path,
    header: Any,
    geometry: VolumeGeometry,
    owner: Owner,
    *,
    fill_between: bool = False,
) -> ReadLayers:
    """One layer per structure; one that cannot be filled carries its error.

    header : the RT Structure Set
    fill_between : the caller fills what lies between the contours
    Raises MaskError if it is no structure set that can be read, and what `require_owner` raises.
    """
    try:
        structures = _structures(header)
    except (AttributeError, TypeError, ValueError) as error:  # what pydicom and NumPy make of it
        raise MaskError(
            f"cannot be read as RT Structure Set ({error})",
            where=path,
            remedy="export the structures again",
        ) from error
    frames = {structure.frame_uid for structure in structures.values()} - {""}
    series_uids = _series_referred(header)
    require_owner(header, series_uids, frames, geometry, owner)
    layers = [
        _layer(path, label, structure, geometry, owner, series_uids, fill_between=fill_between)
        for label, structure in structures.items()
    ]
    return ReadLayers(layers, owner.phases_of(series_uids))


def _layer(
    path: Path,
    label: int,
    structure: _Structure,
    geometry: VolumeGeometry,
    owner: Owner,
    series_uids: set[str],
    *,
    fill_between: bool,
) -> Layer:
    """A structure on slices of its own; nothing and an error where it cannot be."""
    name = structure.name or f"label {label}"
    where = f"{path}: {name}"
    known = geometry.frame_of_reference_uid
    try:
        if known and structure.frame_uid not in ("", known):
            raise OutsideStudy(
                f"{name} has another frame of reference than the study",
                where=path,
                remedy="draw it on this study",
            )
        contours = _contours(structure.items, geometry, where)
        if not contours:
            volumes: tuple[LabelVolume, ...] = (_nothing(geometry),)
        else:
            images = {uid for item in structure.items for uid in _images_referred(item)}
            spacing_mm = owner.slice_spacing_mm(images, series_uids)
            volumes = _filled(
                contours, label, geometry, spacing_mm, where, fill_between=fill_between
            )
    except MaskError as error:
        return Layer((_nothing(geometry),), {label: name}, error=error)
    n_left_out = len(structure.items) - len(contours)
    note = Caution("empty-contours", f"{n_left_out} contours that enclose nothing are left out")
    return Layer(volumes, {label: name}, notes=(note,) if n_left_out else ())


def _structures(header: Any) -> dict[int, _Structure]:
    """Label -> structure; one that is named and has no contours too."""
    rois = {int(item.ROINumber): item for item in header.get("StructureSetROISequence", None) or []}
    drawn: dict[int, list[Any]] = {number: [] for number in rois}
    for item in header.get("ROIContourSequence", None) or []:
        number = int(item.ReferencedROINumber)
        drawn.setdefault(number, []).extend(item.get("ContourSequence", None) or [])
    labels = _labels(drawn)
    return {
        labels[number]: _Structure(
            name=str(rois[number].get("ROIName", "")) if number in rois else "",
            frame_uid=str(rois[number].get("ReferencedFrameOfReferenceUID", ""))
            if number in rois
            else "",
            items=tuple(items),
        )
        for number, items in drawn.items()
    }


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


def _images_referred(item: Any) -> list[str]:
    """SOP Instance UIDs of the images that a contour was drawn on."""
    images = item.get("ContourImageSequence", None) or []
    return [str(image.get("ReferencedSOPInstanceUID", "")) for image in images]


def _contours(items: Sequence[Any], geometry: VolumeGeometry, where: str) -> list[_Contour]:
    """The closed contours among a structure's, on the study's index axes.

    Raises DamagedMask for one that does not hold the points that it says.
    """
    to_index = geometry.inverse_affine_lps
    contours = []
    for number, item in enumerate(items, start=1):
        kind = item.get("ContourGeometricType", "CLOSED_PLANAR")
        try:
            points = np.asarray(item.ContourData, dtype=np.float64).reshape(-1, 3)
            n_points = int(item.get("NumberOfContourPoints", None) or len(points))
        except (AttributeError, TypeError, ValueError) as error:
            raise _damaged(where, f"contour {number} cannot be read: {error}") from error
        if not np.isfinite(points).all():
            raise _damaged(where, f"contour {number} has coordinates that are no numbers")
        if n_points != len(points):
            raise _damaged(where, f"contour {number} has {len(points)} points, not {n_points}")
        if kind in _FILLED and len(points) >= 3:
            on_study = points @ to_index[:3, :3].T + to_index[:3, 3]
            contours.append(_Contour(on_study, is_xor=kind == "CLOSEDPLANAR_XOR"))
    return contours


def _damaged(where: str, reason: str) -> DamagedMask:
    return DamagedMask(f"is damaged ({reason})", where=where, remedy="export the structures again")


def _filled(
    contours: Sequence[_Contour],
    label: int,
    geometry: VolumeGeometry,
    spacing_mm: float | None,
    where: str,
    *,
    fill_between: bool,
) -> tuple[LabelVolume, ...]:
    """The region: the study's rows and columns, the contours' slices.

    spacing_mm : of the images that the contours were drawn on, where the study holds them
    """
    tilt = max(float(np.ptp(contour.points[:, 2])) for contour in contours)
    if tilt > _TILT:
        raise MaskError(
            "has contours that are not parallel to the slices",
            where=where,
            remedy="export the structure on the slices of this study",
        )
    points = np.concatenate([contour.points for contour in contours])
    widest = float(np.ptp(points[:, :2], axis=0).max())
    if widest > _MOST_PIXELS or float(np.abs(points).max()) > _MOST_PIXELS**2:
        raise _damaged(where, f"contours span {widest:.3g} pixels of the study")
    planes = _planes(contours)
    thickness = _thickness(sorted(planes), geometry, spacing_mm, where, fill_between=fill_between)
    lows = (
        np.floor(np.min([contour.points.min(axis=0) for contour in contours], axis=0)).astype(int)
        - 1
    )
    highs = (
        np.ceil(np.max([contour.points.max(axis=0) for contour in contours], axis=0)).astype(int)
        + 2
    )
    shape = (int(highs[1] - lows[1]), int(highs[0] - lows[0]))
    slices: list[DrawnSlice] = []
    for height, members in planes.items():
        inside = np.zeros(shape, bool)
        for is_xor in (False, True):
            outlines = [
                contour.points[:, [1, 0]] - lows[[1, 0]]
                for contour in members
                if contour.is_xor is is_xor
            ]
            if outlines:
                inside |= filled(outlines, shape, is_xor=is_xor)
        position_mm = np.array(geometry.position_mm(height, int(lows[1]), int(lows[0])))
        drawn = boxed(inside, position_mm, label=label)
        if drawn is not None:
            slices.append(drawn)
    if not slices:
        return (_nothing(geometry),)
    return slice_volumes(slices, geometry, thickness * geometry.spacing_mm[0])


def _planes(contours: Sequence[_Contour]) -> Mapping[float, list[_Contour]]:
    """Contours by the slice index they lie at."""
    planes: dict[float, list[_Contour]] = defaultdict(list)
    for contour in contours:
        known = [other for other in planes if abs(other - contour.height) <= _ON_PLANE]
        planes[known[0] if known else contour.height].append(contour)
    return planes


def _thickness(
    heights: Sequence[float],
    geometry: VolumeGeometry,
    spacing_mm: float | None,
    where: str,
    *,
    fill_between: bool,
) -> float:
    """How thick the contours' slices are, in slices of the study.

    Raises MaskError where nothing says it.
    """
    gaps = np.diff(heights)
    is_on_slices = all(height == round(height) for height in heights)
    if spacing_mm is not None:
        referred = spacing_mm / geometry.spacing_mm[0]
        return max(1.0, referred) if is_on_slices and gaps.min(initial=1.0) >= 1.0 else referred
    if is_on_slices or not gaps.size or fill_between:
        return 1.0
    offset = np.asarray(heights) - heights[0]
    if np.abs(offset - np.rint(offset)).max() <= _EVEN and gaps.min() <= 1.0 + _EVEN:
        return 1.0
    step = float(gaps.min())
    whole = gaps / step
    if step < 1.0 and np.abs(whole - np.rint(whole)).max() <= _EVEN:
        return step
    raise MaskError(
        f"has contours between the study's slices, {gaps.min() * geometry.spacing_mm[0]:.2f} to"
        f" {gaps.max() * geometry.spacing_mm[0]:.2f} mm apart, and the study does not hold the images"
        " that they were drawn on",
        where=where,
        remedy="fill what lies between them with --fill-between",
    )


def _nothing(geometry: VolumeGeometry) -> LabelVolume:
    return LabelVolume(np.zeros((1, 1, 1), np.int32), replace(geometry, shape=(1, 1, 1)))
